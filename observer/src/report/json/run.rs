//! The records that are known only at the end of a run: `meta`, `finding`, `verdict`, `summary`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Map, Value};

use super::shown;
use crate::assess::baseline::{Comparison, Standing};
use crate::assess::{Judgement, Suppressed, Verdict};
use crate::attribution::{Listener, Method, Owner};
use crate::report::names;
use crate::report::step_table::StepRow;
use crate::report::steps::{Began, Position, Step};
use crate::report::{Run, SCHEMA, Totals};
use crate::rules::{Blame, Confidence, Finding, Severity};
use crate::source::{FrameNumber, InputSummary, Marker};

/// What the run read and with what.
#[derive(Serialize)]
pub(super) struct MetaRecord<'a> {
    r#type: &'static str,
    schema: &'static str,
    tool: Tool,
    inputs: &'a [InputSummary],
    attribution: &'a BTreeSet<Method>,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

impl<'a> MetaRecord<'a> {
    /// The record of `run`, some of whose owners were found by `methods`.
    pub(super) fn new(run: &'a Run, methods: &'a BTreeSet<Method>) -> Self {
        Self {
            r#type: "meta",
            schema: SCHEMA,
            tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
            inputs: &run.inputs,
            attribution: methods,
        }
    }
}

/// A word from somebody who watched.
#[derive(Serialize)]
pub(super) struct MarkerRecord<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    marker: &'a Marker,
}

impl<'a> MarkerRecord<'a> {
    /// The record of `marker`.
    pub(super) fn new(marker: &'a Marker) -> Self {
        Self { r#type: "marker", marker }
    }
}

/// A step with what began in it; without a step it is the background.
#[derive(Serialize)]
pub(super) struct StepRecord<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    step: Option<&'a Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    began: Option<Began>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flows: Option<u64>,
    findings: Findings,
}

impl<'a> StepRecord<'a> {
    /// The record of a row of the table.
    pub(super) fn new(row: StepRow<'a>) -> Self {
        let [info, low, medium, high, critical] = row.findings;
        Self {
            r#type: "step",
            step: row.step,
            began: row.step.is_none().then_some(Began::Background),
            flows: row.flows,
            findings: Findings { critical, high, medium, low, info },
        }
    }
}

/// A socket that waited for connections.
#[derive(Serialize)]
pub(super) struct ListenerRecord<'a> {
    r#type: &'static str,
    #[serde(serialize_with = "shown")]
    transport: names::TransportName,
    ip: IpAddr,
    port: u16,
    owner: &'a Owner,
}

impl<'a> ListenerRecord<'a> {
    /// The record of `listener`.
    pub(super) fn new(listener: &'a Listener) -> Self {
        Self {
            r#type: "listener",
            transport: names::TransportName(listener.transport),
            ip: listener.local.ip,
            port: listener.local.port,
            owner: &listener.owner,
        }
    }
}

/// A finding.
#[derive(Serialize)]
pub(super) struct FindingRecord<'a> {
    r#type: &'static str,
    rule: RuleRecord,
    requirements: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a Owner>,
    blame: Blame,
    endpoint: EndpointRecord<'a>,
    /// In how many flows it was seen, of which `flows` names the first.
    flow_count: u64,
    flows: Vec<u64>,
    frames: Vec<FrameNumber>,
    message: &'a str,
    evidence: &'a Map<String, Value>,
    fingerprint: String,
    /// Where the flow began that it was seen in first.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Position<'a>>,
    /// Where all of them began, if in several steps.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    steps: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Standing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct RuleRecord {
    id: &'static str,
    severity: Severity,
    confidence: Confidence,
}

#[derive(Serialize)]
struct EndpointRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    ip: IpAddr,
    port: u16,
}

impl<'a> FindingRecord<'a> {
    /// The record of a finding of `run`.
    pub(super) fn new(finding: &'a Finding, run: &'a Run) -> Self {
        let steps = run.steps_of(finding);
        Self {
            r#type: "finding",
            rule: RuleRecord {
                id: finding.rule.id,
                severity: finding.severity,
                confidence: finding.confidence,
            },
            requirements: finding.rule.requirements,
            owner: finding.owner.as_deref(),
            blame: finding.blame,
            endpoint: EndpointRecord {
                host: finding.endpoint.host.as_deref(),
                ip: finding.endpoint.ip,
                port: finding.endpoint.port,
            },
            flow_count: finding.flows,
            flows: once_each(finding.evidence.places().map(|(flow, _frame)| flow)),
            frames: once_each(finding.evidence.places().map(|(_flow, frame)| frame)),
            message: &finding.message,
            evidence: &finding.details,
            fingerprint: finding.fingerprint(),
            step: run.position(finding.evidence.primary.0),
            steps: if steps.len() > 1 { steps } else { Vec::new() },
            baseline: run.assessment.standing(finding),
            reason: None,
        }
    }

    /// The record of a finding that an exception excuses: of a type of its own, so that nobody counts it.
    pub(super) fn suppressed(suppressed: &'a Suppressed, run: &'a Run) -> Self {
        Self {
            r#type: "suppressed",
            baseline: run.assessment.excused_standing(&suppressed.finding),
            reason: Some(&suppressed.reason),
            ..Self::new(&suppressed.finding, run)
        }
    }
}

/// Each value once, in order of its first appearance.
fn once_each(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    values.filter(|value| seen.insert(*value)).collect()
}

/// A verdict.
#[derive(Serialize)]
pub(super) struct VerdictRecord<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a Owner>,
    requirement: &'static str,
    verdict: Judgement,
    findings: u64,
    exercised: Exercised,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
}

#[derive(Serialize)]
struct Exercised {
    endpoints: u64,
    flows: u64,
    bytes: u64,
}

impl<'a> VerdictRecord<'a> {
    /// The record of `verdict`.
    pub(super) fn new(verdict: &'a Verdict) -> Self {
        Self {
            r#type: "verdict",
            owner: verdict.owner.as_deref(),
            requirement: verdict.requirement,
            verdict: verdict.judgement,
            findings: verdict.findings,
            exercised: Exercised { endpoints: verdict.endpoints, flows: verdict.flows, bytes: verdict.bytes },
            reason: &verdict.reason,
        }
    }
}

/// The numbers of the run.
#[derive(Serialize)]
pub(super) struct SummaryRecord<'a> {
    r#type: &'static str,
    frames: u64,
    flows: u64,
    findings: Findings,
    suppressed: usize,
    dropped: Dropped<'a>,
    unattributed: Unattributed,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    malformed: &'a BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    decryption: &'a BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    skipped: &'a BTreeMap<String, u64>,
    duplicates: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<&'a Comparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inconclusive: Option<String>,
}

#[derive(Default, Serialize)]
struct Findings {
    critical: u64,
    high: u64,
    medium: u64,
    low: u64,
    info: u64,
}

#[derive(Serialize)]
struct Dropped<'a> {
    kernel: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring: Option<u64>,
    limit: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Unattributed {
    flows: u64,
    bytes: u64,
}

impl<'a> SummaryRecord<'a> {
    /// The record of `run`.
    pub(super) fn new(run: &'a Run) -> Self {
        let Totals { frames, flows, duplicates, .. } = run.totals;
        let mut findings = Findings::default();
        for finding in &run.assessment.findings {
            let count = match finding.severity {
                Severity::Critical => &mut findings.critical,
                Severity::High => &mut findings.high,
                Severity::Medium => &mut findings.medium,
                Severity::Low => &mut findings.low,
                Severity::Info => &mut findings.info,
            };
            *count = count.saturating_add(1);
        }
        Self {
            r#type: "summary",
            frames,
            flows,
            findings,
            suppressed: run.assessment.suppressed.len(),
            dropped: Dropped {
                kernel: run.totals.dropped_by_kernel,
                ring: run.totals.dropped_by_ring,
                limit: run.totals.dropped_by_limit.values().sum(),
                limits: &run.totals.dropped_by_limit,
            },
            unattributed: Unattributed {
                flows: run.totals.unattributed_flows,
                bytes: run.totals.unattributed_bytes,
            },
            malformed: &run.totals.malformed,
            decryption: &run.totals.decryption,
            skipped: &run.totals.skipped,
            duplicates,
            notes: &run.assessment.notes,
            baseline: run.assessment.baseline.as_ref(),
            inconclusive: run.doubt(),
        }
    }
}
