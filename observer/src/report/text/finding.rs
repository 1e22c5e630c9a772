//! Findings, with the evidence to look at.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::words::{bold, count, dim, number, wrapped};
use super::{SHOWN, requirements, words};
use crate::report::names;
use crate::report::plain::plain;
use crate::rules::{Finding, RuleInfo, Severity};

/// Frames that a display filter names.
const FRAMES: usize = 20;

/// Writes findings: those of weight one by one, the others by rule. Those that are `held` against nobody have no weight.
pub(super) fn render(findings: &[&Finding], held: bool, out: &mut dyn Write) -> io::Result<()> {
    let (weighty, noted): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| held && finding.severity >= Severity::Medium);
    for finding in weighty.iter().take(SHOWN) {
        writeln!(out)?;
        one(finding, held, out)?;
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
            [finding] => one(finding, held, out)?,
            _ => many(rule, &theirs, held, out)?,
        }
    }
    Ok(())
}

fn one(finding: &Finding, held: bool, out: &mut dyn Write) -> io::Result<()> {
    let confidence = names::finding_confidence(finding.confidence);
    title(finding.severity, held, finding.rule, &format!(" ({confidence})"), out)?;
    for line in wrapped(&plain(&finding.message), 69) {
        writeln!(out, "           {line}")?;
    }
    let endpoint = &finding.endpoint;
    let place = match &endpoint.host {
        Some(host) => format!("{}:{} at {}", plain(host), endpoint.port, endpoint.ip),
        None => SocketAddr::new(endpoint.ip, endpoint.port).to_string(),
    };
    let more = if finding.flows > 1 { format!(", {}", count(finding.flows, "flow")) } else { String::new() };
    writeln!(out, "           {place}, frame {}{more}", finding.evidence.primary.1)?;
    evidence(&[finding], out)?;
    if held { requirements::of_rule(finding.rule, out) } else { Ok(()) }
}

/// Several findings of one rule.
fn many(rule: &RuleInfo, findings: &[&Finding], held: bool, out: &mut dyn Write) -> io::Result<()> {
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(rule.severity);
    let flows = findings.iter().map(|finding| finding.flows).fold(0, u64::saturating_add);
    title(worst, held, rule, &format!(" ({})", count(flows, "flow")), out)?;
    let mut messages = findings.iter().map(|finding| finding.message.as_str());
    let first = messages.next().unwrap_or(rule.summary);
    let message = if messages.all(|message| message == first) { first } else { rule.summary };
    for line in wrapped(&plain(message), 69) {
        writeln!(out, "           {line}")?;
    }
    let mut places: Vec<_> = findings
        .iter()
        .map(|finding| {
            let endpoint = &finding.endpoint;
            match &endpoint.host {
                Some(host) => format!("{}:{}", plain(host), endpoint.port),
                None => SocketAddr::new(endpoint.ip, endpoint.port).to_string(),
            }
        })
        .collect();
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
    if held { requirements::of_rule(rule, out) } else { Ok(()) }
}

fn title(severity: Severity, held: bool, rule: &RuleInfo, note: &str, out: &mut dyn Write) -> io::Result<()> {
    let style = if held { words::severity(severity) } else { anstyle::Style::new().dimmed() };
    let word = names::severity(severity).to_uppercase();
    writeln!(out, "  {style}{word:8}{style:#} {}{}", bold(rule.id), dim(note))
}

/// The frames, as a display filter to copy.
fn evidence(findings: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    let mut frames: Vec<_> =
        findings.iter().flat_map(|finding| finding.evidence.places()).map(|(_flow, frame)| frame).collect();
    frames.sort_unstable();
    frames.dedup();
    let shown: Vec<_> = frames.iter().take(FRAMES).map(ToString::to_string).collect();
    let hidden = u64::try_from(frames.len().saturating_sub(FRAMES)).unwrap_or(0);
    let more = if hidden > 0 { format!(" and {} more frames", number(hidden)) } else { String::new() };
    writeln!(
        out,
        "           Wireshark: {}{more}",
        bold(&format!("frame.number in {{{}}}", shown.join(", ")))
    )
}
