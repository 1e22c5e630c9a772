//! Rule `accepted-self-signed`.

use super::accepted;
use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule};
use crate::trust::PathStatus;

declare_rule! {
    /// ## What it observes
    /// The chain that the server sent, as far as it can be read (up to TLS 1.2, or with a key log), and whether the client sent application data after it.
    /// ## Fails when
    /// The leaf issued itself, is not among the trusted authorities (Mozilla's and those of `--ca`), and the
    /// client went on.
    /// ## Blind spots
    /// TLS 1.3 encrypts the chain: without a key log it is not seen. A client that completes the handshake and leaves without a request may
    /// have verified afterwards: it is not reported. Revocation is not checked. An app that pins exactly this
    /// certificate is safe: name its key in the policy's pins or the certificate with `--ca`.
    /// What stays on the device is not judged.
    /// ## References
    /// [RFC 5280 §6](https://datatracker.ietf.org/doc/html/rfc5280#section-6), MASWE-0027 (MASWE 1),
    /// [CWE-295](https://cwe.mitre.org/data/definitions/295.html)
    AcceptedSelfSigned {
        id: "accepted-self-signed",
        summary: "self-signed certificate accepted",
        severity: High,
        requirements: super::acceptance_breaks!(),
    }
}

impl Rule for AcceptedSelfSigned {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(accepted) = accepted(flow, cx) else { return };
        if accepted.status.path != PathStatus::SelfSigned || accepted.is_pinned {
            return;
        }
        let message = format!("the client accepted a self-signed certificate: {}", accepted.subject);
        report(accepted.finding(self.info(), flow, message));
    }
}
