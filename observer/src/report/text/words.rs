//! How the report writes names and emphasis.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::assess::Judgement;
use crate::attribution::Owner;
use crate::observation::Protection;
use crate::rules::Severity;

/// What is known of an owner besides its name: label, uid, user, process.
pub(super) fn about(owner: &Owner, name: &str) -> String {
    let mut parts = Vec::new();
    parts.extend(owner.label.clone().filter(|label| label != name));
    parts.extend(owner.uid.map(|uid| format!("uid {uid}")));
    parts.extend(owner.user.clone().filter(|user| user != name));
    parts.extend(
        owner.process.clone().filter(|process| process != name).map(|process| format!("process {process}")),
    );
    parts.retain(|part| part != name);
    if parts.is_empty() { String::new() } else { format!("  {}", parts.join(", ")) }
}

/// `text` in lines of at most `width` characters, broken at spaces; longer words stay whole.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count().saturating_add(word.chars().count()) < width => {
                let _ = write!(line, " {word}");
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Stands out.
pub(super) fn bold(text: &str) -> String {
    let style = Style::new().bold();
    format!("{style}{text}{style:#}")
}

/// Stands back.
pub(super) fn dim(text: &str) -> String {
    let style = Style::new().dimmed();
    format!("{style}{text}{style:#}")
}

/// The colour of a severity.
pub(super) fn severity(severity: Severity) -> Style {
    match severity {
        Severity::Critical => Style::new().bold().fg_color(Some(AnsiColor::Magenta.into())),
        Severity::High => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
        Severity::Medium => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        Severity::Low => Style::new().fg_color(Some(AnsiColor::Cyan.into())),
        Severity::Info => Style::new().fg_color(Some(AnsiColor::Blue.into())),
    }
}

/// The colour of a conclusion.
pub(super) fn judgement(judgement: Judgement) -> Style {
    match judgement {
        Judgement::Violated => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
        Judgement::NoViolationObserved => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Judgement::Inconclusive => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        Judgement::NotExercised | Judgement::NotObservable => Style::new().dimmed(),
    }
}

/// The colour of a protection.
pub(super) fn protection(protection: Protection) -> Style {
    match protection {
        Protection::Cleartext => Style::new().fg_color(Some(AnsiColor::Red.into())),
        Protection::Opaque | Protection::Opportunistic => {
            Style::new().fg_color(Some(AnsiColor::Yellow.into()))
        }
        Protection::Encrypted => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Protection::Empty => Style::new().dimmed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("a-very-long-word b", 5), ["a-very-long-word", "b"]);
    }
}
