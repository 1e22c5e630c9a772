//! Rule `cleartext-http`.

use super::cleartext_websocket::is_upgrade;
use crate::observation::Flow;
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// HTTP/1 and HTTP/2 requests that are readable on the network, by their bytes, on any port; responses, where
    /// no request of the flow was captured.
    /// ## Fails when
    /// A request other than `CONNECT` leaves the device outside of TLS. Certificate status and revocation
    /// lists, which are signed and fetched in the clear by design, are noted as info.
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
