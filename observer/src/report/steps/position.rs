//! Where a flow lies among the steps, and how records say it.

use serde::Serialize;

use super::{Began, Step, StepBasis, StepKind};
use crate::time::Timestamp;

/// Where in the test a flow lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    /// The step in which it began; `None` is background.
    pub step: Option<&'a Step>,
    /// How.
    pub began: Began,
    /// Tests that ran beside that one when the flow began: it may be theirs. Bounded.
    pub beside: Vec<&'a Step>,
    /// Steps that began while the flow went on, in order; bounded.
    pub spans: Vec<&'a Step>,
    /// How many there are.
    pub spans_count: u64,
}

/// Where a flow lies, as records have it.
impl Serialize for Position<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Record<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            kind: Option<StepKind>,
            #[serde(skip_serializing_if = "Option::is_none")]
            start: Option<Timestamp>,
            began: Began,
            #[serde(skip_serializing_if = "Option::is_none")]
            basis: Option<StepBasis>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            beside: Vec<&'a str>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            spans: Vec<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            spans_count: Option<u64>,
        }
        let names = |steps: &'_ [&'_ Step]| steps.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
        let (beside, spans) = (names(&self.beside), names(&self.spans));
        Record {
            name: self.step.map(|step| step.name.as_str()),
            kind: self.step.map(|step| step.kind),
            start: self.step.map(|step| step.start),
            began: self.began,
            basis: self.step.map(|step| step.basis),
            beside: beside.iter().map(String::as_str).collect(),
            spans: spans.iter().map(String::as_str).collect(),
            spans_count: Some(self.spans_count).filter(|count| *count > 0),
        }
        .serialize(serializer)
    }
}
