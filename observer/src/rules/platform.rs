//! What platforms send of their own accord, by its kind.
//!
//! Labels for people: by what a request asks for, by the name of the far end, by the port of services that have a fixed
//! one. They decide nothing: whose a flow is, its owner says (see [`crate::assess`]), and a request for a connectivity
//! check by an app's uid is the app's.

use super::facts;
use crate::attribution::Owner;
use crate::decode::Transport;
use crate::observation::Flow;

/// Names of far ends, `.` in front for subdomains as well, and what platforms want of them.
const NAMES: &[(&str, &str)] = &[
    ("mtalk.google.com", "push messages (FCM)"),
    ("alt1-mtalk.google.com", "push messages (FCM)"),
    ("alt2-mtalk.google.com", "push messages (FCM)"),
    ("mobile-gtalk.l.google.com", "push messages (FCM)"),
    (".push.apple.com", "push messages (APNs)"),
    ("supl.google.com", "location (SUPL)"),
    (".izatcloud.net", "location (assistance data)"),
    (".gpsonextra.net", "location (assistance data)"),
    ("time.android.com", "the time"),
    (".android.pool.ntp.org", "the time"),
];

/// The end of the made-up name by which Android tries whether a resolver speaks DNS over TLS.
const PRIVATE_DNS: &str = "-dnsotls-ds.metric.gstatic.com";

/// Ports of datagrams, and what they are for.
const DATAGRAMS: &[(u16, &str)] = &[
    (67, "addresses (DHCP)"),
    (68, "addresses (DHCP)"),
    (123, "the time"),
    (137, "names of neighbours"),
    (138, "names of neighbours"),
    (500, "calls and VPN (IKE)"),
    (546, "addresses (DHCP)"),
    (547, "addresses (DHCP)"),
    (1900, "names of neighbours"),
    (3702, "names of neighbours"),
    (4500, "calls and VPN (IKE)"),
    (5353, "names of neighbours"),
    (5355, "names of neighbours"),
];

/// Ports of streams, and what they are for.
const STREAMS: &[(u16, &str)] = &[
    (853, "names (private DNS)"),
    (5228, "push messages (FCM)"),
    (5229, "push messages (FCM)"),
    (5230, "push messages (FCM)"),
    (7275, "location (SUPL)"),
    (7276, "location (SUPL)"),
];

/// What a platform sends such a flow for, if it is one of those that platforms send of their own accord.
#[must_use]
pub fn errand(flow: &Flow) -> Option<&'static str> {
    let tuple = &flow.flow.info.five_tuple;
    let asks = |name: &str| name.to_ascii_lowercase().ends_with(PRIVATE_DNS);
    let mut checks =
        facts::clear_requests(flow).map(|(_, request)| facts::is_connectivity_check(request)).peekable();
    if checks.peek().is_some() {
        return checks.all(|check| check).then_some("connectivity check");
    }
    if flow.layers.contains(&"dns") {
        let mut questions = flow.dns().flat_map(|(_, message)| &message.questions);
        let group = DATAGRAMS.iter().find(|(port, _)| *port == tuple.destination.port).map(|(_, what)| *what);
        let plain = || {
            if questions.any(|question| asks(&question.name)) { "private DNS probe" } else { "names (DNS)" }
        };
        return Some(group.unwrap_or_else(plain));
    }
    if let Some(domain) = &flow.domain {
        let named = |(name, _): &&(&str, &str)| match name.strip_prefix('.') {
            Some(parent) => domain.name == parent || domain.name.ends_with(name),
            None => domain.name == *name,
        };
        if let Some((_, what)) = NAMES.iter().find(named) {
            return Some(what);
        }
        if asks(&domain.name) {
            return Some("private DNS probe");
        }
    }
    // Over HTTPS apps have resolvers of their own.
    let resolver = flow.owner.as_deref().is_some_and(Owner::is_resolver);
    if flow.dns_transport().is_some_and(|(_, transport)| resolver || !transport.starts_with("dns over http"))
    {
        return Some("names (private DNS)");
    }
    let ports = match tuple.transport {
        Transport::Udp => DATAGRAMS,
        Transport::Tcp => STREAMS,
        _ => return None,
    };
    ports.iter().find(|(port, _)| *port == tuple.destination.port).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Domain, DomainBasis};

    fn to(port: u16, host: Option<&str>) -> Option<&'static str> {
        let domain = host.map(|name| Domain { name: name.into(), basis: DomainBasis::Sni });
        errand(&Flow { domain, ..Flow::made(([192, 0, 2, 1], 40_000), ([198, 51, 100, 1], port)) })
    }

    #[test]
    fn far_ends_of_platforms_have_labels() {
        assert_eq!(to(443, Some("mtalk.google.com")), Some("push messages (FCM)"));
        assert_eq!(to(5228, None), Some("push messages (FCM)"));
        assert_eq!(to(80, Some("xtrapath1.izatcloud.net")), Some("location (assistance data)"));
        assert_eq!(to(853, Some("a1b2-dnsotls-ds.metric.gstatic.com")), Some("private DNS probe"));
        assert_eq!(to(853, Some("dns.example")), Some("names (private DNS)"));
    }

    #[test]
    fn others_have_none() {
        assert_eq!(to(443, Some("shop.test")), None);
        assert_eq!(to(443, Some("notizatcloud.net")), None);
        // Port 123 of a stream is nobody's clock.
        assert_eq!(to(123, None), None);
    }
}
