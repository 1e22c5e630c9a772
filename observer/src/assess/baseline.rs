//! An earlier run's findings, which this run's are held against: what is new, and what was known.
//!
//! A finding is known when the baseline has one of the same fingerprint (rule, app, far end and sort: see
//! [`Finding::fingerprint`](crate::rules::Finding::fingerprint)) that counted as much and was as severe. What an exception
//! excused there is not known by it: the excuse had an end. What the baseline has and this run has not was not seen, which
//! does not say that it is gone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::rules::{Blame, Severity};

/// Findings of a baseline that are held; the gravest first. What is beyond it counts as new.
pub const MAX_KNOWN: usize = 65_536;

/// Findings that were not seen again and are kept one by one; others are counted.
pub const MAX_ABSENT: usize = 1000;

/// Apps that a note names.
const NAMED: usize = 8;

/// What a run was judged by, as far as two runs have to agree on it to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedBy {
    /// The policy's digest, without its exceptions ([`Policy::digest`](crate::policy::Policy::digest)); none without a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The recommendation on TLS, name and version.
    pub tls_policy: String,
    /// Whether the tester's own authority was named, as it is for a run under interception.
    #[serde(default)]
    pub test_ca: bool,
}

/// A run in a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The database.
    pub path: String,
    /// The run's number.
    pub run: i64,
}

/// How much a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Not at all: excused, with a reason.
    Excused,
    /// It is held against nobody in scope.
    Noted,
    /// It is held against an app in scope, or against a capture that knows no owners.
    Held,
}

impl Weight {
    /// That of a finding that is not excused.
    #[must_use]
    pub fn of(blame: Blame) -> Self {
        if matches!(blame, Blame::App | Blame::Capture) { Self::Held } else { Self::Noted }
    }
}

/// What a finding is beside the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The baseline has it.
    Known,
    /// The baseline has it with a lower severity: it weighs as a new one.
    Worse,
    /// The baseline has it not.
    New,
}

impl Standing {
    /// As outputs write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Worse => "worse",
            Self::New => "new",
        }
    }

    /// The standing that outputs write so.
    #[must_use]
    pub fn called(word: &str) -> Option<Self> {
        [Self::Known, Self::Worse, Self::New].into_iter().find(|standing| standing.as_str() == word)
    }
}

/// A finding of the baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFinding {
    /// The rule's name.
    pub rule: String,
    /// How bad it was.
    pub severity: Severity,
    /// Whose traffic; `None` is unattributed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The far end's name, or its address.
    pub host: String,
    /// The far end's port.
    pub port: u16,
    /// What was seen.
    pub message: String,
    /// Equal for equal findings of different runs.
    pub fingerprint: String,
}

/// A finding of the run that is compared.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its fingerprint.
    pub fingerprint: String,
    /// How bad it is.
    pub severity: Severity,
    /// How much it counts.
    pub weight: Weight,
}

/// The run that is compared, besides its findings.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// Apps on which it has verdicts.
    pub apps: BTreeSet<String>,
    /// What it was judged by; `None` where an earlier version did not note it.
    pub judged_by: Option<JudgedBy>,
}

/// An earlier run to hold this one against.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    /// Which one.
    pub origin: Origin,
    /// Why the absence of findings in it says nothing, if so.
    pub inconclusive: Option<String>,
    /// Its apps and what it was judged by.
    pub run: Compared,
    /// By fingerprint, with how much each counted.
    findings: BTreeMap<String, (Weight, KnownFinding)>,
    left_out: u64,
}

/// What a run's findings are beside those of a baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The baseline.
    #[serde(flatten)]
    pub origin: Origin,
    /// Findings of the baseline that were not seen again. This does not say that they are gone.
    pub not_seen: u64,
    /// The first of them, at most [`MAX_ABSENT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<KnownFinding>,
    /// What stands in the way of the comparison.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// By fingerprint and by how much the finding counts.
    #[serde(skip)]
    standing: BTreeMap<(String, bool), Standing>,
}

impl Baseline {
    /// A run without findings so far.
    #[must_use]
    pub fn new(origin: Origin, inconclusive: Option<String>, run: Compared) -> Self {
        Self { origin, inconclusive, run, ..Self::default() }
    }

    /// Adds a finding. Of equal ones, that which counts most stays.
    pub fn add(&mut self, finding: KnownFinding, weight: Weight) {
        let full = self.findings.len() >= MAX_KNOWN;
        match self.findings.get_mut(&finding.fingerprint) {
            Some((known_weight, known)) => {
                if (*known_weight, known.severity) < (weight, finding.severity) {
                    (*known_weight, *known) = (weight, finding);
                }
            }
            None if full => self.left_out = self.left_out.saturating_add(1),
            None => {
                self.findings.insert(finding.fingerprint.clone(), (weight, finding));
            }
        }
    }

    fn standing(&self, seen: &Seen) -> Standing {
        match self.findings.get(&seen.fingerprint) {
            Some((weight, known)) if *weight >= seen.weight => {
                if known.severity >= seen.severity {
                    Standing::Known
                } else {
                    Standing::Worse
                }
            }
            _ => Standing::New,
        }
    }

    /// Holds a run's findings against these.
    #[must_use]
    pub fn compare(&self, findings: &[Seen], run: &Compared) -> Comparison {
        let standing = findings.iter().map(|seen| {
            let key = (seen.fingerprint.clone(), seen.weight == Weight::Excused);
            (key, self.standing(seen))
        });
        let again: BTreeSet<&str> = findings.iter().map(|seen| seen.fingerprint.as_str()).collect();
        let mut absent: Vec<&KnownFinding> = self
            .findings
            .values()
            .filter(|(weight, known)| *weight == Weight::Held && !again.contains(known.fingerprint.as_str()))
            .map(|(_, known)| known)
            .collect();
        absent.sort_by_key(|known| {
            (std::cmp::Reverse(known.severity), &known.app, &known.host, known.port, &known.rule)
        });
        Comparison {
            origin: self.origin.clone(),
            not_seen: u64::try_from(absent.len()).unwrap_or(u64::MAX),
            standing: merged(standing),
            absent: absent.into_iter().take(MAX_ABSENT).cloned().collect(),
            notes: self.notes(run),
        }
    }

    fn notes(&self, run: &Compared) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(reason) = &self.inconclusive {
            notes.push(format!(
                "the baseline is inconclusive, so that what is called new may have been there ({reason})"
            ));
        }
        if self.left_out > 0 {
            notes
                .push(format!("findings of the baseline beyond {MAX_KNOWN} count as new: {}", self.left_out));
        }
        match (&self.run.judged_by, &run.judged_by) {
            (Some(before), Some(now)) => {
                if before.policy != now.policy {
                    notes.push("the baseline was judged by another policy".to_owned());
                }
                if before.tls_policy != now.tls_policy {
                    notes.push(format!(
                        "the baseline was judged by another recommendation on TLS ({}; here {})",
                        before.tls_policy, now.tls_policy
                    ));
                }
            }
            _ => notes.push("what the baseline was judged by is unknown".to_owned()),
        }
        let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
            these.difference(those).cloned().collect::<Vec<_>>()
        };
        let (added, missing) = (only(&run.apps, &self.run.apps), only(&self.run.apps, &run.apps));
        if !added.is_empty() {
            notes.push(format!("without a verdict in the baseline: {}", some(&added)));
        }
        if !missing.is_empty() {
            notes.push(format!("judged in the baseline, but not here: {}", some(&missing)));
        }
        notes
    }
}

/// Of findings with one fingerprint, in two profiles of a device for instance, the newest standing is that of all.
fn merged(standings: impl Iterator<Item = ((String, bool), Standing)>) -> BTreeMap<(String, bool), Standing> {
    let rank = |standing: Standing| match standing {
        Standing::Known => 0,
        Standing::Worse => 1,
        Standing::New => 2,
    };
    let mut all: BTreeMap<(String, bool), Standing> = BTreeMap::new();
    for (key, standing) in standings {
        let known = all.entry(key).or_insert(standing);
        if rank(standing) > rank(*known) {
            *known = standing;
        }
    }
    all
}

/// The first names of many.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl Comparison {
    /// What the finding with this fingerprint is; `excused` tells it from one that counts.
    #[must_use]
    pub fn standing(&self, fingerprint: &str, excused: bool) -> Option<Standing> {
        self.standing.get(&(fingerprint.to_owned(), excused)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(fingerprint: &str, severity: Severity) -> KnownFinding {
        KnownFinding {
            rule: "cleartext-http".to_owned(),
            severity,
            app: Some("test.shop".to_owned()),
            host: "shop.test".to_owned(),
            port: 80,
            message: "GET http://shop.test/".to_owned(),
            fingerprint: fingerprint.to_owned(),
        }
    }

    fn seen(fingerprint: &str, severity: Severity, weight: Weight) -> Seen {
        Seen { fingerprint: fingerprint.to_owned(), severity, weight }
    }

    #[test]
    fn what_was_there_is_known_unless_it_got_worse_or_did_not_count() {
        let mut baseline = Baseline::default();
        baseline.add(finding("a", Severity::High), Weight::Held);
        baseline.add(finding("b", Severity::Low), Weight::Held);
        baseline.add(finding("c", Severity::High), Weight::Excused);
        baseline.add(finding("d", Severity::High), Weight::Noted);
        baseline.add(finding("e", Severity::High), Weight::Held);
        let held = |name| seen(name, Severity::High, Weight::Held);
        let compared = baseline.compare(
            &[
                held("a"),
                held("b"),
                held("c"),
                held("d"),
                held("f"),
                seen("d", Severity::High, Weight::Noted),
            ],
            &Compared::default(),
        );
        let standing = |name| compared.standing(name, false).unwrap();
        assert_eq!(standing("a"), Standing::Known);
        assert_eq!(standing("b"), Standing::Worse);
        assert_eq!(standing("c"), Standing::New, "an excuse that is over does not make it known");
        assert_eq!(standing("d"), Standing::New, "held against nobody before, and one of the two is now");
        assert_eq!(standing("f"), Standing::New);
        assert_eq!(compared.standing("e", false), None);
        assert_eq!((compared.not_seen, compared.absent[0].fingerprint.as_str()), (1, "e"));
    }

    #[test]
    fn equal_findings_of_a_baseline_count_as_the_weightiest() {
        let mut baseline = Baseline::default();
        baseline.add(finding("a", Severity::High), Weight::Held);
        baseline.add(finding("a", Severity::Critical), Weight::Excused);
        let compared = baseline.compare(&[seen("a", Severity::High, Weight::Held)], &Compared::default());
        assert_eq!(compared.standing("a", false), Some(Standing::Known));
        assert_eq!(compared.not_seen, 0);
    }

    #[test]
    fn a_baseline_of_something_else_is_said() {
        let judged = |policy: Option<&str>, tls: &str| JudgedBy {
            policy: policy.map(str::to_owned),
            tls_policy: tls.to_owned(),
            test_ca: false,
        };
        let run = |apps: &[&str], judged_by| Compared {
            apps: apps.iter().map(|app| (*app).to_owned()).collect(),
            judged_by,
        };
        let same = Baseline { run: run(&["a"], Some(judged(None, "x"))), ..Baseline::default() };
        assert_eq!(same.compare(&[], &run(&["a"], Some(judged(None, "x")))).notes, Vec::<String>::new());
        let other = Baseline {
            inconclusive: Some("no frames".to_owned()),
            run: run(&["b"], Some(judged(Some("12"), "y"))),
            ..Baseline::default()
        };
        let notes = other.compare(&[], &run(&["a"], Some(judged(None, "x")))).notes.join("\n");
        for word in ["no frames", "another policy", "(y; here x)", "in the baseline: a", "not here: b"] {
            assert!(notes.contains(word), "{word}: {notes}");
        }
        let unknown = Baseline::default().compare(&[], &Compared::default());
        assert!(unknown.notes[0].contains("unknown"));
    }
}
