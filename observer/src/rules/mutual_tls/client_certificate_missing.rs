//! Rule `client-certificate-missing`.

use crate::observation::Flow;
use crate::protocol::tls::{ClientCertificate, TlsVersion};
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// What became of the client's certificate: read up to TLS 1.2, inferred from the lengths of encrypted
    /// records in TLS 1.3.
    /// ## Fails when
    /// The policy names the host under `[[mtls]]`, the handshake was completed, and the client sent no
    /// certificate because the server did not ask, or did not send one as far as can be inferred.
    /// ## Blind spots
    /// Resumed sessions rest on an earlier handshake: the last one of the same app with the same host in the run,
    /// or in the database, is taken for it; without one they are not judged. A certificate that is asked for
    /// after the handshake: where the client offers to send one then, the finding is tentative.
    /// What stays on the device is not judged.
    /// ## References
    /// [RFC 8705 §2](https://datatracker.ietf.org/doc/html/rfc8705#section-2), [RFC 9846
    /// §4.4.2](https://datatracker.ietf.org/doc/html/rfc9846#section-4.4.2)
    ClientCertificateMissing {
        id: "client-certificate-missing",
        summary: "no client certificate where the policy expects one",
        severity: High,
        requirements: &[
            "cl-mss:5.9",
            "asvs:2.2.5",
            "ncsc:2.1.2",
            "nist:800-190-4.3.5",
        ],
    }
}

impl Rule for ClientCertificateMissing {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let host = flow.host();
        if !cx.policy.expects_client_certificate(&host) {
            return;
        }
        let Some((session, hello)) = facts::server_hello(flow) else { return };
        let state = session.client_certificate();
        let original = session.original.map(|original| original.state);
        let what = match original.filter(|_| state == ClientCertificate::ResumedUnknown).unwrap_or(state) {
            ClientCertificate::NotRequested => "the server did not ask for a client certificate",
            ClientCertificate::NotSent => "the client sent no certificate",
            _ => return,
        };
        if !session.established() {
            return;
        }
        let frame = session.client_finished.unwrap_or(hello.frame);
        let finding = Finding::new(self.info(), flow, frame, format!("{what}, where mutual TLS is expected"));
        report(match hello.value.version.of_tls() >= TlsVersion::TLS_1_3 {
            _ if session.resumed => facts::by_original(finding, session),
            true => facts::by_record_lengths(finding, session),
            false => finding,
        });
    }
}
