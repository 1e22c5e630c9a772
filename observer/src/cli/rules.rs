//! `observer rules`: what is judged, and why.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anstyle::Style;
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::USAGE;
use crate::requirements;
use crate::rules::{RULES, RuleInfo};

/// Columns of an explanation.
const WIDTH: usize = 80;

/// List the rules, or explain one
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// The form of the list
    #[arg(long, value_name = "FORM", default_value = "table")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  observer rules
  observer rules explain cleartext-http
  observer rules --format json | jq -r '.[] | select(.severity == \"high\").id'";

#[derive(Subcommand)]
enum Action {
    /// Say what a rule observes, when it fails, what it cannot see, and where that is written
    Explain {
        /// The rule, e.g. cleartext-http
        #[arg(value_name = "RULE")]
        id: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(anstream::stdout().lock());
    let code = match &arguments.action {
        Some(Action::Explain { id }) => {
            if let Some(rule) = crate::rules::find(id) {
                explain(rule, &mut out)?;
                ExitCode::SUCCESS
            } else {
                let near = nearest(id).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                anstream::eprintln!("observer: no rule is called {id:?}{near} (observer rules lists them)");
                ExitCode::from(USAGE)
            }
        }
        None => {
            list(arguments.format, &mut out)?;
            ExitCode::SUCCESS
        }
    };
    out.flush()?;
    Ok(code)
}

fn list(format: Format, out: &mut dyn Write) -> io::Result<()> {
    let rules = RULES.iter().map(|rule| rule.info());
    if format == Format::Json {
        let rules: Vec<_> = rules
            .map(|rule| {
                json!({
                    "id": rule.id,
                    "severity": rule.severity,
                    "summary": rule.summary,
                    "requirements": rule.requirements,
                    "explanation": rule.explanation,
                })
            })
            .collect();
        return writeln!(out, "{}", serde_json::to_string_pretty(&rules)?);
    }
    let mut group = None;
    for rule in rules {
        let first = rule.requirements.first().copied();
        if group != Some(first) {
            if group.is_some() {
                writeln!(out)?;
            }
            match first.and_then(requirements::find) {
                Some(row) => write_hanging(&format!("{}: ", row.id), row.gist, out)?,
                None => writeln!(out, "policy: what the tester declares")?,
            }
            group = Some(first);
        }
        write_hanging(&format!("  {:33} {:9}", rule.id, rule.severity.as_str()), rule.summary, out)?;
    }
    writeln!(out, "\nobserver rules explain RULE says more, and names all requirements of a rule.")
}

/// Writes `lead` and then words, in lines of at most [`WIDTH`] columns, each beginning where the first one does.
pub(super) fn write_hanging(lead: &str, words: &str, out: &mut dyn Write) -> io::Result<()> {
    let indent = lead.chars().count();
    let mut lead = lead.to_owned();
    let mut line = String::new();
    for word in words.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{lead}{line}")?;
            lead = " ".repeat(indent);
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{lead}{line}")
}

fn explain(rule: &RuleInfo, out: &mut dyn Write) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}{}{bold:#}: {}", rule.id, rule.summary)?;
    writeln!(out, "Severity: {}, unless said otherwise below", rule.severity)?;
    for section in rule.explanation.split("## ").skip(1) {
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        writeln!(out, "\n{bold}{}{bold:#}", heading.trim())?;
        write_hanging("  ", &plain_links(text), out)?;
    }
    if !rule.requirements.is_empty() {
        writeln!(out, "\n{bold}Bears on{bold:#}")?;
        for id in rule.requirements {
            let gist = requirements::find(id).map(|row| row.gist).unwrap_or_default();
            write_hanging(&format!("  {id}: "), gist, out)?;
        }
    }
    Ok(())
}

/// `[text](address)` as `text <address>`, and no marks of code.
fn plain_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        let link = after.split_once("](").and_then(|(words, after)| {
            let (address, after) = after.split_once(')')?;
            Some((words, address, after))
        });
        if let Some((words, address, after)) = link {
            plain.push_str(&format!("{words} <{address}>"));
            rest = after;
        } else {
            plain.push('[');
            rest = after;
        }
    }
    plain.push_str(rest);
    plain.replace('`', "")
}

/// The rule whose name is nearest to `id`, if one is near.
fn nearest(id: &str) -> Option<&'static str> {
    let names = RULES.iter().map(|rule| rule.info().id);
    let (name, distance) =
        names.map(|name| (name, distance(name, id))).min_by_key(|(_, distance)| *distance)?;
    (distance <= id.len().max(6) / 3).then_some(name)
}

/// How many letters must be changed, added or left out to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            let cost = diagonal + usize::from(from != *to);
            left = cost.min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_rule_finds_its_neighbour() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("clear-text-http"), Some("cleartext-http"));
        assert_eq!(nearest("accepted-selfsigned"), Some("accepted-self-signed"));
        assert_eq!(nearest("nothing-of-the-sort"), None);
    }

    #[test]
    fn explanations_are_plain_text_of_80_columns() {
        for rule in RULES {
            let mut text = Vec::new();
            explain(rule.info(), &mut text).unwrap();
            let text = anstream::adapter::strip_str(std::str::from_utf8(&text).unwrap()).to_string();
            for heading in ["What it observes", "Fails when", "Blind spots", "References"] {
                assert!(text.contains(heading), "{} lacks {heading}", rule.info().id);
            }
            assert!(!text.contains("](") && !text.contains('`'), "{text}");
            let long = text.lines().find(|line| line.chars().count() > WIDTH && !line.contains("<http"));
            assert_eq!(long, None);
        }
    }
}
