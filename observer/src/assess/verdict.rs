//! A verdict for each app and requirement.

use std::sync::Arc;

use super::memory::{AppMemory, Memory};
use super::{Assessment, Losses, app_key, blame::Judge};
use crate::attribution::Owner;
use crate::policy::Policy;
use crate::requirements::{self, Exercise, Requirement};
use crate::rules::{self, Blame, Confidence, Finding};

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

impl Judgement {
    /// In a word or two.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Violated => "violated",
            Self::NoViolationObserved => "no violation",
            Self::NotExercised => "not exercised",
            Self::NotObservable => "not observable",
            Self::Inconclusive => "inconclusive",
        }
    }
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
        let excused: Vec<&Finding> = assessment
            .suppressed
            .iter()
            .map(|suppressed| &suppressed.finding)
            .filter(|finding| finding.blame == blame && app_key(finding.owner.as_deref()) == *key)
            .collect();
        for requirement in requirements::all() {
            verdicts.push(verdict(policy, app, requirement, &findings, &excused, doubt.as_deref()));
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
    if losses.lost_sockets > 0 {
        reasons.push(format!(
            "the owners of {} sockets were lost on the way from the kernel",
            losses.lost_sockets
        ));
    }
    let share = percent(memory.unattributed_bytes, memory.bytes);
    let is_held = judge.has_owners() || thresholds.demands_owners;
    if is_held && share > u64::from(thresholds.unattributed_percent) {
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
    excused: &[&Finding],
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
        let handshakes = plural(app.hidden_chains, "handshake", "handshakes");
        let reason = format!("TLS 1.3 hides the certificates of {handshakes}. {instead}");
        (Judgement::NotObservable, reason)
    } else if covered.flows == 0 {
        (Judgement::NotExercised, format!("{} {instead}", unexercised(policy, requirement.exercise)))
    } else if let Some(doubt) = doubt {
        (Judgement::Inconclusive, format!("nothing broke it, but {doubt}"))
    } else if let Some(unknown) = unknown(app, requirement) {
        (Judgement::Inconclusive, format!("nothing broke it, but {unknown}"))
    } else if gaps > u64::from(policy.thresholds.gap_percent) {
        (Judgement::Inconclusive, format!("nothing broke it, but {gaps} % of the payload is missing"))
    } else {
        let excused = excused.iter().filter(|finding| finding.rule.requirements.contains(&requirement.id));
        (Judgement::NoViolationObserved, observed(app, requirement, noted, excused.count()))
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

/// Whether the finding says of a readable flow what it is worth. What is tentative and too light to break a requirement
/// leaves that open.
pub(super) fn settles(finding: &Finding, policy: &Policy) -> bool {
    finding.rule.requirements.contains(&TLS_EVERYWHERE)
        && (finding.severity >= policy.thresholds.violates || finding.confidence > Confidence::Tentative)
}

/// The requirement that readable flows break.
const TLS_EVERYWHERE: &str = "cl-mss:5.1";

/// Which flows may break it without showing it: what cannot be read is not thereby protected.
fn unknown(app: &AppMemory, requirement: &Requirement) -> Option<String> {
    if requirement.exercise != Exercise::Payload {
        return None;
    }
    let all = app.covered(Exercise::Payload).flows;
    let mut parts = Vec::new();
    if app.opaque > 0 {
        let share = format!("{} of {}", app.opaque, plural(all, "flow", "flows"));
        parts.push(format!("what is opaque is neither readable nor known to be protected ({share})"));
    }
    if app.vague > 0 {
        let share = format!("{} of {}", app.vague, plural(all, "flow", "flows"));
        parts.push(format!(
            "what looks like text is too short, or lacks the start, to tell what it is ({share})"
        ));
    }
    if app.unsettled > 0 {
        let share = format!("{} of {}", app.unsettled, plural(all, "flow", "flows"));
        parts.push(format!("nothing tells what readable flows carry ({share})"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
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
        Exercise::Handshake => "No far end answered a TLS handshake.",
        Exercise::Loss => "No attempt to reach a far end over TLS came to nothing.",
        Exercise::None | Exercise::Payload => "No flow with payload left the device.",
        Exercise::Pin if policy.pins.is_empty() => "The policy names no pins.",
        Exercise::Pin => "No chain of a host with a pin can be read in this traffic.",
        Exercise::Request => "No HTTP request can be read in this traffic.",
        Exercise::Response => "No HTTP response can be read in this traffic.",
    }
}

/// What was exercised without a violation, and what stays in the dark.
fn observed(app: &AppMemory, requirement: &Requirement, noted: usize, excused: usize) -> String {
    let covered = app.covered(requirement.exercise);
    let (one, many) = match requirement.exercise {
        Exercise::Payload => ("flow with payload", "flows with payload"),
        Exercise::Handshake => ("TLS handshake", "TLS handshakes"),
        Exercise::Chain => ("server chain, readable or refused,", "server chains, readable or refused,"),
        Exercise::Pin => ("chain of a pinned host", "chains of pinned hosts"),
        Exercise::ClientCertificate => ("handshake for mutual TLS", "handshakes for mutual TLS"),
        Exercise::Request => ("flow with readable requests", "flows with readable requests"),
        Exercise::Loss => ("attempt at TLS in vain", "attempts at TLS in vain"),
        Exercise::Response => ("flow with readable responses", "flows with readable responses"),
        Exercise::Endpoint | Exercise::None => ("flow", "flows"),
    };
    let endpoints = plural(covered.endpoints, "endpoint", "endpoints");
    let mut reason = format!("{} to {endpoints} broke nothing", plural(covered.flows, one, many));
    if excused > 0 {
        let excused = u64::try_from(excused).unwrap_or(u64::MAX);
        let findings = plural(excused, "finding that is excused", "findings that are excused");
        reason.push_str(&format!(", but for {findings}"));
    }
    if noted > 0 {
        let noted = u64::try_from(noted).unwrap_or(u64::MAX);
        reason.push_str(&format!("; {} of less weight", plural(noted, "finding", "findings")));
    }
    if requirement.exercise == Exercise::Chain {
        if app.refused > 0 {
            let flows = plural(app.refused, "flow", "flows");
            reason.push_str(&format!("; the client refused the server in {flows}"));
        }
        if app.hidden_chains > 0 {
            let chains = plural(app.hidden_chains, "chain", "chains");
            reason.push_str(&format!("; TLS 1.3 hides {chains}"));
        }
    }
    reason
}

/// `1 flow`, `2 flows`.
fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
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
