//! The protocols of one flow, one after the other.
//!
//! A conversation probes the first bytes of each direction, replays them to the analyzer whose protocol claims them,
//! and hands it what follows. It reads no bytes itself. A flow that nobody claims is described by
//! [`unrecognised`](super::unrecognised) and then only counted.

use super::inner::{Event, Step};
use super::probing::{Outcome, Probing, Refuted};
use super::{Analyzer, Context, Earlier, Fact, Progress, Protocol, UNKNOWN_LAYER, Worth, find, tls};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction, FlowInfo, Gap, Interest};
use crate::observation::Basis;

/// How many protocols a flow may wrap in one another.
const MAX_LAYERS: usize = 6;

/// What is known of a flow's protocols: the state that a worker keeps for each open flow.
#[derive(Default)]
pub struct Conversation {
    layers: Vec<&'static str>,
    /// Of a flow that nobody claims.
    short_headers: Vec<Earlier>,
    stage: Stage,
    /// Layers around it, where it runs within another conversation's protocol.
    around: usize,
    /// What has agreed to go on under TLS, and waits for what is within.
    upgraded: Option<Box<Upgraded>>,
}

/// A protocol that goes on within TLS.
struct Upgraded {
    protocol: &'static Protocol,
    analyzer: Box<dyn Analyzer>,
}

#[derive(Default)]
enum Stage {
    /// No bytes yet.
    #[default]
    Fresh,
    Probing(Box<Probing>),
    Analyzing(Box<Analyzing>),
    Counting,
}

/// A protocol that is being read.
struct Analyzing {
    protocol: &'static Protocol,
    analyzer: Box<dyn Analyzer>,
    /// Observations made before it began: it has said something once there are more.
    before: u64,
    /// How many layers there were before it.
    outside: usize,
    refuted: Refuted,
    within: Option<Within>,
}

/// What runs within a protocol that goes on.
struct Within {
    conversation: Box<Conversation>,
    /// How its bytes were come by.
    basis: Basis,
    /// How many layers there were before it.
    outside: usize,
}

impl Analyzing {
    fn take(&mut self, event: Event<'_>, cx: &mut Context<'_>) -> Progress {
        match event {
            Event::Data(data) => {
                (cx.frame, cx.at) = (data.frame, data.at);
                self.analyzer.data(data, cx)
            }
            Event::Gap(gap) => {
                (cx.frame, cx.at) = (gap.frame, gap.at);
                self.analyzer.gap(gap, cx)
            }
        }
    }

    /// What is wrong when the bytes turn out not to be the protocol's before it has said anything.
    fn refutation(&self, progress: Progress, cx: &Context<'_>) -> Option<ParseError> {
        match progress {
            Progress::Malformed(error) if cx.observations.made() == self.before => Some(error),
            _ => None,
        }
    }
}

impl Conversation {
    /// The protocols so far, outermost first; `unknown` for bytes that no protocol claims.
    #[must_use]
    pub fn layers(&self) -> &[&'static str] {
        &self.layers
    }

    /// Hands over the protocols, and the first datagrams of a flow that nobody claims and that may continue a connection
    /// of QUIC.
    #[must_use]
    pub fn into_parts(self) -> (Vec<&'static str>, Vec<Earlier>) {
        (self.layers, self.short_headers)
    }

    /// Adds a protocol. Most flows have one: no room for more is made.
    fn enter(&mut self, layer: &'static str) {
        self.layers.reserve_exact(1);
        self.layers.push(layer);
    }

    /// Adds what an analyzer found beside or within its protocol.
    fn enter_all(&mut self, cx: &mut Context<'_>) {
        for layer in cx.entered.drain(..) {
            if self.has_room() && !self.layers.contains(&layer) {
                self.enter(layer);
            }
        }
    }

    /// Takes bytes of the flow.
    pub fn data(&mut self, flow: &FlowInfo, data: Data<'_>, cx: &mut Context<'_>) -> Interest {
        self.event(flow, Event::Data(data), cx);
        self.interest()
    }

    /// Bytes of the flow are missing.
    pub fn gap(&mut self, flow: &FlowInfo, gap: Gap, cx: &mut Context<'_>) -> Interest {
        self.event(flow, Event::Gap(gap), cx);
        self.interest()
    }

    /// The flow ended.
    pub fn finish(&mut self, flow: &FlowInfo, cx: &mut Context<'_>) {
        if let Stage::Analyzing(analyzing) = &mut self.stage
            && let Progress::Within(basis) = analyzing.analyzer.rest(cx)
        {
            self.within(flow, basis, cx);
        }
        match std::mem::take(&mut self.stage) {
            Stage::Analyzing(mut analyzing) => {
                analyzing.analyzer.finish(cx);
                cx.inner.clear();
                self.enter_all(cx);
                self.conclude(flow, analyzing.within, cx);
            }
            Stage::Probing(probing) => self.give_up(&probing, cx),
            Stage::Fresh | Stage::Counting => {}
        }
        self.stage = Stage::Counting;
    }

    fn interest(&self) -> Interest {
        if matches!(self.stage, Stage::Counting) { Interest::Done } else { Interest::More }
    }

    fn event(&mut self, flow: &FlowInfo, event: Event<'_>, cx: &mut Context<'_>) {
        match &mut self.stage {
            Stage::Analyzing(analyzing) => {
                let progress = analyzing.take(event, cx);
                self.follow(flow, progress, event, cx);
            }
            Stage::Probing(probing) => match event {
                Event::Gap(gap) => probing.gap(gap),
                Event::Data(data) => {
                    let outcome = probing.data(flow, data, cx.limits.probe_bytes);
                    self.decide(flow, outcome, data, cx);
                }
            },
            Stage::Fresh => {
                self.stage = Stage::Probing(Box::default());
                self.event(flow, event, cx);
            }
            Stage::Counting => {}
        }
    }

    /// Acts on what the probes say of `data`.
    fn decide(&mut self, flow: &FlowInfo, outcome: Outcome, data: Data<'_>, cx: &mut Context<'_>) {
        if matches!(outcome, Outcome::Undecided) {
            return;
        }
        let Stage::Probing(probing) = std::mem::take(&mut self.stage) else { return };
        match outcome {
            Outcome::Claimed(protocol) => self.start(flow, protocol, probing, data, cx),
            Outcome::Changed if self.has_room() => self.change(flow, &probing, data, cx),
            Outcome::Changed => self.give_up(&probing, cx),
            Outcome::Unclaimed | Outcome::Undecided => self.give_up(&probing, cx),
        }
    }

    /// Gives a new analyzer everything that came before `data`, and `data`.
    fn start(
        &mut self,
        flow: &FlowInfo,
        protocol: &'static Protocol,
        mut probing: Box<Probing>,
        data: Data<'_>,
        cx: &mut Context<'_>,
    ) {
        self.begin(protocol, probing.refuted(), cx);
        let depth = self.layers.len();
        let mut refutation = None;
        for event in probing.replay(protocol).chain([Event::Data(data)]) {
            match &mut self.stage {
                Stage::Analyzing(analyzing) if self.layers.len() == depth => {
                    let progress = analyzing.take(event, cx);
                    if let Some(error) = analyzing.refutation(progress, cx) {
                        refutation = Some((event.direction(), error));
                        break;
                    }
                    self.follow(flow, progress, event, cx);
                }
                _ => self.event(flow, event, cx),
            }
        }
        if let Some((direction, error)) = refutation {
            (cx.frame, cx.at) = (data.frame, data.at);
            self.retract(depth.saturating_sub(1), direction, error, cx);
            probing.refute(protocol);
            let outcome = probing.ask_again(flow, data, cx.limits.probe_bytes);
            self.stage = Stage::Probing(probing);
            self.decide(flow, outcome, data, cx);
        }
    }

    /// Goes on with TLS behind what nobody claims: both sides began it, `data` last.
    fn change(&mut self, flow: &FlowInfo, probing: &Probing, data: Data<'_>, cx: &mut Context<'_>) {
        self.enter(UNKNOWN_LAYER);
        self.begin(&tls::PROTOCOL, probing.refuted(), cx);
        let (sample, frame, at) = probing.before_hellos();
        (cx.frame, cx.at) = (frame, at);
        cx.say(Fact::Unrecognised(Box::new(sample.judge())));
        for event in probing.replay_hellos().chain([Event::Data(data)]) {
            self.event(flow, event, cx);
        }
    }

    /// Makes `protocol` the layer that is read.
    fn begin(&mut self, protocol: &'static Protocol, refuted: Refuted, cx: &Context<'_>) {
        if protocol.worth != Worth::Tls {
            self.upgraded = None;
        }
        self.read(protocol, (protocol.analyzer)(), refuted, cx);
    }

    /// Makes `protocol` the layer that `analyzer` reads.
    fn read(
        &mut self,
        protocol: &'static Protocol,
        analyzer: Box<dyn Analyzer>,
        refuted: Refuted,
        cx: &Context<'_>,
    ) {
        let outside = self.layers.len();
        self.enter(protocol.name);
        let (before, within) = (cx.observations.made(), None);
        self.stage =
            Stage::Analyzing(Box::new(Analyzing { protocol, analyzer, before, outside, refuted, within }));
    }

    fn follow(&mut self, flow: &FlowInfo, progress: Progress, event: Event<'_>, cx: &mut Context<'_>) {
        self.enter_all(cx);
        match progress {
            Progress::NeedMore => return,
            Progress::Within(basis) => self.within(flow, basis, cx),
            Progress::Done => {
                if let Stage::Analyzing(analyzing) = std::mem::replace(&mut self.stage, Stage::Counting) {
                    self.conclude(flow, analyzing.within, cx);
                }
            }
            Progress::Agreed(name) => match find(name, flow.five_tuple.transport) {
                Some(protocol) if self.has_room() => {
                    self.begin(protocol, Refuted::default(), cx);
                    self.hand_over(flow, cx);
                }
                _ => {
                    self.enter(name);
                    self.stage = Stage::Counting;
                }
            },
            Progress::Malformed(error) => {
                let Stage::Analyzing(analyzing) = std::mem::take(&mut self.stage) else { return };
                if analyzing.refutation(progress, cx).is_some() {
                    self.retract(analyzing.outside, event.direction(), error, cx);
                    let mut probing = Box::new(Probing::after(analyzing.refuted));
                    probing.refute(analyzing.protocol);
                    self.stage = Stage::Probing(probing);
                    self.event(flow, event, cx);
                } else {
                    let (protocol, direction) = (analyzing.protocol.name, event.direction());
                    cx.say(Fact::Malformed { protocol, direction, error: Box::new(error) });
                    self.stage = Stage::Counting;
                    self.conclude(flow, analyzing.within, cx);
                }
            }
            Progress::Inner | Progress::Upgraded => {
                let next = if self.has_room() { Stage::Fresh } else { Stage::Counting };
                if let Stage::Analyzing(analyzing) = std::mem::replace(&mut self.stage, next)
                    && progress == Progress::Upgraded
                {
                    let Analyzing { protocol, analyzer, .. } = *analyzing;
                    self.upgraded = Some(Box::new(Upgraded { protocol, analyzer }));
                }
                self.hand_over(flow, cx);
            }
        }
        cx.inner.clear();
    }

    /// Gives the next layer what the last one did not consume.
    fn hand_over(&mut self, flow: &FlowInfo, cx: &mut Context<'_>) {
        let steps: Vec<Step> = cx.inner.drain().collect();
        for step in &steps {
            self.event(flow, step.event(), cx);
        }
    }

    /// Gives what was handed on to the protocol within. Once nothing is to be learnt from that, nothing is from this one.
    fn within(&mut self, flow: &FlowInfo, basis: Basis, cx: &mut Context<'_>) {
        let Stage::Analyzing(analyzing) = &mut self.stage else { return };
        let outside = self.layers.len();
        let around = self.around.saturating_add(outside);
        let upgraded = self.upgraded.take();
        let mut within = analyzing.within.take().unwrap_or_else(|| {
            let mut conversation = Box::new(Self { around, ..Self::default() });
            if let Some(upgraded) = upgraded {
                conversation.read(upgraded.protocol, upgraded.analyzer, Refuted::default(), cx);
            }
            Within { conversation, basis, outside }
        });
        let steps: Vec<Step> = cx.inner.drain().collect();
        let now = (cx.frame, cx.at, std::mem::replace(&mut cx.basis, basis));
        for step in &steps {
            within.conversation.event(flow, step.event(), cx);
        }
        (cx.frame, cx.at, cx.basis) = now;
        self.adopt(&within);
        match &mut self.stage {
            Stage::Analyzing(analyzing) if within.conversation.interest() == Interest::More => {
                analyzing.within = Some(within);
            }
            Stage::Analyzing(analyzing) => {
                analyzing.analyzer.finish(cx);
                self.stage = Stage::Counting;
            }
            _ => {}
        }
    }

    /// Ends what runs within: what it says last was come by as all that it said.
    fn conclude(&mut self, flow: &FlowInfo, within: Option<Within>, cx: &mut Context<'_>) {
        let Some(mut within) = within else { return };
        let around = std::mem::replace(&mut cx.basis, within.basis);
        within.conversation.finish(flow, cx);
        cx.basis = around;
        self.adopt(&within);
    }

    /// Takes over the layers of what runs within.
    fn adopt(&mut self, within: &Within) {
        self.layers.truncate(within.outside);
        for layer in within.conversation.layers() {
            self.enter(layer);
        }
    }

    /// Whether another layer may come.
    fn has_room(&self) -> bool {
        self.around.saturating_add(self.layers.len()) < MAX_LAYERS
    }

    /// Takes back the layers behind the first `outside`, which were none, and says so.
    fn retract(&mut self, outside: usize, direction: Direction, error: ParseError, cx: &mut Context<'_>) {
        let protocol = self.layers.get(outside).copied().unwrap_or(UNKNOWN_LAYER);
        self.layers.truncate(outside);
        cx.say(Fact::Malformed { protocol, direction, error: Box::new(error) });
        cx.entered.clear();
        cx.inner.clear();
    }

    /// Describes what nobody claims.
    fn give_up(&mut self, probing: &Probing, cx: &mut Context<'_>) {
        self.stage = Stage::Counting;
        if let Some((sample, frame, at)) = probing.sample() {
            (cx.frame, cx.at) = (frame, at);
            self.short_headers = probing.short_headers();
            self.enter(UNKNOWN_LAYER);
            cx.say(Fact::Unrecognised(Box::new(sample.judge())));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::decode::Transport;
    use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};
    use crate::protocol::unrecognised::Likeness;
    use crate::protocol::{Fact, PROTOCOLS};

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04test\0\0\x01\0\x01";

    fn tcp(acts: &[Act]) -> Played {
        play(Transport::Tcp, 443, acts)
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        [length.as_slice(), message].concat()
    }

    fn likeness(played: &Played) -> Option<(Likeness, usize)> {
        played.facts().into_iter().find_map(|fact| match fact {
            Fact::Unrecognised(fact) => Some((fact.likeness, fact.sampled)),
            _ => None,
        })
    }

    #[test]
    fn the_port_does_not_decide() {
        assert_eq!(tcp(&[send(REQUEST, "GET / HTTP/1.1\r\n\r\n")]).layers, ["http"]);
        assert_eq!(play(Transport::Udp, 443, &[send(REQUEST, QUERY)]).layers, ["dns"]);
        assert_eq!(play(Transport::Udp, 53, &[send(REQUEST, "a game's datagram")]).layers, ["unknown"]);
    }

    #[test]
    fn bytes_of_a_beginning_are_replayed_with_their_frames() {
        let acts = cut(&[send(REQUEST, "GET / HTTP/1.1\r\n\r\n")], &[7]);
        let played = tcp(&acts);
        assert_eq!(played.layers, ["http"]);
        let frames: Vec<_> = played.observations.iter().map(|observation| observation.frame).collect();
        assert_eq!(frames, [u64::try_from(acts.len()).unwrap()]);
    }

    #[test]
    fn the_direction_that_is_recognised_starts_both() {
        let played = tcp(&[
            send(REQUEST, "\x00\x01\x02 no protocol at all"),
            send(RESPONSE, "HTTP/1.1 200 OK\r\n\r\n"),
            send(REQUEST, "GET / HTTP/1.1\r\n\r\n"),
        ]);
        assert_eq!(played.layers, ["http"]);
        assert_eq!(played.facts().len(), 2);
    }

    #[test]
    fn a_flow_that_nobody_claims_is_described_and_then_only_counted() {
        let text = "a protocol of nobody\r\n".repeat(60);
        let played = tcp(&[send(RESPONSE, &text), send(REQUEST, &text), send(REQUEST, &text)]);
        assert_eq!((played.layers.as_slice(), played.done), (["unknown"].as_slice(), Some(2)));
        assert_eq!(likeness(&played), Some((Likeness::Text, 2048)));
        let played = tcp(&[send(REQUEST, [0x80; 9])]);
        assert_eq!(likeness(&played), Some((Likeness::Opaque, 9)));
    }

    #[test]
    fn nobody_waits_forever_for_a_silent_side() {
        let acts: Vec<_> = std::iter::repeat_n(send(REQUEST, [0x80; 1000]), 100).collect();
        assert!(tcp(&acts).done.is_some_and(|done| done < 20));
        let acts: Vec<_> = std::iter::repeat_n(send(REQUEST, [0x80; 40]), 100).collect();
        assert_eq!(play(Transport::Udp, 9999, &acts).done, Some(8));
    }

    #[test]
    fn a_flow_without_bytes_says_nothing() {
        let played = tcp(&[]);
        assert!(played.layers.is_empty() && played.facts().is_empty());
        let played = tcp(&[Act::Missing(REQUEST, 10)]);
        assert!(played.layers.is_empty() && played.facts().is_empty());
    }

    #[test]
    fn behind_a_gap_every_piece_can_be_a_beginning() {
        let played = tcp(&[
            Act::Missing(RESPONSE, 4000),
            send(RESPONSE, [0x80; 3000]),
            send(RESPONSE, [0x80; 3000]),
            send(RESPONSE, "HTTP/1.1 204 No Content\r\n\r\n"),
        ]);
        assert_eq!(played.layers, ["http"]);
        assert_eq!(played.facts().len(), 1);
    }

    #[test]
    fn what_was_declined_before_a_gap_does_not_refute_what_follows() {
        let played = tcp(&[
            send(RESPONSE, [0x80; 30]),
            Act::Missing(RESPONSE, 4000),
            send(RESPONSE, "HTTP/1.1 204 No Content\r\n\r\n"),
        ]);
        assert_eq!(played.layers, ["http"]);
        assert_eq!(played.facts().len(), 1);
    }

    #[test]
    fn a_false_recognition_is_taken_back() {
        // Recognised by a long request line that turns out to have no version.
        let acts = [send(REQUEST, [b"POST /".as_slice(), &[b'a'; 600]].concat()), send(REQUEST, "\n\n")];
        let played = tcp(&acts);
        assert_eq!(played.layers, ["unknown"]);
        let facts = played.facts();
        assert!(
            matches!(facts[..], [Fact::Malformed { protocol: "http", .. }, Fact::Unrecognised(_)]),
            "{facts:?}"
        );
    }

    #[test]
    fn a_stream_of_dns_messages_is_read_however_it_is_cut() {
        let acts = [send(REQUEST, [framed(QUERY), framed(QUERY)].concat())];
        for size in 1..40 {
            let played = tcp(&cut(&acts, &[size]));
            assert_eq!((played.layers.as_slice(), played.facts().len()), (["dns"].as_slice(), 2), "{size}");
        }
    }

    /// A record with a hello that says nothing but its version and random number.
    fn hello(kind: u8) -> Vec<u8> {
        let lists: &[u8] = if kind == 1 { &[0, 0, 2, 0xc0, 0x2f, 1, 0] } else { &[0, 0xc0, 0x2f, 0] };
        let body = [&[3, 3][..], &[0x5a; 32], lists].concat();
        let len = u8::try_from(body.len()).unwrap();
        [&[22, 3, 3, 0, len + 4, kind, 0, 0, len][..], &body].concat()
    }

    #[test]
    fn tls_behind_a_greeting_that_nobody_knows_is_tls() {
        let greeting = [send(REQUEST, "NXSH-8.10.1\n"), send(RESPONSE, "NXD-8.10.1\n")];
        let hellos = [send(REQUEST, hello(1)), send(RESPONSE, hello(2))];
        let played = tcp(&[&greeting[..], &hellos].concat());
        assert_eq!(played.layers, ["unknown", "tls"]);
        assert_eq!(likeness(&played), Some((Likeness::Text, 23)));
        let mut frames: Vec<_> = played.observations.iter().map(|seen| seen.frame).collect();
        frames.dedup();
        assert_eq!(frames, [2, 3, 4], "the text, and the hello of each side");
        // What does not fit into the bytes that are kept is there all the same, or a gap.
        let long = |kind, len| [hello(kind), [&[22, 3, 3, 0x10, 0][..], &vec![0; len]].concat()].concat();
        let hellos = [send(REQUEST, long(1, 9000)), send(RESPONSE, long(2, 9000))];
        assert_eq!(tcp(&[&greeting[..], &hellos].concat()).layers, ["unknown", "tls"]);
        let hellos = [send(REQUEST, hello(1)), send(RESPONSE, hello(2))];
        // One side's greeting is enough where the other begins with TLS.
        let played = tcp(&[&greeting[..1], &hellos].concat());
        assert_eq!(
            (played.layers.as_slice(), likeness(&played)),
            (&["unknown", "tls"][..], Some((Likeness::Text, 12)))
        );
        let said = |fact: &&Fact| matches!(fact, Fact::Tls(_));
        assert!(played.facts().into_iter().filter(said).count() >= 2);
    }

    #[test]
    fn half_a_handshake_behind_a_greeting_changes_nothing() {
        let greeting = [send(REQUEST, "NXSH-8.10.1\n"), send(RESPONSE, "NXD-8.10.1\n")];
        for more in [
            vec![send(REQUEST, hello(1))],
            vec![send(REQUEST, hello(1)), send(RESPONSE, hello(1))],
            vec![send(REQUEST, hello(1)), send(RESPONSE, [&b"+"[..], &hello(2)].concat())],
            vec![send(REQUEST, hello(1)), send(RESPONSE, &hello(2)[..5])],
        ] {
            assert_eq!(tcp(&[&greeting[..], &more].concat()).layers, ["unknown"]);
        }
    }

    #[test]
    fn every_protocol_has_its_bit() {
        assert!(PROTOCOLS.len() <= 64);
    }

    /// Pieces of both directions in an order that `picks` decides.
    fn interleave(mut to_responder: Vec<Act>, mut to_originator: Vec<Act>, picks: &[bool]) -> Vec<Act> {
        let mut picks = picks.iter().copied().cycle();
        let mut acts = Vec::new();
        to_responder.reverse();
        to_originator.reverse();
        while !(to_responder.is_empty() && to_originator.is_empty()) {
            let first = picks.next().unwrap_or_default();
            let (one, other) = if first {
                (&mut to_responder, &mut to_originator)
            } else {
                (&mut to_originator, &mut to_responder)
            };
            acts.extend(one.pop().or_else(|| other.pop()));
        }
        acts
    }

    /// What each direction says, without the pairing that depends on which came first.
    fn by_direction(played: &Played) -> Vec<String> {
        let mut said: Vec<_> = played.facts().iter().map(|fact| format!("{fact:?}")).collect();
        for one in &mut said {
            if one.starts_with("Http1(Response") {
                *one = one.replace("Some(0)", "None").replace("Some(1)", "None");
            }
        }
        said.sort();
        said
    }

    proptest! {
        #[test]
        fn interleaving_and_splitting_do_not_change_what_is_said(
            (there, back) in (sizes(), sizes()),
            picks in proptest::collection::vec(any::<bool>(), 1..50),
        ) {
            let mut answer = QUERY.to_vec();
            answer[2] = 0x81;
            let scripts = [
                (
                    "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b".into(),
                    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n".into(),
                ),
                ([framed(QUERY), framed(QUERY)].concat(), [framed(&answer), framed(&answer)].concat()),
            ];
            for (requests, responses) in scripts {
                let (requests, responses): (Vec<u8>, Vec<u8>) = (requests, responses);
                let (requests, responses) = ([send(REQUEST, requests)], [send(RESPONSE, responses)]);
                let whole = tcp(&[requests.as_slice(), responses.as_slice()].concat());
                let pieces = tcp(&interleave(cut(&requests, &there), cut(&responses, &back), &picks));
                prop_assert_eq!(&pieces.layers, &whole.layers);
                prop_assert_eq!(by_direction(&pieces), by_direction(&whole));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            acts in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..300)), 0..20),
            datagrams: bool,
        ) {
            let acts: Vec<_> = acts
                .into_iter()
                .map(|(request, bytes)| send(if request { REQUEST } else { RESPONSE }, bytes))
                .collect();
            play(if datagrams { Transport::Udp } else { Transport::Tcp }, 53, &acts);
        }
    }
}
