//! DNS within TLS or QUIC: DNS over TLS ([RFC 7858](https://datatracker.ietf.org/doc/html/rfc7858)), over HTTPS
//! ([RFC 8484](https://datatracker.ietf.org/doc/html/rfc8484)) and over QUIC
//! ([RFC 9250](https://datatracker.ietf.org/doc/html/rfc9250)).
//!
//! Decrypted, the messages themselves say so. Otherwise it is a conclusion, with what it rests on: the application
//! protocol, the name or address of a public resolver (`resolvers.toml`), the length of a padded question
//! ([RFC 8467](https://datatracker.ietf.org/doc/html/rfc8467)). The port only supports one of those. What a resolver that
//! is not in the list answers over HTTPS looks like any other HTTPS.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::observation::{Basis, DomainBasis, Flow, Observation};
use crate::protocol::property;
use crate::protocol::{Fact, http1, quic, tls};

/// The protocol that the properties are about.
const PROTOCOL: &str = "dns";
/// The port of DNS over TLS and QUIC (RFC 7858 §3.1, RFC 9250 §4.1.1).
const PORT: u16 = 853;
/// Messages over HTTP (RFC 8484 §6).
const MEDIA_TYPE: &str = "application/dns-message";
/// Bytes to whose multiples questions are padded (RFC 8467 §4.1).
const BLOCK: u16 = 128;
/// Bytes that TLS 1.3 adds to a message: its content type and the tag of an AEAD.
const SEALED: u16 = 17;
/// Bytes of a message's length over streams (RFC 7858 §3.3).
const LENGTH: u16 = 2;
/// Lengths of a client's Finished in TLS 1.3, sealed: with SHA-256 and SHA-384.
const FINISHED: [u16; 2] = [53, 69];

/// What is to be said of a flow: at most one observation for what carries its DNS, and one for the evidence.
pub(super) fn observations(flow: &Flow) -> Vec<Observation> {
    if let Some((seen, transport)) = proof(flow) {
        return vec![said(seen.frame, seen.at, seen.basis, "transport", transport)];
    }
    let Some((transport, evidence)) = inference(flow) else { return Vec::new() };
    let hello = flow.tls.as_deref().and_then(|session| session.client_hello.as_ref());
    let Some((frame, at)) = hello.map(|hello| (hello.frame, hello.at)) else { return Vec::new() };
    [("transport", transport), ("evidence", evidence.join("; ").as_str())]
        .map(|(name, value)| said(frame, at, Basis::Inferred, name, value))
        .into()
}

fn said(
    frame: u64,
    at: crate::time::Timestamp,
    basis: Basis,
    name: &'static str,
    value: &str,
) -> Observation {
    let fact = Fact::Property(Box::new(property::Fact::new(PROTOCOL, name, value)));
    Observation { frame, at, basis, fact }
}

/// The first message of DNS that could be read within another protocol, and what carries it.
fn proof(flow: &Flow) -> Option<(&Observation, &'static str)> {
    let within = |outer: &str| {
        let place = |layer: &str| flow.layers.iter().position(|one| *one == layer);
        place(outer).zip(place(PROTOCOL)).is_some_and(|(outer, dns)| outer < dns)
    };
    let streams = within("tls").then_some("dns over tls");
    let message = streams.and_then(|transport| Some((flow.dns().next()?.0, transport)));
    let http = || {
        let (seen, _) = flow.http().find(|(_, fact)| {
            let (http1::Fact::Request(http1::Request { headers, .. })
            | http1::Fact::Response(http1::Response { headers, .. })) = fact;
            http1::header(headers, "content-type").is_some_and(is_message)
        })?;
        Some((seen, if flow.tls.is_some() { "dns over https" } else { "dns over http" }))
    };
    message.or_else(http)
}

fn is_message(value: &str) -> bool {
    value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

/// What carries DNS in all likelihood, and why.
fn inference(flow: &Flow) -> Option<(&'static str, Vec<String>)> {
    let session = flow.tls.as_deref().filter(|session| session.established())?;
    let over_quic = flow.layers.contains(&quic::PROTOCOL.name);
    let protocols = protocols(session);
    let speaks = |is: fn(&str) -> bool| protocols.iter().copied().find(|one| is(one));
    let port = (flow.destination().port == PORT).then(|| format!("port {PORT}"));
    let resolver = resolver(flow);
    let named = |protocol: &str| vec![format!("ALPN {protocol}")];
    let (transport, evidence) = if let Some(protocol) = speaks(|one| one == "dot").filter(|_| !over_quic) {
        ("dns over tls", named(protocol))
    } else if let Some(protocol) = speaks(|one| one.starts_with("doq")).filter(|_| over_quic) {
        ("dns over quic", named(protocol))
    } else if let Some(protocol) = speaks(is_http) {
        ("dns over https", [vec![resolver.clone()?], named(protocol)].concat())
    } else if protocols.is_empty() && !over_quic && port.is_some() {
        let padded = || {
            is_padded(&session.client_records)
                .then(|| format!("a first question padded to a multiple of {BLOCK} bytes"))
        };
        ("dns over tls", vec![resolver.clone().or_else(padded)?])
    } else {
        return None;
    };
    let mut evidence = evidence;
    evidence.extend(resolver.filter(|_| evidence.iter().all(|one| one.starts_with("ALPN"))));
    evidence.extend(port);
    Some((transport, evidence))
}

/// The application protocol that the server chose, or, where that is encrypted, those that the client offers.
fn protocols(session: &tls::Session) -> Vec<&str> {
    match (session.alpn(), &session.client_hello) {
        (Some(chosen), _) => vec![chosen],
        (None, Some(hello)) => hello.value.alpn.iter().map(String::as_str).collect(),
        (None, None) => Vec::new(),
    }
}

fn is_http(protocol: &str) -> bool {
    matches!(protocol, "h2" | "http/1.1" | "h3") || protocol.starts_with("h3-")
}

/// The public resolver that a flow leads to: by its name or, where there is none, by its address.
fn resolver(flow: &Flow) -> Option<String> {
    let known = Resolvers::get();
    let Some(domain) = &flow.domain else {
        let address = flow.tunnelled().map_or(Some(flow.destination().ip), |target| target.address())?;
        let operator = known.addresses.get(&address)?;
        return Some(format!("address {address} of {operator}'s resolver"));
    };
    let (operator, pages) = known.named(&domain.name)?;
    let name = &domain.name;
    let kind = match domain.basis {
        DomainBasis::Sni => "server name",
        DomainBasis::HttpHost => "host",
        DomainBasis::Proxy => "destination behind the proxy",
        DomainBasis::Dns => "look-up of",
        DomainBasis::Certificate => "certificate for",
        DomainBasis::QuicConnection => "connection with",
    };
    let also = if pages { ", which has pages for people, too" } else { "" };
    Some(format!("{kind} {name} of {operator}'s resolver{also}"))
}

/// Whether all that is known of what the client sends behind its handshake has the length of padded questions: in TLS 1.3 the
/// records up to the first answer.
fn is_padded(records: &[u16]) -> bool {
    let mut records = records.iter().copied();
    let finished = records.by_ref().any(|len| FINISHED.contains(&len));
    let mut questions = 0_u32;
    let padded = records.all(|len| {
        questions = questions.saturating_add(1);
        let message = len.saturating_sub(SEALED).saturating_sub(LENGTH);
        message >= BLOCK && message.is_multiple_of(BLOCK)
    });
    finished && padded && questions > 0
}

/// The public resolvers of the list.
struct Resolvers {
    /// By name, with a dot in front where hosts below it count: who runs it, and whether it has pages, too.
    names: HashMap<String, (&'static str, bool)>,
    addresses: HashMap<IpAddr, &'static str>,
}

impl Resolvers {
    fn get() -> &'static Self {
        static RESOLVERS: LazyLock<Resolvers> = LazyLock::new(|| {
            let list: List = toml::from_str(include_str!("resolvers.toml"))
                .expect("a file of this program, which a test reads");
            let mut resolvers = Resolvers { names: HashMap::new(), addresses: HashMap::new() };
            for one in list.resolver {
                let operator: &'static str = one.operator.leak();
                resolvers.names.extend(one.names.into_iter().map(|name| (name, (operator, false))));
                resolvers.names.extend(one.pages.into_iter().map(|name| (name, (operator, true))));
                resolvers.addresses.extend(one.addresses.into_iter().map(|address| (address, operator)));
            }
            resolvers
        });
        &RESOLVERS
    }

    /// Whose resolver has this name, and whether there are pages under it, too.
    fn named(&self, name: &str) -> Option<(&'static str, bool)> {
        let below = || name.match_indices('.').find_map(|(dot, _)| self.names.get(name.get(dot..)?));
        self.names.get(name).or_else(below).copied()
    }
}

/// The list as its file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    resolver: Vec<Resolver>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolver {
    operator: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    pages: Vec<String>,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    #[expect(dead_code, reason = "for those who check the list")]
    source: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_and_names_are_found() {
        let known = Resolvers::get();
        assert_eq!(known.named("dns.google"), Some(("Google", true)));
        assert_eq!(known.named("chrome.cloudflare-dns.com"), Some(("Cloudflare", false)));
        assert_eq!(known.named("ab12cd.dns.nextdns.io"), Some(("NextDNS", false)));
        assert_eq!(known.named("www.dns.google"), None);
        assert_eq!(known.named("notcloudflare-dns.com"), None);
        assert_eq!(known.named("google"), None);
        assert_eq!(known.addresses.get(&IpAddr::from([9, 9, 9, 9])), Some(&"Quad9"));
    }

    #[test]
    fn padded_questions_are_told_by_their_lengths() {
        assert!(is_padded(&[69, 147]));
        assert!(is_padded(&[2000, 53, 147, 275]));
        assert!(!is_padded(&[69, 147, 148]));
        assert!(!is_padded(&[69]), "nothing was asked");
        assert!(!is_padded(&[147]), "the handshake's end was not seen");
        assert!(!is_padded(&[69, 19]), "an empty message");
    }

    /// A session whose handshake was not captured, to this address and port, with these records of the client.
    fn to(address: [u8; 4], port: u16, records: &[u16]) -> Option<(&'static str, Vec<String>)> {
        let mut session = tls::Session::default();
        (session.client_data, session.server_data) = (Some(1), Some(2));
        session.client_records = records.into();
        let mut flow = Flow::made(([192, 0, 2, 1], 40_000), (address, port));
        (flow.layers, flow.tls) = (vec!["tls"], Some(Box::new(session)));
        inference(&flow)
    }

    #[test]
    fn a_port_alone_is_no_evidence() {
        let google = "address 8.8.8.8 of Google's resolver".to_owned();
        assert_eq!(to([8, 8, 8, 8], PORT, &[]), Some(("dns over tls", vec![google, "port 853".to_owned()])));
        assert_eq!(to([8, 8, 8, 8], 443, &[]), None);
        assert_eq!(to([192, 0, 2, 2], PORT, &[69, 94]), None);
        assert_eq!(to([192, 0, 2, 2], 443, &[69, 147]), None);
        let padded = "a first question padded to a multiple of 128 bytes".to_owned();
        let supported = Some(("dns over tls", vec![padded, "port 853".to_owned()]));
        assert_eq!(to([192, 0, 2, 2], PORT, &[69, 147]), supported);
    }

    #[test]
    fn the_media_type_of_messages() {
        assert!(is_message("application/dns-message"));
        assert!(is_message("Application/DNS-Message; charset=x"));
        assert!(!is_message("application/dns-json"));
    }
}
