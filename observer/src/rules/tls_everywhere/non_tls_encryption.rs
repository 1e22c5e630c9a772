//! Rule `non-tls-encryption`.

use crate::observation::Flow;
use crate::protocol::unrecognised::{Fact, Likeness};
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The first bytes of TCP flows that no protocol claims and that are not text.
    /// ## Fails when
    /// Such a flow leaves the device and looks like noise: its protection, if it has any, is not TLS and
    /// cannot be judged. It is noted for the reviewer and never counted as protected.
    /// ## Blind spots
    /// It may be a compressed, a binary or a self-made encrypted protocol. Binary protocols with much
    /// structure, and flows of a few bytes, are not noted; they count as opaque all the same. UDP is not
    /// judged here: what protects it (QUIC, DTLS, SRTP, WireGuard) is opaque by design. Flows whose start was
    /// not captured are not judged.
    /// ## References
    /// [RFC 9325 §3.2](https://datatracker.ietf.org/doc/html/rfc9325#section-3.2), MASWE-0026 (MASWE 1)
    NonTlsEncryption {
        id: "non-tls-encryption",
        summary: "opaque TCP flow that is not TLS",
        severity: Low,
        requirements: &[
            "cl-mss:5.1",
            "masvs:MSTG-NETWORK-1",
            "asvs:9.2.2",
            "niap:FTP_DIT_EXT.1.1",
        ],
    }
}

impl Rule for NonTlsEncryption {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((observation, fact)) = flow.unrecognised() else { return };
        let judged = flow.flow.tcp.is_some() && !flow.flow.info.midstream && facts::counts(flow);
        if fact.likeness != Likeness::Opaque || !judged || !looks_like_noise(fact) {
            return;
        }
        let message = format!("the first {} bytes are neither TLS nor a known protocol", fact.sampled);
        report(
            Finding::new(self.info(), flow, observation.frame, message)
                .confidence(Confidence::Tentative)
                .detail("entropy", fact.entropy)
                .detail("sampled", fact.sampled),
        );
    }
}

/// Bytes below which noise cannot be told from structure.
const MIN_SAMPLE: usize = 32;

/// The share of the greatest possible entropy above which bytes look encrypted or compressed.
const NOISE: f64 = 0.85;

/// Whether the bytes are nearly as varied as their number permits. It decides only whether a note is worth it.
fn looks_like_noise(fact: &Fact) -> bool {
    let distinct = u32::try_from(fact.sampled.min(256)).unwrap_or(256);
    fact.sampled >= MIN_SAMPLE && fact.entropy >= NOISE * f64::from(distinct).log2()
}
