//! Rule `redirect-to-cleartext`.

use crate::rules::{App, Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// The Location of redirects in HTTP/1 responses that can be read.
    /// ## Fails when
    /// It is an absolute `http` URL of another host, or of a host that the app also reaches over TLS: the
    /// server itself leads the app away from TLS.
    /// ## Blind spots
    /// Redirects inside TLS, which are the worse ones, cannot be read. A redirect within one cleartext host
    /// adds nothing to cleartext-http.
    /// ## References
    /// [RFC 6797 §7.2](https://datatracker.ietf.org/doc/html/rfc6797#section-7.2),
    /// [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    RedirectToCleartext {
        id: "redirect-to-cleartext",
        summary: "server redirects to a cleartext URL",
        severity: Medium,
        requirements: super::inconsistency_breaks!(),
    }
}

impl Rule for RedirectToCleartext {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_app(&self, app: &App, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        for endpoint in &app.endpoints {
            for digest in &endpoint.flows {
                for redirect in digest.redirects.iter().filter(|redirect| !redirect.secure) {
                    let elsewhere = endpoint.name() != redirect.host;
                    if !elsewhere && !speaks_tls(app, &redirect.host) {
                        continue;
                    }
                    let message = format!("{} redirects to http://{}/", endpoint.name(), redirect.host);
                    report(
                        endpoint
                            .finding(self.info(), digest, (digest.flow, redirect.frame), message)
                            .kind(redirect.host.as_str()),
                    );
                }
            }
        }
    }
}

/// Whether the app reaches `host` over TLS, too.
fn speaks_tls(app: &App, host: &str) -> bool {
    let mut endpoints = app.endpoints.iter().filter(|endpoint| endpoint.host.as_deref() == Some(host));
    endpoints.any(|endpoint| endpoint.flows.iter().any(|digest| digest.is_tls()))
}
