//! A run as the database holds it: what the reports that are made afterwards render.
//!
//! Everything in it is bounded ([`Bounds`]), and what a bound left out is counted: the database has all of it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::Outcome;
use super::steps::{self, Began, Step};
use super::wording::{self, cl_mss, count, list};
use crate::assess::Judgement;
use crate::assess::baseline::{Baseline, Compared, Comparison, JudgedBy, Seen, Standing, Weight};
use crate::rules::{self, RuleInfo, Severity};
use crate::source::ClockOffset;
use crate::time::Timestamp;

/// Apps that a headline names.
const APPS: usize = 5;

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

/// An app, or the traffic that has no owner.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoredApp {
    /// The name that people know it by; `None` is traffic without an owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How owners were found, e.g. `ebpf`, `recorded`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Flows.
    pub flow_count: u64,
    /// Their bytes in both directions, headers included.
    pub bytes: u64,
    /// One for each requirement; empty where it is not judged.
    pub verdicts: Vec<StoredVerdict>,
    /// The gravest first.
    pub findings: Vec<StoredFinding>,
    /// Those that an exception or the platform's ways excuse.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<StoredFinding>,
    /// With whom it spoke.
    pub endpoints: Vec<StoredEndpoint>,
    /// Completed handshakes by version and suite.
    pub sessions: Vec<StoredSessions>,
    /// Its flows in order of time.
    pub flows: Vec<StoredFlow>,
}

impl StoredApp {
    /// Whether verdicts are given on it: apps in scope alone have some.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        !self.verdicts.is_empty()
    }

    /// What its verdicts on CL MSS come to; `None` where it is not judged.
    #[must_use]
    pub fn judgement(&self) -> Option<Judgement> {
        let any = |judgement| self.verdicts.iter().any(|verdict| verdict.judgement == judgement);
        [
            Judgement::Violated,
            Judgement::Inconclusive,
            Judgement::NoViolationObserved,
            Judgement::NotExercised,
        ]
        .into_iter()
        .find(|judgement| any(*judgement))
        .or_else(|| self.is_judged().then_some(Judgement::NotObservable))
    }

    /// The findings that count against it, gravest first.
    pub fn held(&self) -> impl Iterator<Item = &StoredFinding> {
        self.findings.iter().filter(|finding| finding.is_held())
    }
}

/// A conclusion on one requirement.
#[derive(Clone, Debug, Serialize)]
pub struct StoredVerdict {
    /// E.g. `cl-mss:5.1`.
    pub requirement: String,
    /// What holds.
    pub judgement: Judgement,
    /// Findings that bear on it.
    pub findings: u64,
    /// Far ends that bear on it.
    pub endpoints: u64,
    /// Flows that bear on it.
    pub flows: u64,
    /// Why, and what to check instead.
    pub reason: String,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub struct StoredFinding {
    /// The rule's name.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// How sure: `certain`, `firm` or `tentative`.
    pub confidence: String,
    /// Whom it is held against, e.g. `app`.
    pub blame: String,
    /// The far end's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The far end's address.
    pub ip: String,
    /// The far end's port.
    pub port: u16,
    /// One sentence with what was seen.
    pub message: String,
    /// The requirements that it breaks.
    pub requirements: Vec<String>,
    /// The values that it rests on.
    pub evidence: serde_json::Map<String, serde_json::Value>,
    /// Equal for equal findings of different runs.
    pub fingerprint: String,
    /// Flow and frame of each place; the first is what it was seen in first.
    pub places: Vec<(u64, u64)>,
    /// The step of the test in which the first of its flows began; `None` beside a `began` is background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How it began; `None` where the run has no steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Began>,
    /// All steps in which flows began that it was seen in, if more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// When that flow began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What it is beside the baseline, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Standing>,
    /// Why it is not held against anybody, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<String>,
}

impl StoredFinding {
    /// Whether it counts against an app in scope, or against the capture as a whole.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.suppressed.is_none() && matches!(self.blame.as_str(), "app" | "capture")
    }

    /// Whether the baseline has it: then it does not weigh.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.baseline == Some(Standing::Known)
    }

    /// The rule, where this version has it.
    #[must_use]
    pub fn info(&self) -> Option<&'static RuleInfo> {
        rules::RULES.iter().map(|rule| rule.info()).find(|info| info.id == self.rule)
    }

    /// In which step it was seen, in words; `None` where the run has no steps.
    #[must_use]
    pub fn step_in_words(&self) -> Option<String> {
        Some(steps::in_words(self.step.as_deref(), self.began?, self.steps.iter().map(String::as_str)))
    }

    /// `shop.test:80`; the address where there is no name.
    #[must_use]
    pub fn endpoint(&self) -> String {
        endpoint(self.host.as_deref().unwrap_or(&self.ip), Some(self.port))
    }

    /// A display filter of Wireshark for its frames.
    #[must_use]
    pub fn filter(&self) -> String {
        let mut frames: Vec<_> = self.places.iter().map(|(_, frame)| *frame).collect();
        frames.sort_unstable();
        frames.dedup();
        let frames: Vec<_> = frames.iter().map(u64::to_string).collect();
        format!("frame.number in {{{}}}", frames.join(", "))
    }
}

/// `host:port`, with brackets around an IPv6 address.
#[must_use]
pub fn endpoint(host: &str, port: Option<u16>) -> String {
    match port {
        None | Some(0) => host.to_owned(),
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
    }
}

/// A far end of one app, by protection.
#[derive(Clone, Debug, Serialize)]
pub struct StoredEndpoint {
    /// Its name, or its address.
    pub host: String,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `tcp`, `udp`, …
    pub transport: String,
    /// The innermost protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What the bytes were worth, e.g. `encrypted`.
    pub protection: String,
    /// Negotiated versions, e.g. `TLS 1.3`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// Negotiated cipher suites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ciphers: Vec<String>,
    /// Flows.
    pub flows: u64,
    /// Of these, flows with a completed handshake.
    pub established: u64,
    /// Bytes that the app sent.
    pub sent: u64,
    /// Bytes that it received.
    pub received: u64,
    /// The first frame of the first flow.
    pub first_frame: u64,
}

impl StoredEndpoint {
    /// `shop.test:443`.
    #[must_use]
    pub fn name(&self) -> String {
        endpoint(&self.host, self.port)
    }
}

/// Flows whose handshakes came to the same version and suite.
#[derive(Clone, Debug, Serialize)]
pub struct StoredSessions {
    /// E.g. `TLS 1.3`.
    pub version: String,
    /// E.g. `TLS_AES_128_GCM_SHA256`.
    pub cipher: String,
    /// How many.
    pub flows: u64,
}

/// A flow in time.
#[derive(Clone, Debug, Serialize)]
pub struct StoredFlow {
    /// Its number in the run.
    pub flow: u64,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// With whom.
    pub host: String,
    /// The far end's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What its bytes were worth.
    pub protection: String,
    /// Its layers, outermost first.
    pub layers: Vec<String>,
    /// Bytes in both directions.
    pub bytes: u64,
    /// The step of the test in which it began; `None` beside a `began` is background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How it began; `None` where the run has no steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Began>,
    /// Steps that began while it went on.
    pub spans: u64,
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::steps::{StepBasis, StepKind};
    use crate::source::{MarkerOrigin, TestResult};

    /// Everything that a peer, an app or a tester may name, named to do harm.
    const HOSTILE: &str =
        "\"><script>alert(1)</script><img src=x onerror=alert(1)>' onerror='x \u{202e}\u{7}]]>";

    /// A run in which every text is hostile.
    pub(in crate::report) fn hostile_run() -> StoredRun {
        let text = || HOSTILE.to_owned();
        let finding = StoredFinding {
            rule: "cleartext-http".to_owned(),
            severity: Severity::High,
            confidence: "certain".to_owned(),
            blame: "app".to_owned(),
            host: Some(text()),
            ip: "192.0.2.1".to_owned(),
            port: 80,
            message: text(),
            requirements: vec!["cl-mss:5.1".to_owned(), text()],
            evidence: [(text(), text().into())].into_iter().collect(),
            fingerprint: "0123".to_owned(),
            places: vec![(1, 4)],
            step: Some(text()),
            began: Some(Began::Grace),
            steps: vec![text(), text()],
            at: Some(Timestamp(5)),
            baseline: None,
            suppressed: None,
        };
        let excused = StoredFinding { suppressed: Some(text()), ..finding.clone() };
        let verdict = StoredVerdict {
            requirement: "cl-mss:5.1".to_owned(),
            judgement: Judgement::Violated,
            findings: 1,
            endpoints: 1,
            flows: 1,
            reason: text(),
        };
        let endpoint = StoredEndpoint {
            host: text(),
            port: Some(80),
            transport: "tcp".to_owned(),
            protocol: Some(text()),
            protection: text(),
            versions: vec![text()],
            ciphers: vec![text()],
            flows: 1,
            established: 0,
            sent: 1,
            received: 1,
            first_frame: 1,
        };
        let flow = StoredFlow {
            flow: 1,
            start: Timestamp(5),
            end: Timestamp(9_000_000_000),
            host: text(),
            port: Some(80),
            protection: text(),
            layers: vec![text()],
            bytes: 2,
            step: Some(text()),
            began: Some(Began::Inside),
            spans: 1,
        };
        let app = StoredApp {
            name: Some(text()),
            uid: Some(10_123),
            label: Some(text()),
            methods: vec![text()],
            flow_count: 1,
            bytes: 2,
            verdicts: vec![verdict],
            findings: vec![finding],
            suppressed: vec![excused],
            endpoints: vec![endpoint],
            sessions: vec![StoredSessions { version: text(), cipher: text(), flows: 1 }],
            flows: vec![flow],
        };
        StoredRun {
            run: 1,
            tool_version: text(),
            finished: true,
            inputs: vec![StoredInput { path: text(), frames: 4, ..StoredInput::default() }],
            frames: 4,
            flows: 1,
            lost: [(text(), 1)].into_iter().collect(),
            unattributed_flows: 1,
            inconclusive: Some(text()),
            notes: vec![text()],
            apps: vec![app],
            steps: vec![StoredStep {
                step: Some(Step {
                    number: 1,
                    name: text(),
                    kind: StepKind::Test,
                    origin: MarkerOrigin::Logcat,
                    start: Timestamp(0),
                    end: None,
                    result: Some(TestResult::Unfinished),
                    basis: StepBasis::Observed,
                }),
                flows: 1,
                findings: [(Severity::High, 1)].into_iter().collect(),
            }],
            ..StoredRun::default()
        }
    }

    #[test]
    fn findings_go_before_doubts() {
        let run = hostile_run();
        assert_eq!(run.outcome(Some(Severity::High)), Outcome::Findings(1));
        assert!(matches!(run.outcome(Some(Severity::Critical)), Outcome::Inconclusive(_)));
        let killed = StoredRun { finished: false, inconclusive: None, ..StoredRun::default() };
        assert!(matches!(killed.outcome(None), Outcome::Inconclusive(_)));
        assert_eq!(StoredRun { finished: true, ..killed }.headline(None), "no violation observed");
    }

    #[test]
    fn an_endpoint_is_written_as_a_url_would() {
        assert_eq!(endpoint("shop.test", Some(443)), "shop.test:443");
        assert_eq!(endpoint("2001:db8::1", Some(443)), "[2001:db8::1]:443");
        assert_eq!(endpoint("224.0.0.251", None), "224.0.0.251");
    }
}
