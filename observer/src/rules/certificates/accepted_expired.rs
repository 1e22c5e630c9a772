//! Rule `accepted-expired`.

use super::accepted;
use crate::observation::Flow;
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule};
use crate::time::Timestamp;
use crate::trust::Dates;

declare_rule! {
    /// ## What it observes
    /// The dates of the chain that the server sent up to TLS 1.2, at the time of the capture.
    /// ## Fails when
    /// The leaf, or an intermediate without which no path exists, has expired or is not yet valid, which is
    /// medium, and the client went on.
    /// ## Blind spots
    /// TLS 1.3 encrypts the chain: without a key log it is not seen. A client that completes the handshake and leaves without a request may
    /// have verified afterwards: it is not reported. Revocation is not checked. A device whose clock is wrong
    /// captures at a wrong time, too; times before the year 2000 are not believed, nor those that precede every
    /// certificate of a chain of several by more than a year.
    /// What stays on the device is not judged.
    /// ## References
    /// [RFC 5280 §4.1.2.5](https://datatracker.ietf.org/doc/html/rfc5280#section-4.1.2.5),
    /// [CWE-298](https://cwe.mitre.org/data/definitions/298.html)
    AcceptedExpired {
        id: "accepted-expired",
        summary: "certificate outside of its dates accepted",
        severity: High,
        requirements: super::acceptance_breaks!("cwe:298"),
    }
}

impl Rule for AcceptedExpired {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(accepted) = accepted(flow, cx) else { return };
        let (kind, message) = match &accepted.status.dates {
            Some(Dates::Expired { not_after, subject }) => {
                ("expired", format!("the client accepted {subject}, which expired at {}", day(*not_after)))
            }
            Some(Dates::NotYetValid { not_before, subject }) => (
                "not yet valid",
                format!("the client accepted {subject}, valid from {} on", day(*not_before)),
            ),
            None => return,
        };
        let finding = accepted.finding(self.info(), flow, message).kind(kind);
        report(match accepted.status.dates {
            // More often than a certificate of the future it is a clock of the past.
            Some(Dates::NotYetValid { .. }) => {
                finding.severity(Severity::Medium).confidence(Confidence::Firm)
            }
            _ => finding,
        });
    }
}

/// The time to the second.
fn day(at: Timestamp) -> String {
    Timestamp::new(at.seconds(), 0).to_string().replace(".000000000", "")
}
