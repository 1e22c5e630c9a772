//! Findings, with the evidence to look at.

use std::io::{self, Write};

use super::words::{bold, dim, wrapped};
use super::{SHOWN, requirements, words};
use crate::assess::Assessment;
use crate::assess::baseline::Standing;
use crate::report::names;
use crate::report::plain::plain;
use crate::report::wording::count;
use crate::report::{Run, steps, stored};
use crate::rules::{Finding, RuleInfo, Severity};

/// Columns for the frames of a display filter: it stays in one line, to copy.
const FRAMES: usize = 38;

/// Writes findings: those of weight one by one, the others by rule.
pub(super) fn render(run: &Run, findings: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    let (mut weighty, noted): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.severity >= Severity::Medium);
    // What the baseline knows goes last, and is what a bound hides.
    weighty.sort_by_cached_key(|finding| run.assessment.standing(finding) == Some(Standing::Known));
    for finding in weighty.iter().take(SHOWN) {
        writeln!(out)?;
        one(run, finding, out)?;
    }
    let hidden = weighty.len().saturating_sub(SHOWN);
    if hidden > 0 {
        writeln!(
            out,
            "\n  {}",
            dim(&format!("and {hidden} more findings, all with --format jsonl or --db"))
        )?;
    }
    let mut rules: Vec<&RuleInfo> = Vec::new();
    for finding in &noted {
        if !rules.iter().any(|rule| rule.id == finding.rule.id) {
            rules.push(finding.rule);
        }
    }
    for rule in rules {
        let theirs: Vec<_> = noted.iter().copied().filter(|finding| finding.rule.id == rule.id).collect();
        writeln!(out)?;
        match theirs.as_slice() {
            [finding] => one(run, finding, out)?,
            _ => many(&run.assessment, rule, &theirs, out)?,
        }
    }
    Ok(())
}

/// Writes findings that are held against nobody, in a few words each.
pub(super) fn render_briefly(findings: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    if !findings.is_empty() {
        writeln!(out)?;
    }
    for finding in findings.iter().take(SHOWN) {
        let severity = names::severity(finding.severity);
        let text = format!("{severity} {} at {}", finding.rule.id, place(finding));
        let text = format!("{text}, frame {}", finding.evidence.primary.1);
        for (line, words) in wrapped(&text, 76).iter().enumerate() {
            writeln!(out, "  {}{}", if line == 0 { "" } else { "  " }, dim(words))?;
        }
    }
    let hidden = u64::try_from(findings.len().saturating_sub(SHOWN)).unwrap_or(u64::MAX);
    if hidden > 0 {
        writeln!(out, "  {}", dim(&format!("and {} more", count(hidden, "finding"))))?;
    }
    Ok(())
}

/// `shop.test:80`, or the address where there is no name; without a port where there are none.
fn place(finding: &Finding) -> String {
    let endpoint = &finding.endpoint;
    let host =
        endpoint.host.as_deref().map_or_else(|| endpoint.ip.to_string(), |host| plain(host).into_owned());
    stored::endpoint(&host, Some(endpoint.port))
}

fn one(run: &Run, finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let confidence = names::finding_confidence(finding.confidence);
    let standing = run.assessment.standing(finding).map(|standing| format!(", {}", standing.as_str()));
    title(finding.severity, finding.rule, &format!(" ({confidence}{})", standing.unwrap_or_default()), out)?;
    for line in wrapped(&plain(&finding.message), 69) {
        writeln!(out, "           {line}")?;
    }
    let at = finding.endpoint.host.as_ref().map(|_| format!(" at {}", finding.endpoint.ip));
    let place = format!("{}{}", place(finding), at.unwrap_or_default());
    let more = if finding.flows > 1 { format!(", {}", count(finding.flows, "flow")) } else { String::new() };
    writeln!(out, "           {place}, frame {}{more}", finding.evidence.primary.1)?;
    if let Some(position) = run.position(finding.evidence.primary.0) {
        let step = position.step.map(|step| step.name.as_str());
        let words = steps::in_words(step, position.began, run.steps_of(finding).into_iter());
        for line in wrapped(&format!("step {}", plain(&words)), 69) {
            writeln!(out, "           {line}")?;
        }
    }
    evidence(&[finding], out)?;
    requirements::of_rule(finding.rule, out)
}

/// Several findings of one rule.
fn many(
    assessment: &Assessment,
    rule: &RuleInfo,
    findings: &[&Finding],
    out: &mut dyn Write,
) -> io::Result<()> {
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(rule.severity);
    let flows = findings.iter().map(|finding| finding.flows).fold(0, u64::saturating_add);
    let known = findings.iter().filter(|finding| assessment.standing(finding) == Some(Standing::Known));
    let known = match &assessment.baseline {
        Some(_) => format!(", {} of {} known", known.count(), findings.len()),
        None => String::new(),
    };
    title(worst, rule, &format!(" ({}{known})", count(flows, "flow")), out)?;
    let mut messages = findings.iter().map(|finding| finding.message.as_str());
    let first = messages.next().unwrap_or(rule.summary);
    let message = if messages.all(|message| message == first) { first } else { rule.summary };
    for line in wrapped(&plain(message), 69) {
        writeln!(out, "           {line}")?;
    }
    let mut places: Vec<_> = findings.iter().map(|finding| place(finding)).collect();
    places.sort();
    places.dedup();
    let hidden = places.len().saturating_sub(8);
    places.truncate(8);
    if hidden > 0 {
        places.push(format!("and {hidden} more"));
    }
    for line in wrapped(&format!("at {}", places.join(", ")), 69) {
        writeln!(out, "           {line}")?;
    }
    evidence(findings, out)?;
    requirements::of_rule(rule, out)
}

fn title(severity: Severity, rule: &RuleInfo, note: &str, out: &mut dyn Write) -> io::Result<()> {
    let style = words::severity(severity);
    let word = names::severity(severity).to_uppercase();
    writeln!(out, "  {style}{word:8}{style:#} {}{}", bold(rule.id), dim(note))
}

/// The frames, as a display filter to copy.
fn evidence(findings: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    let mut frames: Vec<_> =
        findings.iter().flat_map(|finding| finding.evidence.places()).map(|(_flow, frame)| frame).collect();
    frames.sort_unstable();
    frames.dedup();
    let mut shown = String::new();
    let mut hidden = 0_u64;
    for frame in frames.iter().map(ToString::to_string) {
        if shown.len().saturating_add(frame.len()) > FRAMES || hidden > 0 {
            hidden = hidden.saturating_add(1);
        } else {
            shown.push_str(if shown.is_empty() { "" } else { ", " });
            shown.push_str(&frame);
        }
    }
    writeln!(out, "           Wireshark: {}", bold(&format!("frame.number in {{{shown}}}")))?;
    if hidden > 0 {
        writeln!(out, "           and {}", count(hidden, "more frame"))?;
    }
    Ok(())
}
