//! The table of tests and steps.

use super::minute;
use crate::report::steps::StepBasis;
use crate::report::stored::StoredStep;
use crate::report::wording;
use crate::rules::Severity;

/// A row of the table of steps.
pub(super) struct StepView {
    pub(super) name: String,
    pub(super) what: String,
    pub(super) begun: String,
    pub(super) duration: String,
    pub(super) flows: u64,
    pub(super) findings: [u64; 5],
}

impl StepView {
    pub(super) fn new(row: &StoredStep) -> Self {
        let findings = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info]
            .map(|severity| row.findings.get(&severity).copied().unwrap_or(0));
        let Some(step) = &row.step else {
            let (name, what) = ("Background".to_owned(), "began in no step".to_owned());
            return Self {
                name,
                what,
                begun: String::new(),
                duration: String::new(),
                flows: row.flows,
                findings,
            };
        };
        let mut what = match step.result {
            Some(result) => result.to_string(),
            None => step.kind.as_str().to_owned(),
        };
        if step.basis == StepBasis::Inferred {
            what.push_str(", times inferred");
        }
        let length = step.end.map(|end| wording::duration(end.since(step.start).as_secs_f64()));
        Self {
            name: step.name.clone(),
            what,
            begun: minute(step.start),
            duration: length.unwrap_or_default(),
            flows: row.flows,
            findings,
        }
    }
}
