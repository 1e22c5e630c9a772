//! What a stored run comes to: beside a baseline, as an outcome, and in a sentence.

use super::{StoredApp, StoredFinding, StoredRun};
use crate::assess::Judgement;
use crate::assess::baseline::{Baseline, Compared, Seen, Weight};
use crate::report::outcome::Outcome;
use crate::report::wording::{self, cl_mss, count, list};
use crate::rules::Severity;

/// Apps that a headline names.
const APPS: usize = 5;

impl StoredRun {
    /// Holds the findings against those of an earlier run, instead of those that the run itself was held against.
    pub fn compare(&mut self, baseline: &Baseline) {
        let seen = |finding: &StoredFinding| Seen {
            fingerprint: finding.fingerprint.clone(),
            severity: finding.severity,
            weight: match (&finding.suppressed, finding.is_held()) {
                (Some(_), _) => Weight::Excused,
                (None, true) => Weight::Held,
                (None, false) => Weight::Noted,
            },
        };
        let findings: Vec<_> =
            self.apps.iter().flat_map(|app| app.findings.iter().chain(&app.suppressed)).map(seen).collect();
        let apps = self.apps.iter().filter(|app| app.is_judged()).filter_map(|app| app.name.clone());
        let run = Compared { apps: apps.collect(), judged_by: self.judged_by.clone() };
        let compared = baseline.compare(&findings, &run);
        for app in &mut self.apps {
            for finding in app.findings.iter_mut().chain(&mut app.suppressed) {
                finding.baseline = compared.standing(&finding.fingerprint, finding.suppressed.is_some());
            }
        }
        self.baseline = Some(compared);
    }

    /// What the tester ought to know, of the comparison with the baseline, too.
    pub fn all_notes(&self) -> impl Iterator<Item = &String> {
        self.notes.iter().chain(self.baseline.iter().flat_map(|compared| &compared.notes))
    }

    /// `2 new high findings; 5 known`, and what they are held against; `None` without a baseline.
    #[must_use]
    pub fn beside_baseline(&self) -> Option<String> {
        let held = self.apps.iter().flat_map(StoredApp::held);
        let findings = held.map(|finding| (finding.severity, finding.is_known()));
        Some(wording::beside_baseline(findings, self.baseline.as_ref()?))
    }

    /// The findings that weigh: held against an app or the capture, unknown to the baseline, at `least` or above.
    pub fn weighing(&self, least: Severity) -> impl Iterator<Item = (&StoredApp, &StoredFinding)> {
        self.apps
            .iter()
            .flat_map(|app| app.held().map(move |finding| (app, finding)))
            .filter(move |(_, finding)| finding.severity >= least && !finding.is_known())
    }

    /// What the run comes to when findings weigh from `fail_on` on; with `None`, none does.
    #[must_use]
    pub fn outcome(&self, fail_on: Option<Severity>) -> Outcome {
        let count = fail_on.map_or(0, |least| self.weighing(least).count());
        if count > 0 {
            return Outcome::Findings(u64::try_from(count).unwrap_or(u64::MAX));
        }
        match &self.inconclusive {
            Some(reason) => Outcome::Inconclusive(reason.clone()),
            None if !self.finished => Outcome::Inconclusive("the run was not written to its end".to_owned()),
            None => Outcome::Clean,
        }
    }

    /// The outcome in a sentence: who violates what, or why nothing can be said.
    #[must_use]
    pub fn headline(&self, fail_on: Option<Severity>) -> String {
        let violations: Vec<_> = self
            .apps
            .iter()
            .filter_map(|app| {
                let numbers: Vec<_> = app
                    .verdicts
                    .iter()
                    .filter(|verdict| verdict.judgement == Judgement::Violated)
                    .filter_map(|verdict| cl_mss(&verdict.requirement))
                    .map(str::to_owned)
                    .collect();
                (!numbers.is_empty())
                    .then(|| format!("{} violates CL MSS {}", self.name(app), list(&numbers)))
            })
            .collect();
        let more = violations.len().saturating_sub(APPS);
        let mut clauses: Vec<_> = violations.into_iter().take(APPS).collect();
        if more > 0 {
            clauses.push(format!("and {more} more apps"));
        }
        let outcome = match (self.outcome(fail_on), clauses.is_empty()) {
            (_, false) => clauses.join("; "),
            (Outcome::Inconclusive(reason), true) => format!("inconclusive: {reason}"),
            (Outcome::Findings(many), true) => count(many, "finding"),
            (Outcome::Clean, true) => "no violation observed".to_owned(),
        };
        match self.beside_baseline() {
            Some(beside) => format!("{outcome}. {beside}"),
            None => outcome,
        }
    }
}
