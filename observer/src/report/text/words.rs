//! How the report writes numbers, lists, names and emphasis.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::assess::Judgement;
use crate::attribution::Owner;
use crate::observation::Protection;
use crate::rules::Severity;

/// A number with commas between thousands.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 flow`, `2 flows`.
pub(super) fn count(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(value), if value == 1 { "" } else { "s" })
}

/// Bytes in the unit that keeps them short: `918 B`, `1.2 MB`.
pub(super) fn size(bytes: u64) -> String {
    let mut unit = 1_u64;
    for name in ["B", "kB", "MB", "GB", "TB"] {
        let next = unit.saturating_mul(1000);
        if bytes < next || name == "TB" {
            let whole = bytes / unit;
            if unit == 1 || whole >= 100 {
                return format!("{whole} {name}");
            }
            return format!("{whole}.{} {name}", bytes % unit * 10 / unit);
        }
        unit = next;
    }
    format!("{bytes} B")
}

/// `0.8 s`, `3 min 20 s`, `2 h 5 min`, `41 days`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let minutes = (seconds / 60.0).floor();
    if minutes < 60.0 {
        return format!("{minutes} min {:.0} s", (seconds % 60.0).floor());
    }
    let hours = (minutes / 60.0).floor();
    if hours < 48.0 {
        format!("{hours} h {:.0} min", minutes % 60.0)
    } else {
        format!("{:.0} days", (hours / 24.0).floor())
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(parts: &[String]) -> String {
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => parts.concat(),
    }
}

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
    fn numbers_read_well() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "flow"), "1 flow");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_250_000), "1.2 MB");
        assert_eq!(size(123_456), "123 kB");
        assert_eq!(size(u64::MAX), "18446744 TB");
        assert_eq!(duration(200.4), "3 min 20 s");
        assert_eq!(duration(7_500.0), "2 h 5 min");
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("a-very-long-word b", 5), ["a-very-long-word", "b"]);
    }
}
