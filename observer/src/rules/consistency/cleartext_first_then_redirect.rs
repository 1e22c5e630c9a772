//! Rule `cleartext-first-then-redirect`.

use crate::rules::{Endpoint, Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// Readable HTTP/1 requests and the redirects that answer them.
    /// ## Fails when
    /// A request leaves in cleartext and is redirected to `https`: who controls the path answers first and
    /// keeps the app in the clear (stripping).
    /// ## Blind spots
    /// Redirects by scripts or pages; responses that the capture lost.
    /// ## References
    /// [RFC 6797 §7.2, §14.6](https://datatracker.ietf.org/doc/html/rfc6797#section-7.2),
    /// [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    CleartextFirstThenRedirect {
        id: "cleartext-first-then-redirect",
        summary: "first request in cleartext, then a redirect",
        severity: Medium,
        requirements: super::inconsistency_breaks!(),
    }
}

impl Rule for CleartextFirstThenRedirect {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_endpoint(&self, endpoint: &Endpoint, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        for digest in endpoint.flows.iter().filter(|digest| digest.is_cleartext()) {
            let Some((frame, line)) = &digest.request else { continue };
            let Some(redirect) = digest.redirects.iter().find(|redirect| redirect.secure) else { continue };
            let message =
                format!("{line} in cleartext is only then redirected to https://{}/", redirect.host);
            report(
                endpoint
                    .finding(self.info(), digest, (digest.flow, *frame), message)
                    .also((digest.flow, redirect.frame)),
            );
        }
    }
}
