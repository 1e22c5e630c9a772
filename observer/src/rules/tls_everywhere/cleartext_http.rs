//! Rule `cleartext-http`.

use super::cleartext_websocket::is_upgrade;
use crate::observation::Flow;
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// HTTP/1 and HTTP/2 requests that are readable on the network, by their bytes, on any port; responses, where
    /// the flow's requests were not captured.
    /// ## Fails when
    /// A request other than `CONNECT` leaves the device outside of TLS. What fetches certificate status, revocation
    /// lists or issuers' certificates, which are signed and go in the clear by design, is noted as info, if it
    /// carries nothing else: no cookie, no credentials, no query.
    /// ## Blind spots
    /// Requests inside a tunnel that is not decoded; frames that the capture lost. A request by a system
    /// service for the app (a download manager, a media player) belongs to that service's uid.
    /// ## References
    /// [RFC 9110 §4.2.1](https://datatracker.ietf.org/doc/html/rfc9110#section-4.2.1),
    /// [MASTG-TEST-0236](https://mas.owasp.org/MASTG/tests/android/MASVS-NETWORK/MASTG-TEST-0236/),
    /// MASWE-0026 (MASWE 1), [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    CleartextHttp {
        id: "cleartext-http",
        summary: "HTTP request sent without TLS",
        severity: High,
        requirements: super::reading_breaks!(),
    }
}

impl Rule for CleartextHttp {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        for (observation, request) in facts::clear_requests(flow) {
            let response = facts::response_to(flow, request.index).map(|(_, response)| response);
            if is_upgrade(request) && response.is_some_and(|response| response.status == 101) {
                continue;
            }
            let line = facts::request_line(request);
            let signed = facts::is_revocation(request, response);
            let mut finding =
                Finding::new(self.info(), flow, observation.frame, format!("{line} sent in cleartext"))
                    .detail("method", request.method.as_str());
            if let Some(response) = response {
                finding = finding.detail("status_code", response.status);
            }
            report(if signed {
                finding.severity(Severity::Info).kind("revocation")
            } else if facts::is_connectivity_check(request) {
                finding.kind(facts::CONNECTIVITY_CHECK)
            } else {
                finding
            });
        }
        if let Some((observation, response)) = facts::clear_response_alone(flow) {
            let status = response.status;
            let text = format!("a response ({status}) in cleartext, whose request was not captured");
            let finding = Finding::new(self.info(), flow, observation.frame, text)
                .confidence(Confidence::Firm)
                .kind("response")
                .detail("status_code", status);
            report(if facts::hands_over_signed(response) {
                finding.severity(Severity::Info).kind("revocation")
            } else {
                finding
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Basis, Observation, Protection};
    use crate::protocol::Fact;
    use crate::protocol::http1::{self, Header, Response};
    use crate::time::Timestamp;

    /// A readable flow of which this response was captured and no request.
    fn flow(status: u16, media_type: Option<&str>) -> Flow {
        let headers = media_type.map(|value| Header { name: "content-type".into(), value: value.into() });
        let headers = headers.into_iter().collect();
        let response = Response { index: None, version: "1.1", status, headers, whole: true };
        let fact = Fact::Http1(Box::new(http1::Fact::Response(response)));
        let mut flow = Flow::made(([192, 0, 2, 1], 40_000), ([198, 51, 100, 1], 80));
        (flow.layers, flow.protection) = (vec!["http"], Protection::Cleartext);
        flow.flow.counts[0].payload = 0;
        flow.observations.push(Observation { frame: 4, at: Timestamp(0), basis: Basis::Observed, fact }, 8);
        flow
    }

    fn is_alone(flow: &Flow) -> bool {
        facts::clear_response_alone(flow).is_some()
    }

    #[test]
    fn a_response_speaks_for_the_request_that_was_not_captured() {
        assert!(is_alone(&flow(200, Some("text/html"))));
        assert!(is_alone(&flow(302, None)));
        // What is said to nobody, and what may answer a CONNECT or a search for a captive portal.
        for (status, media_type) in [(408, Some("text/html")), (200, None), (204, None), (100, None)] {
            assert!(!is_alone(&flow(status, media_type)), "{status}");
        }
        // All that the client sent was captured, and it was no HTTP.
        let mut asked = flow(400, Some("text/html"));
        asked.flow.counts[0].payload = 9;
        assert!(!is_alone(&asked));
        asked.flow.info.midstream = true;
        assert!(is_alone(&asked));
    }
}
