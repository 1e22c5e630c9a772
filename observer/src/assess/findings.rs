//! Findings, equal ones merged, in bounded number.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{AppKey, Limits, app_key, host_key};
use crate::rules::{Evidence, Finding};

/// What makes two findings equal.
type Key = (&'static str, AppKey, (Option<String>, Option<IpAddr>), u16, String);

/// Findings by what makes them equal.
#[derive(Default)]
pub(super) struct Findings {
    /// Each with the flow that it was last seen in.
    merged: BTreeMap<Key, (Finding, u64)>,
    dropped: u64,
    dropped_places: u64,
}

impl Findings {
    /// Adds a finding, or a place to an equal one.
    pub(super) fn add(&mut self, finding: Finding, limits: &Limits) {
        let key = (
            finding.rule.id,
            app_key(finding.owner.as_deref()),
            host_key(&finding.endpoint),
            finding.endpoint.port,
            finding.kind.clone(),
        );
        let full = self.merged.len() >= limits.findings;
        match self.merged.get_mut(&key) {
            Some((known, last)) => {
                let flow = finding.evidence.primary.0;
                if flow != *last {
                    known.flows = known.flows.saturating_add(finding.flows);
                    *last = flow;
                }
                if finding.severity > known.severity {
                    known.severity = finding.severity;
                    known.message = finding.message;
                }
                known.confidence = known.confidence.max(finding.confidence);
                self.dropped_places = self.dropped_places.saturating_add(add_places(
                    &mut known.evidence,
                    finding.evidence,
                    limits,
                ));
            }
            None if full => self.dropped = self.dropped.saturating_add(1),
            None => {
                let flow = finding.evidence.primary.0;
                let mut finding = finding;
                let places = finding.evidence.related.len();
                finding.evidence.related.truncate(limits.places_per_finding);
                let cut = places.saturating_sub(finding.evidence.related.len());
                self.dropped_places =
                    self.dropped_places.saturating_add(u64::try_from(cut).unwrap_or(u64::MAX));
                self.merged.insert(key, (finding, flow));
            }
        }
    }

    /// Hands over all findings, in a fixed order, and forgets them.
    pub(super) fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.merged).into_values().map(|(finding, _)| finding).collect()
    }

    /// Adds what was dropped to the counts.
    pub(super) fn dropped(&self, counts: &mut BTreeMap<String, u64>) {
        for (name, count) in [("findings", self.dropped), ("places of findings", self.dropped_places)] {
            if count > 0 {
                *counts.entry(name.to_owned()).or_default() += count;
            }
        }
    }
}

/// Adds the places that are new, up to the limit; says how many there was no room for.
fn add_places(known: &mut Evidence, added: Evidence, limits: &Limits) -> u64 {
    let mut dropped = 0u64;
    for place in std::iter::once(added.primary).chain(added.related) {
        if place == known.primary || known.related.contains(&place) {
            continue;
        }
        if known.related.len() < limits.places_per_finding {
            known.related.push(place);
        } else {
            dropped = dropped.saturating_add(1);
        }
    }
    dropped
}

/// Worst first, then by app, far end, rule and place.
pub(super) fn sort(findings: &mut [Finding]) {
    findings.sort_by(order);
}

pub(super) fn order(a: &Finding, b: &Finding) -> Ordering {
    fn key(finding: &Finding) -> impl Ord + '_ {
        (
            Reverse(finding.severity),
            finding.blame,
            app_key(finding.owner.as_deref()),
            finding.endpoint.host_or_address(),
            finding.endpoint.port,
            finding.rule.id,
            finding.evidence.primary,
            &finding.kind,
        )
    }
    key(a).cmp(&key(b))
}
