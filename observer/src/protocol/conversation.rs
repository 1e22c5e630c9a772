//! The protocols of one flow, one after the other.
//!
//! A conversation probes the first bytes of each direction, replays them to the analyzer whose protocol claims them,
//! and hands it what follows. It reads no bytes itself. A flow that nobody claims is described by
//! [`unrecognised`](super::unrecognised) and then only counted.

use super::inner::{Event, Step};
use super::probing::{Outcome, Probing, Refuted};
use super::{Analyzer, Context, Fact, Progress, Protocol, UNKNOWN_LAYER};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction, FlowInfo, Gap, Interest};

/// How many protocols a flow may wrap in one another.
const MAX_LAYERS: usize = 6;

/// What is known of a flow's protocols: the state that a worker keeps for each open flow.
#[derive(Default)]
pub struct Conversation {
    layers: Vec<&'static str>,
    stage: Stage,
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
    refuted: Refuted,
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
    pub fn finish(&mut self, cx: &mut Context<'_>) {
        match std::mem::take(&mut self.stage) {
            Stage::Analyzing(mut analyzing) => analyzing.analyzer.finish(cx),
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
        self.layers.push(protocol.name);
        let depth = self.layers.len();
        self.stage = Stage::Analyzing(Box::new(Analyzing {
            protocol,
            analyzer: (protocol.analyzer)(),
            before: cx.observations.made(),
            refuted: probing.refuted(),
        }));
        let mut refutation = None;
        for event in probing.replay().chain([Event::Data(data)]) {
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
            self.retract(direction, error, cx);
            probing.refute(protocol);
            let outcome = probing.ask_again(flow, data, cx.limits.probe_bytes);
            self.stage = Stage::Probing(probing);
            self.decide(flow, outcome, data, cx);
        }
    }

    fn follow(&mut self, flow: &FlowInfo, progress: Progress, event: Event<'_>, cx: &mut Context<'_>) {
        match progress {
            Progress::NeedMore => return,
            Progress::Done => self.stage = Stage::Counting,
            Progress::Agreed(name) => {
                self.layers.push(name);
                self.stage = Stage::Counting;
            }
            Progress::Malformed(error) => {
                let Stage::Analyzing(analyzing) = std::mem::take(&mut self.stage) else { return };
                if analyzing.refutation(progress, cx).is_some() {
                    self.retract(event.direction(), error, cx);
                    let mut probing = Box::new(Probing::after(analyzing.refuted));
                    probing.refute(analyzing.protocol);
                    self.stage = Stage::Probing(probing);
                    self.event(flow, event, cx);
                } else {
                    let (protocol, direction) = (analyzing.protocol.name, event.direction());
                    cx.say(Fact::Malformed { protocol, direction, error });
                    self.stage = Stage::Counting;
                }
            }
            Progress::Inner => {
                self.stage = if self.layers.len() < MAX_LAYERS { Stage::Fresh } else { Stage::Counting };
                let steps: Vec<Step> = cx.inner.drain().collect();
                for step in &steps {
                    self.event(flow, step.event(), cx);
                }
            }
        }
        cx.inner.clear();
    }

    /// Takes back a layer that was no layer, and says so.
    fn retract(&mut self, direction: Direction, error: ParseError, cx: &mut Context<'_>) {
        let protocol = self.layers.pop().unwrap_or(UNKNOWN_LAYER);
        cx.say(Fact::Malformed { protocol, direction, error });
        cx.inner.clear();
    }

    /// Describes what nobody claims.
    fn give_up(&mut self, probing: &Probing, cx: &mut Context<'_>) {
        self.stage = Stage::Counting;
        if let Some((sample, frame, at)) = probing.sample() {
            (cx.frame, cx.at) = (frame, at);
            self.layers.push(UNKNOWN_LAYER);
            cx.say(Fact::Unrecognised(sample.judge()));
        }
    }
}
