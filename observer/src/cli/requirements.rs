//! `observer requirements`: the catalogue that verdicts refer to.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anstyle::Style;
use serde_json::json;

use super::USAGE;
use super::rules::{Format, write_hanging};
use crate::requirements::{self, Exercise, Requirement};
use crate::rules;

/// List the requirements: what traffic can show of each, and the rules that bear on it
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// One standard alone, e.g. cl-mss, masvs, asvs
    #[arg(long, value_name = "STANDARD")]
    standard: Option<String>,
    /// The form of the list
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  observer requirements --standard cl-mss
  observer requirements --format json | jq -r '.[] | select(.rules == []).id'";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let wanted = arguments.standard.as_deref();
    let standards = requirements::standards();
    if let Some(unknown) = wanted.filter(|id| !standards.iter().any(|standard| standard.id == *id)) {
        let known: Vec<&str> = standards.iter().map(|standard| standard.id).collect();
        anstream::eprintln!("observer: no standard is called {unknown:?}; there are {}", known.join(", "));
        return Ok(ExitCode::from(USAGE));
    }
    let rows = requirements::all().filter(|row| wanted.is_none_or(|id| row.standard.id == id));
    let mut out = BufWriter::new(anstream::stdout().lock());
    match arguments.format {
        Format::Json => write_json(rows, &mut out)?,
        Format::Table => {
            for (index, standard) in
                standards.iter().filter(|standard| wanted.is_none_or(|id| standard.id == id)).enumerate()
            {
                if index > 0 {
                    writeln!(out)?;
                }
                let bold = Style::new().bold();
                writeln!(out, "{bold}{}, {}{bold:#}\n", standard.name, standard.version)?;
                write_rows(requirements::all().filter(|row| row.standard == *standard), &mut out)?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_rows(rows: impl Iterator<Item = &'static Requirement>, out: &mut dyn Write) -> io::Result<()> {
    let bold = Style::new().bold();
    for row in rows {
        let level = if row.level.is_empty() { String::new() } else { format!(" ({})", row.level) };
        writeln!(out, "  {bold}{}{bold:#}{level}", row.id)?;
        write_hanging("    asks     ", row.gist, out)?;
        let rules: Vec<&str> = rules::bearing_on(row.id).map(|rule| rule.id).collect();
        match shown(row.exercise).filter(|_| !rules.is_empty()) {
            Some(shown) => {
                write_hanging("    traffic  ", shown, out)?;
                write_hanging("    rules    ", &rules.join(", "), out)?;
            }
            None => write_hanging("    traffic  ", "does not show it", out)?,
        }
        if !row.instead.is_empty() {
            write_hanging("    besides  ", row.instead, out)?;
        }
    }
    Ok(())
}

/// What in the traffic shows it.
fn shown(exercise: Exercise) -> Option<&'static str> {
    Some(match exercise {
        Exercise::Payload => "every flow with payload",
        Exercise::Handshake => "TLS handshakes",
        Exercise::Chain => "certificates up to TLS 1.2",
        Exercise::Pin => "certificates of hosts with pins in the policy",
        Exercise::ClientCertificate => "handshakes with mutual TLS, or where the policy expects it",
        Exercise::Loss => "attempts at TLS that came to nothing",
        Exercise::Request => "HTTP requests that can be read",
        Exercise::Response => "HTTP responses that can be read",
        Exercise::Endpoint => "far ends, where the policy lists endpoints",
        Exercise::None => return None,
    })
}

fn write_json(rows: impl Iterator<Item = &'static Requirement>, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<_> = rows
        .map(|row| {
            json!({
                "id": row.id,
                "standard": {"id": row.standard.id, "name": row.standard.name, "version": row.standard.version},
                "level": row.level,
                "gist": row.gist,
                "bearing": row.bearing,
                "instead": row.instead,
                "rules": rules::bearing_on(row.id).map(|rule| rule.id).collect::<Vec<_>>(),
            })
        })
        .collect();
    writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)
}
