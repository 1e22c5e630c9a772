//! Rule `cleartext-unknown`.

use crate::observation::Flow;
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The first bytes of flows that no protocol claims: the share of printable characters, and the entropy,
    /// which is shown and never decides.
    /// ## Fails when
    /// They are text of 16 bytes at least, and the flow leaves the device. Over UDP it is noted as low, and
    /// on port 22, too: SSH names its algorithms in text before it encrypts.
    /// ## Blind spots
    /// Readable binary formats (protobuf, MessagePack, images) look opaque. Flows whose start was not
    /// captured are not judged.
    /// ## References
    /// [MASTG-TEST-0236](https://mas.owasp.org/MASTG/tests/android/MASVS-NETWORK/MASTG-TEST-0236/),
    /// MASWE-0026 (MASWE 1), [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    CleartextUnknown {
        id: "cleartext-unknown",
        summary: "readable text in a protocol that is not known",
        severity: Medium,
        requirements: super::reading_breaks!(),
    }
}

impl Rule for CleartextUnknown {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((observation, fact)) = facts::unknown_text(flow).filter(|_| facts::counts(flow)) else {
            return;
        };
        let percent = (fact.printable * 100.0).round();
        let message = format!("{percent} % of the first {} bytes are readable text", fact.sampled);
        let finding = Finding::new(self.info(), flow, observation.frame, message)
            .confidence(Confidence::Firm)
            .detail("printable", fact.printable)
            .detail("entropy", fact.entropy)
            .detail("sampled", fact.sampled);
        let begins_like_ssh = flow.flow.info.five_tuple.destination.port == SSH_PORT;
        report(if flow.flow.tcp.is_none() || begins_like_ssh {
            finding.severity(Severity::Low).confidence(Confidence::Tentative)
        } else {
            finding
        });
    }
}

/// The port of SSH (RFC 4253 §4.1).
const SSH_PORT: u16 = 22;
