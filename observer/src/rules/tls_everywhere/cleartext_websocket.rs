//! Rule `cleartext-websocket`.

use crate::observation::Flow;
use crate::protocol::http1::{Request, header};
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// HTTP/1 requests with `Upgrade: websocket` that are readable on the network, and their responses.
    /// ## Fails when
    /// The server switches protocols (101) outside of TLS: all messages of the session are readable. While no
    /// response was captured, the request alone counts, with less confidence.
    /// ## Blind spots
    /// WebSockets over HTTP/2 without TLS (RFC 8441).
    /// ## References
    /// [RFC 6455 §10.6](https://datatracker.ietf.org/doc/html/rfc6455#section-10.6),
    /// [MASTG-TEST-0236](https://mas.owasp.org/MASTG/tests/android/MASVS-NETWORK/MASTG-TEST-0236/),
    /// MASWE-0026 (MASWE 1), [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    CleartextWebsocket {
        id: "cleartext-websocket",
        summary: "WebSocket opened without TLS",
        severity: High,
        requirements: super::reading_breaks!("ncsc:2.1.6"),
    }
}

impl Rule for CleartextWebsocket {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        for (observation, request) in facts::clear_requests(flow).filter(|(_, request)| is_upgrade(request)) {
            let response = facts::response_to(flow, request.index);
            if response.is_some_and(|(_, response)| response.status != 101) {
                continue;
            }
            let line = facts::request_line(request);
            let message = format!("WebSocket opened in cleartext: {line}");
            let finding = Finding::new(self.info(), flow, observation.frame, message);
            report(match response {
                Some((answer, _)) => finding.also((flow.id, answer.frame)),
                None => finding.confidence(Confidence::Firm),
            });
        }
    }
}

/// Whether the request asks for a WebSocket (RFC 6455 §4.1).
pub(super) fn is_upgrade(request: &Request) -> bool {
    header(&request.headers, "upgrade").is_some_and(|value| {
        value.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
    })
}
