//! What a capture cannot show: the part of the report that keeps its reader from concluding too much.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::words::{bold, wrapped};
use crate::report::Run;
use crate::report::overview::Overview;
use crate::report::plain::plain;
use crate::report::wording::{count, number, size};

/// Writes what the capture cannot show, and the totals.
pub(super) fn render(run: &Run, overview: &Overview, out: &mut dyn Write) -> io::Result<()> {
    let lines = limits(run, overview);
    if !lines.is_empty() {
        writeln!(out, "\n{}", bold("What this capture cannot show"))?;
    }
    for line in lines {
        for (place, line) in wrapped(&line, 76).iter().enumerate() {
            writeln!(out, "  {} {line}", if place == 0 { "-" } else { " " })?;
        }
    }
    let totals = &run.totals;
    let mut line = format!("{}, {}", count(totals.frames, "frame"), count(totals.flows, "flow"));
    if totals.duplicates > 0 {
        line.push_str(&format!(", {} counted once", count(totals.duplicates, "duplicate packet")));
    }
    writeln!(out, "\n{line}")?;
    if !run.assessment.verdicts.is_empty() {
        writeln!(out, "All verdicts: --format json, or --db run.db and observer query run.db verdicts.")?;
        writeln!(out, "What to check besides the traffic: observer requirements --standard cl-mss.")?;
    }
    Ok(())
}

fn limits(run: &Run, overview: &Overview) -> Vec<String> {
    let (totals, hidden) = (&run.totals, overview.hidden());
    let mut lines = Vec::new();
    let mut add = |amount: u64, line: String| {
        if amount > 0 {
            lines.push(line);
        }
    };
    if hidden.attributed == 0 {
        let line =
            "Which app a flow belongs to: the capture does not say, and everything counts as unattributed.";
        add(totals.flows, line.to_owned());
    } else {
        let (flows, bytes) = (totals.unattributed_flows, totals.unattributed_bytes);
        add(
            flows,
            format!("Whose {} ({}) are: nobody is known for them.", count(flows, "flow"), size(bytes)),
        );
    }
    add(
        hidden.certificates,
        format!(
            "Certificates in {}: TLS 1.3 encrypts them, the client's too. Whether a client checks them shows only in \
             how it goes on.",
            count(hidden.certificates, "flow")
        ),
    );
    add(
        hidden.names,
        format!(
            "The true host name in {} with Encrypted Client Hello, unless it is only pretended (GREASE).",
            count(hidden.names, "flow")
        ),
    );
    add(
        hidden.opaque,
        format!(
            "What is in {} ({}) of no known protocol. That they cannot be read does not make them protected.",
            count(hidden.opaque, "flow"),
            size(hidden.opaque_bytes)
        ),
    );
    add(
        hidden.midstream,
        format!("How {} began: they are older than the capture.", count(hidden.midstream, "flow")),
    );
    add(hidden.gaps, format!("Some bytes of {}: their packets are missing.", count(hidden.gaps, "flow")));
    let lost = totals.dropped_by_kernel;
    add(lost, format!("{} that the capturing system lost.", count(lost, "frame")));
    for (limit, dropped) in &totals.dropped_by_limit {
        add(*dropped, format!("What a limit dropped: {} ({}).", plain(limit), number(*dropped)));
    }
    let skipped = totals.skipped.values().sum::<u64>();
    add(
        skipped,
        format!("{} without a packet to follow: {}.", count(skipped, "frame"), kinds(&totals.skipped)),
    );
    let malformed = totals.malformed.values().sum::<u64>();
    add(malformed, format!("Messages that contradict their protocol: {}.", kinds(&totals.malformed)));
    for input in &run.inputs {
        let path = plain(&input.path);
        add(input.damages, format!("{path} is damaged in {}.", count(input.damages, "place")));
        add(
            u64::from(input.truncated && input.damages == 0),
            format!("The end of {path}: the file was cut."),
        );
    }
    lines
}

/// `arp (12), fragment (3)`, the most frequent first.
fn kinds(counts: &BTreeMap<String, u64>) -> String {
    let mut kinds: Vec<_> = counts.iter().collect();
    kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(**count), kind.as_str()));
    let parts: Vec<_> =
        kinds.iter().map(|(kind, count)| format!("{} ({})", plain(kind), number(**count))).collect();
    parts.join(", ")
}
