//! What is remembered of flows until the run is over: a digest of each, in the order in which they began.
//!
//! Digests are for rules that compare flows with one another; they are small and their number is bounded (see
//! [`crate::assess::Limits`]). What only one flow shows is judged when that flow ends.

use std::net::IpAddr;
use std::sync::Arc;

use super::{EndpointName, Finding, Missed, Place, Protected, RuleInfo};
use crate::attribution::Owner;
use crate::flow::TcpState;
use crate::observation::{Flow, Protection};
use crate::policy::{CipherWeakness, Weaknesses};
use crate::protocol::http1;
use crate::protocol::tls::{self, TlsVersion};
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Redirects that are remembered of a flow.
const MAX_REDIRECTS: usize = 4;

/// What is remembered of a flow.
#[derive(Clone, Debug)]
pub struct Digest {
    /// See [`Flow::id`].
    pub flow: u64,
    /// Its first frame.
    pub first_frame: FrameNumber,
    /// When that was captured.
    pub start: Timestamp,
    /// When its last frame was captured.
    pub end: Timestamp,
    /// The originator's address.
    pub source: IpAddr,
    /// Whether the capture shows that the originator began it.
    pub shows_originator: bool,
    /// What became of the attempt to reach the responder.
    pub attempt: Attempt,
    /// Whether the responder sent anything.
    pub answered: bool,
    /// The responder's address.
    pub ip: IpAddr,
    /// The responder's port.
    pub port: u16,
    /// What its bytes are worth.
    pub protection: Protection,
    /// Its TLS session.
    pub tls: Option<TlsDigest>,
    /// Frame and words of its first readable HTTP request.
    pub request: Option<(FrameNumber, String)>,
    /// Readable HTTP requests.
    pub requests: u64,
    /// Whether all of them look like a platform's search for a captive portal.
    pub connectivity_check: bool,
    /// Whether all of them fetch signed objects that go in the clear by design.
    pub revocation: bool,
    /// Redirects in readable HTTP responses; bounded.
    pub redirects: Vec<Redirect>,
    /// Its readable responses inside TLS.
    pub protected: Option<Box<Protected>>,
    /// What became of an upgrade to TLS, where it stayed readable.
    pub missed: Option<Box<Missed>>,
    /// The protocol in which its server offered an upgrade to TLS, or agreed to one, and where.
    pub offers: Option<(&'static str, FrameNumber)>,
}

/// What became of the attempt to reach a responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The responder took the connection, or the transport has none, or the capture does not hold its beginning.
    Taken,
    /// TCP: nothing came back.
    Unanswered,
    /// TCP: what came back refused the connection.
    Refused,
}

impl Attempt {
    /// Of a flow whose start was captured.
    #[must_use]
    pub fn of(flow: &Flow) -> Self {
        let Some(summary) = flow.flow.tcp.filter(|_| !flow.flow.info.midstream) else { return Self::Taken };
        let [sent, received] = flow.flow.counts;
        match summary.state {
            TcpState::HalfOpen if received.packets == 0 => Self::Unanswered,
            // A RST to the SYN: no payload either way, and no more than one answer to each try.
            TcpState::Reset
                if sent.payload == 0
                    && received.payload == 0
                    && received.packets > 0
                    && sent.packets <= received.packets =>
            {
                Self::Refused
            }
            _ => Self::Taken,
        }
    }
}

/// What is remembered of a TLS session.
#[derive(Clone, Copy, Debug)]
pub struct TlsDigest {
    /// The ClientHello's frame.
    pub hello: FrameNumber,
    /// The highest version on offer.
    pub offered: Option<TlsVersion>,
    /// The version that the server chose.
    pub chosen: Option<TlsVersion>,
    /// Whether the client says that it is trying again with less (RFC 7507).
    pub fallback_scsv: bool,
    /// Whether both sides finished the handshake.
    pub established: bool,
    /// Whether the handshake ended without that: by an alert, FIN or RST.
    pub failed: bool,
    /// Whether the client ended it so, without a word why: it may have been called off, or opened in advance.
    pub hung_up: bool,
    /// Whether nothing came back after the ClientHello, and nobody ended the connection.
    pub unanswered: bool,
    /// What is wrong with the suites on offer; nothing where the flow has no owner.
    pub weak: Weaknesses,
}

/// A redirect in a readable HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The response's frame.
    pub frame: FrameNumber,
    /// Whether the target is an `https` URL.
    pub secure: bool,
    /// The target's host, lower case, without the port.
    pub host: String,
}

impl Digest {
    /// What is worth remembering of `flow`.
    #[must_use]
    pub fn of(flow: &Flow) -> Self {
        let mut request = None;
        let mut requests = 0u64;
        let mut checks = 0u64;
        let mut signed = 0u64;
        let mut redirects = Vec::new();
        for (observation, fact) in flow.http() {
            match fact {
                http1::Fact::Request(head) => {
                    requests = requests.saturating_add(1);
                    checks = checks.saturating_add(super::facts::is_connectivity_check(head).into());
                    let response = super::facts::response_to(flow, head.index).map(|(_, response)| response);
                    signed = signed.saturating_add(super::facts::is_revocation(head, response).into());
                    request.get_or_insert_with(|| (observation.frame, super::facts::request_line(head)));
                }
                http1::Fact::Response(head) if (300..400).contains(&head.status) => {
                    let target = http1::header(&head.headers, "location").and_then(location);
                    if let Some((secure, host)) = target.filter(|_| redirects.len() < MAX_REDIRECTS) {
                        redirects.push(Redirect { frame: observation.frame, secure, host });
                    }
                }
                http1::Fact::Response(_) => {}
            }
        }
        let responder = flow.destination();
        Self {
            flow: flow.id,
            first_frame: flow.flow.info.first_frame,
            start: flow.flow.info.start,
            end: flow.flow.end,
            source: flow.flow.info.five_tuple.source.ip,
            shows_originator: flow.flow.info.shows_originator(),
            attempt: Attempt::of(flow),
            answered: flow.flow.counts.get(1).is_some_and(|received| received.packets > 0),
            ip: responder.ip,
            port: responder.port,
            protection: flow.protection,
            tls: flow.tls.as_deref().and_then(|session| TlsDigest::of(session, flow)),
            request,
            requests,
            connectivity_check: requests > 0 && checks == requests,
            revocation: requests > 0 && signed == requests,
            redirects,
            protected: Protected::of(flow).map(Box::new),
            missed: Missed::of(flow),
            offers: super::upgrade::offer(flow),
        }
    }

    /// Where the flow's cleartext begins.
    #[must_use]
    pub fn cleartext_place(&self) -> Place {
        (self.flow, self.request.as_ref().map_or(self.first_frame, |(frame, _)| *frame))
    }

    /// Whether it carried something readable to its responder that might have been protected.
    #[must_use]
    pub fn is_cleartext(&self) -> bool {
        self.protection == Protection::Cleartext && !self.revocation
    }

    /// Whether every readable request in it was only redirected to TLS.
    #[must_use]
    pub fn is_only_redirected(&self) -> bool {
        let redirects = u64::try_from(self.redirects.iter().filter(|redirect| redirect.secure).count());
        self.requests > 0 && redirects == Ok(self.requests)
    }

    /// Whether a TLS session was set up in it, at once or by an upgrade (STARTTLS).
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.protection, Protection::Encrypted | Protection::Opportunistic)
            && self.tls.is_none_or(|session| session.established)
    }
}

impl TlsDigest {
    fn of(session: &tls::Session, flow: &Flow) -> Option<Self> {
        let hello = session.client_hello.as_ref()?;
        let offered = hello.value.offered_versions();
        let established = session.established();
        let fatal = session.alerts.iter().any(|alert| alert.value.level != Some(1));
        let failed = !established && (fatal || super::facts::has_ended(flow));
        let by_client = session.client_direction.is_none_or(|client| {
            flow.flow.tcp.and_then(|summary| summary.ended_by).is_none_or(|by| by == client)
        });
        let refused =
            flow.rejection().is_some_and(|rejection| rejection.certainty != tls::Certainty::Tentative);
        Some(Self {
            hello: hello.frame,
            offered: offered.into_iter().filter(|version| version.protocol() != "dtls").max(),
            chosen: session.version(),
            fallback_scsv: hello.value.fallback_scsv,
            established,
            failed,
            hung_up: failed && !fatal && by_client && !refused,
            unanswered: super::facts::is_unanswered(flow),
            weak: flow.owner.as_ref().map_or_else(Weaknesses::default, |_| weaknesses(&hello.value)),
        })
    }
}

/// The weaknesses of the suites on offer. Looking up every suite is a good part of what a flow costs: only for flows
/// with an owner, which alone are compared with the platform's.
fn weaknesses(hello: &tls::ClientHello) -> Weaknesses {
    hello.cipher_suites.iter().flat_map(|suite| CipherWeakness::of(*suite)).copied().collect()
}

/// Whether a Location is an `https` URL, and its host; `None` for relative ones and other schemes.
fn location(value: &str) -> Option<(bool, String)> {
    let (scheme, rest) = value.split_once("://")?;
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    Some((secure, host_of(authority).to_ascii_lowercase()))
}

/// The host of an authority: without the port and the brackets of an IPv6 address.
#[must_use]
pub(super) fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// One app's flows with one host, in the order in which they began; flows without a name are grouped by address.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Whose.
    pub owner: Option<Arc<Owner>>,
    /// The host's name, where known.
    pub host: Option<String>,
    /// The flows; never empty.
    pub flows: Vec<Digest>,
}

impl Endpoint {
    /// What `rule` says of this endpoint, where it shows in `digest` at `place`.
    #[must_use]
    pub fn finding(
        &self,
        rule: &'static RuleInfo,
        digest: &Digest,
        place: Place,
        message: impl Into<String>,
    ) -> Finding {
        let endpoint = EndpointName { host: self.host.clone(), ip: digest.ip, port: digest.port };
        Finding::at(rule, self.owner.clone(), endpoint, place, message)
    }

    /// The host's name, or the first flow's address.
    #[must_use]
    pub fn name(&self) -> String {
        let address = || self.flows.first().map(|digest| digest.ip.to_string()).unwrap_or_default();
        self.host.clone().unwrap_or_else(address)
    }
}

/// All that is remembered of one app.
#[derive(Clone, Debug)]
pub struct App {
    /// Who; `None` is unattributed traffic.
    pub owner: Option<Arc<Owner>>,
    /// The hosts that it talked to, by name, then by address.
    pub endpoints: Vec<Endpoint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_upgraded_carries_tls() {
        let carries = |protection| {
            let made = Flow::made(([10, 0, 0, 1], 50000), ([198, 51, 100, 1], 587));
            Digest::of(&Flow { protection, ..made }).is_tls()
        };
        assert!(carries(Protection::Encrypted) && carries(Protection::Opportunistic));
        assert!(!carries(Protection::Cleartext) && !carries(Protection::Opaque));
    }

    #[test]
    fn locations_are_taken_apart() {
        assert_eq!(location("https://Shop.test:443/x"), Some((true, "shop.test".to_owned())));
        assert_eq!(location("HTTP://u:p@a.test?q"), Some((false, "a.test".to_owned())));
        assert_eq!(location("http://[2001:db8::1]:80/"), Some((false, "2001:db8::1".to_owned())));
        assert_eq!(location("/relative"), None);
        assert_eq!(location("intent://x"), None);
    }
}
