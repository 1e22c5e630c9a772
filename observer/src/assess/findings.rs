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
                add_places(&mut known.evidence, finding.evidence, limits);
            }
            None if full => self.dropped = self.dropped.saturating_add(1),
            None => {
                let flow = finding.evidence.primary.0;
                let mut finding = finding;
                finding.evidence.related.truncate(limits.places_per_finding);
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
        if self.dropped > 0 {
            counts.insert("findings".to_owned(), self.dropped);
        }
    }
}

/// Adds the places that are new, up to the limit; [`Finding::flows`] goes on counting beyond it.
fn add_places(known: &mut Evidence, added: Evidence, limits: &Limits) {
    for place in std::iter::once(added.primary).chain(added.related) {
        if known.related.len() >= limits.places_per_finding {
            return;
        }
        if place != known.primary && !known.related.contains(&place) {
            known.related.push(place);
        }
    }
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
