//! Markdown for a comment on a pull request: the outcome, a table an app, the findings that weigh.

use std::io::{self, Write};

use super::LONGEST;
use super::remedy::remedy;
use super::stored::{StoredApp, StoredFinding, StoredRun};
use super::wording::{cl_mss, count, title};
use crate::assess::Judgement;
use crate::rules::Severity;

/// Findings of an app that are shown one by one.
const SHOWN: usize = 20;

/// Writes `run`, whose findings weigh from `fail_on` on.
///
/// # Errors
/// Those of `out`.
pub fn render(run: &StoredRun, fail_on: Option<Severity>, out: &mut dyn Write) -> io::Result<()> {
    let mut text = format!("## observer: {}\n\n", escaped(&run.headline(fail_on)));
    if !run.finished {
        text.push_str("> The run was not written to its end: verdicts are missing.\n\n");
    }
    text.push_str(&format!("{}, {}", count(run.frames, "frame"), count(run.flows, "flow")));
    for (what, many) in &run.lost {
        text.push_str(&format!("; lost by {}: {many}", escaped(what)));
    }
    if run.unattributed_flows > 0 {
        text.push_str(&format!("; {} without an owner", count(run.unattributed_flows, "flow")));
    }
    text.push_str(".\n");
    for note in run.all_notes() {
        text.push_str(&format!("\nNote: {}.\n", escaped(note)));
    }
    let mut left_out = 0_u64;
    for app in run.apps.iter().filter(|app| app.is_judged()) {
        let section = section(run, app);
        if text.len().saturating_add(section.len()) > LONGEST {
            left_out = left_out.saturating_add(1);
        } else {
            text.push_str(&section);
        }
    }
    if left_out > 0 {
        text.push_str(&format!("\nToo long for a comment: {} left out.\n", count(left_out, "app")));
    }
    out.write_all(text.as_bytes())
}

fn section(run: &StoredRun, app: &StoredApp) -> String {
    let mut text = format!("\n### {}\n\n", escaped(run.name(app)));
    text.push_str("| CL MSS | | verdict | ground |\n| --- | --- | --- | --- |\n");
    for verdict in &app.verdicts {
        let Some(number) = cl_mss(&verdict.requirement) else { continue };
        let word = match verdict.judgement {
            Judgement::Violated => "**VIOLATED**",
            other => other.in_words(),
        };
        let (title, ground) = (title(number), escaped(&verdict.reason));
        text.push_str(&format!("| {number} | {title} | {word} | {ground} |\n"));
    }
    let (mut weighty, noted): (Vec<&StoredFinding>, Vec<&StoredFinding>) =
        app.held().partition(|finding| finding.severity >= Severity::Medium);
    // What the baseline knows goes last, and is what a bound leaves out.
    weighty.sort_by_key(|finding| finding.is_known());
    for finding in weighty.iter().take(SHOWN) {
        text.push_str(&one(finding));
    }
    let more = weighty.len().saturating_sub(SHOWN);
    if more > 0 {
        text.push_str(&format!("\nand {more} more findings.\n"));
    }
    if !noted.is_empty() {
        let many = u64::try_from(noted.len()).unwrap_or(u64::MAX);
        text.push_str(&format!("\nBeside these, {} of low or no weight.\n", count(many, "finding")));
    }
    text.push_str(&excused(app));
    text
}

/// What an exception excuses, with its reason and its last day.
fn excused(app: &StoredApp) -> String {
    if app.suppressed.is_empty() {
        return String::new();
    }
    let mut text = "\nExcused:\n\n".to_owned();
    for finding in app.suppressed.iter().take(SHOWN) {
        let reason = escaped(finding.suppressed.as_deref().unwrap_or_default());
        text.push_str(&format!("- {} at {}: {reason}\n", finding.rule, escaped(&finding.endpoint())));
    }
    let more = app.suppressed.len().saturating_sub(SHOWN);
    if more > 0 {
        text.push_str(&format!("- and {more} more\n"));
    }
    text
}

fn one(finding: &StoredFinding) -> String {
    let severity = finding.severity.as_str().to_uppercase();
    let standing = finding.baseline.map(|standing| format!(" ({})", standing.as_str())).unwrap_or_default();
    let mut text = format!(
        "\n<details><summary><b>{severity}</b>{standing} <code>{}</code> at <code>{}</code>: {}</summary>\n\n",
        finding.rule,
        html(&finding.endpoint()),
        html(&finding.message),
    );
    if let Some(step) = finding.step_in_words() {
        text.push_str(&format!("- Step: {}\n", escaped(&step)));
    }
    text.push_str(&format!("- Confidence: {}\n- Wireshark: `{}`\n", finding.confidence, finding.filter()));
    if let Some(remedy) = remedy(&finding.rule) {
        text.push_str(&format!("- Remedy: {}\n", remedy.text));
    }
    text.push_str("\n</details>\n");
    text
}

/// `text` in one line in which no character means anything to Markdown or HTML (CommonMark 0.31 §2.4).
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in super::plain::plain(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A mention or a reference to an issue would call somebody.
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// `text` for a place where HTML is read, in which Markdown does not matter.
fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in super::plain::plain(text).chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '.' | ',' | ':' | '/' | '-' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => out.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_names_mean_nothing() {
        let hostile = "a|b <img src=x onerror=alert(1)> [x](javascript:y) `c` @team #12\n# title \u{202e}";
        let text = escaped(hostile);
        assert!(!text.contains('<') && !text.contains('\n') && !text.contains('@'), "{text}");
        assert!(
            text.contains("a\\|b &lt;img") && text.contains("\\[x\\](") && text.contains("\\`c\\`"),
            "{text}"
        );
        let text = html(hostile);
        assert!(text.chars().all(|c| !matches!(c, '<' | '>' | '`' | '[' | '*' | '@' | '|')), "{text}");
    }
}
