//! Negotiated versions and cipher suites as bars, in flows.

use std::collections::BTreeMap;

use super::shortened;
use crate::report::stored::StoredRun;

/// Bars of a chart.
const BARS: usize = 12;
/// Units of the longest bar.
const LONGEST: u64 = 340;
/// Units from bar to bar.
const STEP: u64 = 36;
/// Characters of a name.
const NAME: usize = 50;

pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) label: String,
    pub(super) height: u64,
    pub(super) bars: Vec<Bar>,
}

pub(super) struct Bar {
    pub(super) y: u64,
    pub(super) name: String,
    pub(super) width: u64,
    pub(super) value: u64,
    pub(super) class: &'static str,
}

/// A chart of versions and one of suites; none where no handshake was completed.
pub(super) fn all(run: &StoredRun) -> Vec<Chart> {
    let (mut versions, mut ciphers) = (BTreeMap::new(), BTreeMap::new());
    for session in run.apps.iter().flat_map(|app| &app.sessions) {
        for (counts, name) in [(&mut versions, &session.version), (&mut ciphers, &session.cipher)] {
            let count: &mut u64 = counts.entry(name.as_str()).or_default();
            *count = count.saturating_add(session.flows);
        }
    }
    let charts = [
        chart("Versions", "flows by negotiated version", versions),
        chart("Cipher suites", "flows by cipher suite", ciphers),
    ];
    charts.into_iter().filter(|chart| !chart.bars.is_empty()).collect()
}

fn chart(title: &'static str, what: &str, counts: BTreeMap<&str, u64>) -> Chart {
    let most = counts.values().copied().max().unwrap_or(1).max(1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let more = counts.len().saturating_sub(BARS);
    counts.truncate(BARS);
    let words: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let bars: Vec<_> = counts
        .into_iter()
        .zip(0_u64..)
        .map(|((name, value), row)| Bar {
            y: row.saturating_mul(STEP).saturating_add(14),
            name: shortened(name, NAME),
            width: value.saturating_mul(LONGEST).div_euclid(most).max(2),
            value,
            class: if is_old(name) { "cleartext" } else { "encrypted" },
        })
        .collect();
    let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
    Chart {
        title,
        label: format!("{what}: {}{rest}", words.join(", ")),
        height: u64::try_from(bars.len()).unwrap_or(0).saturating_mul(STEP),
        bars,
    }
}

/// Whether a version is one that RFC 8996 or an older RFC forbids.
fn is_old(name: &str) -> bool {
    name.starts_with("SSL") || ["TLS 1.0", "TLS 1.1", "DTLS 1.0"].contains(&name)
}
