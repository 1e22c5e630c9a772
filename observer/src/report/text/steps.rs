//! The tests, and in which of them something is wrong.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::SHOWN;
use super::words::{bold, dim, wrapped};
use crate::report::Run;
use crate::report::names;
use crate::report::plain::plain;
use crate::report::step_table::{StepRow, StepTable};
use crate::report::steps::StepKind;
use crate::report::wording::{count, list};
use crate::rules::Severity;
use crate::source::TestResult;

/// Columns of a step's name before its findings.
const NAME: usize = 44;

/// Writes how many tests there were, and those in which flows began that findings name.
pub(super) fn render(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    if run.steps.is_empty() {
        return Ok(());
    }
    let mut table = StepTable::new(&run.steps);
    table.findings(run);
    let kind = |kind| run.steps.all().iter().filter(move |step| step.kind == kind);
    let (tests, labels) = (kind(StepKind::Test), kind(StepKind::Label).count());
    let mut results: BTreeMap<TestResult, u64> = BTreeMap::new();
    for result in tests.clone().filter_map(|step| step.result) {
        let count = results.entry(result).or_default();
        *count = count.saturating_add(1);
    }
    let results: Vec<_> = results.into_iter().map(|(result, many)| format!("{many} {result}")).collect();
    let many = |many: usize, noun| count(u64::try_from(many).unwrap_or(u64::MAX), noun);
    let mut parts = Vec::new();
    if !results.is_empty() {
        parts.push(format!("{}: {}", many(tests.count(), "test"), list(&results)));
    }
    if labels > 0 {
        parts.push(many(labels, "labelled step"));
    }
    writeln!(out, "{}{}", bold("Tests"), dim(&format!("  {}", parts.join("; "))))?;
    let found: Vec<_> = table.rows().filter(|row| row.findings.iter().any(|count| *count > 0)).collect();
    for row in found.iter().take(SHOWN) {
        one(row, out)?;
    }
    let hidden = found.len().saturating_sub(SHOWN);
    if hidden > 0 {
        writeln!(
            out,
            "  {}",
            dim(&format!("and {hidden} more with findings, all with --format jsonl or --db"))
        )?;
    } else if found.is_empty() {
        writeln!(out, "  {}", dim("no findings in any of them"))?;
    }
    Ok(())
}

fn one(row: &StepRow<'_>, out: &mut dyn Write) -> io::Result<()> {
    let severities = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let counts = severities.iter().zip(row.findings).rev().filter(|(_, count)| *count > 0);
    let counts: Vec<_> =
        counts.map(|(severity, count)| format!("{count} {}", names::severity(*severity))).collect();
    let result = row.step.and_then(|step| step.result);
    let (word, style) = match result {
        Some(result @ (TestResult::Failed | TestResult::Unfinished)) => {
            (result.to_string(), Style::new().fg_color(Some(AnsiColor::Red.into())))
        }
        Some(result) => (result.to_string(), Style::new()),
        None => (String::new(), Style::new()),
    };
    let name = row.step.map_or_else(|| "in no test (background)".into(), |step| plain(&step.name));
    let numbers = format!("{style}{word:12}{style:#} {}", counts.join(", "));
    let lines = wrapped(&name, NAME);
    match lines.as_slice() {
        [name] if name.chars().count() <= NAME => writeln!(out, "  {name:NAME$} {numbers}"),
        lines => {
            for line in lines {
                writeln!(out, "  {line}")?;
            }
            writeln!(out, "  {:NAME$} {numbers}", "")
        }
    }
}
