//! Rule `non-tls-encryption`.

use crate::observation::Flow;
use crate::protocol::unrecognised::{Fact, Likeness};
use crate::protocol::{Worth, rtp, worth};
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// Flows of protocols that encrypt and are not TLS (SSH, WireGuard, OpenVPN, IKE and ESP,
    /// MTProto, RTMPE), and the first bytes of TCP flows that no protocol claims and that are not readable.
    /// ## Fails when
    /// Such a flow leaves the device. The protocol is named where it is known; bytes of nobody are noted,
    /// tentatively, where they look like noise. Neither counts as protected by TLS.
    /// ## Blind spots
    /// What is nobody's may be a compressed, a binary or a self-made encrypted protocol. Binary protocols
    /// with much structure, and flows of a few bytes, are not noted; they count as opaque all the same. UDP
    /// flows of nobody, and those whose start was not captured, are not judged; nor is media (SRTP), which
    /// is opaque by design. What is inside a tunnel cannot be seen: it may be TLS.
    /// ## References
    /// [RFC 9325 §3.2](https://datatracker.ietf.org/doc/html/rfc9325#section-3.2), MASWE-0026 (MASWE 1)
    NonTlsEncryption {
        id: "non-tls-encryption",
        summary: "encryption that is not TLS, or an opaque TCP flow",
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
        if let Some(layer) = opaque_layer(flow).filter(|_| facts::counts(flow)) {
            let message = format!("{} encrypts in a way of its own, which is not TLS", display_name(layer));
            let frame = flow.observations.iter().next().map_or(flow.flow.info.first_frame, |one| one.frame);
            report(
                Finding::new(self.info(), flow, frame, message)
                    .confidence(Confidence::Certain)
                    .detail("layer", layer),
            );
        }
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

/// The innermost layer, where it is a protocol that encrypts and is neither TLS, nor within it, nor media.
fn opaque_layer(flow: &Flow) -> Option<&'static str> {
    if flow.layers.iter().any(|layer| worth(layer) == Worth::Tls) {
        return None;
    }
    flow.layers.last().copied().filter(|layer| worth(layer) == Worth::Opaque && *layer != rtp::LAYER)
}

/// A protocol as its own documents write it.
fn display_name(layer: &'static str) -> &'static str {
    match layer {
        "ssh" => "SSH",
        "wireguard" => "WireGuard",
        "openvpn" => "OpenVPN",
        "ike" => "IKE",
        "esp" => "ESP",
        "mtproto" => "MTProto",
        "rtmpe" => "RTMPE",
        other => other,
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
