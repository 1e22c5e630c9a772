//! Rule `client-certificate-declined`.

use crate::observation::Flow;
use crate::protocol::tls::{ClientCertificate, ClientCertificateBasis, ClientRejection, Session};
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The server's wish for a client certificate and the client's answer: read up to TLS 1.2, inferred from
    /// the lengths of encrypted records in TLS 1.3.
    /// ## Fails when
    /// The client answers with an empty list. It is low, because servers may ask without need; medium where
    /// the server then turns the client away, so that it enforces mutual TLS, or the handshake is not completed; and high where
    /// the policy expects mutual TLS. In TLS 1.3 the refusal is inferred from the length, place and time of the server's answer.
    /// ## Blind spots
    /// Resumed sessions rest on an earlier handshake: the last one of the same app with the same host in the run,
    /// or in the database, is taken for it. The inference takes an encrypted record of the length
    /// of an empty list for one. A server that lets the client in and then refuses in its own protocol (HTTP 400) is not
    /// known to enforce anything. What stays on the device is not judged.
    /// ## References
    /// [RFC 5246 §7.4.6](https://datatracker.ietf.org/doc/html/rfc5246#section-7.4.6), [RFC 9846
    /// §4.4.2](https://datatracker.ietf.org/doc/html/rfc9846#section-4.4.2)
    ClientCertificateDeclined {
        id: "client-certificate-declined",
        summary: "client certificate asked for and not sent",
        severity: Low,
        requirements: &[
            "cl-mss:5.9",
            "asvs:2.2.5",
            "ncsc:2.1.2",
            "nist:800-190-4.3.5",
        ],
    }
}

/// The finding of a client that the server turned away, with the server's words or what stands for them.
fn turned_away(finding: Finding, flow: &Flow, session: &Session, rejection: ClientRejection) -> Finding {
    let finding = finding.kind("turned away").also((flow.id, rejection.frame));
    match (rejection.alert, &session.server_answer) {
        (Some(alert), _) => finding.detail("server_alert", alert),
        (None, Some(answer)) => finding.detail("server_answer", answer.value.len),
        (None, None) => finding,
    }
}

impl Rule for ClientCertificateDeclined {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((session, hello)) = facts::server_hello(flow) else { return };
        let original = session.original.map(|original| original.state);
        let resumes = match session.client_certificate() {
            ClientCertificate::Declined => false,
            ClientCertificate::ResumedUnknown if original == Some(ClientCertificate::Declined) => true,
            _ => return,
        };
        let host = flow.host();
        let severity = if cx.policy.expects_client_certificate(&host) {
            Severity::High
        } else if session.established() {
            self.info().severity
        } else {
            Severity::Medium
        };
        let rejected = session.rejected_client;
        let read = session.client_chain.as_ref().map(|chain| chain.frame);
        let frame = read.or(session.client_finished).unwrap_or(hello.frame);
        let message = match rejected {
            Some(_) => {
                "the server insists on a client certificate and turned the client away, which sent none"
            }
            None => "the server asked for a client certificate and the client sent none",
        };
        let finding = Finding::new(self.info(), flow, frame, message).severity(severity);
        let observed = Some(ClientCertificateBasis::Observed);
        let finding = match session.client_certificate_basis() == observed {
            _ if resumes => facts::by_original(finding, session),
            true => finding,
            false => facts::by_record_lengths(finding, session),
        };
        report(match rejected {
            Some(rejection) => turned_away(finding, flow, session, rejection),
            None => finding,
        });
    }
}
