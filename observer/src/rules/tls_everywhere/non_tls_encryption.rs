//! Rule `non-tls-encryption`.

use crate::observation::Flow;
use crate::protocol::unrecognised::Likeness;
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The first bytes of TCP flows that no protocol claims and that are not text.
    /// ## Fails when
    /// Such a flow leaves the device: its protection, if it has any, is not TLS and cannot be judged. It is noted for the reviewer
    /// and never counted as protected.
    /// ## Blind spots
    /// It may be a compressed, a binary or a self-made encrypted protocol. UDP is not judged here: what protects it (QUIC, DTLS,
    /// SRTP, WireGuard) is opaque by design. Flows whose start was not captured are not judged.
    /// ## References
    /// [RFC 9325 §3.2](https://datatracker.ietf.org/doc/html/rfc9325#section-3.2),
    /// MASWE-0026 (MASWE 1)
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
        if fact.likeness != Likeness::Opaque || !judged {
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
