//! What a run comes to in one word: the headline and the exit code.

use super::Run;
use crate::rules::Severity;

/// Limits whose drops cost a label or a comparison between flows, but nothing of the traffic: they are shown, and no
/// ground for doubt. A flow whose owner nobody asked for counts as unattributed, which is one.
const HARMLESS: &[&str] = &[
    "flow digests",
    "flows to ask for",
    "listening sockets",
    "names of addresses",
    // Such flows are readable, and reported as that.
    "flows read up to a message that is too long",
    "flows read up to bytes that wait for an answer",
    "flows of MQTT read up to a number of packets or topics",
];

/// What a run comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing that weighs as much as was asked for.
    Clean,
    /// Findings at or above the severity that was asked for, and how many.
    Findings(u64),
    /// No findings that weigh, but also no ground to say that there are none.
    Inconclusive(String),
}

impl Run {
    /// What the run comes to when findings weigh from `fail_on` on; with `None`, none does.
    ///
    /// A finding is certain whatever else was lost, so it goes before every doubt. Findings that are held against
    /// nobody in scope (the platform's, for one) do not weigh, nor do those that the baseline knows.
    #[must_use]
    pub fn outcome(&self, fail_on: Option<Severity>) -> Outcome {
        let count = fail_on.map_or(0, |least| self.assessment.weighing(least).count());
        if count > 0 {
            return Outcome::Findings(u64::try_from(count).unwrap_or(u64::MAX));
        }
        match self.doubt() {
            Some(reason) => Outcome::Inconclusive(reason),
            None => Outcome::Clean,
        }
    }

    /// Why the absence of findings says nothing.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let totals = &self.totals;
        let read: u64 = self.inputs.iter().map(|input| input.frames).sum();
        match (totals.frames, read) {
            (0, 0) => return Some("the capture holds no frames".to_owned()),
            (0, _) => return Some(format!("none of {read} frames matches the filter expression")),
            _ => {}
        }
        if totals.flows == 0 && totals.unselected_flows > 0 {
            return Some(format!("none of {} flows is of what was asked for", totals.unselected_flows));
        }
        if totals.flows == 0 {
            let kinds: Vec<_> =
                totals.skipped.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let frames = totals.frames;
            return Some(format!("none of {frames} frames carries IP traffic ({})", kinds.join(", ")));
        }
        if let Some(reason) = &self.assessment.inconclusive {
            return Some(reason.clone());
        }
        let lost = |(limit, count): &(&String, &u64)| **count > 0 && !HARMLESS.contains(&limit.as_str());
        if let Some((limit, count)) = totals.dropped_by_limit.iter().find(lost) {
            return Some(format!("a limit dropped a part of the traffic ({limit}: {count})"));
        }
        let damages: u64 = self.inputs.iter().map(|input| input.damages).sum();
        let places = if damages == 1 { "place" } else { "places" };
        (damages > 0).then(|| format!("the capture is damaged in {damages} {places}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::InputSummary;

    fn run(frames: u64, flows: u64) -> Run {
        let mut run = Run::default();
        run.inputs.push(InputSummary { frames: 9, ..InputSummary::default() });
        (run.totals.frames, run.totals.flows) = (frames, flows);
        run
    }

    fn doubt(run: &Run) -> String {
        match run.outcome(Some(Severity::High)) {
            Outcome::Inconclusive(reason) => reason,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn without_traffic_nothing_is_concluded() {
        assert_eq!(doubt(&Run::default()), "the capture holds no frames");
        assert!(doubt(&run(0, 0)).contains("none of 9 frames matches"));
        let mut arp = run(9, 0);
        arp.totals.skipped.insert("ARP".to_owned(), 9);
        assert_eq!(doubt(&arp), "none of 9 frames carries IP traffic (9 ARP)");
        let mut others = run(9, 0);
        others.totals.unselected_flows = 4;
        assert_eq!(doubt(&others), "none of 4 flows is of what was asked for");
        assert_eq!(run(9, 1).outcome(Some(Severity::High)), Outcome::Clean);
    }

    #[test]
    fn losses_are_a_ground_for_doubt() {
        let mut lossy = run(9, 1);
        lossy.totals.dropped_by_limit.insert("names of addresses".to_owned(), 3);
        assert_eq!(lossy.outcome(None), Outcome::Clean);
        lossy.totals.dropped_by_limit.insert("inner bytes".to_owned(), 3);
        assert!(doubt(&lossy).contains("inner bytes: 3"));
        let mut damaged = run(9, 1);
        damaged.inputs[0].damages = 2;
        assert!(doubt(&damaged).contains("2 places"));
    }
}
