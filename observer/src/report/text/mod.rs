//! The report for people: the verdict first, then for each app what it did, what is wrong with it and where to look,
//! then what the capture cannot show.
//!
//! Lines fit into 80 columns unless a name is longer. Text from the network is escaped. Colours are written always:
//! the stream that the report goes to takes them away where they are not wanted.

mod limits;
mod words;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use self::words::{bold, count, dim, list, number, size, wrapped};
use super::Run;
use super::names;
use super::outcome::Outcome;
use super::overview::{App, Endpoint, EndpointKey, Overview};
use super::plain::plain;
use crate::assess::{Judgement, Verdict};
use crate::attribution::Owner;
use crate::observation::Protection;
use crate::rules::{Finding, Severity};

/// Endpoints and findings of an app that are shown; the database and the other formats have all of them.
const SHOWN: usize = 40;

/// Frames of a finding that its display filter names.
const FRAMES: usize = 20;

/// How people call traffic without an owner.
const UNATTRIBUTED: &str = "Unattributed traffic";

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
    for (name, app) in overview.apps() {
        writeln!(out)?;
        render_app(run, name, app, out)?;
    }
    for (name, findings) in without_flows(run, overview) {
        writeln!(out)?;
        writeln!(out, "{}", bold(&plain(name.unwrap_or(UNATTRIBUTED))))?;
        render_findings(&findings, out)?;
    }
    limits::render(run, overview, out)
}

fn headline(run: &Run, fail_on: Option<Severity>, out: &mut dyn Write) -> io::Result<()> {
    let good = Style::new().bold().fg_color(Some(AnsiColor::Green.into()));
    let bad = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let doubtful = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    let findings = severities(&run.assessment.findings);
    match run.outcome(fail_on) {
        Outcome::Findings(_) => writeln!(out, "{bad}VIOLATED{bad:#}: {findings}")?,
        Outcome::Inconclusive(reason) => {
            writeln!(out, "{doubtful}INCONCLUSIVE{doubtful:#}: {}", plain(&reason))?;
            if !run.assessment.findings.is_empty() {
                writeln!(out, "{findings}")?;
            }
        }
        Outcome::Clean if run.assessment.findings.is_empty() => {
            writeln!(out, "{good}NO VIOLATION OBSERVED{good:#}, which does not prove that there is none")?;
        }
        Outcome::Clean => {
            let least = fail_on.map_or("any severity", names::severity);
            writeln!(out, "{good}NOTHING AT OR ABOVE {}{good:#}: {findings}", least.to_uppercase())?;
        }
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
    Ok(())
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

fn owner_name(owner: Option<&std::sync::Arc<Owner>>) -> Option<String> {
    owner.map(|owner| owner.name())
}

/// Findings of apps without a flow of their own, e.g. of an expired exception.
fn without_flows<'a>(run: &'a Run, overview: &Overview) -> Vec<(Option<&'a str>, Vec<&'a Finding>)> {
    let seen: Vec<_> = overview.apps().map(|(name, _)| name.map(str::to_owned)).collect();
    let findings: Vec<_> = run
        .assessment
        .findings
        .iter()
        .filter(|finding| !seen.contains(&owner_name(finding.owner.as_ref())))
        .collect();
    if findings.is_empty() { Vec::new() } else { vec![(Some("Other findings"), findings)] }
}

fn render_app(run: &Run, name: Option<&str>, app: &App, out: &mut dyn Write) -> io::Result<()> {
    let is_theirs = |owner: Option<&std::sync::Arc<Owner>>| owner_name(owner).as_deref() == name;
    let findings: Vec<_> =
        run.assessment.findings.iter().filter(|finding| is_theirs(finding.owner.as_ref())).collect();
    let verdicts: Vec<_> =
        run.assessment.verdicts.iter().filter(|verdict| is_theirs(verdict.owner.as_ref())).collect();

    let title = plain(name.unwrap_or(UNATTRIBUTED));
    let about =
        app.owner.as_deref().map(|owner| words::about(owner, name.unwrap_or_default())).unwrap_or_default();
    writeln!(out, "{}{}", bold(&title), dim(&plain(&about)))?;
    writeln!(out, "  {}", app_verdict(&findings, &verdicts))?;
    let endpoints = count(u64::try_from(app.endpoints.len()).unwrap_or(u64::MAX), "endpoint");
    writeln!(out, "  {}, {}, {}", count(app.flows, "flow"), endpoints, size(app.bytes))?;
    writeln!(out)?;
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
    render_findings(&findings, out)?;
    render_verdicts(&verdicts, out)
}

fn app_verdict(findings: &[&Finding], verdicts: &[&Verdict]) -> String {
    let bad = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let good = Style::new().fg_color(Some(AnsiColor::Green.into()));
    let doubtful = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
    let with = |judgement| verdicts.iter().filter(|verdict| verdict.judgement == judgement).count();
    let found = severities(findings.iter().copied());
    match (with(Judgement::Violated), with(Judgement::Inconclusive)) {
        (violated @ 1.., _) => {
            let violated = count(u64::try_from(violated).unwrap_or(u64::MAX), "requirement");
            format!("{bad}violates {violated}{bad:#}: {found}")
        }
        (0, _) if !findings.is_empty() => found,
        (0, 1..) => format!("{doubtful}inconclusive{doubtful:#}"),
        (0, 0) => format!("{good}no violation observed{good:#}"),
    }
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
        Protection::Cleartext => format!("cleartext {}", protocol.to_uppercase()),
        Protection::Opportunistic => format!("STARTTLS in {}", protocol.to_uppercase()),
        Protection::Opaque => format!("opaque ({transport})"),
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

fn render_findings(findings: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    for finding in findings.iter().take(SHOWN) {
        writeln!(out)?;
        render_finding(finding, out)?;
    }
    let hidden = findings.len().saturating_sub(SHOWN);
    if hidden > 0 {
        writeln!(
            out,
            "\n  {}",
            dim(&format!("and {hidden} more findings, all with --format jsonl or --db"))
        )?;
    }
    Ok(())
}

fn render_finding(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let style = words::severity(finding.severity);
    let word = names::severity(finding.severity).to_uppercase();
    let confidence = names::finding_confidence(finding.confidence);
    writeln!(
        out,
        "  {style}{word:8}{style:#} {} {}",
        bold(finding.rule.id),
        dim(&format!("({confidence})"))
    )?;
    for line in wrapped(&plain(&finding.message), 69) {
        writeln!(out, "           {line}")?;
    }
    let endpoint = &finding.endpoint;
    let ip = endpoint.ip;
    let place = match &endpoint.host {
        Some(host) => format!("{}:{} at {ip}", plain(host), endpoint.port),
        None => std::net::SocketAddr::new(ip, endpoint.port).to_string(),
    };
    let mut frames: Vec<_> = finding.evidence.places().map(|(_flow, frame)| frame).collect();
    let first = frames.first().copied().unwrap_or_default();
    frames.sort_unstable();
    frames.dedup();
    let more = match frames.len() {
        0 | 1 => String::new(),
        many => format!(" and {} more", number(u64::try_from(many).unwrap_or(u64::MAX).saturating_sub(1))),
    };
    writeln!(out, "           {place}, frame {first}{more}")?;
    let shown: Vec<_> = frames.iter().take(FRAMES).map(ToString::to_string).collect();
    writeln!(out, "           Wireshark: {}", bold(&format!("frame.number in {{{}}}", shown.join(", "))))?;
    let requirements = finding.rule.requirements.join(", ");
    for (place, line) in wrapped(&requirements, 62).iter().enumerate() {
        writeln!(out, "           {}{line}", if place == 0 { "breaks " } else { "       " })?;
    }
    Ok(())
}

fn render_verdicts(verdicts: &[&Verdict], out: &mut dyn Write) -> io::Result<()> {
    if verdicts.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  Requirements")?;
    let kinds = [
        (Judgement::Violated, "violated"),
        (Judgement::NoViolationObserved, "no violation observed"),
        (Judgement::Inconclusive, "inconclusive"),
        (Judgement::NotExercised, "not exercised"),
        (Judgement::NotObservable, "not observable"),
    ];
    for (judgement, words) in kinds {
        let theirs = || verdicts.iter().filter(|verdict| verdict.judgement == judgement);
        let names: Vec<_> = match judgement {
            Judgement::NotObservable => {
                let many = theirs().count();
                if many == 0 { Vec::new() } else { vec![format!("{many}, see `observer requirements`")] }
            }
            _ => theirs().map(|verdict| verdict.requirement.to_owned()).collect(),
        };
        if names.is_empty() {
            continue;
        }
        for (place, line) in wrapped(&names.join(", "), 52).iter().enumerate() {
            writeln!(out, "    {:22} {line}", if place == 0 { words } else { "" })?;
        }
        if judgement == Judgement::NoViolationObserved {
            let exercised =
                theirs().map(|verdict| (verdict.endpoints, verdict.flows)).max().unwrap_or_default();
            let on = format!(
                "exercised on up to {} in {}",
                count(exercised.0, "endpoint"),
                count(exercised.1, "flow")
            );
            writeln!(out, "    {:22} {}", "", dim(&on))?;
        }
    }
    Ok(())
}
