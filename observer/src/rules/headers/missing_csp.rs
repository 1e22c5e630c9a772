//! Rule `missing-csp`.

use crate::observation::Flow;
use crate::protocol::http1::header;
use crate::rules::responses::{Reading, whole_responses};
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// Responses that can be read, in the clear or decrypted, which hand over an HTML document.
    /// ## Fails when
    /// Content-Security-Policy is absent or empty: whatever script finds its way into the page runs. A policy that is
    /// only reported on (Content-Security-Policy-Report-Only) stops nothing.
    /// ## Blind spots
    /// A policy in a `meta` element of the document is not read, hence only firm. Whether a WebView shows the document
    /// does not show. Errors, redirects and other types are not judged, nor is how strict the policy is.
    /// ## References
    /// [Content Security Policy 3 §3](https://www.w3.org/TR/CSP3/#csp-header),
    /// [CWE-693](https://cwe.mitre.org/data/definitions/693.html)
    MissingCsp {
        id: "missing-csp",
        summary: "HTML document without a content security policy",
        severity: Low,
        requirements: &["cl-mss:5.3", "cwe:693"],
    }
}

impl Rule for MissingCsp {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let reading = Reading::of(flow);
        for readable in whole_responses(flow).filter(|readable| readable.has_content()) {
            let document = readable.media_type();
            if !document.is_some_and(|known| matches!(known.as_str(), "text/html" | "application/xhtml+xml"))
            {
                continue;
            }
            let headers = &readable.response.headers;
            let says = |name: &str| header(headers, name).is_some_and(|value| !value.trim().is_empty());
            if says("content-security-policy") {
                continue;
            }
            let only = says("content-security-policy-report-only");
            let what = if only {
                "a content security policy that only reports"
            } else {
                "no content security policy"
            };
            let message = format!("{}: an HTML document with {what}", readable.subject(reading));
            let finding = Finding::new(self.info(), flow, readable.observation.frame, message)
                .confidence(Confidence::Firm)
                .detail("report_only", only);
            report(reading.tag(finding));
        }
    }
}
