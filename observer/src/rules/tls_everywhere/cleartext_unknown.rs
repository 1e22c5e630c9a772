//! Rule `cleartext-unknown`.

use crate::observation::Flow;
use crate::protocol::unrecognised::{Fact, Likeness};
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The first bytes of flows that no protocol claims: the share of printable characters; constraints of
    /// known serialisations (protobuf, MessagePack, CBOR, BSON, BER, Java, Thrift), of compression that can be
    /// undone, and of media, with the bits of evidence against chance. Entropy is shown and never decides.
    /// ## Fails when
    /// They are text of 16 bytes at least, or evidence of 40 bits speaks for a format, and the flow leaves the
    /// device. Over UDP it is noted as low; and on port 22 and before TLS, too: SSH and others greet in text before
    /// they encrypt.
    /// ## Blind spots
    /// A readable beginning may lead to encryption. Formats that are not known here, and short messages with
    /// few constraints, look opaque. Flows whose start was not captured are not judged.
    /// ## References
    /// [MASTG-TEST-0236](https://mas.owasp.org/MASTG/tests/android/MASVS-NETWORK/MASTG-TEST-0236/),
    /// MASWE-0026 (MASWE 1), [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    CleartextUnknown {
        id: "cleartext-unknown",
        summary: "readable data in a protocol that is not known",
        severity: Medium,
        requirements: super::reading_breaks!(),
    }
}

impl Rule for CleartextUnknown {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((observation, fact)) = facts::unknown_readable(flow).filter(|_| facts::counts(flow)) else {
            return;
        };
        let beside = match facts::ftp_data(flow) {
            Some(_) => ", beside an FTP control connection under TLS: probably what it transfers",
            None => "",
        };
        let text = format!("{}{beside}", message(fact));
        let mut finding = Finding::new(self.info(), flow, observation.frame, text)
            .confidence(Confidence::Firm)
            .kind(fact.kind.unwrap_or_default())
            .detail("printable", fact.printable)
            .detail("entropy", fact.entropy)
            .detail("sampled", fact.sampled);
        if let Some(kind) = fact.kind {
            finding = finding.detail("format", kind);
        }
        if let Some(evidence) = fact.evidence {
            finding = finding.detail("items", evidence.items).detail("evidence_bits", evidence.bits);
        }
        let begins_like_ssh = flow.flow.info.five_tuple.destination.port == SSH_PORT;
        let leads_to_tls = flow.layers.contains(&"tls") && fact.likeness == Likeness::Text;
        report(if flow.flow.tcp.is_none() || begins_like_ssh || leads_to_tls {
            finding.severity(Severity::Low).confidence(Confidence::Tentative)
        } else {
            finding
        });
    }
}

fn message(fact: &Fact) -> String {
    let sampled = fact.sampled;
    match (fact.likeness, fact.kind) {
        (Likeness::Text, Some(kind)) => {
            format!("the first {sampled} bytes are readable {}", kind.to_uppercase())
        }
        (Likeness::Serialised, Some(kind)) => {
            let items = fact.evidence.map_or(0, |evidence| evidence.items);
            format!("the first {sampled} bytes hold readable {kind} data ({items} values)")
        }
        (Likeness::Compressed, Some(kind)) => {
            format!("the first {sampled} bytes hold {kind} data, which anybody can unpack")
        }
        (Likeness::Media, Some(kind)) => format!("the first {sampled} bytes hold a readable {kind} file"),
        _ => {
            let percent = (fact.printable * 100.0).round();
            format!("{percent} % of the first {sampled} bytes are readable text")
        }
    }
}

/// The port of SSH (RFC 4253 §4.1).
const SSH_PORT: u16 = 22;
