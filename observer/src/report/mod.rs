//! Renderings of a finished run. They see a [`Run`], never the pipeline.

pub mod community_id;
pub mod exchange;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod names;
pub mod outcome;
pub mod overview;
pub mod plain;
pub mod remedy;
pub mod review;
pub mod sarif;
pub mod secrets;
pub mod step_table;
pub mod steps;
pub mod stored;
pub mod text;
pub(crate) mod wording;

use std::collections::BTreeMap;

use crate::assess::Assessment;
use crate::attribution::Listener;
use crate::rules::Finding;
use crate::source::{ClockOffset, InputSummary, Marker};

use self::steps::{Position, Steps};

/// The name and number of the machine-readable outputs' schema.
pub const SCHEMA: &str = "observer/1";

/// Bytes that a comment may have on the usual servers (65,536 characters), with room for what is around it.
const LONGEST: usize = 60_000;

/// Frames, flows and what was lost on the way: the numbers of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames read.
    pub frames: u64,
    /// Flows that ended.
    pub flows: u64,
    /// Frames without a packet, by reason, e.g. `arp`, `link type 201`.
    pub skipped: BTreeMap<String, u64>,
    /// Packets seen a second time on another interface.
    pub duplicates: u64,
    /// Frames that the capturing system lost.
    pub dropped_by_kernel: u64,
    /// Sockets whose owners were lost on the way from the kernel; `None` where no system was asked.
    pub dropped_by_ring: Option<u64>,
    /// Things that a named limit dropped, e.g. `flows evicted`, `reassembly bytes`.
    pub dropped_by_limit: BTreeMap<String, u64>,
    /// Malformed messages by protocol and field, e.g. `tls: record length`.
    pub malformed: BTreeMap<String, u64>,
    /// What came of decryption, where there is a key log: TLS flows that were decrypted, and why others, or parts of
    /// them, were not.
    pub decryption: BTreeMap<&'static str, u64>,
    /// Flows without an owner.
    pub unattributed_flows: u64,
    /// Their bytes.
    pub unattributed_bytes: u64,
    /// Flows of owners that were not asked for.
    pub unselected_flows: u64,
}

/// A finished run: what reports render and the database stores at the end. Flows go to a
/// [`FlowSink`](crate::observation::FlowSink) as they end.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// What was read.
    pub inputs: Vec<InputSummary>,
    /// The numbers.
    pub totals: Totals,
    /// Findings and verdicts.
    pub assessment: Assessment,
    /// What somebody said of the time of the capture, in the order in which it came; times are by the capture's clock.
    pub markers: Vec<Marker>,
    /// What the markers amount to.
    pub steps: Steps,
    /// How the clock of the other machine was corrected, where one was.
    pub clock_offset: Option<ClockOffset>,
    /// The sockets that waited for connections while the capture ran, in order of protocol and address.
    pub listeners: Vec<Listener>,
    /// The packages that are known of the device, in order: the uid that its first user has, name and label; either may be
    /// empty where it is unknown.
    pub packages: Vec<(u32, String, String)>,
}

impl Run {
    /// Where in the test a flow lies that a finding names; `None` in a run without steps.
    #[must_use]
    pub fn position(&self, flow: u64) -> Option<Position<'_>> {
        let (start, end) = self.assessment.flow_times.get(&flow)?;
        self.steps.position(*start, *end)
    }

    /// The names of the steps in which flows began that a finding names, each once, in the order of its places.
    #[must_use]
    pub fn steps_of(&self, finding: &Finding) -> Vec<&str> {
        let mut names = Vec::new();
        for (flow, _) in finding.evidence.places() {
            let step = self.position(flow).and_then(|position| position.step);
            if let Some(step) = step.filter(|step| !names.contains(&step.name.as_str())) {
                names.push(step.name.as_str());
            }
        }
        names
    }
}
