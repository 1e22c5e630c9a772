//! The part of the report that is about one app.

use std::io::{self, Write};

use super::words::{bold, count, dim, size, wrapped};
use super::{SHOWN, Section, finding, severities, traffic, words};
use crate::assess::{Judgement, Verdict};
use crate::observation::Protection;
use crate::report::names;
use crate::report::overview::{Endpoint, EndpointKey};
use crate::report::plain::plain;
use crate::requirements;

/// The standard whose requirements are shown one by one; findings and verdicts name those of the others, too.
const STANDARD: &str = "cl-mss:";

/// Conclusions in the order in which they are counted.
const ORDER: [Judgement; 5] = [
    Judgement::Violated,
    Judgement::NoViolationObserved,
    Judgement::Inconclusive,
    Judgement::NotExercised,
    Judgement::NotObservable,
];

/// Writes the section of an app.
pub(super) fn render(section: &Section<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Section { app, findings, verdicts, .. } = section;
    let name = section.name();
    let about = app.owner.as_deref().map(|owner| words::about(owner, &name)).unwrap_or_default();
    writeln!(out, "{}{}", bold(&name), dim(&plain(&about)))?;
    let (word, style) = section.verdict();
    let mut line =
        format!("  {style}{word}{style:#}: {}, {}", severities(findings.iter().copied()), traffic(app));
    if !section.is_judged() && !findings.is_empty() {
        line.push_str(&dim("; not held against an app"));
    }
    writeln!(out, "{line}\n")?;
    for (key, endpoint) in app.endpoints.iter().take(SHOWN) {
        render_endpoint(key, endpoint, out)?;
    }
    let hidden = app.endpoints.len().saturating_sub(SHOWN);
    if hidden > 0 {
        writeln!(out, "  {}", dim(&format!("and {hidden} more endpoints, all with --format jsonl or --db")))?;
    }
    if app.other_flows > 0 {
        writeln!(out, "  {} with further endpoints", count(app.other_flows, "flow"))?;
    }
    finding::render(findings, out)?;
    render_verdicts(verdicts, out)
}

fn render_endpoint(key: &EndpointKey, endpoint: &Endpoint, out: &mut dyn Write) -> io::Result<()> {
    let host = plain(&key.host);
    let name = match key.port {
        Some(port) if key.host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => host.into_owned(),
    };
    let transport = names::TransportName(key.transport).to_string();
    let protocol = key.protocol.unwrap_or(&transport);
    let what = match key.protection {
        Protection::Encrypted if !endpoint.versions.is_empty() => {
            endpoint.versions.iter().cloned().collect::<Vec<_>>().join(", ")
        }
        Protection::Encrypted => protocol.to_uppercase(),
        Protection::Empty => format!("no payload ({transport})"),
        Protection::Cleartext if protocol == "unknown" => format!("cleartext ({transport})"),
        Protection::Cleartext => format!("cleartext {}", protocol.to_uppercase()),
        Protection::Opportunistic => format!("STARTTLS in {}", protocol.to_uppercase()),
        Protection::Opaque if protocol == "unknown" => format!("opaque ({transport})"),
        Protection::Opaque => format!("opaque ({})", protocol.to_uppercase()),
    };
    let style = words::protection(key.protection);
    let numbers = format!("{:>12}{:>9}", count(endpoint.flows, "flow"), size(endpoint.bytes));
    if name.chars().count() > 33 {
        writeln!(out, "  {name}")?;
        writeln!(out, "  {:33} {style}{what:22}{style:#}{numbers}", "")?;
    } else {
        writeln!(out, "  {name:33} {style}{what:22}{style:#}{numbers}")?;
    }
    let mut details: Vec<_> =
        endpoint.ciphers.iter().chain(&endpoint.protocols).map(|text| plain(text)).collect();
    if endpoint.incomplete > 0 {
        details.push(format!("{} not completed", count(endpoint.incomplete, "handshake")).into());
    }
    if !details.is_empty() {
        for line in wrapped(&details.join(", "), 74) {
            writeln!(out, "    {}", dim(&line))?;
        }
    }
    Ok(())
}

fn render_verdicts(verdicts: &[&Verdict], out: &mut dyn Write) -> io::Result<()> {
    if verdicts.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let (ours, others): (Vec<&Verdict>, Vec<&Verdict>) =
        verdicts.iter().partition(|verdict| verdict.requirement.starts_with(STANDARD));
    for judged in [Judgement::Violated, Judgement::NoViolationObserved, Judgement::Inconclusive] {
        for verdict in ours.iter().filter(|verdict| verdict.judgement == judged) {
            render_verdict(verdict, out)?;
        }
    }
    for judged in [Judgement::NotExercised, Judgement::NotObservable] {
        let names: Vec<_> = ours
            .iter()
            .filter(|verdict| verdict.judgement == judged)
            .map(|verdict| verdict.requirement)
            .collect();
        if !names.is_empty() {
            let text = format!("{}: {}", judgement(judged), names.join(", "));
            for line in wrapped(&text, 76) {
                writeln!(out, "  {}", dim(&line))?;
            }
        }
    }
    let counts: Vec<_> = ORDER
        .into_iter()
        .filter_map(|judged| {
            let many = others.iter().filter(|verdict| verdict.judgement == judged).count();
            (many > 0).then(|| format!("{many} {}", judgement(judged)))
        })
        .collect();
    if !counts.is_empty() {
        for line in wrapped(&format!("requirements of other standards: {}", counts.join(", ")), 76) {
            writeln!(out, "  {}", dim(&line))?;
        }
    }
    Ok(())
}

fn render_verdict(verdict: &Verdict, out: &mut dyn Write) -> io::Result<()> {
    let style = words::judgement(verdict.judgement);
    let word = judgement(verdict.judgement);
    let on = format!(" on {}, {}", count(verdict.endpoints, "endpoint"), count(verdict.flows, "flow"));
    writeln!(out, "  {:11} {style}{word}{style:#}{}", verdict.requirement, dim(&on))?;
    let explanation = match verdict.judgement {
        Judgement::Violated => {
            requirements::find(verdict.requirement).map_or("", |requirement| requirement.gist)
        }
        Judgement::Inconclusive => &verdict.reason,
        _ => return Ok(()),
    };
    for line in wrapped(&plain(explanation), 65) {
        writeln!(out, "              {}", dim(&line))?;
    }
    Ok(())
}

fn judgement(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Violated => "violated",
        Judgement::NoViolationObserved => "no violation observed",
        Judgement::NotExercised => "not exercised",
        Judgement::NotObservable => "not observable from traffic",
        Judgement::Inconclusive => "inconclusive",
    }
}
