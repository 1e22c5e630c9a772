//! A verdict for each app and requirement.

use std::sync::Arc;

use super::memory::{AppMemory, Memory};
use super::{Assessment, Losses, app_key, blame::Judge};
use crate::attribution::Owner;
use crate::policy::Policy;
use crate::requirements::{self, Exercise, Requirement};
use crate::rules::{self, Blame, Finding};

/// What the observer concludes for an app and a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// At least one finding breaks it.
    Violated,
    /// It was exercised and nothing broke it. Not a proof of compliance.
    NoViolationObserved,
    /// No traffic bears on it.
    NotExercised,
    /// Traffic cannot show it.
    NotObservable,
    /// Drops, unattributed or opaque traffic forbid a conclusion.
    Inconclusive,
}

/// A conclusion for one app and one requirement.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whose; `None` is the capture as a whole, which knows no owners.
    pub owner: Option<Arc<Owner>>,
    /// E.g. `cl-mss:5.1`.
    pub requirement: &'static str,
    /// What holds.
    pub judgement: Judgement,
    /// Findings that bear on it, of any severity.
    pub findings: u64,
    /// Distinct far ends that bear on it.
    pub endpoints: u64,
    /// Flows that bear on it.
    pub flows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why, and what to check instead.
    pub reason: String,
}

/// Adds the verdicts, and whether the run proves anything, to `assessment`.
pub(super) fn conclude(
    policy: &Policy,
    memory: &Memory,
    judge: &Judge,
    losses: Losses,
    assessment: &mut Assessment,
) {
    let doubt = doubt(policy, memory, judge, losses);
    let mut judged = false;
    let mut verdicts = Vec::new();
    for (key, app) in &memory.apps {
        let blame = judge.blame(app.owner.as_deref());
        if !matches!(blame, Blame::App | Blame::Capture) {
            continue;
        }
        judged = true;
        let findings: Vec<&Finding> = assessment
            .findings
            .iter()
            .filter(|finding| finding.blame == blame && app_key(finding.owner.as_deref()) == *key)
            .collect();
        for requirement in requirements::all() {
            verdicts.push(verdict(policy, app, requirement, &findings, doubt.as_deref()));
        }
    }
    assessment.verdicts = verdicts;
    assessment.notes = notes(policy, memory);
    let nothing = || match memory.apps.is_empty() {
        true => "the capture holds no flow".to_owned(),
        false => "no app in scope has traffic".to_owned(),
    };
    assessment.inconclusive = if judged { doubt } else { Some(nothing()) };
}

/// Why nothing can be concluded from the absence of findings in this run.
fn doubt(policy: &Policy, memory: &Memory, judge: &Judge, losses: Losses) -> Option<String> {
    let thresholds = &policy.thresholds;
    let mut reasons = Vec::new();
    if losses.dropped_frames > thresholds.dropped_frames {
        reasons.push(format!("the capturing system lost {} frames", losses.dropped_frames));
    }
    let share = percent(memory.unattributed_bytes, memory.bytes);
    if judge.has_owners() && share > u64::from(thresholds.unattributed_percent) {
        reasons.push(format!("{share} % of the bytes ({} flows) have no owner", memory.unattributed_flows));
    }
    if reasons.is_empty() { None } else { Some(reasons.join("; ")) }
}

/// `part` of `whole` in percent, rounded up; 0 of nothing.
fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from((u128::from(part) * 100).div_ceil(u128::from(whole.max(1)))).unwrap_or(100)
}

fn verdict(
    policy: &Policy,
    app: &AppMemory,
    requirement: &'static Requirement,
    findings: &[&Finding],
    doubt: Option<&str>,
) -> Verdict {
    let covered = app.covered(requirement.exercise);
    let bearing: Vec<&&Finding> =
        findings.iter().filter(|finding| finding.rule.requirements.contains(&requirement.id)).collect();
    let breaking = bearing.iter().filter(|finding| finding.severity >= policy.thresholds.violates).count();
    let noted = bearing.len() - breaking;
    let gaps = percent(app.gap_bytes, app.gap_bytes.saturating_add(app.payload));
    let instead = requirement.instead;
    let (judgement, reason) = if breaking > 0 {
        let worst = bearing.iter().max_by_key(|finding| (finding.severity, finding.confidence));
        let worst = worst.map(|finding| finding.message.clone()).unwrap_or_default();
        let more =
            if bearing.len() > 1 { format!(" (and {} more)", bearing.len() - 1) } else { String::new() };
        (Judgement::Violated, format!("{worst}{more}"))
    } else if requirement.exercise == Exercise::None || rules::bearing_on(requirement.id).next().is_none() {
        (Judgement::NotObservable, format!("{} {instead}", requirement.bearing))
    } else if covered.flows == 0 && requirement.exercise == Exercise::Chain && app.hidden_chains > 0 {
        let reason =
            format!("TLS 1.3 hides the certificates of all {} handshakes. {instead}", app.hidden_chains);
        (Judgement::NotObservable, reason)
    } else if covered.flows == 0 {
        (Judgement::NotExercised, format!("{} {instead}", unexercised(policy, requirement.exercise)))
    } else if let Some(doubt) = doubt {
        (Judgement::Inconclusive, format!("nothing was found, but {doubt}"))
    } else if requirement.exercise == Exercise::Payload && app.opaque >= covered.flows {
        let reason =
            format!("all {} flows are opaque: neither readable nor known to be protected", app.opaque);
        (Judgement::Inconclusive, reason)
    } else if gaps > u64::from(policy.thresholds.gap_percent) {
        (Judgement::Inconclusive, format!("nothing was found, but {gaps} % of the payload is missing"))
    } else {
        (Judgement::NoViolationObserved, observed(app, requirement, noted))
    };
    Verdict {
        owner: app.owner.clone(),
        requirement: requirement.id,
        judgement,
        findings: u64::try_from(bearing.len()).unwrap_or(u64::MAX),
        endpoints: covered.endpoints,
        flows: covered.flows,
        bytes: covered.bytes,
        reason,
    }
}

/// Why nothing exercised it.
fn unexercised(policy: &Policy, exercise: Exercise) -> &'static str {
    match exercise {
        Exercise::Chain => "No server chain can be read in this traffic.",
        Exercise::ClientCertificate if policy.mtls.is_empty() => {
            "No server asked for a client certificate, and the policy names no endpoint that must."
        }
        Exercise::ClientCertificate => "No endpoint that the policy names under mtls was reached.",
        Exercise::Endpoint => "The policy lists no endpoints.",
        Exercise::Handshake => "No TLS handshake was captured.",
        Exercise::None | Exercise::Payload => "No flow with payload left the device.",
        Exercise::Pin if policy.pins.is_empty() => "The policy names no pins.",
        Exercise::Pin => "No chain of a host with a pin can be read in this traffic.",
        Exercise::Request => "No HTTP request can be read in this traffic.",
    }
}

/// What was exercised without a violation, and what stays in the dark.
fn observed(app: &AppMemory, requirement: &Requirement, noted: usize) -> String {
    let covered = app.covered(requirement.exercise);
    let mut reason = format!("{} flows with {} endpoints broke nothing", covered.flows, covered.endpoints);
    if noted > 0 {
        reason.push_str(&format!("; {noted} findings of less weight are noted"));
    }
    match requirement.exercise {
        Exercise::Chain => {
            if app.refused > 0 {
                reason.push_str(&format!("; the client refused the server in {} flows", app.refused));
            }
            if app.hidden_chains > 0 {
                reason.push_str(&format!("; TLS 1.3 hides {} chains", app.hidden_chains));
            }
        }
        Exercise::Payload if app.opaque > 0 => {
            reason.push_str(&format!("; {} flows are opaque and not known to be protected", app.opaque));
        }
        _ => {}
    }
    reason
}

/// What the tester ought to know of the policy.
fn notes(policy: &Policy, memory: &Memory) -> Vec<String> {
    let mut notes = Vec::new();
    for exception in &policy.exceptions {
        if rules::find(&exception.rule).is_none() {
            notes.push(format!("the policy excuses {}, which is no rule", exception.rule));
        }
    }
    for app in &policy.scope.apps {
        let one = Policy { scope: crate::policy::Scope { apps: vec![app.clone()] }, ..Policy::default() };
        if !memory.owners().any(|owner| one.names(owner)) {
            notes.push(format!("{app} is in scope and has no flow in this capture"));
        }
    }
    notes
}
