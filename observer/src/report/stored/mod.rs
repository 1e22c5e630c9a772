//! A run as the database holds it: what the reports that are made afterwards render.
//!
//! Everything in it is bounded ([`Bounds`]), and what a bound left out is counted: the database has all of it.

mod app;
mod finding;
mod outcome;
#[cfg(test)]
pub(super) mod tests;
mod traffic;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::app::{StoredApp, StoredVerdict};
pub use self::finding::StoredFinding;
pub use self::traffic::{StoredEndpoint, StoredFlow, StoredSessions, endpoint};
use super::steps::Step;
use crate::assess::baseline::{Comparison, JudgedBy};
use crate::rules::Severity;
use crate::source::ClockOffset;
use crate::time::Timestamp;

/// How much of a run a report holds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Findings, the gravest first.
    pub findings: usize,
    /// Places of a finding beside the first.
    pub places: usize,
    /// Endpoints, in order of app and name.
    pub endpoints: usize,
    /// Flows, in order of time.
    pub flows: usize,
    /// Steps of a test.
    pub steps: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { findings: 10_000, places: 16, endpoints: 5_000, flows: 10_000, steps: 10_000 }
    }
}

/// A run that was read back from a database.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoredRun {
    /// Its number in the database.
    pub run: i64,
    /// The version of the program that wrote it.
    pub tool_version: String,
    /// Whether it was written to its end; the run of a program that was killed was not.
    pub finished: bool,
    /// When it began, by the clock on the wall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// What was read.
    pub inputs: Vec<StoredInput>,
    /// Frames read.
    pub frames: u64,
    /// Flows that ended.
    pub flows: u64,
    /// What was lost on the way, by what lost it, e.g. `kernel`, `flows evicted`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<String, u64>,
    /// Flows without an owner.
    pub unattributed_flows: u64,
    /// Their bytes.
    pub unattributed_bytes: u64,
    /// Why the absence of findings says nothing, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<String>,
    /// What the tester ought to know of the policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What it was judged by; `None` where an earlier version did not note it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged_by: Option<JudgedBy>,
    /// What its findings are beside those of an earlier run, where there is one to hold them against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Comparison>,
    /// The apps, those with the gravest findings first.
    pub apps: Vec<StoredApp>,
    /// The steps of the test, in order of time, and last what began in none of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StoredStep>,
    /// How the times of another machine's clock were corrected, where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_offset: Option<ClockOffset>,
    /// What the bounds left out, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<&'static str, u64>,
}

/// A capture file or an interface.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoredInput {
    /// Its path, or the interface's name.
    pub path: String,
    /// E.g. `pcapng`.
    pub format: String,
    /// Frames read.
    pub frames: u64,
    /// When the first was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// When the last was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

/// A step of a test, with what began in it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoredStep {
    /// `None` is the background.
    #[serde(flatten)]
    pub step: Option<Step>,
    /// Flows that began in it.
    pub flows: u64,
    /// Findings that were seen in at least one of them, by severity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub findings: BTreeMap<Severity, u64>,
}

impl StoredRun {
    /// From the first frame to the last, or from the first flow to the last where no input says it.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let flows = || self.apps.iter().flat_map(|app| &app.flows);
        let first =
            self.inputs.iter().filter_map(|input| input.first).chain(flows().map(|flow| flow.start)).min();
        let last =
            self.inputs.iter().filter_map(|input| input.last).chain(flows().map(|flow| flow.end)).max();
        Some((first?, last?))
    }

    /// How an app is called in this run.
    #[must_use]
    pub fn name<'a>(&self, app: &'a StoredApp) -> &'a str {
        let owners = self.apps.iter().any(|app| app.name.is_some());
        app.name.as_deref().unwrap_or(if owners { "Unattributed traffic" } else { "All traffic" })
    }
}
