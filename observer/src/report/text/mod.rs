//! The report for people: the verdict first, then for each app what it did, what is wrong with it and where to look,
//! then what the capture cannot show.
//!
//! Lines fit into 80 columns unless a name is longer. Text from the network is escaped. Colours are written always:
//! the stream that the report goes to takes them away where they are not wanted.

mod app;
mod finding;
mod limits;
mod words;

use std::cmp::Reverse;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use self::words::{bold, count, dim, list, size, wrapped};
use super::Run;
use super::names;
use super::outcome::Outcome;
use super::overview::{App, Overview};
use super::plain::plain;
use crate::assess::{Judgement, Verdict};
use crate::rules::{Blame, Finding, Severity};

/// Endpoints and findings of an app that are shown; the database and the other formats have all of them.
const SHOWN: usize = 40;

/// Apps in the list at the top.
const APPS: usize = 60;

/// How traffic without an owner is called in a capture that knows owners.
const UNATTRIBUTED: &str = "Unattributed traffic";

/// How it is called in a capture that knows none.
const ALL: &str = "All traffic";

/// An app with what was concluded of it.
struct Section<'a> {
    /// Its name where there is no owner.
    nameless: &'static str,
    app: &'a App,
    findings: Vec<&'a Finding>,
    verdicts: Vec<&'a Verdict>,
}

impl<'a> Section<'a> {
    fn new(run: &'a Run, nameless: &'static str, app: &'a App) -> Self {
        let assessment = &run.assessment;
        Self {
            nameless,
            app,
            findings: assessment.findings.iter().filter(|finding| app.is(finding.owner.as_deref())).collect(),
            verdicts: assessment.verdicts.iter().filter(|verdict| app.is(verdict.owner.as_deref())).collect(),
        }
    }

    fn name(&self) -> String {
        self.app
            .owner
            .as_deref()
            .map_or_else(|| self.nameless.to_owned(), |owner| plain(&owner.name()).into_owned())
    }

    /// Whether its findings are held against it. Apps in scope, and they alone, have verdicts.
    fn is_judged(&self) -> bool {
        !self.verdicts.is_empty()
    }

    /// Judged apps first, the worst first.
    fn rank(&self) -> (bool, Reverse<Option<Severity>>, Reverse<usize>, bool) {
        let worst = self.findings.iter().map(|finding| finding.severity).max();
        (!self.is_judged(), Reverse(worst), Reverse(self.findings.len()), self.app.owner.is_none())
    }

    /// The verdict in one word or two, and its colour.
    fn verdict(&self) -> (&'static str, Style) {
        let any = |judgement| self.verdicts.iter().any(|verdict| verdict.judgement == judgement);
        let colour = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
        if !self.is_judged() {
            let blamed = |blame| self.findings.iter().any(|finding| finding.blame == blame);
            let word = if blamed(Blame::Platform) {
                "platform"
            } else if blamed(Blame::OutOfScope) {
                "out of scope"
            } else {
                "not judged"
            };
            (word, Style::new().dimmed())
        } else if any(Judgement::Violated) {
            ("VIOLATED", colour(AnsiColor::Red))
        } else if any(Judgement::Inconclusive) {
            ("inconclusive", colour(AnsiColor::Yellow))
        } else {
            ("no violation", colour(AnsiColor::Green))
        }
    }
}

/// Writes the report on `run`, whose findings weigh from `fail_on` on.
///
/// # Errors
/// Those of `out`.
pub fn render(
    run: &Run,
    overview: &Overview,
    fail_on: Option<Severity>,
    out: &mut dyn Write,
) -> io::Result<()> {
    headline(run, fail_on, out)?;
    let nameless = if overview.hidden().attributed == 0 { ALL } else { UNATTRIBUTED };
    let mut sections: Vec<_> = overview.apps().map(|app| Section::new(run, nameless, app)).collect();
    sections.sort_by_key(Section::rank);
    if sections.len() > 1 {
        writeln!(out)?;
        list_apps(&sections, out)?;
    }
    for section in &sections {
        writeln!(out)?;
        app::render(section, out)?;
    }
    let is_shown = |finding: &Finding| overview.apps().any(|app| app.is(finding.owner.as_deref()));
    let others: Vec<_> = run.assessment.findings.iter().filter(|finding| !is_shown(finding)).collect();
    if !others.is_empty() {
        writeln!(out, "\n{}", bold("Findings beside the traffic"))?;
        finding::render(&others, out)?;
    }
    excused(run, out)?;
    limits::render(run, overview, out)
}

fn headline(run: &Run, fail_on: Option<Severity>, out: &mut dyn Write) -> io::Result<()> {
    let colour = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
    let (good, bad, doubtful) = (colour(AnsiColor::Green), colour(AnsiColor::Red), colour(AnsiColor::Yellow));
    let held: Vec<_> = run.assessment.held_against_apps(Severity::Info).collect();
    let findings = severities(held.iter().copied());
    match run.outcome(fail_on) {
        Outcome::Findings(_) => writeln!(out, "{bad}VIOLATED{bad:#}: {findings}")?,
        Outcome::Inconclusive(reason) => {
            writeln!(out, "{doubtful}INCONCLUSIVE{doubtful:#}: {}", plain(&reason))?;
            if !held.is_empty() {
                writeln!(out, "{findings}")?;
            }
        }
        Outcome::Clean if held.is_empty() => {
            writeln!(out, "{good}NO VIOLATION OBSERVED{good:#}, which does not prove that there is none")?;
        }
        Outcome::Clean => match fail_on {
            Some(least) => {
                let least = names::severity(least).to_uppercase();
                writeln!(out, "{good}NOTHING AT OR ABOVE {least}{good:#}: {findings}")?;
            }
            None => writeln!(out, "{}: {findings}", bold("FINDINGS"))?,
        },
    }
    let others = u64::try_from(run.assessment.findings.len().saturating_sub(held.len())).unwrap_or(u64::MAX);
    if others > 0 {
        writeln!(out, "{} beside these, held against no app in scope.", count(others, "finding"))?;
    }
    for input in &run.inputs {
        let mut line = format!("{}: {}", plain(&input.path), count(input.frames, "frame"));
        if let (Some(first), Some(last)) = (input.first, input.last) {
            let seconds = last.since(first).as_secs_f64();
            let start = first.to_string();
            let start = start.get(..19).unwrap_or(&start).replace('T', " ");
            line.push_str(&format!(" from {start} UTC, {}", words::duration(seconds)));
        }
        writeln!(out, "{line}")?;
    }
    if run.inputs.len() > 1 {
        writeln!(out, "Frame numbers count over all files in order of time, as after mergecap.")?;
    }
    for note in &run.assessment.notes {
        for (place, line) in wrapped(&plain(note), 72).iter().enumerate() {
            writeln!(out, "{} {line}", if place == 0 { "Policy:" } else { "       " })?;
        }
    }
    Ok(())
}

/// A line for each app: name, verdict, findings, traffic.
fn list_apps(sections: &[Section<'_>], out: &mut dyn Write) -> io::Result<()> {
    for section in sections.iter().take(APPS) {
        let (word, style) = section.verdict();
        let name = section.name();
        let found = short(&section.findings);
        let pad = if found.is_empty() { 0 } else { 14_usize.saturating_sub(word.len()) };
        writeln!(out, "  {name:32} {style}{word}{style:#}{:pad$}{found}", "")?;
    }
    let hidden = sections.len().saturating_sub(APPS);
    if hidden > 0 {
        writeln!(out, "  {}", dim(&format!("and {hidden} more")))?;
    }
    Ok(())
}

/// `3 high, 2 low`: what weighs, or else what is for the reader's knowledge.
fn short(findings: &[&Finding]) -> String {
    let of = |severity| findings.iter().filter(move |finding| finding.severity == severity).count();
    let parts: Vec<_> = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low]
        .into_iter()
        .filter(|severity| of(*severity) > 0)
        .map(|severity| format!("{} {}", of(severity), names::severity(severity)))
        .collect();
    match (parts.is_empty(), of(Severity::Info)) {
        (true, 1..) => format!("{} info", of(Severity::Info)),
        _ => parts.join(", "),
    }
}

/// `1 critical, 3 high and 2 low findings`.
fn severities<'a>(findings: impl IntoIterator<Item = &'a Finding> + Clone) -> String {
    let all = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];
    let mut parts = Vec::new();
    let mut last = 0;
    for severity in all {
        let count = findings.clone().into_iter().filter(|finding| finding.severity == severity).count();
        if count > 0 {
            parts.push(format!("{count} {}", names::severity(severity)));
            last = count;
        }
    }
    let noun = if parts.len() == 1 && last == 1 { "finding" } else { "findings" };
    if parts.is_empty() { "no findings".to_owned() } else { format!("{} {noun}", list(&parts)) }
}

/// What exceptions excuse, so that it does not vanish.
fn excused(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    if run.assessment.suppressed.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", bold("Excused findings"))?;
    for suppressed in run.assessment.suppressed.iter().take(SHOWN) {
        let finding = &suppressed.finding;
        let host = finding.endpoint.host.clone().unwrap_or_else(|| finding.endpoint.ip.to_string());
        let text = format!("{} at {host}:{}: {}", finding.rule.id, finding.endpoint.port, suppressed.reason);
        for (place, line) in wrapped(&plain(&text), 76).iter().enumerate() {
            writeln!(out, "  {} {line}", if place == 0 { "-" } else { " " })?;
        }
    }
    let hidden = run.assessment.suppressed.len().saturating_sub(SHOWN);
    if hidden > 0 {
        writeln!(out, "  {}", dim(&format!("and {hidden} more, all with --format jsonl or --db")))?;
    }
    Ok(())
}

/// `4 flows, 26.9 kB`.
fn traffic(app: &App) -> String {
    format!("{}, {}", count(app.flows, "flow"), size(app.bytes))
}
