//! A run in which everything is hostile, for the tests of all renderings, and what runs come to.

use super::*;
use crate::assess::Judgement;
use crate::report::outcome::Outcome;
use crate::report::steps::{Began, StepBasis, StepKind};
use crate::source::{MarkerOrigin, TestResult};

/// Everything that a peer, an app or a tester may name, named to do harm.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' onerror='x \u{202e}\u{7}]]>";

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
