//! Rule `http-to-https-redirect-without-hsts`.

use super::missing_hsts::{is_covered, without_hsts};
use crate::rules::{App, Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// A host's redirects from `http` to `https` of the same host, and its responses inside TLS that can be read.
    /// ## Fails when
    /// The host redirects, so that it means to be reached over TLS, and none of its readable responses over TLS carries
    /// Strict-Transport-Security: the next visit begins in the clear again.
    /// ## Blind spots
    /// TLS whose keys the tester has not: without a response inside TLS nothing can be said, for on the redirect itself
    /// the field has no effect.
    /// ## References
    /// [RFC 6797 §7.2, §8.1](https://datatracker.ietf.org/doc/html/rfc6797#section-7.2),
    /// [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    RedirectWithoutHsts {
        id: "http-to-https-redirect-without-hsts",
        summary: "redirect to TLS, but no HSTS there",
        severity: Medium,
        requirements: &["cl-mss:5.3", "cl-mss:5.4", "mitre:T1466", "cwe:319"],
    }
}

impl Rule for RedirectWithoutHsts {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_app(&self, app: &App, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        for endpoint in &app.endpoints {
            let Some((host, answered, protected)) = without_hsts(endpoint) else { continue };
            let redirect = endpoint.flows.iter().filter(|digest| digest.is_cleartext()).find_map(|digest| {
                let mut same = digest.redirects.iter();
                Some((digest, same.find(|redirect| redirect.secure && redirect.host == host)?))
            });
            let Some((digest, redirect)) = redirect.filter(|_| !is_covered(app, host)) else { continue };
            let message = format!("{host} redirects to https and does not ask to be reached so next time");
            report(
                endpoint
                    .finding(self.info(), digest, (digest.flow, redirect.frame), message)
                    .also((answered.flow, protected.first))
                    .detail("read", "decrypted")
                    .detail("basis", "decrypted"),
            );
        }
    }
}
