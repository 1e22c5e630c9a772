//! Rule `accepted-name-mismatch`.

use super::accepted;
use crate::observation::Flow;
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The names of the leaf up to TLS 1.2, and the name that the ClientHello asks for.
    /// ## Fails when
    /// The leaf is not for that name, and the client went on. The subject's common name does not count; a
    /// leaf that has the name there and nowhere else is medium. Where the ClientHello states an address,
    /// which RFC 6066 forbids, it is tentative: the client may compare with a name.
    /// ## Blind spots
    /// TLS 1.3 encrypts the chain: without a key log it is not seen. A client that completes the handshake and leaves without a request may
    /// have verified afterwards: it is not reported. Revocation is not checked. A ClientHello without a
    /// server name says nothing of what the client compares with. What stays on the device is not judged.
    /// ## References
    /// [RFC 9525 §6](https://datatracker.ietf.org/doc/html/rfc9525#section-6),
    /// [CWE-297](https://cwe.mitre.org/data/definitions/297.html)
    AcceptedNameMismatch {
        id: "accepted-name-mismatch",
        summary: "certificate for another name accepted",
        severity: High,
        requirements: super::acceptance_breaks!("niap:FCS_HTTPS_EXT.1.1", "cwe:297"),
    }
}

impl Rule for AcceptedNameMismatch {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(accepted) = accepted(flow, cx).filter(|accepted| !accepted.is_pinned) else { return };
        if accepted.status.name != Some(false) {
            return;
        }
        let asked = facts::client_hello(flow).and_then(|(_, hello)| hello.value.server_name.clone());
        let asked = asked.unwrap_or_default();
        let names = if accepted.names.is_empty() {
            "no name but its subject's".to_owned()
        } else {
            facts::list(accepted.names)
        };
        let message = format!("the client asked for {asked} and accepted a certificate for {names}");
        let by_subject = accepted.names.is_empty() && accepted.has_common_name(&asked);
        let is_address = asked.parse::<std::net::IpAddr>().is_ok();
        let finding =
            accepted.finding(self.info(), flow, message).detail("server_name", asked).detail("san", names);
        report(match (by_subject, is_address) {
            (true, _) => finding.severity(Severity::Medium).confidence(Confidence::Firm),
            (false, true) => finding.confidence(Confidence::Tentative),
            (false, false) => finding,
        });
    }
}
