//! The protocols of one flow, one after the other.

use super::{Analyzer, Context, Fact, PROTOCOLS, Probe, ProbeInput, Progress, Protocol};
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
    /// No protocol yet.
    #[default]
    Fresh,
    Analyzing(Box<dyn Analyzer>),
    Counting,
}

impl Conversation {
    /// The protocols so far, outermost first.
    #[must_use]
    pub fn layers(&self) -> &[&'static str] {
        &self.layers
    }

    /// Takes bytes of the flow.
    pub fn data(&mut self, flow: &FlowInfo, data: Data<'_>, cx: &mut Context<'_>) -> Interest {
        cx.frame = data.frame;
        cx.at = data.at;
        if let Stage::Analyzing(analyzer) = &mut self.stage {
            let progress = analyzer.data(data, cx);
            return self.follow(flow, progress, data.direction, cx);
        }
        if matches!(self.stage, Stage::Counting) {
            return Interest::Done;
        }
        for protocol in
            PROTOCOLS.iter().filter(|protocol| protocol.transports.contains(&flow.five_tuple.transport))
        {
            let input = ProbeInput {
                bytes: data.bytes,
                direction: data.direction,
                midstream: flow.midstream,
                port: flow.five_tuple.destination.port,
            };
            if (protocol.probe)(&input) == Probe::Match {
                return self.start(protocol, flow, data, cx);
            }
        }
        Interest::More
    }

    /// Bytes of the flow are missing.
    pub fn gap(&mut self, flow: &FlowInfo, gap: Gap, cx: &mut Context<'_>) -> Interest {
        cx.frame = gap.frame;
        cx.at = gap.at;
        if let Stage::Analyzing(analyzer) = &mut self.stage {
            let progress = analyzer.gap(gap, cx);
            return self.follow(flow, progress, gap.direction, cx);
        }
        Interest::More
    }

    /// The flow ended.
    pub fn finish(&mut self, cx: &mut Context<'_>) {
        if let Stage::Analyzing(analyzer) = &mut self.stage {
            analyzer.finish(cx);
        }
    }

    fn start(
        &mut self,
        protocol: &'static Protocol,
        flow: &FlowInfo,
        data: Data<'_>,
        cx: &mut Context<'_>,
    ) -> Interest {
        self.layers.push(protocol.name);
        let mut analyzer = (protocol.analyzer)();
        let progress = analyzer.data(data, cx);
        self.stage = Stage::Analyzing(analyzer);
        self.follow(flow, progress, data.direction, cx)
    }

    fn follow(
        &mut self,
        flow: &FlowInfo,
        progress: Progress,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Interest {
        match progress {
            Progress::NeedMore => Interest::More,
            Progress::Done => {
                self.stage = Stage::Counting;
                Interest::Done
            }
            Progress::Malformed(error) => {
                let protocol = self.layers.last().copied().unwrap_or("unknown");
                cx.say(Fact::Malformed { protocol, direction, error });
                self.stage = Stage::Counting;
                Interest::Done
            }
            Progress::Inner => {
                self.stage = if self.layers.len() < MAX_LAYERS { Stage::Fresh } else { Stage::Counting };
                let (frame, at) = (cx.frame, cx.at);
                let mut interest = Interest::More;
                for (direction, bytes) in std::mem::take(cx.inner) {
                    interest = self.data(flow, Data { direction, bytes: &bytes, frame, at }, cx);
                }
                interest
            }
        }
    }
}
