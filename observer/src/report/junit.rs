//! JUnit's XML as CI servers read it: a suite an app, a case a requirement of CL MSS and endpoint.
//!
//! A case fails where a finding of weight that no baseline knows is held against the app; it is skipped where nothing can be concluded, with the
//! reason. Where what was put to the test is not one endpoint, the case is the requirement alone.

use std::collections::BTreeMap;
use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::remedy::remedy;
use super::stored::{StoredApp, StoredEndpoint, StoredFinding, StoredRun, StoredVerdict};
use super::wording::{cl_mss, title};
use crate::assess::Judgement;
use crate::assess::baseline::Standing;
use crate::requirements::{self, Exercise};
use crate::rules::Severity;

/// Writes `run`, whose findings weigh from `fail_on` on; with `None`, none does.
///
/// # Errors
/// Those of `out`.
pub fn render(run: &StoredRun, fail_on: Option<Severity>, out: &mut dyn Write) -> io::Result<()> {
    let mut report = Report::new("observer");
    for app in run.apps.iter().filter(|app| app.is_judged()) {
        report.add_test_suite(suite(run, app, fail_on));
    }
    if report.test_suites.is_empty() {
        let reason = match run.inconclusive.as_deref() {
            Some(reason) => reason,
            None if run.finished => "no app in scope has traffic",
            None => "the run was not written to its end",
        };
        let mut suite = TestSuite::new(run.inputs.first().map_or("observer", |input| input.path.as_str()));
        suite.add_test_case(TestCase::new("run", skipped(reason)));
        report.add_test_suite(suite);
    }
    report.serialize(out).map_err(io::Error::other)
}

fn suite(run: &StoredRun, app: &StoredApp, fail_on: Option<Severity>) -> TestSuite {
    let name = run.name(app);
    let mut suite = TestSuite::new(name);
    if let Some(uid) = app.uid {
        suite.add_property(Property::new("uid", uid.to_string()));
    }
    for (what, count) in &run.lost {
        suite.add_property(Property::new(format!("lost by {what}"), count.to_string()));
    }
    for verdict in &app.verdicts {
        if let Some(number) = cl_mss(&verdict.requirement) {
            for mut case in cases(app, verdict, number, fail_on) {
                case.set_classname(format!("{name}.CL-MSS-{number}"));
                suite.add_test_case(case);
            }
        }
    }
    suite
}

fn cases(app: &StoredApp, verdict: &StoredVerdict, number: &str, fail_on: Option<Severity>) -> Vec<TestCase> {
    let whole = format!("{number} {}", title(number));
    let mut endpoints: BTreeMap<String, Vec<&StoredFinding>> = BTreeMap::new();
    let bearing = |finding: &&StoredFinding| finding.requirements.contains(&verdict.requirement);
    for finding in app.held().filter(bearing) {
        endpoints.entry(finding.endpoint()).or_default().push(finding);
    }
    let mut excused: BTreeMap<String, Vec<&StoredFinding>> = BTreeMap::new();
    for finding in app.suppressed.iter().filter(bearing) {
        endpoints.entry(finding.endpoint()).or_default();
        excused.entry(finding.endpoint()).or_default().push(finding);
    }
    let exercise = requirements::find(&verdict.requirement).map_or(Exercise::None, |row| row.exercise);
    let exercises = |endpoint: &&StoredEndpoint| match exercise {
        Exercise::Payload => endpoint.protection != "empty",
        Exercise::Handshake => !endpoint.versions.is_empty(),
        _ => false,
    };
    for endpoint in app.endpoints.iter().filter(exercises) {
        endpoints.entry(endpoint.name()).or_default();
    }
    let clean = || match verdict.judgement {
        Judgement::NotExercised | Judgement::NotObservable | Judgement::Inconclusive => {
            skipped(&verdict.reason)
        }
        Judgement::Violated | Judgement::NoViolationObserved => TestCaseStatus::success(),
    };
    if endpoints.is_empty() {
        return vec![TestCase::new(whole, clean())];
    }
    let case = |(endpoint, findings): (String, Vec<&StoredFinding>)| {
        let weighty: Vec<&StoredFinding> = findings
            .iter()
            .copied()
            .filter(|finding| fail_on.is_some_and(|least| finding.severity >= least) && !finding.is_known())
            .collect();
        let excused = excused.get(&endpoint).map(Vec::as_slice).unwrap_or_default();
        let status = match excused.first() {
            _ if !weighty.is_empty() => failure(&weighty),
            Some(first) if findings.is_empty() => skipped(&excuse(first)),
            _ => clean(),
        };
        let mut case = TestCase::new(format!("{whole}: {endpoint}"), status);
        let mut beside = String::new();
        if weighty.is_empty() {
            beside.push_str(&described(&findings));
        }
        beside.extend(excused.iter().map(|finding| format!("{}\n{}\n\n", excuse(finding), finding.message)));
        if !beside.is_empty() {
            case.set_system_out(beside);
        }
        case
    };
    endpoints.into_iter().map(case).collect()
}

/// Why a finding does not count.
fn excuse(finding: &StoredFinding) -> String {
    format!("excused: {}: {}", finding.rule, finding.suppressed.as_deref().unwrap_or_default())
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}

fn failure(findings: &[&StoredFinding]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    if let Some(first) = findings.first() {
        status.set_message(first.message.as_str());
        status.set_type(first.rule.as_str());
    }
    status.set_description(described(findings));
    status
}

fn described(findings: &[&StoredFinding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let severity = finding.severity.as_str().to_uppercase();
        text.push_str(&format!(
            "{severity} {} ({})\n{}\n",
            finding.rule, finding.confidence, finding.message
        ));
        match finding.baseline {
            Some(Standing::Known) => text.push_str("Known: the baseline has it, so that it does not fail.\n"),
            Some(Standing::Worse) => text.push_str("Worse: the baseline has it with a lower severity.\n"),
            Some(Standing::New) => text.push_str("New: the baseline has it not.\n"),
            None => {}
        }
        text.push_str(&format!("Wireshark: {}\n", finding.filter()));
        if let Some(step) = finding.step_in_words() {
            text.push_str(&format!("Step: {step}\n"));
        }
        if let Some(remedy) = remedy(&finding.rule) {
            text.push_str(&format!("Remedy: {}\n", remedy.text));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::stored::tests::hostile_run;

    #[test]
    fn hostile_names_leave_the_document_whole() {
        let mut out = Vec::new();
        render(&hostile_run(), Some(Severity::High), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let read = Report::deserialize_from_str(&text).unwrap();
        assert_eq!((read.tests, read.failures), (1, 1));
        assert!(!text.contains("<script") && !text.contains('\u{7}'), "{text}");
    }

    #[test]
    fn a_run_without_a_judged_app_is_one_skipped_case() {
        let mut out = Vec::new();
        let run = StoredRun { inconclusive: Some("no frames".to_owned()), ..StoredRun::default() };
        render(&run, None, &mut out).unwrap();
        let read = Report::deserialize_from_str(std::str::from_utf8(&out).unwrap()).unwrap();
        assert!(matches!(&read.test_suites[0].test_cases[0].status,
            TestCaseStatus::Skipped { message: Some(reason), .. } if reason.as_str() == "no frames"));
    }
}
