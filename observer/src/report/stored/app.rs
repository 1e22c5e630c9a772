//! An app of a stored run, and the conclusions on it.

use serde::Serialize;

use super::{StoredEndpoint, StoredFinding, StoredFlow, StoredSessions};
use crate::assess::Judgement;

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
