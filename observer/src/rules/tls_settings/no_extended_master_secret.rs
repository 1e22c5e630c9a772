//! Rule `no-extended-master-secret`.

use crate::observation::Flow;
use crate::protocol::tls::TlsVersion;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// `extended_master_secret` in ClientHello and ServerHello up to TLS 1.2.
    /// ## Fails when
    /// The server chose TLS 1.0 to 1.2 and one of the two lacks it: sessions can then be synchronised across
    /// connections (triple handshake).
    /// ## Blind spots
    /// TLS 1.3 always binds its keys to the handshake. What stays on the device is not judged.
    /// ## References
    /// [RFC 7627 §5](https://datatracker.ietf.org/doc/html/rfc7627#section-5), [RFC 9325
    /// §3.5](https://datatracker.ietf.org/doc/html/rfc9325#section-3.5)
    NoExtendedMasterSecret {
        id: "no-extended-master-secret",
        summary: "session without the extended master secret",
        severity: Low,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
        ],
    }
}

impl Rule for NoExtendedMasterSecret {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((session, server)) = facts::server_hello(flow) else { return };
        let judged = (TlsVersion::TLS_1_0..TlsVersion::TLS_1_3).contains(&server.value.version.of_tls());
        if !judged || server.value.extended_master_secret {
            return;
        }
        let client = session.client_hello.as_ref().map(|hello| hello.value.extended_master_secret);
        let message = match client {
            Some(false) => "the client does not offer the extended master secret",
            _ => "the server does not answer the extended master secret",
        };
        report(Finding::new(self.info(), flow, server.frame, message));
    }
}
