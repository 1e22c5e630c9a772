//! From flows to verdicts: runs the rules, merges equal findings, and says for each app and requirement what holds.

use crate::observation::Flow;
use crate::policy::Policy;
use crate::rules::{Finding, RULES, RuleContext};

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
    /// Drops or unattributed traffic forbid a conclusion.
    Inconclusive,
}

/// A conclusion for one app and one requirement.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whose; `None` is unattributed traffic.
    pub owner: Option<std::sync::Arc<crate::attribution::Owner>>,
    /// E.g. `cl-mss:5.1`.
    pub requirement: &'static str,
    /// What holds.
    pub judgement: Judgement,
    /// Findings that bear on it.
    pub findings: u64,
    /// Distinct far ends that bear on it.
    pub endpoints: u64,
    /// Flows that bear on it.
    pub flows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why.
    pub reason: String,
}

/// What all flows of a run amount to.
#[derive(Clone, Debug, Default)]
pub struct Assessment {
    /// Equal ones merged; in order of severity, app, endpoint.
    pub findings: Vec<Finding>,
    /// For each app and requirement.
    pub verdicts: Vec<Verdict>,
}

/// Judges flows as they end.
pub struct Assessor {
    policy: Policy,
    findings: Vec<Finding>,
}

impl Assessor {
    /// An assessor that has seen nothing.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, findings: Vec::new() }
    }

    /// Takes a flow, in output order.
    pub fn flow(&mut self, flow: &Flow) {
        let cx = RuleContext { policy: &self.policy };
        for rule in RULES {
            rule.check_flow(flow, &cx, &mut |finding| self.findings.push(finding));
        }
    }

    /// Concludes.
    #[must_use]
    pub fn finish(self) -> Assessment {
        Assessment { findings: self.findings, verdicts: Vec::new() }
    }
}
