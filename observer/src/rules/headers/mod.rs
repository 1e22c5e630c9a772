//! CL MSS 5.3: the backend sends the HTTP headers that protect what it serves.
//!
//! Only responses that can be read are judged: those in cleartext, and those inside TLS that were decrypted. Each
//! finding says how its response was read. What a header means depends on the channel: over `http`, clients ignore
//! Strict-Transport-Security (RFC 6797 §8.1), so nobody is blamed for not sending it there.

mod insecure_cookie;
mod missing_csp;
mod missing_hsts;
mod missing_nosniff;
mod redirect_without_hsts;
mod weak_hsts;

pub(super) use self::insecure_cookie::InsecureCookie;
pub(super) use self::missing_csp::MissingCsp;
pub(super) use self::missing_hsts::MissingHsts;
pub(super) use self::missing_nosniff::MissingNosniff;
pub(super) use self::redirect_without_hsts::RedirectWithoutHsts;
pub(super) use self::weak_hsts::WeakHsts;

#[cfg(test)]
mod tests {
    //! On flows that are made here: what a capture shows only with its keys.

    use super::*;
    use crate::observation::{Basis, Domain, DomainBasis, Flow, Observation, Observations, Protection};
    use crate::policy::{KnownKeys, Policy, TlsPolicy};
    use crate::protocol::http1::{self, Header};
    use crate::protocol::{Fact, tls};
    use crate::rules::{App, Device, Digest, Endpoint, Rule, RuleContext, Severity};
    use crate::time::Timestamp;

    /// A request to `host` and the answer to it, inside TLS or not.
    fn flow(host: &str, secure: bool, status: u16, headers: &[(&str, &str)]) -> Flow {
        let port = if secure { 443 } else { 80 };
        let headers =
            headers.iter().map(|(name, value)| Header { name: (*name).into(), value: (*value).into() });
        let request = http1::Request {
            index: 0,
            version: Some("1.1"),
            method: "GET".into(),
            target: "/".into(),
            host: Some(host.into()),
            headers: Vec::new(),
            credentials: Vec::new(),
        };
        let headers = headers.collect();
        let response = http1::Response { index: Some(0), version: "1.1", status, headers, whole: true };
        let mut observations = Observations::default();
        let basis = if secure { Basis::Decrypted } else { Basis::Observed };
        for (frame, fact) in [(4, http1::Fact::Request(request)), (5, http1::Fact::Response(response))] {
            let fact = Fact::Http1(Box::new(fact));
            observations.push(Observation { frame, at: Timestamp(0), basis, fact }, 8);
        }
        Flow {
            layers: if secure { vec!["tls", "http"] } else { vec!["http"] },
            protection: if secure { Protection::Encrypted } else { Protection::Cleartext },
            observations,
            tls: secure.then(Box::<tls::Session>::default),
            domain: Some(Domain { name: host.into(), basis: DomainBasis::Sni }),
            ..Flow::made(([192, 0, 2, 1], 40_000), ([198, 51, 100, 1], port))
        }
    }

    /// What a rule says of an app with these flows, each to a host of its own but for those with the same name.
    fn said(rule: &dyn Rule, flows: &[Flow]) -> Vec<(String, Severity)> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for flow in flows {
            let host = Some(flow.host().into_owned());
            match endpoints.iter_mut().find(|endpoint| endpoint.host == host) {
                Some(endpoint) => endpoint.flows.push(Digest::of(flow)),
                None => endpoints.push(Endpoint { owner: None, host, flows: vec![Digest::of(flow)] }),
            }
        }
        let app = App { owner: None, endpoints };
        let policy = Policy::default();
        let (device, known_keys) = (Device::default(), KnownKeys::default());
        let cx = RuleContext {
            policy: &policy,
            tls: TlsPolicy::recommended(),
            chain: None,
            device: &device,
            known_keys: &known_keys,
        };
        let mut found = Vec::new();
        let mut report = |finding: crate::rules::Finding| {
            assert_eq!(finding.details["basis"], "decrypted");
            found.push((finding.endpoint.host.unwrap_or_default(), finding.severity));
        };
        rule.check_app(&app, &cx, &mut report);
        for endpoint in &app.endpoints {
            rule.check_endpoint(endpoint, &cx, &mut report);
        }
        found
    }

    const STS: &str = "strict-transport-security";

    #[test]
    fn a_host_that_never_asks_to_be_reached_over_tls_is_named() {
        let bare = flow("shop.test", true, 200, &[]);
        assert_eq!(
            said(&MissingHsts, std::slice::from_ref(&bare)),
            [("shop.test".to_owned(), Severity::Medium)]
        );
        // One response that asks for it is enough for a client.
        let asks = flow("shop.test", true, 200, &[(STS, "max-age=63072000")]);
        assert_eq!(said(&MissingHsts, &[bare.clone(), asks]), []);
        // A parent speaks for its subdomains only where it says so, and not for a name that ends alike.
        let parent = |host: &str, value: &str| flow(host, true, 200, &[(STS, value)]);
        let api = flow("api.shop.test", true, 200, &[]);
        let all = "max-age=63072000; includeSubDomains";
        assert_eq!(said(&MissingHsts, &[api.clone(), parent("shop.test", all)]), []);
        assert_eq!(said(&MissingHsts, &[api.clone(), parent("shop.test", "max-age=63072000")]).len(), 1);
        assert_eq!(said(&MissingHsts, &[api, parent("hop.test", all)]).len(), 1);
    }

    #[test]
    fn what_needs_no_hsts_is_not_asked_for_it() {
        // Over http clients ignore the field; errors come from whoever stands before the server; addresses are no hosts.
        assert_eq!(said(&MissingHsts, &[flow("shop.test", false, 200, &[])]), []);
        assert_eq!(said(&MissingHsts, &[flow("shop.test", true, 502, &[])]), []);
        assert_eq!(said(&MissingHsts, &[flow("198.51.100.1", true, 200, &[])]), []);
    }

    #[test]
    fn hsts_that_does_not_last_is_weak() {
        let weak = |value: &str| {
            let said = said(&WeakHsts, &[flow("shop.test", true, 200, &[(STS, value)])]);
            said.first().map(|(_, severity)| *severity)
        };
        assert_eq!(weak("max-age=0"), Some(Severity::Medium));
        assert_eq!(weak("includeSubDomains"), Some(Severity::Medium));
        assert_eq!(weak("max-age=300"), Some(Severity::Low));
        assert_eq!(weak("max-age=15724800"), None);
        assert_eq!(said(&WeakHsts, &[flow("shop.test", false, 200, &[(STS, "max-age=0")])]), []);
    }

    #[test]
    fn a_redirect_to_tls_is_held_against_what_tls_says() {
        let redirect = |to: &str| flow("shop.test", false, 301, &[("location", to)]);
        let bare = flow("shop.test", true, 200, &[]);
        let asks = flow("shop.test", true, 200, &[(STS, "max-age=63072000")]);
        let rule = &RedirectWithoutHsts;
        assert_eq!(said(rule, &[redirect("https://shop.test/"), bare.clone()]).len(), 1);
        assert_eq!(said(rule, &[redirect("https://shop.test/"), asks]), []);
        // What TLS says is unknown, or it is about another host.
        assert_eq!(said(rule, &[redirect("https://shop.test/")]), []);
        assert_eq!(said(rule, &[redirect("https://news.test/"), bare]), []);
    }
}
