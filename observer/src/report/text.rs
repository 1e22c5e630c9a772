//! The report for people.

use std::io::{self, Write};

use super::Run;

/// Writes the report.
///
/// # Errors
/// Those of `out`.
pub fn render(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    for finding in &run.assessment.findings {
        writeln!(out, "{}: {} (frame {})", finding.rule.id, finding.message, finding.evidence.primary.1)?;
    }
    writeln!(out, "{} frames, {} flows", run.totals.frames, run.totals.flows)
}
