//! Questions that several rules ask of a flow.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Attempt, Confidence, Digest, Finding};
use crate::flow::{CloseReason, TcpState};
use crate::observation::{Basis, Flow, Observation, Protection};
use crate::protocol::UNKNOWN_LAYER;
use crate::protocol::ftp;
use crate::protocol::http1;
use crate::protocol::login;
use crate::protocol::rtp;
use crate::protocol::tls;
use crate::protocol::unrecognised::{self, Likeness};

pub(crate) use super::revocation::{hands_over_signed, is_revocation};

/// Ports of services that devices use to find each other, the time and their address: never an app's fault.
///
/// DHCP, NTP, NetBIOS, DHCPv6, SSDP, WS-Discovery, mDNS, LLMNR. They count only where the bytes are nobody's.
const HOUSEKEEPING_PORTS: &[u16] = &[67, 68, 123, 137, 138, 546, 547, 1900, 3702, 5353, 5355];

/// Protocols of such services.
const HOUSEKEEPING_LAYERS: &[&str] = &["dns", "ntp", "dhcp", "dhcpv6", "nbns", "nbdgm", "ssdp"];

/// Whether the flow left the device: not for loopback, multicast and broadcast.
///
/// Private and link-local addresses are other devices, and count. What goes to a proxy goes where that leads.
pub(crate) fn leaves_device(flow: &Flow) -> bool {
    let tuple = &flow.flow.info.five_tuple;
    if let Some(target) = flow.tunnelled() {
        let local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
        return target.name() != Some("localhost") && !target.address().is_some_and(local);
    }
    let local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let group = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    };
    !local(tuple.destination.ip) && !local(tuple.source.ip) && !group(tuple.destination.ip)
}

/// Whether the flow is the network's own housekeeping: name service, time, addresses, discovery.
pub(crate) fn is_housekeeping(flow: &Flow) -> bool {
    let responder = flow.flow.info.five_tuple.destination;
    // STUN alone: a peer asks for its own address.
    let only_stun = !flow.layers.is_empty() && flow.layers.iter().all(|layer| *layer == "stun");
    let unclaimed = flow.layers.last().is_none_or(|layer| *layer == UNKNOWN_LAYER);
    flow.layers.iter().any(|layer| HOUSEKEEPING_LAYERS.contains(layer))
        || only_stun
        || (unclaimed && flow.flow.tcp.is_none() && HOUSEKEEPING_PORTS.contains(&responder.port))
        || !leaves_device(flow)
}

/// Whether the flow has payload that rules may hold against somebody.
pub(crate) fn counts(flow: &Flow) -> bool {
    flow.protection != Protection::Empty && !is_housekeeping(flow)
}

/// Whether DTLS is between peers of WebRTC: they found each other by STUN, or key SRTP by it (RFC 5764). Neither has a name,
/// nor a certificate that an authority has signed.
pub(crate) fn is_between_peers(flow: &Flow) -> bool {
    const USE_SRTP: u16 = 14;
    let offers = client_hello(flow).is_some_and(|(_, hello)| hello.value.extensions.contains(&USE_SRTP));
    flow.layers.contains(&"dtls") && (offers || flow.layers.contains(&"stun"))
}

/// Whether the layer is HTTP, of any version.
pub(crate) fn is_http(layer: &str) -> bool {
    matches!(layer, "http" | "http2")
}

/// How a flow is known to carry FTP's data, if it does: by what was agreed on (observed, decrypted), or concluded.
pub(crate) fn ftp_data(flow: &Flow) -> Option<Basis> {
    let mut properties = flow.properties();
    let (seen, _) =
        properties.find(|(_, fact)| fact.protocol == ftp::DATA_LAYER && fact.name == "control")?;
    Some(seen.basis)
}

/// Whether the port was agreed upon in the traffic, and is another one each time: data of FTP, media.
pub(crate) fn has_agreed_port(flow: &Flow) -> bool {
    let is_media = |layer: &&str| [rtp::LAYER, rtp::CONTROL_LAYER].contains(layer);
    flow.layers.iter().any(is_media) || ftp_data(flow).is_some()
}

/// The readable HTTP requests that crossed the network in the clear, but for `CONNECT`.
pub(crate) fn clear_requests(flow: &Flow) -> impl Iterator<Item = (&Observation, &http1::Request)> {
    clear_heads(flow).filter(|(_, request)| !request.is_tunnel())
}

/// The heads of HTTP requests that crossed the network in the clear: not those inside TLS. A `CONNECT` has one, too,
/// whatever it leads to.
pub(crate) fn clear_heads(flow: &Flow) -> impl Iterator<Item = (&Observation, &http1::Request)> {
    clear_messages(flow).filter_map(|(observation, fact)| match fact {
        http1::Fact::Request(request) => Some((observation, request)),
        http1::Fact::Response(_) => None,
    })
}

/// The first final response of a flow in the clear of which no request was captured, although there was one: not what
/// answers nobody or what is no HTTP, nor what may answer a `CONNECT` or a search for a captive portal.
pub(crate) fn clear_response_alone(flow: &Flow) -> Option<(&Observation, &http1::Response)> {
    let asked = flow.flow.counts.first().is_some_and(|counts| counts.payload > 0);
    let gaps = flow.flow.tcp.is_some_and(|summary| summary.gaps > 0);
    let may_be_missing = flow.flow.info.midstream || gaps || !asked;
    if !may_be_missing || !flow.layers.iter().any(|layer| is_http(layer)) {
        return None;
    }
    let mut found = None;
    for (observation, fact) in clear_messages(flow) {
        match fact {
            http1::Fact::Request(_) => return None,
            http1::Fact::Response(response) if response.status == REQUEST_TIMEOUT => return None,
            http1::Fact::Response(response) if response.status >= 200 && found.is_none() => {
                found = Some((observation, response)).filter(|_| !is_bare(response));
            }
            http1::Fact::Response(_) => {}
        }
    }
    found
}

/// What a server says that was asked nothing in time (RFC 9110 §15.5.9).
const REQUEST_TIMEOUT: u16 = 408;

/// Whether a success says nothing of any content.
fn is_bare(response: &http1::Response) -> bool {
    let field = |name| http1::header(&response.headers, name);
    (200..300).contains(&response.status)
        && response.whole
        && field("content-type").is_none()
        && field("transfer-encoding").is_none()
        && field("content-length").is_none_or(|length| length.trim() == "0")
}

/// The heads of HTTP messages that crossed the network in the clear.
fn clear_messages(flow: &Flow) -> impl Iterator<Item = (&Observation, &http1::Fact)> {
    let http = flow.layers.iter().position(|layer| is_http(layer));
    let clear = match (http, flow.layers.iter().position(|layer| *layer == "tls")) {
        (Some(http), Some(tls)) => http < tls,
        _ => true,
    };
    let clear = clear && leaves_device(flow);
    let clear = move |observation: &Observation| clear && observation.basis == Basis::Observed;
    flow.http().filter(move |(observation, _)| clear(observation))
}

/// The logins of other protocols that crossed the network in the clear: not those inside TLS that was decrypted.
pub(crate) fn clear_logins(flow: &Flow) -> impl Iterator<Item = (&Observation, &login::Fact)> {
    let leaves = leaves_device(flow);
    flow.logins().filter(move |(observation, _)| leaves && observation.basis == Basis::Observed)
}

/// The response to the request with this index, if it was captured.
pub(crate) fn response_to(flow: &Flow, index: u64) -> Option<(&Observation, &http1::Response)> {
    flow.http().find_map(|(observation, fact)| match fact {
        http1::Fact::Response(response) if response.index == Some(index) => Some((observation, response)),
        _ => None,
    })
}

/// Whether the flow has an HTTP response that can be read, in the clear or decrypted.
pub(crate) fn has_responses(flow: &Flow) -> bool {
    leaves_device(flow) && super::responses::whole_responses(flow).next().is_some()
}

/// `GET http://shop.test/cart`, without the query, which may hold secrets.
pub(crate) fn request_line(request: &http1::Request) -> String {
    let target = request.target.split('?').next().unwrap_or_default();
    let target: String = without_user_info(target).chars().take(MAX_SHOWN).collect();
    match &request.host {
        Some(host) if target.starts_with('/') => format!("{} http://{host}{target}", request.method),
        _ => format!("{} {target}", request.method),
    }
}

/// An absolute URL without `user:password@`.
fn without_user_info(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}")
}

/// Characters of a target that messages show.
const MAX_SHOWN: usize = 120;

/// The sort of findings about connectivity checks: the platform's, unless an owner says otherwise.
pub(crate) const CONNECTIVITY_CHECK: &str = "connectivity-check";

/// Bytes below which text cannot be told from chance.
const MIN_TEXT: usize = 16;

/// What is readable at the start of a flow that no protocol claims: text, enough of it, or a format that the evidence
/// speaks for; from the start of the flow.
pub(crate) fn unknown_readable(flow: &Flow) -> Option<(&Observation, &unrecognised::Fact)> {
    let (observation, fact) = flow.unrecognised()?;
    let readable = match fact.likeness {
        Likeness::Text => fact.sampled >= MIN_TEXT,
        Likeness::Opaque => false,
        Likeness::Serialised | Likeness::Compressed | Likeness::Media => true,
    };
    (readable && !flow.flow.info.midstream).then_some((observation, fact))
}

/// Hosts and paths by which platforms find out whether there is a captive portal; in the clear, by design.
const CONNECTIVITY_CHECKS: &[(&str, &str)] = &[
    ("captive.apple.com", "/"),
    ("clients3.google.com", "/generate_204"),
    ("connectivitycheck.android.com", "/generate_204"),
    ("connectivitycheck.gstatic.cn", "/generate_204"),
    ("connectivitycheck.gstatic.com", "/generate_204"),
    ("detectportal.firefox.com", "/"),
    ("play.googleapis.com", "/generate_204"),
    ("www.google.com", "/gen_204"),
    ("www.google.com", "/generate_204"),
    ("www.googleapis.cn", "/generate_204"),
    ("www.gstatic.com", "/generate_204"),
    ("www.msftconnecttest.com", "/"),
    ("www.msftncsi.com", "/ncsi.txt"),
];

/// Whether the request looks like a platform's search for a captive portal.
pub(crate) fn is_connectivity_check(request: &http1::Request) -> bool {
    let host = request.host.as_deref().map(super::history::host_of).unwrap_or_default();
    CONNECTIVITY_CHECKS.iter().any(|(known, path)| *known == host && request.target.starts_with(path))
}

/// The TLS session of a flow that left the device: within it, nobody stands between client and server. What rules and
/// verdicts judge of TLS, they judge of these.
pub(crate) fn session(flow: &Flow) -> Option<&tls::Session> {
    flow.tls.as_deref().filter(|_| leaves_device(flow))
}

/// Such a session with its ServerHello.
pub(crate) fn server_hello(flow: &Flow) -> Option<(&tls::Session, &tls::Seen<Arc<tls::ServerHello>>)> {
    let session = session(flow)?;
    Some((session, session.server_hello.as_ref()?))
}

/// Such a session with its ClientHello.
pub(crate) fn client_hello(flow: &Flow) -> Option<(&tls::Session, &tls::Seen<Arc<tls::ClientHello>>)> {
    let session = session(flow)?;
    Some((session, session.client_hello.as_ref()?))
}

/// The finding as a conclusion from the full handshake that a resumed session is taken to rest on.
pub(crate) fn by_original(finding: Finding, session: &tls::Session) -> Finding {
    let finding =
        finding.inferred("the handshake that the session resumes").confidence(Confidence::Tentative);
    let Some(tls::Original { run, flow, .. }) = session.original else { return finding };
    let finding = finding.detail("original_flow", flow);
    match run {
        Some(run) => finding.detail("original_run", run),
        None => finding,
    }
}

/// The finding as a conclusion from the lengths of TLS 1.3's records, which are its evidence.
pub(crate) fn by_record_lengths(finding: Finding, session: &tls::Session) -> Finding {
    if session.client_certificate_basis() == Some(tls::ClientCertificateBasis::Decrypted) {
        return finding.detail("basis", "decrypted");
    }
    let finding = if session.client_packets.is_empty() {
        let lengths: Vec<u16> = session.client_records.to_vec();
        finding.inferred("record lengths").detail("client_records", lengths)
    } else {
        let lengths: Vec<u16> = session.client_packets.iter().map(|packet| packet.len).collect();
        finding.inferred("packet lengths").detail("client_packets", lengths)
    };
    let Some(flight) = session.client_flight() else { return finding };
    let weak = flight.certainty < Some(tls::Certainty::Firm)
        || (flight.state == tls::ClientCertificate::NotSent && session.offers_later_certificate());
    let finding = finding.detail("reading", flight.reading);
    if weak { finding.confidence(Confidence::Tentative) } else { finding }
}

/// Names of suites, at most [`MAX_LISTED`], then how many more.
pub(crate) fn list<T: AsRef<str>>(names: &[T]) -> String {
    let mut text = names.iter().take(MAX_LISTED).map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    if names.len() > MAX_LISTED {
        text.push_str(&format!(" and {} more", names.len() - MAX_LISTED));
    }
    text
}

/// Names that a message lists.
const MAX_LISTED: usize = 3;

/// Ports that IANA assigned to protocols over TLS, and 8443, which convention did.
pub(crate) const TLS_PORTS: &[u16] =
    &[443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 5223, 5349, 5671, 6697, 8443, 8883];

/// Whether an attempt to reach somebody over TLS came to nothing, without a word about TLS: the connection to a port for
/// TLS was refused or not answered, or a ClientHello stayed without an answer.
pub(crate) fn is_lost(digest: &Digest) -> bool {
    let unreached = digest.attempt != Attempt::Taken && TLS_PORTS.contains(&digest.port);
    unreached || digest.tls.is_some_and(|session| session.unanswered)
}

/// The same of a flow.
pub(crate) fn came_to_nothing(flow: &Flow) -> bool {
    let port = flow.flow.info.five_tuple.destination.port;
    let unreached = || Attempt::of(flow) != Attempt::Taken && TLS_PORTS.contains(&port);
    leaves_device(flow) && (is_unanswered(flow) || unreached())
}

/// Whether nothing came back after a ClientHello, and nobody ended the connection.
pub(super) fn is_unanswered(flow: &Flow) -> bool {
    let [_, received] = flow.flow.counts;
    received.payload == 0 && client_hello(flow).is_some() && !has_ended(flow)
}

/// Whether the connection was ended, by FIN or RST.
pub(super) fn has_ended(flow: &Flow) -> bool {
    let state = flow.flow.tcp.map(|summary| summary.state);
    matches!(state, Some(TcpState::Closed | TcpState::Reset)) || flow.flow.reason == CloseReason::Finished
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Tunnel;
    use crate::protocol::proxy::Target;

    #[test]
    fn tls_on_the_device_is_not_judged() {
        let to = |server: [u8; 4]| {
            let made = Flow::made((server, 40_000), (server, 443));
            Flow { tls: Some(Box::default()), ..made }
        };
        assert!(session(&to([198, 51, 100, 1])).is_some());
        // Another device, as near as it may be.
        assert!(session(&to([192, 168, 1, 2])).is_some());
        assert!(session(&to([127, 0, 0, 1])).is_none());
        // A proxy on the device leads away from it, or stays there.
        let through = |host: &str| {
            let proxy = Some(Tunnel { target: Target::new("http", host, 443), granted: Some(true) });
            Flow { layers: vec!["http", "tls"], proxy, ..to([127, 0, 0, 1]) }
        };
        assert!(session(&through("shop.test")).is_some());
        assert!(session(&through("localhost")).is_none());
    }
}
