//! Rule `cleartext-protocol`.

use crate::observation::{Basis, Flow, Protection};
use crate::protocol::{Worth, rtp, worth};
use crate::rules::{Confidence, Finding, Missed, Rule, RuleContext, RuleInfo, declare_rule, facts};

/// Protocols of which other rules speak.
const ELSEWHERE: &[&str] = &["http", "http2", "grpc", "websocket", "unknown"];

declare_rule! {
    /// ## What it observes
    /// Flows of protocols that are known and readable by themselves: mail, FTP, Telnet, LDAP, databases, chat,
    /// brokers, telephony, media, peers of BitTorrent; data connections of FTP, whatever is in the files. HTTP, gRPC,
    /// WebSocket, name service, time and discovery are not among them.
    /// ## Fails when
    /// Such a flow leaves the device and never changes to TLS. A client that finds no TLS, or is refused it,
    /// and leaves without saying more is not reported.
    /// ## Blind spots
    /// Protocols that nothing here reads, which cleartext-unknown may report. What a protocol encrypts within
    /// itself, such as SASL's security layers, is not seen. Where starttls-not-used or starttls-stripped say
    /// more of the flow, only they speak, unless the client had gone on before a word was said of TLS.
    /// ## References
    /// [RFC 8314 §3](https://datatracker.ietf.org/doc/html/rfc8314#section-3),
    /// [MASTG-TEST-0236](https://mas.owasp.org/MASTG/tests/android/MASVS-NETWORK/MASTG-TEST-0236/),
    /// MASWE-0026 (MASWE 1), [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    CleartextProtocol {
        id: "cleartext-protocol",
        summary: "readable protocol other than HTTP without TLS",
        severity: Medium,
        requirements: super::reading_breaks!(),
    }
}

impl Rule for CleartextProtocol {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(protocol) = readable(flow).filter(|_| facts::counts(flow)) else { return };
        if let Some(missed) = Missed::of(flow) {
            let said_elsewhere = missed.is_ignored() || missed.is_taken_away();
            if missed.is_left() || (said_elsewhere && !missed.went_ahead) {
                return;
            }
        }
        let first = flow.observations.iter().next();
        let frame = first.map_or(flow.flow.info.first_frame, |observation| observation.frame);
        let midstream = flow.flow.info.midstream;
        let beside = match facts::ftp_data(flow) {
            Some(Basis::Decrypted) => ", beside a control connection under TLS",
            _ => "",
        };
        report(
            Finding::new(self.info(), flow, frame, format!("{protocol} without TLS{beside}"))
                .confidence(if midstream { Confidence::Firm } else { Confidence::Certain })
                .kind(protocol)
                .detail("protocol", protocol),
        );
    }
}

/// The innermost protocol of a flow that is readable by what it is; `None` where TLS or another rule has to do with it.
fn readable(flow: &Flow) -> Option<&'static str> {
    let tls = flow.layers.iter().any(|layer| worth(layer) == Worth::Tls);
    if flow.protection != Protection::Cleartext || tls || flow.layers.contains(&"websocket") {
        return None;
    }
    if flow.layers.contains(&rtp::LAYER) {
        return Some(rtp::LAYER);
    }
    let layer = flow.layers.last().copied()?;
    (worth(layer) == Worth::Cleartext && !ELSEWHERE.contains(&layer)).then_some(layer)
}
