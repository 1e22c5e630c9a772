//! Rule `missing-nosniff`.

use crate::observation::Flow;
use crate::protocol::http1::header;
use crate::rules::responses::{Reading, whole_responses};
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// Responses that can be read, in the clear or decrypted, which hand over a document, a script, a style sheet or data
    /// (HTML, XML, JavaScript, CSS, plain text, JSON, or no type at all).
    /// ## Fails when
    /// X-Content-Type-Options is absent or says something other than `nosniff`: a WebView may take the content for
    /// something else than the server says, a text for a script, for example.
    /// ## Blind spots
    /// Whether a browser engine or the app's own code receives the content does not show; the latter does not guess.
    /// Errors, redirects, images, media, fonts and downloads are not judged.
    /// ## References
    /// [Fetch, X-Content-Type-Options](https://fetch.spec.whatwg.org/#x-content-type-options-header),
    /// [CWE-693](https://cwe.mitre.org/data/definitions/693.html)
    MissingNosniff {
        id: "missing-nosniff",
        summary: "content whose type a browser engine may guess",
        severity: Low,
        requirements: &["cl-mss:5.3", "cwe:693"],
    }
}

/// Media types that a browser engine may take for a document, a script or a style sheet.
const GUESSED: &[&str] = &[
    "application/ecmascript",
    "application/javascript",
    "application/json",
    "application/x-javascript",
    "application/xhtml+xml",
    "application/xml",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/javascript",
    "text/plain",
    "text/xml",
];

impl Rule for MissingNosniff {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let reading = Reading::of(flow);
        for readable in whole_responses(flow).filter(|readable| readable.has_content()) {
            let media_type = readable.media_type();
            if media_type.as_deref().is_some_and(|media_type| !GUESSED.contains(&media_type)) {
                continue;
            }
            let option = header(&readable.response.headers, "x-content-type-options");
            // Of a list the first entry counts.
            let first = option.and_then(|value| value.split(',').next()).map(str::trim);
            if first.is_some_and(|value| value.eq_ignore_ascii_case("nosniff")) {
                continue;
            }
            let media_type = media_type.unwrap_or_else(|| "content without a type".to_owned());
            let message = format!("{}: {media_type} without nosniff", readable.subject(reading));
            let finding = Finding::new(self.info(), flow, readable.observation.frame, message)
                .detail("media_type", media_type);
            report(reading.tag(finding));
        }
    }
}
