//! Rule `accepted-untrusted-chain`.

use super::accepted;
use crate::observation::Flow;
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule};
use crate::trust::PathStatus;

declare_rule! {
    /// ## What it observes
    /// The chain that the server sent, as far as it can be read (up to TLS 1.2, or with a key log), and whether the client sent application data after it.
    /// ## Fails when
    /// The chain leads to an authority that is not trusted (Mozilla's and those of `--ca` are), and the
    /// client went on. A leaf that was sent alone and whose issuer is unknown is medium and tentative: the
    /// server may have forgotten an intermediate that the client had or fetched. A leaf that looks like a
    /// public authority's (policies of the CA/Browser Forum, Certificate Transparency) is low and tentative:
    /// its root may have left the store since, or be trusted by the platform alone.
    /// ## Blind spots
    /// TLS 1.3 encrypts the chain: without a key log it is not seen. A client that completes the handshake and leaves without a request may
    /// have verified afterwards: it is not reported. Revocation is not checked. An app with its own trust
    /// store does right: give that authority with `--ca`, or name the key in the policy's pins.
    /// What stays on the device is not judged.
    /// ## References
    /// [RFC 5280 §6](https://datatracker.ietf.org/doc/html/rfc5280#section-6), MASWE-0027 (MASWE 1),
    /// [CWE-295](https://cwe.mitre.org/data/definitions/295.html)
    AcceptedUntrustedChain {
        id: "accepted-untrusted-chain",
        summary: "certificate of an untrusted authority accepted",
        severity: High,
        requirements: super::acceptance_breaks!(),
    }
}

impl Rule for AcceptedUntrustedChain {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(accepted) = accepted(flow, cx).filter(|accepted| !accepted.is_pinned) else { return };
        let subject = accepted.subject;
        match &accepted.status.path {
            PathStatus::Untrusted { issuer, claims_public: true } => {
                let message =
                    format!("the client accepted {subject} from {issuer}, which is trusted no more");
                report(
                    accepted
                        .finding(self.info(), flow, message)
                        .severity(Severity::Low)
                        .confidence(Confidence::Tentative)
                        .kind("withdrawn")
                        .detail("issuer", issuer.as_str()),
                );
            }
            PathStatus::Untrusted { issuer, claims_public: false } => {
                let message = format!("the client accepted {subject} from {issuer}, which is not trusted");
                report(
                    accepted
                        .finding(self.info(), flow, message)
                        .confidence(Confidence::Firm)
                        .detail("issuer", issuer.as_str()),
                );
            }
            PathStatus::Incomplete { issuer } => {
                let message = format!("the client accepted {subject}, whose issuer {issuer} was not sent");
                report(
                    accepted
                        .finding(self.info(), flow, message)
                        .severity(Severity::Medium)
                        .confidence(Confidence::Tentative)
                        .kind("incomplete")
                        .detail("issuer", issuer.as_str()),
                );
            }
            _ => {}
        }
    }
}
