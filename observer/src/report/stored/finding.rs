//! A finding of a stored run.

use serde::Serialize;

use super::endpoint;
use crate::assess::baseline::Standing;
use crate::report::steps::{self, Began};
use crate::rules::{self, RuleInfo, Severity};
use crate::time::Timestamp;

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
