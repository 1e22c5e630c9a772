//! Findings, equal ones merged, in bounded number.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use super::{AppKey, Limits, app_key, host_key};
use crate::rules::{Evidence, Finding};

/// What makes two findings equal.
type Key = (&'static str, AppKey, (Option<String>, Option<IpAddr>), u16, String);

/// Findings by what makes them equal.
#[derive(Default)]
pub(super) struct Findings {
    merged: BTreeMap<Key, Merged>,
    dropped: u64,
}

/// A finding that stands for all equal ones.
struct Merged {
    finding: Finding,
    /// The flow that it was last seen in.
    last: u64,
    /// Its place in the order of arrival, from 0.
    number: u64,
}

/// What became of a finding that was added.
pub(super) struct Added<'a> {
    /// Whether any place of it is kept.
    pub(super) keeps_place: bool,
    /// The finding with its number, if it is new or graver than before.
    pub(super) news: Option<(u64, &'a Finding)>,
}

impl Findings {
    /// Adds a finding, or a place to an equal one.
    pub(super) fn add(&mut self, finding: Finding, limits: &Limits) -> Added<'_> {
        let key = (
            finding.rule.id,
            app_key(finding.owner.as_deref()),
            host_key(&finding.endpoint),
            finding.endpoint.port,
            finding.kind.clone(),
        );
        let flow = finding.evidence.primary.0;
        let len = self.merged.len();
        match self.merged.entry(key) {
            Entry::Occupied(entry) => {
                let Merged { finding: known, last, number } = entry.into_mut();
                if flow != *last {
                    known.flows = known.flows.saturating_add(finding.flows);
                    *last = flow;
                }
                let is_graver = finding.severity > known.severity;
                if is_graver {
                    known.severity = finding.severity;
                    known.message = finding.message;
                }
                known.confidence = known.confidence.max(finding.confidence);
                let keeps_place = add_places(&mut known.evidence, finding.evidence, limits);
                Added { keeps_place, news: is_graver.then_some((*number, &*known)) }
            }
            Entry::Vacant(_) if len >= limits.findings => {
                self.dropped = self.dropped.saturating_add(1);
                Added { keeps_place: false, news: None }
            }
            Entry::Vacant(entry) => {
                let number = u64::try_from(len).unwrap_or(u64::MAX);
                let mut finding = finding;
                finding.evidence.related.truncate(limits.places_per_finding);
                let merged = entry.insert(Merged { finding, last: flow, number });
                Added { keeps_place: true, news: Some((number, &merged.finding)) }
            }
        }
    }

    /// Hands over all findings, in a fixed order, and forgets them.
    pub(super) fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.merged).into_values().map(|merged| merged.finding).collect()
    }

    /// Adds what was dropped to the counts.
    pub(super) fn dropped(&self, counts: &mut BTreeMap<String, u64>) {
        if self.dropped > 0 {
            counts.insert("findings".to_owned(), self.dropped);
        }
    }
}

/// Adds the places that are new, up to the limit; [`Finding::flows`] goes on counting beyond it. Whether there were any.
fn add_places(known: &mut Evidence, added: Evidence, limits: &Limits) -> bool {
    let before = known.related.len();
    for place in std::iter::once(added.primary).chain(added.related) {
        if known.related.len() >= limits.places_per_finding {
            break;
        }
        if place != known.primary && !known.related.contains(&place) {
            known.related.push(place);
        }
    }
    known.related.len() > before
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{EndpointName, RULES, Severity};

    fn finding(flow: u64, host: &str, kind: &str) -> Finding {
        let endpoint =
            EndpointName { host: Some(host.to_owned()), ip: IpAddr::from([192, 0, 2, 1]), port: 443 };
        Finding::at(RULES[0].info(), None, endpoint, (flow, flow * 10), "seen").kind(kind)
    }

    #[test]
    fn equal_findings_are_one_with_places_up_to_the_limit() {
        let limits = Limits { places_per_finding: 2, ..Limits::default() };
        let mut findings = Findings::default();
        for flow in [1, 2, 2, 3, 4] {
            findings.add(finding(flow, "a.test", "x"), &limits);
        }
        findings.add(finding(5, "a.test", "y").severity(Severity::Info), &limits);
        let mut taken = findings.take();
        sort(&mut taken);
        assert_eq!(taken.len(), 2);
        assert_eq!(taken[0].flows, 4);
        assert_eq!(taken[0].evidence.primary, (1, 10));
        assert_eq!(taken[0].evidence.related, [(2, 20), (3, 30)]);
        assert_ne!(taken[0].fingerprint(), taken[1].fingerprint());
        assert_eq!(taken[0].fingerprint(), finding(9, "a.test", "x").fingerprint());
    }

    #[test]
    fn what_the_limit_drops_is_counted() {
        let limits = Limits { findings: 1, ..Limits::default() };
        let mut findings = Findings::default();
        for host in ["a.test", "b.test", "a.test", "c.test"] {
            findings.add(finding(1, host, ""), &limits);
        }
        let mut counts = BTreeMap::new();
        findings.dropped(&mut counts);
        assert_eq!(counts, BTreeMap::from([("findings".to_owned(), 2)]));
        assert_eq!(findings.take().len(), 1);
    }

    #[test]
    fn a_graver_finding_gives_the_words() {
        let mut findings = Findings::default();
        findings.add(finding(1, "a.test", "").severity(Severity::Low), &Limits::default());
        let mut graver = finding(2, "a.test", "").severity(Severity::High);
        graver.message = "worse".to_owned();
        findings.add(graver, &Limits::default());
        let taken = findings.take();
        assert_eq!((taken[0].severity, taken[0].message.as_str()), (Severity::High, "worse"));
    }
}
