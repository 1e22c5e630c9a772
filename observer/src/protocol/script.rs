//! For tests: a flow written down as what happens in it, played through a [`Conversation`].

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{Context, Conversation, Fact, Inner, Progress, find, tls};
use crate::decode::{Decoder, Endpoint, FiveTuple, Segment, Transport, TunnelPath};
use crate::flow::{Data, Direction, FlowInfo, FlowLimits, Gap, Interest, Origin};
use crate::observation::{Basis, Observations};
use crate::protocol::ftp::transfer::Transfer;
use crate::source::{self, Metadata};
use crate::time::Timestamp;

pub(super) const REQUEST: Direction = Direction::ToResponder;
pub(super) const RESPONSE: Direction = Direction::ToOriginator;

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Bytes(Direction, Vec<u8>),
    Missing(Direction, u64),
}

pub(super) fn send(direction: Direction, bytes: impl AsRef<[u8]>) -> Act {
    Act::Bytes(direction, bytes.as_ref().to_vec())
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) layers: Vec<&'static str>,
    pub(super) observations: Observations,
    pub(super) transfers: Vec<Transfer>,
    pub(super) cut_short: BTreeMap<&'static str, u64>,
    /// The act, from 1, after which the flow was only counted.
    pub(super) done: Option<usize>,
}

impl Played {
    pub(super) fn facts(&self) -> Vec<&Fact> {
        self.observations.iter().map(|observation| &observation.fact).collect()
    }

    /// Everything but the frames.
    pub(super) fn said(&self) -> String {
        format!("{:?} {:?}", self.layers, self.facts())
    }
}

/// Plays a flow; its acts are its frames, from 1.
pub(super) fn play(transport: Transport, port: u16, acts: &[Act]) -> Played {
    play_with(transport, port, acts, &tls::KeyLog::default(), 0)
}

/// Plays a flow whose start was not captured.
pub(super) fn midstream(transport: Transport, port: u16, acts: &[Act]) -> Played {
    play_flow(
        FlowInfo { midstream: true, origin: Origin::Guessed, ..flow(transport, port) },
        acts,
        &tls::KeyLog::default(),
        0,
    )
}

/// Plays a flow with secrets that are there from the act `from` on; before it, a key log without any grows.
pub(super) fn play_with(
    transport: Transport,
    port: u16,
    acts: &[Act],
    secrets: &tls::KeyLog,
    from: usize,
) -> Played {
    play_flow(flow(transport, port), acts, secrets, from)
}

fn flow(transport: Transport, port: u16) -> FlowInfo {
    let endpoint = |last, port| Endpoint { ip: Ipv4Addr::new(192, 0, 2, last).into(), port };
    FlowInfo {
        five_tuple: FiveTuple { transport, source: endpoint(1, 40000), destination: endpoint(2, port) },
        tunnels: TunnelPath::default(),
        carries: None,
        first_frame: 1,
        start: Timestamp(0),
        midstream: false,
        origin: Origin::Shown,
    }
}

fn play_flow(flow: FlowInfo, acts: &[Act], secrets: &tls::KeyLog, from: usize) -> Played {
    let mut growing = tls::KeyLog::default();
    growing.set_growing(true);
    let limits = FlowLimits::default();
    let (mut observations, mut inner) = (Observations::default(), Inner::default());
    let (mut resolutions, mut transfers) = (Vec::new(), Vec::new());
    let mut cut_short = BTreeMap::new();
    let mut certificates = tls::CertificateCache::default();
    let (mut ciphertext, mut trials, mut issued) = (0, tls::Trials::default(), Vec::new());
    let mut conversation = Conversation::default();
    let mut done = None;
    let mut cx = Context {
        observations: &mut observations,
        inner: &mut inner,
        entered: Vec::new(),
        resolutions: &mut resolutions,
        issued: &mut issued,
        transfers: &mut transfers,
        cut_short: &mut cut_short,
        secrets: if from > 0 { &growing } else { secrets },
        ciphertext: &mut ciphertext,
        trials: &mut trials,
        certificates: &mut certificates,
        limits: &limits,
        frame: 0,
        at: Timestamp(0),
        basis: Basis::Observed,
    };
    for (index, act) in acts.iter().enumerate() {
        let (number, at) = (index + 1, Timestamp(0));
        let frame = u64::try_from(number).unwrap();
        if from > 0 && index == from {
            cx.secrets = secrets;
        }
        let interest = match act {
            Act::Bytes(direction, bytes) => {
                conversation.data(&flow, Data { direction: *direction, bytes, frame, at }, &mut cx)
            }
            Act::Missing(direction, len) => {
                conversation.gap(&flow, Gap { direction: *direction, len: *len, frame, at }, &mut cx)
            }
        };
        if interest == Interest::Done {
            done = Some(number);
            break;
        }
    }
    conversation.finish(&flow, &mut cx);
    assert_eq!(ciphertext, 0, "nothing is held after the end");
    Played { layers: conversation.layers().to_vec(), observations, transfers, cut_short, done }
}

/// The secrets that a capture holds.
pub(super) fn secrets(name: &str) -> tls::KeyLog {
    let mut source = source::open(&[observer_captures::path(name)]).unwrap();
    let mut log = tls::KeyLog::default();
    while let Some(batch) = source.next_batch().unwrap() {
        for (_, metadata) in &batch.metadata {
            if let Metadata::Secrets { text, .. } = metadata {
                log.read(&text.0);
            }
        }
    }
    log
}

/// The UDP flows of a capture, as acts, in the order of their first frames.
pub(super) fn datagrams(name: &str) -> Vec<Vec<Act>> {
    let mut source = source::open(&[observer_captures::path(name)]).unwrap();
    let mut decoder = Decoder::default();
    let mut flows: Vec<Vec<Act>> = Vec::new();
    let mut known = BTreeMap::new();
    while let Some(batch) = source.next_batch().unwrap() {
        for frame in batch.iter() {
            // Frames without a packet are not of interest here.
            let _ = decoder.decode(&frame, |packet, _| {
                let Segment::Udp { payload, .. } = packet.segment else { return };
                let (source, destination) = (packet.five_tuple.source, packet.five_tuple.destination);
                let key = (source.min(destination), source.max(destination));
                let (flow, originator) = *known.entry(key).or_insert_with(|| {
                    flows.push(Vec::new());
                    (flows.len() - 1, source)
                });
                flows[flow].push(send(if source == originator { REQUEST } else { RESPONSE }, payload));
            });
        }
    }
    flows
}

/// Has the analyzer of `protocol` read `before`, and `within` after that; whether it upgraded to TLS in between.
pub(super) fn go_on(protocol: &str, before: &[Act], within: &[Act]) -> (bool, Played) {
    let protocol = find(protocol, Transport::Tcp).unwrap();
    let (mut analyzer, limits) = ((protocol.analyzer)(), FlowLimits::default());
    let (mut observations, mut inner, mut resolutions) =
        (Observations::default(), Inner::default(), Vec::new());
    let (mut certificates, mut ciphertext) = (tls::CertificateCache::default(), 0);
    let mut trials = tls::Trials::default();
    let (mut issued, mut transfers, mut cut_short) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut cx = Context {
        observations: &mut observations,
        inner: &mut inner,
        entered: Vec::new(),
        resolutions: &mut resolutions,
        issued: &mut issued,
        transfers: &mut transfers,
        cut_short: &mut cut_short,
        secrets: &tls::KeyLog::default(),
        ciphertext: &mut ciphertext,
        trials: &mut trials,
        certificates: &mut certificates,
        limits: &limits,
        frame: 0,
        at: Timestamp(0),
        basis: Basis::Observed,
    };
    let mut read = |acts: &[Act]| {
        let mut last = Progress::NeedMore;
        for act in acts {
            let Act::Bytes(direction, bytes) = act else { continue };
            last = analyzer.data(Data { direction: *direction, bytes, frame: 1, at: Timestamp(0) }, &mut cx);
        }
        last
    };
    let upgraded = read(before) == Progress::Upgraded;
    let end = read(within);
    assert!(!matches!(end, Progress::Malformed(_)), "{end:?}");
    (upgraded, Played { layers: vec![protocol.name], observations, transfers, cut_short, done: None })
}

/// The bytes of `acts` cut into other pieces, in the same order.
pub(super) fn cut(acts: &[Act], sizes: &[usize]) -> Vec<Act> {
    let mut sizes = sizes.iter().copied().cycle();
    let mut pieces = Vec::new();
    for act in acts {
        let Act::Bytes(direction, bytes) = act else {
            pieces.push(act.clone());
            continue;
        };
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            let (piece, rest) = left.split_at(sizes.next().unwrap_or(1).clamp(1, left.len()));
            pieces.push(send(*direction, piece));
            left = rest;
        }
    }
    pieces
}

/// Sizes of pieces, mostly small.
pub(super) fn sizes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![3 => 1_usize..12, 1 => 1_usize..2000], 1..40)
}
