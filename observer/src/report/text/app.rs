//! The part of the report that is about one app.

use std::io::{self, Write};

use super::words::{bold, dim, wrapped};
use super::{SHOWN, Section, finding, requirements, severities, traffic, words};
use crate::observation::Protection;
use crate::report::names;
use crate::report::overview::{Endpoint, EndpointKey};
use crate::report::plain::plain;
use crate::report::wording::{count, size};

/// Writes the section of an app.
pub(super) fn render(section: &Section<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Section { app, findings, verdicts, .. } = section;
    let name = section.name();
    let about = app.owner.as_deref().map(|owner| words::about(owner, &name)).unwrap_or_default();
    writeln!(out, "{}{}", bold(&name), dim(&plain(&about)))?;
    let (word, style) = section.verdict();
    let found = severities(findings.iter().copied());
    writeln!(out, "  {style}{word}{style:#}: {found}, {}", traffic(app))?;
    let why = match (&app.owner, section.is_platform()) {
        _ if section.is_judged() => None,
        (_, true) => Some("the platform's own traffic, held against no app"),
        (None, false) => Some("held against no app: nobody is known to have sent it"),
        (Some(_), false) => Some("held against no app: the policy's scope does not name this one"),
    };
    if let Some(why) = why {
        writeln!(out, "  {}", dim(why))?;
    }
    writeln!(out)?;
    if section.is_judged() {
        requirements::table(verdicts, out)?;
        writeln!(out)?;
    }
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
    match section.is_judged() {
        true => finding::render(section.run, findings, out),
        false => finding::render_briefly(findings, out),
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
    let mut details: Vec<_> = endpoint
        .ciphers
        .iter()
        .chain(&endpoint.protocols)
        .chain(&endpoint.encrypted_dns)
        .map(|text| plain(text))
        .collect();
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
