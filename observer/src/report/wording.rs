//! Numbers, lists and requirements in words, as all reports for people write them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::assess::Judgement;
use crate::assess::baseline::Comparison;
use crate::rules::Severity;

/// The prefix of the requirements that are shown one by one.
const STANDARD: &str = "cl-mss:";

/// The requirements of CL MSS in words that fit into a column; their gist is longer.
const TITLES: &[(&str, &str)] = &[
    ("5.1", "every endpoint is reached over TLS"),
    ("5.2", "TLS settings follow best practice"),
    ("5.3", "backend sends security headers"),
    ("5.4", "TLS is switched off for no domain"),
    ("5.5", "server certificates are verified"),
    ("5.6", "protection survives network loss"),
    ("5.7", "own trust store, or pinned keys"),
    ("5.8", "rotation of pins is built in"),
    ("5.9", "mutual TLS with the backend"),
];

/// Conclusions in the order in which they are counted.
pub(super) const JUDGEMENTS: [Judgement; 5] = [
    Judgement::Violated,
    Judgement::NoViolationObserved,
    Judgement::Inconclusive,
    Judgement::NotExercised,
    Judgement::NotObservable,
];

/// A number with commas between thousands.
pub(crate) fn number(value: u64) -> String {
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
pub(crate) fn count(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(value), if value == 1 { "" } else { "s" })
}

/// Bytes in the unit that keeps them short: `918 B`, `1.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
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

/// `2 new high findings and 1 new low finding; 5 known; 3 of the baseline not seen (baseline old.db, run 3)`: findings by
/// severity and whether the baseline knows them.
pub(super) fn beside_baseline(
    findings: impl Iterator<Item = (Severity, bool)>,
    compared: &Comparison,
) -> String {
    let mut new: BTreeMap<Reverse<Severity>, u64> = BTreeMap::new();
    let mut known = 0_u64;
    for (severity, is_known) in findings {
        let count = if is_known { &mut known } else { new.entry(Reverse(severity)).or_default() };
        *count = count.saturating_add(1);
    }
    let last = new.values().last().copied().unwrap_or(0);
    let parts: Vec<_> = new
        .iter()
        .map(|(Reverse(severity), many)| format!("{} new {}", number(*many), severity.as_str()))
        .collect();
    let noun = if last == 1 && parts.len() == 1 { "finding" } else { "findings" };
    let mut text = match parts.is_empty() {
        true => "no new findings".to_owned(),
        false => format!("{} {noun}", list(&parts)),
    };
    text.push_str(&format!("; {} known", number(known)));
    if compared.not_seen > 0 {
        text.push_str(&format!("; {} of the baseline not seen", number(compared.not_seen)));
    }
    format!("{text} (baseline {}, run {})", compared.origin.path, compared.origin.run)
}

/// The number of a requirement of CL MSS.
pub(super) fn cl_mss(requirement: &str) -> Option<&str> {
    requirement.strip_prefix(STANDARD)
}

/// The title of a requirement of CL MSS by its number; empty for others.
pub(super) fn title(number: &str) -> &'static str {
    TITLES.iter().find(|(known, _)| *known == number).map_or("", |(_, title)| title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirements;

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
    fn what_is_new_goes_first() {
        use Severity::{High, Low};
        fn say(findings: &[(Severity, bool)], compared: &Comparison) -> String {
            beside_baseline(findings.iter().copied(), compared)
        }
        let mut compared = Comparison::default();
        compared.origin.path = "old.db".to_owned();
        assert_eq!(say(&[], &compared), "no new findings; 0 known (baseline old.db, run 0)");
        assert!(say(&[(High, false)], &compared).starts_with("1 new high finding; 0 known"));
        let several = [(Low, false), (High, true), (High, false), (High, false)];
        compared.not_seen = 3;
        assert_eq!(
            say(&several, &compared),
            "2 new high and 1 new low findings; 1 known; 3 of the baseline not seen (baseline old.db, run 0)"
        );
    }

    #[test]
    fn every_row_of_cl_mss_has_a_title_that_fits() {
        let ours: Vec<_> = requirements::all().filter_map(|row| cl_mss(row.id)).collect();
        let titled: Vec<_> = TITLES.iter().map(|(number, _)| *number).collect();
        assert_eq!(ours, titled);
        assert!(TITLES.iter().all(|(_, title)| title.len() <= 34));
    }
}
