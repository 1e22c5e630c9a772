//! What began in each step: flows, and findings by severity.

use std::collections::{BTreeMap, BTreeSet};

use super::Run;
use super::steps::{Position, Step, Steps};
use super::stored::StoredStep;
use crate::rules::Severity;

/// Findings by severity, the mildest first.
pub type BySeverity = [u64; 5];

/// Counts by step.
#[derive(Debug)]
pub struct StepTable<'a> {
    steps: &'a Steps,
    /// By number; 0 is the background.
    flows: BTreeMap<u64, u64>,
    findings: BTreeMap<u64, BySeverity>,
    knows_flows: bool,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRow<'a> {
    /// `None` is the background.
    pub step: Option<&'a Step>,
    /// Flows that began in it; `None` where they were not counted.
    pub flows: Option<u64>,
    /// Findings that were seen in at least one of them.
    pub findings: BySeverity,
}

impl<'a> StepTable<'a> {
    /// Without any count.
    #[must_use]
    pub fn new(steps: &'a Steps) -> Self {
        Self { steps, flows: BTreeMap::new(), findings: BTreeMap::new(), knows_flows: true }
    }

    /// The steps that it counts for.
    #[must_use]
    pub fn steps(&self) -> &'a Steps {
        self.steps
    }

    /// Counts a flow.
    pub fn flow(&mut self, position: &Position<'_>) {
        let flows = self.flows.entry(number(position)).or_default();
        *flows = flows.saturating_add(1);
    }

    /// From now on nobody knows how many flows there were.
    pub fn forget_flows(&mut self) {
        self.knows_flows = false;
    }

    /// Counts the findings of a run: each once in every step in which a flow began that it names.
    pub fn findings(&mut self, run: &Run) {
        for finding in &run.assessment.findings {
            let flows = finding.evidence.places().map(|(flow, _)| flow);
            let numbers: BTreeSet<u64> =
                flows.filter_map(|flow| Some(number(&run.position(flow)?))).collect();
            for number in numbers {
                self.finding(number, finding.severity);
            }
        }
    }

    /// Counts a finding in the step of that number; 0 is the background.
    pub fn finding(&mut self, number: u64, severity: Severity) {
        let counts = self.findings.entry(number).or_default();
        if let Some(count) = counts.get_mut(place(severity)) {
            *count = count.saturating_add(1);
        }
    }

    /// All rows in order of time, and last the background.
    pub fn rows(&self) -> impl Iterator<Item = StepRow<'a>> {
        let steps = self.steps.all().iter().map(|step| (step.number, Some(step)));
        steps.chain([(0, None)]).map(|(number, step)| StepRow {
            step,
            flows: self.knows_flows.then(|| self.flows.get(&number).copied().unwrap_or(0)),
            findings: self.findings.get(&number).copied().unwrap_or_default(),
        })
    }
}

fn number(position: &Position<'_>) -> u64 {
    position.step.map_or(0, |step| step.number)
}

impl From<StepRow<'_>> for StoredStep {
    fn from(row: StepRow<'_>) -> Self {
        let severities =
            [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        let counts = severities.into_iter().zip(row.findings).filter(|(_, count)| *count > 0);
        Self { step: row.step.cloned(), flows: row.flows.unwrap_or(0), findings: counts.collect() }
    }
}

/// The place of a severity in [`BySeverity`].
fn place(severity: Severity) -> usize {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}
