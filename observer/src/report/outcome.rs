//! What a run comes to in one word: the headline and the exit code.

use super::Run;
use crate::rules::Severity;

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
    /// nobody in scope (the platform's, for one) do not weigh.
    #[must_use]
    pub fn outcome(&self, fail_on: Option<Severity>) -> Outcome {
        let count = fail_on.map_or(0, |least| self.assessment.held_against_apps(least).count());
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
        if totals.flows == 0 {
            let kinds: Vec<_> =
                totals.skipped.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let frames = totals.frames;
            return Some(format!("none of {frames} frames carries IP traffic ({})", kinds.join(", ")));
        }
        if let Some(reason) = &self.assessment.inconclusive {
            return Some(reason.clone());
        }
        if let Some((limit, count)) = totals.dropped_by_limit.iter().find(|(_, count)| **count > 0) {
            return Some(format!("a limit dropped a part of the traffic ({limit}: {count})"));
        }
        let damages: u64 = self.inputs.iter().map(|input| input.damages).sum();
        (damages > 0).then(|| format!("the capture is damaged in {damages} places"))
    }
}
