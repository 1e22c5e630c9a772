//! Every rule against the captures that were recorded for it: where it must speak, and where it must not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use observer::assess::{Assessment, Judgement};
use observer::pipeline::{self, Options};
use observer::policy::Policy;
use observer::rules::{Blame, Confidence, Finding, RULES, Severity};
use observer::trust::TrustStore;
use observer_captures::{Capture, Judged};

use super::program::observer;

/// What the lab's tester declares.
fn lab_policy() -> String {
    std::fs::read_to_string(observer_captures::path(observer_captures::POLICY)).expect("the lab's policy")
}

fn assess(capture: &Capture, policy: &str) -> Option<Assessment> {
    let mut trust = TrustStore::default();
    trust.add_file(&observer_captures::roots()).expect("the lab's roots");
    let policy = Policy::parse(policy).expect("a policy");
    let options = Options { threads: 2, policy, trust: Arc::new(trust), ..Options::default() };
    let source = observer::source::open(&[capture.path()]).ok()?;
    let run = pipeline::analyze(source, &options, &mut [], &mut |_read, _total| {}).ok()?;
    Some(run.assessment)
}

/// The rules that speak, each with its gravest finding.
fn spoken(assessment: &Assessment) -> BTreeMap<&'static str, Severity> {
    let mut rules = BTreeMap::new();
    for finding in &assessment.findings {
        let severity = rules.entry(finding.rule.id).or_insert(finding.severity);
        *severity = finding.severity.max(*severity);
    }
    rules
}

/// Whether a capture must say that it shows this: what was chosen weighs, an offer or a mere suspicion does not.
fn is_held(finding: &Finding) -> bool {
    finding.severity >= Severity::Medium
        && finding.confidence > Confidence::Tentative
        && !finding.rule.id.ends_with("-offered")
}

#[test]
fn every_capture_has_the_findings_that_the_manifest_says() {
    let mut problems = Vec::new();
    let policy = lab_policy();
    for capture in observer_captures::all() {
        let Some(assessment) = assess(capture, &policy) else { continue };
        let spoken = spoken(&assessment);
        for rule in capture.fires.iter().filter(|rule| !spoken.contains_key(*rule)) {
            problems.push(format!("{}: {rule} does not fire", capture.name));
        }
        for rule in capture.silent.iter().filter(|rule| spoken.contains_key(*rule)) {
            problems.push(format!("{}: {rule} fires ({})", capture.name, spoken[rule]));
        }
        for finding in assessment.findings.iter().filter(|finding| is_held(finding)) {
            let (rule, severity) = (finding.rule.id, finding.severity);
            if !capture.fires.contains(&rule) {
                problems.push(format!("{}: {rule} fires unexpectedly ({severity})", capture.name));
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// The rules with a finding when the command judges a capture as a tester does.
fn judged(capture: &Capture, run: &Judged) -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("runs.db").display().to_string();
    let text = |path: std::path::PathBuf| path.display().to_string();
    let (roots, policy) = (text(observer_captures::roots()), text(observer_captures::path(run.policy)));
    let mut words = vec!["--format", "jsonl", "--ca", &roots, "--policy", &policy];
    if run.test_ca {
        words.extend(["--test-ca", &roots]);
    }
    if run.baseline.is_some() {
        words.extend(["--db", &database]);
    }
    let analyze = |file: &str| {
        let (code, lines, stderr) = observer(&[&["analyze", file], words.as_slice()].concat());
        assert!(matches!(code, Some(0 | 1)), "{file}: {stderr}");
        rules_of(&lines)
    };
    if let Some(baseline) = run.baseline {
        analyze(&text(observer_captures::path(baseline)));
    }
    analyze(&text(capture.path())).into_iter().collect()
}

/// Rules that speak only of what a tester declares, or of earlier runs.
#[test]
fn every_capture_has_the_findings_that_the_manifest_says_of_other_testers() {
    let mut problems = Vec::new();
    for capture in observer_captures::all() {
        for run in capture.judged {
            let spoken = judged(capture, run);
            for rule in run.fires.iter().filter(|rule| !spoken.contains(**rule)) {
                problems.push(format!("{}, {run:?}: {rule} does not fire", capture.name));
            }
            for rule in run.silent.iter().filter(|rule| spoken.contains(**rule)) {
                problems.push(format!("{}, {run:?}: {rule} fires", capture.name));
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_rule_has_a_capture_and_a_near_miss() {
    let (mut fires, mut silent) = (BTreeSet::<&str>::new(), BTreeSet::<&str>::new());
    for capture in observer_captures::all() {
        let runs = capture.judged.iter().map(|run| (run.fires, run.silent));
        for (speak, miss) in runs.chain([(capture.fires, capture.silent)]) {
            fires.extend(speak);
            silent.extend(miss);
        }
    }
    let known: BTreeSet<&str> = RULES.iter().map(|rule| rule.info().id).collect();
    for rule in &known {
        assert!(fires.contains(rule), "no capture on which {rule} fires");
        assert!(silent.contains(rule), "no near miss for {rule}");
    }
    for rule in fires.union(&silent) {
        assert!(known.contains(rule), "the manifest speaks of {rule}, which is no rule");
    }
}

fn capture(name: &str) -> &'static Capture {
    observer_captures::find(name).expect("the manifest lists it")
}

/// The gravest finding of each rule in a capture under a policy.
fn under(name: &str, policy: &str) -> BTreeMap<&'static str, Severity> {
    spoken(&assess(capture(name), policy).expect("a capture that can be read"))
}

#[test]
fn pins_of_the_policy_are_compared_with_what_the_client_accepted() {
    let other = "00".repeat(32);
    let pin = |spki: &str| format!("[[pin]]\nhost = \"shop.test\"\nspki_sha256 = [\"{spki}\"]\n");
    let assessment = assess(capture("tls/tls12-good.pcap"), &pin(&other)).unwrap();
    let finding = assessment.findings.iter().find(|finding| finding.rule.id == "accepted-unpinned-key");
    let key = finding.expect("the key is not pinned").details["spki_sha256"].as_str().unwrap().to_owned();
    assert!(!under("tls/tls12-good.pcap", &pin(&key)).contains_key("accepted-unpinned-key"));
    assert!(!under("tls/tls12-good.pcap", "").contains_key("accepted-unpinned-key"));
    // TLS 1.3 hides the chain: nothing can be claimed.
    assert!(!under("tls/tls13-good.pcap", &pin(&other)).contains_key("accepted-unpinned-key"));
}

/// What the lab's plain pages lack besides TLS.
const HEADERS: &[&str] = &["missing-csp", "missing-nosniff"];

#[test]
fn an_exception_excuses_until_its_last_day_and_is_a_finding_afterwards() {
    let until = |day: &str| {
        format!(
            "[[exception]]\nrule = \"cleartext-http\"\nhost = \"news.test\"\nreason = \"it is news\"\nuntil = {day}\n"
        )
    };
    let holds = assess(capture("http/cleartext-get.pcap"), &until("2100-01-01")).unwrap();
    assert_eq!(spoken(&holds).into_keys().collect::<Vec<_>>(), HEADERS);
    assert_eq!(holds.suppressed.len(), 1);
    assert!(holds.suppressed[0].reason.contains("it is news"));
    let verdict = holds.verdicts.iter().find(|verdict| verdict.requirement == "cl-mss:5.1").unwrap();
    assert_eq!(verdict.judgement, Judgement::NoViolationObserved);

    let over = assess(capture("http/cleartext-get.pcap"), &until("2000-01-01")).unwrap();
    assert!(over.suppressed.is_empty());
    assert_eq!(
        spoken(&over).into_iter().filter(|(rule, _)| !HEADERS.contains(rule)).collect::<Vec<_>>(),
        [("cleartext-http", Severity::High), ("policy-expired-exception", Severity::Medium)]
    );
}

#[test]
fn the_platform_is_never_blamed_on_an_app() {
    let assessment = assess(capture("demo.pcapng"), &lab_policy()).unwrap();
    let check = "connectivitycheck.gstatic.com";
    let platform: Vec<&Finding> = assessment
        .findings
        .iter()
        .filter(|finding| finding.endpoint.host.as_deref() == Some(check))
        .collect();
    assert_eq!(platform.len(), 1);
    assert_eq!(platform[0].blame, Blame::Platform);
    assert!(
        assessment
            .held_against_apps(Severity::Info)
            .all(|finding| finding.endpoint.host.as_deref() != Some(check))
    );
    let judged: BTreeSet<String> =
        assessment.verdicts.iter().filter_map(|verdict| Some(verdict.owner.as_ref()?.name())).collect();
    assert!(judged.iter().all(|app| app.starts_with("com.example.")), "{judged:?}");
    assert_eq!(judged.len(), 4);
}

#[test]
fn the_scope_decides_whose_findings_count() {
    let assessment =
        assess(capture("demo.pcapng"), "[scope]\napps = [\"com.example.news\", \"com.example.absent\"]\n");
    let assessment = assessment.unwrap();
    assert_eq!(assessment.held_against_apps(Severity::Medium).count(), 0);
    assert!(assessment.findings.iter().any(|finding| finding.blame == Blame::OutOfScope));
    let judged: BTreeSet<String> =
        assessment.verdicts.iter().filter_map(|verdict| Some(verdict.owner.as_ref()?.name())).collect();
    assert_eq!(judged, BTreeSet::from(["com.example.news".to_owned()]));
    assert_eq!(assessment.notes.len(), 1);
    assert!(assessment.notes[0].contains("com.example.absent"));
}

#[test]
fn every_app_has_a_verdict_for_every_requirement() {
    let assessment = assess(capture("demo.pcapng"), &lab_policy()).unwrap();
    let rows = observer::requirements::all().count();
    assert_eq!(assessment.verdicts.len(), 4 * rows);
    for verdict in &assessment.verdicts {
        assert!(!verdict.reason.is_empty(), "{} without a reason", verdict.requirement);
        assert!(
            (verdict.judgement == Judgement::Violated) <= (verdict.findings > 0),
            "{}",
            verdict.requirement
        );
    }
    let of = |app: &str, requirement: &str| {
        let mut verdicts = assessment.verdicts.iter();
        let verdict = verdicts.find(|verdict| {
            verdict.requirement == requirement
                && verdict.owner.as_ref().is_some_and(|owner| owner.name() == app)
        });
        verdict.expect("a verdict").judgement
    };
    assert_eq!(of("com.example.shop", "cl-mss:5.1"), Judgement::Violated);
    assert_eq!(of("com.example.chat", "cl-mss:5.5"), Judgement::Violated);
    assert_eq!(of("com.example.weather", "cl-mss:5.2"), Judgement::Violated);
    assert_eq!(of("com.example.news", "cl-mss:5.1"), Judgement::NoViolationObserved);
    assert_eq!(of("com.example.news", "cl-mss:5.8"), Judgement::NotObservable);
    assert_eq!(of("com.example.news", "cl-mss:5.9"), Judgement::NotExercised);
}

#[test]
fn what_is_opaque_is_neither_protected_nor_violated() {
    let verdict = |names: &[&str], filter: &str| {
        let paths: Vec<_> = names.iter().map(|name| capture(name).path()).collect();
        let source = observer::source::open_filtered(&paths, Some(filter)).expect("captures");
        let run = pipeline::analyze(source, &Options::default(), &mut [], &mut |_read, _total| {}).unwrap();
        let mut verdicts = run.assessment.verdicts.into_iter();
        let verdict = verdicts.find(|verdict| verdict.requirement == "cl-mss:5.1").expect("a verdict");
        (verdict.judgement, verdict.reason)
    };
    let judgement = |name: &str| verdict(&[name], "").0;
    assert_eq!(judgement("unknown/opaque.pcap"), Judgement::Inconclusive);
    assert_eq!(judgement("unknown/line-protocol.pcap"), Judgement::Violated);
    assert_eq!(judgement("dns/a-aaaa-https.pcap"), Judgement::NotExercised);
    let (good, reason) = verdict(&["tls/tls13-good.pcap"], "");
    assert_eq!(good, Judgement::NoViolationObserved);
    assert_eq!(reason, "1 flow with payload to 1 endpoint broke nothing");
    // Flows beside it that are protected do not protect it.
    let (mixed, reason) = verdict(&["tls/tls13-good.pcap", "unknown/opaque.pcap"], "");
    assert_eq!(mixed, Judgement::Inconclusive);
    assert!(reason.contains("(1 of 2 flows)"), "{reason}");
    // Text whose beginning is missing is no proof of cleartext, and no proof of protection either.
    let (late, reason) = verdict(&["unknown/line-protocol.pcap"], "tcp[tcpflags] & tcp-syn == 0");
    assert_eq!(late, Judgement::Inconclusive);
    assert!(reason.contains("like text"), "{reason}");
}

#[test]
fn findings_are_the_same_with_any_number_of_threads() {
    let render = |threads: usize| {
        let options = Options { threads, ..Options::default() };
        let source = observer::source::open(&[capture("demo.pcapng").path()]).unwrap();
        let run = pipeline::analyze(source, &options, &mut [], &mut |_read, _total| {}).unwrap();
        format!("{:?}", run.assessment)
    };
    assert_eq!(render(1), render(8));
}

#[test]
fn the_command_line_explains_every_rule() {
    let (code, list, _) = observer(&["rules"]);
    assert_eq!(code, Some(0));
    for rule in RULES.iter().map(|rule| rule.info()) {
        assert!(list.contains(rule.id), "{} is not listed", rule.id);
        let (code, text, _) = observer(&["rules", "explain", rule.id]);
        assert_eq!(code, Some(0));
        assert!(text.contains("Blind spots") && text.contains(rule.summary), "{text}");
    }
    let (code, stdout, stderr) = observer(&["rules", "explain", "cleartext-htp"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("did you mean cleartext-http?"), "{stderr}");
}

#[test]
fn the_command_line_lists_requirements_by_standard() {
    let (code, text, _) = observer(&["requirements", "--standard", "cl-mss"]);
    assert_eq!(code, Some(0));
    for number in 1..=9 {
        assert!(text.contains(&format!("cl-mss:5.{number}")), "{text}");
    }
    assert!(!text.contains("masvs:"));
    let (code, _, stderr) = observer(&["requirements", "--standard", "pci"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("cl-mss, masvs, asvs"), "{stderr}");
}

#[test]
fn authorities_of_the_tester_are_trusted() {
    let file = capture("tls/tls12-good.pcap").path().display().to_string();
    let roots = observer_captures::roots().display().to_string();
    assert_eq!(observer(&["analyze", &file]).0, Some(1));
    assert_eq!(observer(&["analyze", &file, "--ca", &roots]).0, Some(0));
    assert_eq!(observer(&["analyze", &file, "--ca", &file]).0, Some(3));
}

#[test]
fn the_tester_chooses_what_counts_as_weak() {
    let said = |policy: &str| {
        let file = capture("tls/cipher-static-rsa.pcap").path().display().to_string();
        let (_, text, _) = observer(&["analyze", &file, "--format", "jsonl", "--tls-policy", policy]);
        let findings = text.lines().filter(|line| line.contains("\"weak-cipher-negotiated\""));
        findings.map(|line| line.contains("\"severity\":\"medium\"")).collect::<Vec<_>>()
    };
    assert_eq!(said("rfc9325+rfc10015"), [true]);
    assert_eq!(said("rfc9325"), [false]);
    assert_eq!(said("mozilla-6.0-intermediate"), [true]);
    assert_eq!(said("nist-sp800-52r2"), [true]);
    assert_eq!(said("mastg-0218"), [] as [bool; 0]);
    let (code, _, stderr) = observer(&["analyze", "x.pcap", "--tls-policy", "sslyze"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("nist-sp800-52r2"), "{stderr}");
}

/// The records of one type in JSON Lines, as text.
fn records<'a>(lines: &'a str, kind: &str) -> Vec<&'a str> {
    let start = format!("{{\"type\":\"{kind}\"");
    lines.lines().filter(|line| line.starts_with(&start)).collect()
}

/// The rules of the findings in JSON Lines.
fn rules_of(lines: &str) -> Vec<String> {
    let findings = records(lines, "finding").into_iter();
    findings
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|record| record["rule"]["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[test]
fn who_takes_the_tester_s_authority_pins_nothing() {
    let roots = observer_captures::roots().display().to_string();
    let under = |name: &str, options: &[&str]| {
        let file = capture(name).path().display().to_string();
        let words = [&["analyze", &file, "--format", "jsonl"], options].concat();
        let (_, lines, _) = observer(&words);
        let rules = rules_of(&lines);
        let verdicts = records(&lines, "verdict").into_iter();
        let mut verdict = verdicts.map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let verdict = verdict.rfind(|record| record["requirement"] == "cl-mss:5.7").expect("a verdict");
        (rules, verdict["verdict"].as_str().expect("a word").to_owned())
    };
    let (rules, verdict) = under("pinning/taken.pcap", &["--test-ca", &roots, "--ca", &roots]);
    assert_eq!((rules, verdict.as_str()), (vec!["accepted-test-ca".to_owned()], "violated"));
    // Where the device does not trust it, it is the graver fault to take it.
    let (rules, _) = under("pinning/taken.pcap", &["--test-ca", &roots]);
    assert_eq!(rules, ["accepted-untrusted-chain", "accepted-test-ca"]);
    let (rules, verdict) = under("pinning/refused.pcap", &["--test-ca", &roots, "--ca", &roots]);
    assert_eq!((rules, verdict.as_str()), (Vec::new(), "no_violation_observed"));
    let (rules, verdict) = under("pinning/taken.pcap", &["--ca", &roots]);
    assert_eq!((rules, verdict.as_str()), (Vec::new(), "not_exercised"));
}

#[test]
fn a_key_that_no_earlier_run_saw_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("runs.db").display().to_string();
    let roots = observer_captures::roots().display().to_string();
    let changed = |name: &str| {
        let file = capture(name).path().display().to_string();
        let words = ["analyze", &file, "--format", "jsonl", "--db", &database, "--ca", &roots];
        let (code, lines, _) = observer(&words);
        assert_eq!(code, Some(0));
        records(&lines, "finding").iter().filter(|line| line.contains("\"server-key-changed\"")).count()
    };
    // The first run knows nothing, the same key is no news, another one is; then both are known.
    assert_eq!(changed("pinning/taken.pcap"), 0);
    assert_eq!(changed("pinning/refused.pcap"), 0);
    assert_eq!(changed("pinning/other-key.pcap"), 1);
    assert_eq!(changed("pinning/taken.pcap"), 0);
    assert_eq!(changed("pinning/other-key.pcap"), 0);
}
