//! Flows of the project's captures, as patterns to be sent again.

use std::fs;

use anyhow::Context;

use super::packet::{ACK, Endpoint, FIN, Form, Packet, RST, SYN, Transport};
use super::pcap;
use crate::command::root;

/// What a flow carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// DNS over UDP.
    Dns,
    /// HTTP/1.x without TLS.
    Http,
    /// TLS with application data in both directions.
    Tls,
    /// The same with one response of [`PAGE`] bytes more.
    Page,
    /// QUIC: a handshake and a request of HTTP/3.
    Quic,
}

/// The payload of a full-sized segment: an Ethernet frame less IP and TCP headers with timestamps.
const SEGMENT: usize = 1448;

/// The content of a bulk TLS record: the most that the protocol allows, with its type byte and tag (RFC 9846 §5.2).
const RECORD: usize = 16_384 + 1 + 16;

/// The content of the one record that makes a short TLS flow a page: 8 KiB, with its type byte and tag.
const PAGE: usize = 8_192 + 1 + 16;

/// The bytes of a look-up in a capture file, which those of addresses are brought to: several addresses to an answer, as
/// large services give. With look-ups of HTTPS records, which stay as they are, the mean is 317.
const LOOK_UP: usize = 340;

/// What is repeated in the body of a bulk HTTP response.
const HTTP_CYCLE: usize = 12 * SEGMENT;

/// One packet of a pattern.
pub(super) struct Step {
    /// Nanoseconds since the flow's first packet.
    pub(super) after: u64,
    /// Whether the originator sent it.
    pub(super) from_originator: bool,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) form: Form,
}

/// The part of a bulk flow that is sent over and over.
pub(super) struct Body {
    /// One cycle: the responder's segments, each with the offset of its first byte, and after every second one the
    /// originator's acknowledgement of all before.
    pub(super) cycle: Vec<(u32, Form)>,
    /// The originator's bare acknowledgement.
    pub(super) acknowledgement: Form,
    /// Bytes of a cycle.
    pub(super) cycle_len: u32,
    /// Where the first cycle begins.
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// What the tail's numbers grow by besides the cycles, because the head says more or less than the capture did.
    pub(super) shift: u32,
}

impl Body {
    /// Packets of one cycle, and their bytes in a capture file.
    pub(super) fn cost(&self) -> (u64, u64) {
        let acknowledgements = self.cycle.len().div_ceil(2);
        let packets = self.cycle.len() + acknowledgements;
        let frames: usize = self.cycle.iter().map(|(_, form)| form.len()).sum();
        let bytes = frames + acknowledgements * self.acknowledgement.len() + packets * pcap::RECORD_HEADER;
        (u64::try_from(packets).unwrap_or_default(), u64::try_from(bytes).unwrap_or_default())
    }
}

/// A flow as a pattern: its packets, and for a bulk flow the body between head and tail.
pub(super) struct Template {
    pub(super) kind: Kind,
    pub(super) originator: Endpoint,
    pub(super) responder: Endpoint,
    pub(super) head: Vec<Step>,
    pub(super) body: Option<Body>,
    pub(super) tail: Vec<Step>,
}

impl Template {
    /// The bytes of head and tail in a capture file.
    pub(super) fn len(&self) -> u64 {
        let steps = self.head.iter().chain(&self.tail);
        u64::try_from(steps.map(|step| step.form.len() + pcap::RECORD_HEADER).sum::<usize>())
            .unwrap_or_default()
    }

    /// How often a short flow repeats its body, if it has one, and the bytes of the whole in a capture file.
    pub(super) fn short(&self) -> (u32, u64) {
        match &self.body {
            Some(body) => (1, self.len() + body.cost().1),
            None => (0, self.len()),
        }
    }
}

/// A flow of a capture: its packets with their times, the first one from the originator.
type Flow = Vec<(u64, Packet)>;

/// The patterns that the captures offer.
pub(super) struct Templates {
    /// Short flows, as they were captured.
    pub(super) short: Vec<Template>,
    /// Flows with a body.
    pub(super) bulk: Vec<Template>,
}

/// The captures that the patterns come from, under `captures/`: what phones do all day, and whole handshakes. Those that
/// show a rare or broken case are left out, and new ones do not change the workloads.
const CAPTURES: [&str; 22] = [
    "dns/a-aaaa-https.pcap",
    "dns/cname-chain.pcap",
    "http/chunked.pcap",
    "http/cleartext-get.pcap",
    "http/gzip.pcap",
    "http/login-json.pcap",
    "http/no-content.pcap",
    "http/not-found-many.pcap",
    "http/session-cookie.pcap",
    "quic/chromium.pcap",
    "quic/http3.pcap",
    "quic/ngtcp2.pcap",
    "tls/chrome131-android.pcap",
    "tls/chrome136.pcap",
    "tls/chrome99-android.pcap",
    "tls/gnutls.pcap",
    "tls/ipv6.pcap",
    "tls/java.pcap",
    "tls/node.pcap",
    "tls/safari18-0-ios.pcap",
    "tls/tls12-good.pcap",
    "tls/tls13-good.pcap",
];

/// Reads the patterns from the captures.
///
/// `http_cycles` is the length of a bulk HTTP body in cycles: its response header has to say it.
pub(super) fn load(http_cycles: u32) -> anyhow::Result<Templates> {
    let mut templates = Templates { short: Vec::new(), bulk: Vec::new() };
    for name in CAPTURES {
        let file = root().join("captures").join(name);
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let records = pcap::read(&bytes).with_context(|| format!("reading {}", file.display()))?;
        for flow in flows(records) {
            let Some(kind) = classify(&flow) else { continue };
            match kind {
                // Those beside other flows are of the laboratory's few names.
                Kind::Dns if !name.starts_with("dns/") => continue,
                Kind::Dns => {
                    templates.short.extend(look_ups(&flow).iter().map(|one| template(kind, one, &[], None)))
                }
                _ => templates.short.push(template(kind, &flow, &[], None)),
            }
            templates.short.extend(bulk(Kind::Page, &flow, 1).filter(|_| kind == Kind::Tls));
            templates.bulk.extend(bulk(kind, &flow, http_cycles));
        }
    }
    Ok(templates)
}

/// Sorts the packets of a capture into flows, in the order of their first packets.
fn flows(records: Vec<pcap::Record>) -> Vec<Flow> {
    let mut flows: Vec<Flow> = Vec::new();
    for record in records {
        let Some(packet) = Packet::parse(&record.frame) else { continue };
        let ends = (packet.source, packet.destination);
        let known = flows.iter_mut().find(|flow| {
            flow.first().is_some_and(|(_, first)| {
                let forth = (first.source, first.destination);
                let back = (first.destination, first.source);
                let same =
                    matches!(first.transport, Transport::Udp) == matches!(packet.transport, Transport::Udp);
                same && (ends == forth || ends == back)
            })
        });
        match known {
            Some(flow) => flow.push((record.at, packet)),
            None => flows.push(vec![(record.at, packet)]),
        }
    }
    flows
}

/// What a whole flow carries; nothing for one that was cut, failed, or speaks something else.
fn classify(flow: &[(u64, Packet)]) -> Option<Kind> {
    let (_, first) = flow.first()?;
    let from = |originator: bool| {
        flow.iter().map(|(_, packet)| packet).filter(move |packet| {
            (packet.source == first.source) == originator && !packet.payload().is_empty()
        })
    };
    if first.transport == Transport::Udp {
        if first.destination.port == 443 {
            return Some(Kind::Quic);
        }
        let answered = from(true).count() == from(false).count();
        return (first.destination.port == 53 && answered).then_some(Kind::Dns);
    }
    let opened = first.flags() & (SYN | ACK) == SYN;
    let closed = flow.iter().any(|(_, packet)| packet.flags() & (FIN | RST) != 0);
    if !opened || !closed {
        return None;
    }
    let said = from(true).next()?.payload();
    if said.starts_with(b"GET ") || said.starts_with(b"POST ") {
        return from(false).next()?.payload().starts_with(b"HTTP/1.").then_some(Kind::Http);
    }
    let application_data = |packet: &Packet| packet.payload().starts_with(&[23, 3]);
    let both = from(true).any(application_data) && from(false).any(application_data);
    (said.starts_with(&[22, 3]) && both).then_some(Kind::Tls)
}

/// The look-ups of a flow, each as a flow of its own, as Android's resolver makes them.
fn look_ups(flow: &Flow) -> Vec<Flow> {
    let id = |packet: &Packet| packet.payload().first_chunk::<2>().copied();
    let Some((_, first)) = flow.first() else { return Vec::new() };
    let queries = flow.iter().filter(|(_, packet)| packet.source == first.source);
    let look_up = |query: &(u64, Packet)| {
        let of_query = |(_, packet): &&(u64, Packet)| id(packet) == id(&query.1);
        let mut look_up: Flow = flow.iter().filter(of_query).cloned().collect();
        let bytes: usize =
            look_up.iter().map(|(_, packet)| Form::new(packet).len() + pcap::RECORD_HEADER).sum();
        if let Some((_, response)) = look_up.last_mut() {
            *response =
                response.with_payload(&with_more_answers(response.payload(), LOOK_UP.saturating_sub(bytes)));
        }
        look_up
    };
    queries.map(look_up).collect()
}

/// A DNS response with about `more` bytes of further addresses, if its last answer is one (RFC 1035 §4.1.3).
fn with_more_answers(response: &[u8], more: usize) -> Vec<u8> {
    // An OPT record without options comes last (RFC 6891 §6.1.2).
    let opt = response.len().checked_sub(11).filter(|at| response.get(*at..at + 3) == Some(&[0, 0, 41]));
    let (response, opt) = response.split_at(opt.unwrap_or(response.len()));
    let mut payload = response.to_vec();
    for (kind, address) in [(1, 4), (28, 16)] {
        // A compressed name, type, class, time to live, length.
        let len = 12 + usize::from(address);
        let Some(record) = response.len().checked_sub(len).and_then(|at| response.get(at..)) else {
            continue;
        };
        let is_address = record.first().is_some_and(|first| first & 0xc0 == 0xc0)
            && record.get(2..6) == Some(&[0, kind, 0, 1])
            && record.get(10..12) == Some(&[0, address]);
        let counts = response.get(6..8).and_then(|count| count.first_chunk::<2>());
        let (true, Some(answers)) = (is_address, counts) else { continue };
        let further = u8::try_from((more + len / 2) / len).unwrap_or(u8::MAX);
        for number in 1..=further {
            payload.extend_from_slice(record);
            if let Some(last) = payload.last_mut() {
                *last = last.wrapping_add(number);
            }
        }
        let answers = u16::from_be_bytes(*answers) + u16::from(further);
        payload.splice(6..8, answers.to_be_bytes());
        break;
    }
    payload.extend_from_slice(opt);
    payload
}

fn template(kind: Kind, head: &[(u64, Packet)], tail: &[(u64, Packet)], body: Option<Body>) -> Template {
    let first = head.first().map(|(at, packet)| (*at, packet.source, packet.destination));
    let unspecified = Endpoint { address: [0; 4].into(), port: 0 };
    let (start, originator, responder) = first.unwrap_or((0, unspecified, unspecified));
    let step = |(at, packet): &(u64, Packet)| {
        let (seq, ack) = match packet.transport {
            Transport::Tcp { seq, ack, .. } => (seq, ack),
            Transport::Udp => (0, 0),
        };
        let from_originator = packet.source == originator;
        Step { after: at.saturating_sub(start), from_originator, seq, ack, form: Form::new(packet) }
    };
    let (head, tail) = (head.iter().map(step).collect(), tail.iter().map(step).collect());
    Template { kind, originator, responder, head, body, tail }
}

/// The flow with room for a body after the responder's last payload; nothing if it has no place for one.
fn bulk(kind: Kind, flow: &Flow, http_cycles: u32) -> Option<Template> {
    let originator = flow.first()?.1.source;
    let closes = flow.iter().position(|(_, packet)| packet.flags() & (FIN | RST) != 0)?;
    let speaks = |(_, packet): &(u64, Packet)| packet.source != originator && !packet.payload().is_empty();
    let open = flow.get(..closes)?;
    let last = open.iter().rposition(speaks)?;
    let acknowledges = |(_, packet): &&(u64, Packet)| {
        packet.source == originator && packet.payload().is_empty() && packet.flags() == ACK
    };
    let acknowledgement = &open.iter().find(acknowledges)?.1;
    let tail = flow.get(last + 1..)?;
    match kind {
        Kind::Dns | Kind::Quic => None,
        Kind::Tls | Kind::Page => {
            let packet = &open.get(last)?.1;
            let content = if kind == Kind::Tls { RECORD } else { PAGE };
            let mut record = vec![23, 3, 3];
            record.extend(u16::try_from(content).ok()?.to_be_bytes());
            record.extend(noise(content));
            let body = body(packet, acknowledgement, &record, packet.payload_len(), 0)?;
            Some(template(kind, open.get(..=last)?, tail, Some(body)))
        }
        Kind::Http => {
            let first = open.iter().position(speaks)?;
            // One request, one answer: the body stands for all that the answer said.
            let asks =
                |(_, packet): &(u64, Packet)| packet.source == originator && !packet.payload().is_empty();
            if open.iter().skip(first).any(asks) {
                return None;
            }
            let packet = &open.get(first)?.1;
            let said: Vec<u8> = open
                .iter()
                .filter(|one| speaks(one))
                .flat_map(|(_, packet)| packet.payload().to_vec())
                .collect();
            let length = u64::try_from(HTTP_CYCLE).ok()? * u64::from(http_cycles);
            let header = with_content_length(&said, length)?;
            let grown = u32::try_from(header.len()).ok()?;
            let shift = grown.wrapping_sub(u32::try_from(said.len()).ok()?);
            let line = b"Every line of this body is as long as the one before it.       \n";
            let text: Vec<u8> = line.iter().copied().cycle().take(HTTP_CYCLE).collect();
            let body = body(packet, acknowledgement, &text, grown, shift)?;
            let mut head = open.get(..=first)?.to_vec();
            head.last_mut()?.1 = packet.with_payload(&header);
            Some(template(kind, &head, tail, Some(body)))
        }
    }
}

/// The header of an HTTP response that promises `length` bytes in place of what it had; nothing without such a promise.
fn with_content_length(response: &[u8], length: u64) -> Option<Vec<u8>> {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let header = std::str::from_utf8(response.get(..end)?).ok()?;
    let mut found = false;
    let mut text = String::new();
    for line in header.split_inclusive("\r\n") {
        let named = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        match named {
            Some((name, value)) => {
                found = value.trim() != "0";
                text.push_str(&format!("{name}: {length}\r\n"));
            }
            None => text.push_str(line),
        }
    }
    found.then(|| text.into_bytes())
}

/// Cuts `cycle` into segments that follow `packet`, whose payload is `said` bytes long.
fn body(packet: &Packet, acknowledgement: &Packet, cycle: &[u8], said: u32, shift: u32) -> Option<Body> {
    let Transport::Tcp { seq, ack, .. } = packet.transport else { return None };
    let mut forms = Vec::new();
    let mut offset = 0;
    for segment in cycle.chunks(SEGMENT) {
        forms.push((offset, Form::new(&packet.with_payload(segment))));
        offset += u32::try_from(segment.len()).ok()?;
    }
    Some(Body {
        cycle: forms,
        acknowledgement: Form::new(acknowledgement),
        cycle_len: offset,
        seq: seq.wrapping_add(said),
        ack,
        shift,
    })
}

/// Bytes that look encrypted, the same ones every time.
fn noise(len: usize) -> Vec<u8> {
    let mut random = Random(len as u64);
    std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(len).collect()
}

/// SplitMix64: small, fast, and the same on every machine.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_header_promises_the_new_length() {
        let response = b"HTTP/1.1 200 OK\r\nContent-length: 12\r\nServer: x\r\n\r\nhello, world";
        let header = with_content_length(response, 260_640).unwrap();
        assert_eq!(header, b"HTTP/1.1 200 OK\r\nContent-length: 260640\r\nServer: x\r\n\r\n");
        assert_eq!(with_content_length(b"HTTP/1.1 304 No\r\n\r\n", 1), None);
        assert_eq!(with_content_length(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1), None);
        assert_eq!(with_content_length(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", 1), None);
    }

    #[test]
    fn every_capture_offers_a_flow_and_every_kind_with_a_body_has_one() {
        let templates = load(15).unwrap();
        assert!(templates.short.len() >= CAPTURES.len());
        for kind in [Kind::Dns, Kind::Http, Kind::Tls, Kind::Page, Kind::Quic] {
            assert!(templates.short.iter().any(|template| template.kind == kind), "{kind:?}");
        }
        for kind in [Kind::Http, Kind::Tls] {
            assert!(templates.bulk.iter().any(|template| template.kind == kind), "{kind:?}");
        }
        assert!(templates.short.iter().any(|template| template.originator.address.is_ipv6()));
    }

    #[test]
    fn a_look_up_is_a_flow_with_several_addresses() {
        let templates = load(15).unwrap();
        let look_ups: Vec<_> = templates.short.iter().filter(|template| template.kind == Kind::Dns).collect();
        assert!(look_ups.iter().all(|look_up| look_up.head.len() == 2));
        let bytes = look_ups.iter().map(|look_up| look_up.len()).sum::<u64>() / look_ups.len() as u64;
        assert!((305..330).contains(&bytes), "{bytes} bytes a look-up");
    }

    #[test]
    fn an_answer_grows_by_whole_records() {
        let mut response = vec![0; 12];
        response[7] = 1;
        let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 255];
        response.extend(record);
        let grown = with_more_answers(&response, 40);
        assert_eq!((grown.len(), grown[7]), (response.len() + 48, 4));
        // The last byte counts on, round the end.
        assert_eq!(grown[grown.len() - 4..], [192, 0, 2, 2]);
        response[15] = 9;
        assert_eq!(with_more_answers(&response, 40), response[..]);
    }

    #[test]
    fn random_numbers_repeat_and_stay_below_their_bound() {
        let numbers = |seed| {
            let mut random = Random(seed);
            (0..100).map(|_| random.below(7)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        assert!(numbers(3).iter().all(|number| *number < 7));
        assert_eq!(Random(1).below(0), 0);
    }
}
