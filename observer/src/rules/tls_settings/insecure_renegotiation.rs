//! Rule `insecure-renegotiation`.

use crate::observation::Flow;
use crate::protocol::tls::TlsVersion;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// `renegotiation_info` or its signalling suite in ClientHello and ServerHello up to TLS 1.2, and
    /// renegotiations.
    /// ## Fails when
    /// The client offers it and the server does not answer it; or a session is renegotiated although one side
    /// does not have it, which is high: what an attacker sent before is then taken for the client's.
    /// ## Blind spots
    /// Whether the server permits renegotiation at all shows only when somebody renegotiates. TLS 1.3 has
    /// none. What stays on the device is not judged.
    /// ## References
    /// [RFC 5746 §3](https://datatracker.ietf.org/doc/html/rfc5746#section-3), [RFC 9325
    /// §3.5](https://datatracker.ietf.org/doc/html/rfc9325#section-3.5)
    InsecureRenegotiation {
        id: "insecure-renegotiation",
        summary: "renegotiation without its protection",
        severity: Medium,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
        ],
    }
}

impl Rule for InsecureRenegotiation {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let (Some((session, server)), Some((_, client))) =
            (facts::server_hello(flow), facts::client_hello(flow))
        else {
            return;
        };
        if server.value.version.of_tls() >= TlsVersion::TLS_1_3 {
            return;
        }
        let (offered, answered) = (client.value.secure_renegotiation, server.value.secure_renegotiation);
        if let Some(renegotiation) = session.renegotiation.as_ref().filter(|_| !offered || !answered) {
            let message = "the session was renegotiated without renegotiation_info";
            report(
                Finding::new(self.info(), flow, renegotiation.frame, message)
                    .severity(Severity::High)
                    .kind("renegotiated")
                    .also((flow.id, server.frame)),
            );
        } else if offered && !answered {
            let message = "the server does not answer renegotiation_info";
            report(Finding::new(self.info(), flow, server.frame, message));
        }
    }
}
