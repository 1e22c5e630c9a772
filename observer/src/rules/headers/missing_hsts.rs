//! Rule `missing-hsts`.

use std::net::IpAddr;

use crate::rules::{App, Digest, Endpoint, Finding, Protected, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// The responses inside TLS that can be read, over all of an app's flows with a host.
    /// ## Fails when
    /// No success and no redirect of the host carries Strict-Transport-Security, and no readable response of
    /// a parent domain covers it with `includeSubDomains`: a WebView or browser that is led to `http` goes there.
    /// ## Blind spots
    /// TLS whose keys the tester has not. Over `http` clients ignore the field, so cleartext responses are not
    /// judged. Stacks other than a browser's mostly ignore the field altogether. A preloaded host needs none.
    /// ## References
    /// [RFC 6797 §7.1, §8.1](https://datatracker.ietf.org/doc/html/rfc6797#section-7.1),
    /// [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    MissingHsts {
        id: "missing-hsts",
        summary: "host over TLS without Strict-Transport-Security",
        severity: Medium,
        requirements: &["cl-mss:5.3", "mitre:T1466", "cwe:319"],
    }
}

impl Rule for MissingHsts {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_app(&self, app: &App, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        for endpoint in &app.endpoints {
            let Some((host, digest, protected)) = without_hsts(endpoint) else { continue };
            if is_covered(app, host) {
                continue;
            }
            let message = format!("{host} answers over TLS without Strict-Transport-Security");
            report(
                endpoint
                    .finding(self.info(), digest, (digest.flow, protected.first), message)
                    .detail("read", "decrypted")
                    .detail("basis", "decrypted"),
            );
        }
    }
}

/// The host with its first readable response inside TLS, where none of these carries the field at all.
///
/// Hosts that are addresses are no hosts for the field (RFC 6797 §8.1.1).
pub(super) fn without_hsts(endpoint: &Endpoint) -> Option<(&str, &Digest, Protected)> {
    let host = endpoint.host.as_deref().filter(|host| host.parse::<IpAddr>().is_err())?;
    let mut protected =
        endpoint.flows.iter().filter_map(|digest| Some((digest, digest.protected.as_deref().copied()?)));
    let (digest, first) = protected.next()?;
    let silent = first.hsts.is_none() && protected.all(|(_, other)| other.hsts.is_none());
    silent.then_some((host, digest, first))
}

/// Whether a parent domain of `host` says that its subdomains are to be reached over TLS only.
pub(super) fn is_covered(app: &App, host: &str) -> bool {
    app.endpoints.iter().any(|endpoint| {
        let parent = endpoint.host.as_deref().and_then(|parent| host.strip_suffix(parent));
        let fields = || endpoint.flows.iter().filter_map(|digest| digest.protected.as_deref()?.hsts);
        parent.is_some_and(|rest| rest.ends_with('.'))
            && fields().any(|(_, hsts)| hsts.subdomains && hsts.is_in_force())
    })
}
