//! The report for people: the verdict first, then for each app what it did, what is wrong with it and where to look,
//! then what the capture cannot show.
//!
//! Lines fit into 80 columns unless a name is longer. Text from the network is escaped. Colours are written always:
//! the stream that the report goes to takes them away where they are not wanted.

mod app;
mod finding;
mod limits;
mod live;
mod requirements;
mod review;
mod steps;
mod words;

use std::cmp::Reverse;
use std::io::{self, Write};
use std::net::SocketAddr;

use anstyle::{AnsiColor, Style};

pub use self::live::LiveLines;
pub use self::review::render_review;
use self::words::{bold, dim, wrapped};
use super::Run;
use super::names;
use super::outcome::Outcome;
use super::overview::{App, Overview};
use super::plain::plain;
use super::wording::{self, count, list, size};
use crate::assess::baseline::Standing;
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
    run: &'a Run,
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
            run,
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

    /// Whether the platform sent it and nobody asked to judge the platform.
    fn is_platform(&self) -> bool {
        let blamed = || self.findings.iter().any(|finding| finding.blame == Blame::Platform);
        !self.is_judged() && (self.app.owner.as_ref().is_some_and(|owner| owner.is_platform()) || blamed())
    }

    /// Its name in a sentence.
    fn subject(&self) -> String {
        match &self.app.owner {
            Some(_) => self.name(),
            None if self.nameless == ALL => "the traffic".to_owned(),
            None => self.nameless.to_lowercase(),
        }
    }

    /// Judged apps first, the worst first; the platform last.
    fn rank(&self) -> impl Ord + use<> {
        let worst = self.findings.iter().map(|finding| finding.severity).max();
        let unknown = self.app.owner.is_none();
        (!self.is_judged(), self.is_platform(), Reverse(worst), Reverse(self.findings.len()), unknown)
    }

    /// The verdict in one word or two, and its colour.
    fn verdict(&self) -> (&'static str, Style) {
        let any = |judgement| self.verdicts.iter().any(|verdict| verdict.judgement == judgement);
        let colour = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
        if !self.is_judged() {
            let word = match (&self.app.owner, self.is_platform()) {
                (_, true) => "platform",
                (Some(_), false) => "out of scope",
                (None, false) => "not judged",
            };
            (word, Style::new().dimmed())
        } else if any(Judgement::Violated) {
            ("VIOLATED", colour(AnsiColor::Red))
        } else if any(Judgement::Inconclusive) {
            ("inconclusive", colour(AnsiColor::Yellow))
        } else if any(Judgement::NoViolationObserved) {
            ("no violation", colour(AnsiColor::Green))
        } else {
            ("not exercised", Style::new().dimmed())
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
    let nameless = if overview.hidden().attributed == 0 { ALL } else { UNATTRIBUTED };
    let mut sections: Vec<_> = overview.apps().map(|app| Section::new(run, nameless, app)).collect();
    sections.sort_by_key(Section::rank);
    headline(run, &sections, fail_on, out)?;
    inputs(run, out)?;
    if sections.len() > 1 {
        writeln!(out)?;
        list_apps(&sections, out)?;
    }
    if !run.steps.is_empty() {
        writeln!(out)?;
        steps::render(run, out)?;
    }
    for section in &sections {
        writeln!(out)?;
        app::render(section, out)?;
    }
    let is_shown = |finding: &Finding| overview.apps().any(|app| app.is(finding.owner.as_deref()));
    let others: Vec<_> = run.assessment.findings.iter().filter(|finding| !is_shown(finding)).collect();
    if !others.is_empty() {
        writeln!(out, "\n{}", bold("Findings beside the traffic"))?;
        finding::render(run, &others, out)?;
    }
    errands(overview, out)?;
    listeners(run, out)?;
    excused(run, out)?;
    limits::render(run, overview, out)
}

/// What platforms send of their own accord, and who sent it here.
fn errands(overview: &Overview, out: &mut dyn Write) -> io::Result<()> {
    if overview.errands().is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", bold("What platforms send of their own accord"))?;
    writeln!(out, "  {}", dim("by request, name or port; held against an app only where its uid sent it"))?;
    for (kind, errand) in overview.errands() {
        let numbers = format!("{:>12}{:>9}", count(errand.flows, "flow"), size(errand.bytes));
        writeln!(out, "  {kind:55} {numbers}")?;
        let owners: Vec<_> = errand.owners.iter().map(|owner| plain(owner)).collect();
        if !owners.is_empty() {
            for line in wrapped(&owners.join(", "), 74) {
                writeln!(out, "    {}", dim(&line))?;
            }
        }
    }
    Ok(())
}

/// The ports that processes are bound to.
fn listeners(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    if run.listeners.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", bold("Who waits for connections"))?;
    for listener in run.listeners.iter().take(SHOWN) {
        let local = SocketAddr::from((listener.local.ip, listener.local.port)).to_string();
        let transport = names::TransportName(listener.transport);
        let owner = &listener.owner;
        let name = owner.name();
        let about = words::about(owner, &name);
        writeln!(out, "  {local:33} {transport:<5} {}{}", plain(&name), dim(&plain(&about)))?;
    }
    let hidden = run.listeners.len().saturating_sub(SHOWN);
    if hidden > 0 {
        writeln!(out, "  {}", dim(&format!("and {hidden} more sockets, all with --format jsonl or --db")))?;
    }
    writeln!(out)
}

/// The verdict in words, and what it rests on in numbers.
fn headline(
    run: &Run,
    sections: &[Section<'_>],
    fail_on: Option<Severity>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let colour = |colour: AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
    let (good, bad, doubtful) = (colour(AnsiColor::Green), colour(AnsiColor::Red), colour(AnsiColor::Yellow));
    let held: Vec<_> = run.assessment.held_against_apps(Severity::Info).collect();
    let outcome = run.outcome(fail_on);
    if let Outcome::Inconclusive(reason) = &outcome {
        say(doubtful, "INCONCLUSIVE", reason, out)?;
    }
    let violations = requirements::sentence(sections, Judgement::Violated, "violates");
    let open = requirements::sentence(sections, Judgement::Inconclusive, "leaves open");
    match (&violations, &outcome) {
        (Some(violations), _) => say(bad, "VIOLATED", violations, out)?,
        (None, Outcome::Inconclusive(_)) => {}
        (None, Outcome::Findings(_)) => say(bad, "FINDINGS", "none of them breaks CL MSS section 5", out)?,
        (None, Outcome::Clean) => {
            let seen = |judged| run.assessment.verdicts.iter().any(|verdict| verdict.judgement == judged);
            match open {
                Some(open) => say(doubtful, "NO VIOLATION OBSERVED", &open, out)?,
                None if seen(Judgement::NoViolationObserved) => {
                    say(good, "NO VIOLATION OBSERVED", "this does not prove that there is none", out)?;
                }
                None => say(doubtful, "NOTHING EXERCISED", "no traffic bears on CL MSS section 5", out)?,
            }
        }
    }
    let mut line = severities(held.iter().copied());
    let others = u64::try_from(run.assessment.findings.len().saturating_sub(held.len())).unwrap_or(u64::MAX);
    if others > 0 {
        line.push_str(&format!("; {} held against no app", count(others, "more finding")));
    }
    if let (Outcome::Clean, Some(least), false) = (&outcome, fail_on, held.is_empty()) {
        let new = if run.assessment.baseline.is_some() { "new " } else { "" };
        line.push_str(&format!("; none {new}at or above {} (--fail-on)", names::severity(least)));
    }
    for line in wrapped(&line, 80) {
        writeln!(out, "{line}")?;
    }
    if let Some(compared) = &run.assessment.baseline {
        let known = |finding: &Finding| run.assessment.standing(finding) == Some(Standing::Known);
        let findings = held.iter().map(|finding| (finding.severity, known(finding)));
        for line in wrapped(&plain(&wording::beside_baseline(findings, compared)), 80) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// Writes a word that stands out, and a sentence.
fn say(style: Style, word: &str, sentence: &str, out: &mut dyn Write) -> io::Result<()> {
    for (place, line) in wrapped(&format!("{word}: {}", plain(sentence)), 80).iter().enumerate() {
        match line.strip_prefix(word).filter(|_| place == 0) {
            Some(rest) => writeln!(out, "{style}{word}{style:#}{rest}")?,
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

/// What was read, and what the tester ought to know of the run and of the policy.
fn inputs(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    for input in &run.inputs {
        let mut line = format!("{}: {}", plain(&input.path), count(input.frames, "frame"));
        if let (Some(first), Some(last)) = (input.first, input.last) {
            let seconds = last.since(first).as_secs_f64();
            let start = first.to_string();
            let start = start.get(..19).unwrap_or(&start).replace('T', " ");
            line.push_str(&format!(" from {start} UTC, {}", wording::duration(seconds)));
        }
        writeln!(out, "{line}")?;
    }
    if run.inputs.len() > 1 {
        writeln!(out, "Frame numbers count over all files in order of time, as after mergecap.")?;
    }
    for note in run.assessment.all_notes() {
        for (place, line) in wrapped(&plain(note), 72).iter().enumerate() {
            writeln!(out, "{} {line}", if place == 0 { "Note:" } else { "     " })?;
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
