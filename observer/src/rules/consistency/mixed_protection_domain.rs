//! Rule `mixed-protection-domain`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::rules::{App, Digest, Endpoint, Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// All flows of an app with the hosts below one registrable domain (by the Public Suffix List), over the run.
    /// ## Fails when
    /// One of these hosts is reached in the clear and never with TLS, while another one is reached with TLS: whoever runs
    /// the domain has TLS, and this host is left out. It is low, because the cleartext itself is reported; a host that
    /// is reached both ways is mixed-protection-host.
    /// ## Blind spots
    /// Hosts without a name. Owners of neighbouring names may differ where the Public Suffix List does not know that they
    /// do. Requests that are only redirected to TLS are not held against the host.
    /// ## References
    /// [RFC 9325 §3.2](https://datatracker.ietf.org/doc/html/rfc9325#section-3.2), [Public Suffix
    /// List](https://publicsuffix.org/), MASWE-0026 (MASWE 1)
    MixedProtectionDomain {
        id: "mixed-protection-domain",
        summary: "one host without TLS in a domain that has it",
        severity: Low,
        requirements: super::inconsistency_breaks!(),
    }
}

impl Rule for MixedProtectionDomain {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_app(&self, app: &App, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let mut domains: BTreeMap<&str, Vec<(&str, &Endpoint)>> = BTreeMap::new();
        for endpoint in &app.endpoints {
            let Some(host) = endpoint.host.as_deref() else { continue };
            if let Some(domain) = registrable(host) {
                domains.entry(domain).or_default().push((host, endpoint));
            }
        }
        for (domain, hosts) in domains {
            let protected = |(host, endpoint): &(&str, &Endpoint)| {
                Some(((*host).to_owned(), endpoint.flows.iter().find(|digest| digest.is_tls())?.clone()))
            };
            let Some((sibling, digest)) = hosts.iter().find_map(protected) else { continue };
            let place = (digest.flow, digest.tls.map_or(digest.first_frame, |session| session.hello));
            for (host, endpoint) in &hosts {
                if endpoint.flows.iter().any(Digest::is_tls) {
                    continue;
                }
                let clear = |digest: &&Digest| digest.is_cleartext() && !digest.is_only_redirected();
                let Some(first) = endpoint.flows.iter().find(clear) else { continue };
                let message =
                    format!("{host} is reached without TLS, {sibling} of the same domain {domain} with it");
                report(
                    endpoint
                        .finding(self.info(), first, first.cleartext_place(), message)
                        .also(place)
                        .detail("domain", domain),
                );
            }
        }
    }
}

/// The part of `host` that somebody registered; `None` for addresses and names that are suffixes themselves.
fn registrable(host: &str) -> Option<&str> {
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    psl::domain_str(host)
}

#[cfg(test)]
mod tests {
    use super::registrable;

    #[test]
    fn domains_end_where_somebody_registered_them() {
        assert_eq!(registrable("api.shop.test"), Some("shop.test"));
        assert_eq!(registrable("a.b.shop.co.uk"), Some("shop.co.uk"));
        // Neighbours on a platform for everybody are not one another's.
        assert_eq!(registrable("alice.github.io"), Some("alice.github.io"));
        assert_eq!(registrable("co.uk"), None);
        assert_eq!(registrable("198.51.100.1"), None);
        assert_eq!(registrable("2001:db8::1"), None);
    }
}
