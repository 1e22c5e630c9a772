//! What a flow's responder is called: the best that its own bytes and the DNS answers before it say.

use std::net::IpAddr;

use crate::attribution::Owner;
use crate::flow::ClosedFlow;
use crate::observation::{Basis, Domain, DomainBasis, Observations, Tunnel};
use crate::protocol::{Fact, dns, http1, quic, tls};

/// What is known of a responder's name.
#[derive(Default)]
pub(super) struct Named {
    /// The name, where it can be told.
    pub(super) domain: Option<Domain>,
    /// See [`crate::observation::Flow::shared_names`].
    pub(super) shared: Vec<String>,
}

impl Named {
    fn new(name: String, basis: DomainBasis) -> Self {
        Self { domain: Some(Domain { name, basis }), shared: Vec::new() }
    }
}

/// The name of the responder of a flow of `owner`, from the best source that has one.
///
/// Look-ups name an address only where they agree on one name: an alias counts for the name that was asked for, and asking
/// again changes nothing, but of two names for one address a flow may be meant for either. What another app asked for says
/// nothing of this one.
pub(super) fn domain_of(
    flow: &ClosedFlow,
    observations: &Observations,
    session: Option<&tls::Session>,
    proxy: Option<&Tunnel>,
    names: &dns::NameMemory,
    owner: Option<&Owner>,
) -> Named {
    let resolved = || {
        let responder = flow.info.five_tuple.destination.ip;
        let address = proxy.map_or(Some(responder), |tunnel| tunnel.target.address());
        let asker = owner.and_then(asker);
        let known = address.map(|address| names.lookup(address, flow.info.first_frame, asker.as_deref()));
        let mut known: Vec<String> = known.into_iter().flatten().filter_map(normal).collect();
        known.dedup();
        known
    };
    if let Some(session) = session.filter(|session| session.ech.hides_name()) {
        if let Some(name) = http_host(observations, |basis| basis == Basis::Decrypted) {
            return Named::new(name, DomainBasis::HttpHost);
        }
        let mut named = hidden_name(flow, session, names, resolved());
        if named.domain.is_none() {
            let certified = hidden_certificate_name(session);
            named.domain = certified.map(|name| Domain { name, basis: DomainBasis::Certificate });
        }
        return named;
    }
    let said = session.and_then(server_name).or_else(|| google_name(observations));
    let proxied = || proxy.and_then(|tunnel| normal(tunnel.target.name()?));
    if let Some(named) = said
        .map(|name| Named::new(name, DomainBasis::Sni))
        .or_else(|| http_host(observations, |_| true).map(|name| Named::new(name, DomainBasis::HttpHost)))
        .or_else(|| proxied().map(|name| Named::new(name, DomainBasis::Proxy)))
    {
        return named;
    }
    let shared = match <[String; 1]>::try_from(resolved()) {
        Ok([only]) => return Named::new(only, DomainBasis::Dns),
        Err(several) => several,
    };
    let domain = session.and_then(certificate_name);
    Named { domain: domain.map(|name| Domain { name, basis: DomainBasis::Certificate }), shared }
}

/// By what look-ups and flows of the same app are known; `None` for those that ask on behalf of others.
pub(super) fn asker(owner: &Owner) -> Option<String> {
    let for_others = owner.is_resolver() || owner.is_platform();
    Some(owner.name()).filter(|name| !for_others && !name.is_empty())
}

/// Names that stand in the open for all hosts of a network: nobody is reached under them by Encrypted Client Hello for
/// show.
const PUBLIC_NAMES: &[&str] = &["cloudflare-ech.com"];

/// What the Encrypted Client Hello of a session is: accepted where the key log proves it; real where a look-up before
/// the flow gave a key with its number and its name in the open, and where that name is a network's, whose look-ups may
/// be encrypted; GREASE where the address was looked up under that very name.
pub(super) fn ech_of(flow: &ClosedFlow, session: &tls::Session, names: &dns::NameMemory) -> tls::Ech {
    let hello = session.client_hello.as_ref().map(|hello| &hello.value);
    let Some((hello, tls::ClientEch::Outer { config })) = hello.map(|hello| (hello, hello.ech)) else {
        return tls::Ech::Absent;
    };
    if session.ech_accepted.is_some() {
        return tls::Ech::Accepted;
    }
    let Some(outer) = hello.server_name.as_deref().and_then(normal) else { return tls::Ech::Unknown };
    let before = flow.info.first_frame;
    let looked_up = config.is_some_and(|number| names.hidden(&outer, number, before).next().is_some());
    if looked_up || PUBLIC_NAMES.contains(&outer.as_str()) {
        return if session.accepted_server() { tls::Ech::Accepted } else { tls::Ech::Offered };
    }
    let known = names.lookup(flow.info.five_tuple.destination.ip, before, None);
    match known.first().and_then(|name| normal(name)) {
        Some(name) if name == outer && !names.has_key(&outer) => tls::Ech::Grease,
        _ => tls::Ech::Unknown,
    }
}

/// The name behind an Encrypted Client Hello: the only one with that key, the one of several that the address was looked
/// up for, or the only one that it was looked up for. Never the one in the open.
fn hidden_name(
    flow: &ClosedFlow,
    session: &tls::Session,
    names: &dns::NameMemory,
    mut resolved: Vec<String>,
) -> Named {
    let hello = session.client_hello.as_ref().map(|hello| &hello.value);
    let outer = hello.and_then(|hello| Some((normal(hello.server_name.as_deref()?)?, hello.ech)));
    let Some((outer, tls::ClientEch::Outer { config: Some(number) })) = outer else {
        return Named::default();
    };
    resolved.retain(|name| *name != outer);
    let keyed: Vec<String> = names.hidden(&outer, number, flow.info.first_frame).filter_map(normal).collect();
    let both: Vec<&String> = resolved.iter().filter(|name| keyed.contains(name)).collect();
    match (both.as_slice(), keyed.as_slice(), resolved.as_slice()) {
        ([only], _, _) => Named::new((*only).clone(), DomainBasis::Dns),
        (_, [only], _) | ([], _, [only]) => Named::new(only.clone(), DomainBasis::Dns),
        _ => Named { domain: None, shared: resolved },
    }
}

fn server_name(session: &tls::Session) -> Option<String> {
    normal(session.server_name()?)
}

/// The server name of Google's own handshake.
fn google_name(observations: &Observations) -> Option<String> {
    observations.iter().find_map(|observation| match &observation.fact {
        Fact::Quic(fact) => match fact.as_ref() {
            quic::Fact::GoogleHello(hello) => normal(hello.server_name.as_deref()?),
            _ => None,
        },
        _ => None,
    })
}

/// The host of the first request that names one, of those that were come by as `counts` says.
fn http_host(observations: &Observations, counts: impl Fn(Basis) -> bool) -> Option<String> {
    observations.iter().filter(|observation| counts(observation.basis)).find_map(|observation| {
        match &observation.fact {
            Fact::Http1(fact) => match fact.as_ref() {
                http1::Fact::Request(request) if request.is_tunnel() => None,
                http1::Fact::Request(request) => normal(without_port(request.host.as_deref()?)),
                http1::Fact::Response(_) => None,
            },
            _ => None,
        }
    })
}

/// The leaf's first DNS name, or its common name where that is one.
fn certificate_name(session: &tls::Session) -> Option<String> {
    certificate_names(session)?.next()
}

/// The same of a server that accepted an Encrypted Client Hello: its certificate is for the name within, but may hold
/// the one in the open, too.
fn hidden_certificate_name(session: &tls::Session) -> Option<String> {
    session.ech_accepted?;
    let outer = session.outer_server_name().and_then(normal);
    certificate_names(session)?.find(|name| Some(name) != outer.as_ref())
}

fn certificate_names(session: &tls::Session) -> Option<impl Iterator<Item = String>> {
    let leaf = session.server_chain.as_ref()?.value.first()?.parsed.as_ref()?;
    let common = leaf.subject.split(',').find_map(|part| part.trim().strip_prefix("CN="));
    let names = leaf.san.iter().map(String::as_str).chain(common);
    Some(names.filter(|name| name.contains('.') && !name.contains([' ', '@', ':', '/'])).filter_map(normal))
}

/// `host:port` without the port; an IPv6 literal keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// In lower case, without the final dot; `None` where it is empty or an address.
fn normal(name: &str) -> Option<String> {
    let name = name.trim().trim_end_matches('.');
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    (!name.is_empty() && bare.parse::<IpAddr>().is_err()).then(|| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Flow, FlowSink, SinkError};
    use crate::{pipeline, source};

    /// The names of the flows other than DNS itself, as `name basis`, or those that share the address.
    #[derive(Default)]
    struct Names(Vec<String>);

    impl FlowSink for Names {
        fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
            let domain = flow.domain.as_ref().filter(|_| !flow.layers.contains(&"dns"));
            self.0.extend(domain.map(|domain| {
                let Domain { name, basis } = domain;
                format!("{name} {basis:?}")
            }));
            let shared = Some(flow.shared_names.join(" or ")).filter(|shared| !shared.is_empty());
            self.0.extend(shared);
            Ok(())
        }
    }

    fn names(capture: &str) -> Vec<String> {
        names_in(std::fs::read(observer_captures::path(capture)).unwrap())
    }

    fn names_in(capture: Vec<u8>) -> Vec<String> {
        let source = source::read("capture", Box::new(std::io::Cursor::new(capture))).unwrap();
        let mut names = Names::default();
        pipeline::analyze(source, &pipeline::Options::default(), &mut [&mut names], &mut |_, _| {}).unwrap();
        names.0
    }

    #[test]
    fn an_answer_names_the_flow_that_follows_it() {
        // The flow begins before the DNS flows have ended, and two names share its address: it has neither.
        assert_eq!(names("dns/shared-address.pcap"), ["two.test or one.test"]);
        // Whose look-ups they were is known: each of the two apps asked for one.
        assert_eq!(names("owners/shared-address.pcapng"), ["one.test Dns", "two.test Dns"]);
        assert_eq!(names("dns/cname-chain.pcap"), ["static.news.test Sni"]);
        assert_eq!(names("http/cleartext-get.pcap"), ["news.test HttpHost"]);
    }

    #[test]
    fn the_name_in_the_open_is_never_the_host() {
        assert_eq!(names("tls/ech-offered.pcap"), ["one.test Dns"]);
        assert_eq!(names("tls/ech-accepted.pcap"), ["two.test Dns"]);
        assert_eq!(names("tls/ech-rejected.pcap"), ["two.test Dns"]);
        assert_eq!(names("tls/chrome131-android.pcap"), ["shop.test Sni"]);
    }

    #[test]
    fn a_name_that_stands_for_a_network_hides_the_host() {
        // A flow with Encrypted Client Hello, whose host nobody knows, and one without.
        assert_eq!(names("tls/ech-public-name.pcap"), ["cloudflare-ech.com Sni"]);
    }

    #[test]
    fn what_the_key_log_opens_names_a_hidden_host() {
        let capture = std::fs::read(observer_captures::path("decryption/tls13-ech.pcapng")).unwrap();
        let without = |label: &[u8]| {
            let mut capture = capture.clone();
            while let Some(place) = capture.windows(label.len()).position(|window| window == label) {
                capture[place] = b'#';
            }
            names_in(capture)
        };
        assert_eq!(names_in(capture.clone()), ["two.test HttpHost", "two.test Sni", "two.test HttpHost"]);
        // The client's requests stay encrypted, and then the server's certificate, too.
        let certificate = "two.test Certificate";
        assert_eq!(without(b"CLIENT_TRAFFIC_SECRET_0"), [certificate, "two.test Sni", certificate]);
        let outer = "shop.test Sni";
        assert_eq!(without(b"SERVER_HANDSHAKE_TRAFFIC_SECRET"), [outer, "two.test Sni", outer]);
    }

    #[test]
    fn ports_final_dots_and_addresses_are_no_names() {
        assert_eq!(normal(without_port("Shop.test.:8080")).as_deref(), Some("shop.test"));
        assert_eq!(normal(without_port("192.0.2.1:80")), None);
        assert_eq!(normal(without_port("[2001:db8::1]:80")), None);
        assert_eq!(normal(without_port("[2001:db8::1]")), None);
    }
}
