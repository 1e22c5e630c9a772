//! Findings, with the evidence to look at.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::words::{bold, count, dim, number, wrapped};
use super::{SHOWN, words};
use crate::report::names;
use crate::report::plain::plain;
use crate::rules::{Finding, RuleInfo, Severity};

/// Frames that a display filter names.
const FRAMES: usize = 20;

/// The requirements that a finding names; it says how many more it breaks.
const STANDARDS: &[&str] = &["cl-mss:", "masvs:"];

/// Writes findings, those that are for the reader's knowledge summed up by rule.
pub(super) fn render(findings: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    let (known, weighty): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.severity == Severity::Info);
    for finding in weighty.iter().take(SHOWN) {
        writeln!(out)?;
        one(finding, out)?;
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
    for finding in &known {
        if !rules.iter().any(|rule| rule.id == finding.rule.id) {
            rules.push(finding.rule);
        }
    }
    for rule in rules {
        let theirs: Vec<_> = known.iter().copied().filter(|finding| finding.rule.id == rule.id).collect();
        writeln!(out)?;
        match theirs.as_slice() {
            [finding] => one(finding, out)?,
            _ => many(rule, &theirs, out)?,
        }
    }
    Ok(())
}

fn one(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let confidence = names::finding_confidence(finding.confidence);
    title(finding.severity, finding.rule, &format!(" ({confidence})"), out)?;
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
    requirements(finding.rule, out)
}

/// Several findings of one rule that are for the reader's knowledge.
fn many(rule: &RuleInfo, findings: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    title(Severity::Info, rule, "", out)?;
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
    requirements(rule, out)
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
    let shown: Vec<_> = frames.iter().take(FRAMES).map(ToString::to_string).collect();
    let hidden = u64::try_from(frames.len().saturating_sub(FRAMES)).unwrap_or(0);
    let more = if hidden > 0 { format!(" and {} more frames", number(hidden)) } else { String::new() };
    writeln!(
        out,
        "           Wireshark: {}{more}",
        bold(&format!("frame.number in {{{}}}", shown.join(", ")))
    )
}

fn requirements(rule: &RuleInfo, out: &mut dyn Write) -> io::Result<()> {
    let named: Vec<_> = rule
        .requirements
        .iter()
        .copied()
        .filter(|requirement| STANDARDS.iter().any(|standard| requirement.starts_with(standard)))
        .collect();
    let others = rule.requirements.len().saturating_sub(named.len());
    let more = if others > 0 { format!(" and {others} of other standards") } else { String::new() };
    for (place, line) in wrapped(&format!("{}{more}", named.join(", ")), 62).iter().enumerate() {
        writeln!(out, "           {} {}", if place == 0 { "bears on" } else { "        " }, dim(line))?;
    }
    Ok(())
}
