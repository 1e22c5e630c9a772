//! Two runs of the same apps compared, release to release: what is new, what changed, what was not exercised again.
//!
//! A [`Reviewer`] is told, of both runs, verdicts, findings and far ends side by side, and keeps what differs. What got
//! worse is a verdict that became violated, a finding of weight that was not there or is graver, cleartext where there was
//! encryption, and a lower version of TLS. What the second run does not have was not exercised in it, or not seen: that it
//! is gone, a capture cannot say.
//!
//! Far ends are the same where app, name, port and transport are. One whose name is known in one run alone is another far
//! end in the other.

mod endpoint;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Judgement;
use super::baseline::{JudgedBy, Origin, Weight};
use crate::rules::Severity;

pub use self::endpoint::{Aspect, Endpoint, Leaf, MAX_PORTS, MAX_VALUES};

/// Changes that are kept, of those that got worse and of the others each; what is beyond is counted.
pub const MAX_CHANGES: usize = 10_000;

/// What a change is of; in the order of its gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An app as a whole.
    App,
    /// A verdict on a requirement.
    Verdict,
    /// A finding.
    Finding,
    /// What the bytes are worth.
    Protection,
    /// The negotiated version of TLS.
    TlsVersion,
    /// Whether the client proves who it is.
    ClientCertificate,
    /// The server's certificate.
    Certificate,
    /// The negotiated cipher suite.
    Cipher,
    /// The negotiated group.
    Curve,
    /// The negotiated application protocol (ALPN).
    NextProtocol,
    /// The innermost protocol.
    Protocol,
    /// A far end as a whole.
    Endpoint,
}

/// On which side something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// In both, and it differs.
    Changed,
    /// In the second run alone.
    Added,
    /// In the first run alone.
    NotSeen,
}

/// Something that is not the same in both runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// On which side it is.
    pub sign: Sign,
    /// What it is of.
    pub kind: Kind,
    /// Whether it got worse.
    pub worse: bool,
    /// The far end's name or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The far end's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The far end's transport, e.g. `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// The requirement, or the finding's rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the first run shows.
    pub before: Vec<String>,
    /// What the second run shows.
    pub after: Vec<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Change {
    /// A change of a far end.
    fn at(sign: Sign, kind: Kind, host: &str, port: Option<u16>, transport: Option<&str>) -> Self {
        Self {
            host: Some(host.to_owned()),
            port,
            transport: transport.map(str::to_owned),
            ..Self::of(sign, kind, None)
        }
    }

    fn of(sign: Sign, kind: Kind, name: Option<&str>) -> Self {
        Self {
            sign,
            kind,
            worse: false,
            host: None,
            port: None,
            transport: None,
            name: name.map(str::to_owned),
            before: Vec::new(),
            after: Vec::new(),
            note: None,
        }
    }
}

/// A finding of one of the runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingState {
    /// The rule's name.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// How much it counts.
    pub weight: Weight,
    /// Whose traffic; `None` is unattributed.
    pub app: Option<String>,
    /// The far end's name or address.
    pub host: String,
    /// The far end's port.
    pub port: u16,
    /// What was seen.
    pub message: String,
}

/// One of the runs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Side {
    /// Which one.
    #[serde(flatten)]
    pub origin: Origin,
    /// Its flows.
    pub flows: u64,
    /// Why the absence of findings in it says nothing, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<String>,
    /// What it was judged by; `None` where an earlier version did not note it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged_by: Option<JudgedBy>,
}

/// What changed of one app, the gravest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AppReview {
    /// The app; `None` is traffic without an owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Its flows in the first run.
    pub flows_before: u64,
    /// Its flows in the second run.
    pub flows_after: u64,
    /// The changes.
    pub changes: Vec<Change>,
}

/// What differs between two runs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Review {
    /// The first run.
    pub before: Side,
    /// The second run.
    pub after: Side,
    /// Changes that got worse, those that are left out, too.
    pub worse: u64,
    /// All changes.
    pub changed: u64,
    /// Far ends that both runs have.
    pub common_endpoints: u64,
    /// Why what is the same proves nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// What the reader ought to know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Apps with changes, those that got worse first.
    pub apps: Vec<AppReview>,
    /// What bounds left out, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<&'static str, u64>,
}

/// A finding of the first run alone.
struct Missing {
    finding: FindingState,
    /// Whether the second run reached its far end.
    reached: bool,
}

/// Keeps what differs.
#[derive(Default)]
pub struct Reviewer {
    fail_on: Option<Severity>,
    apps: BTreeMap<Option<String>, AppReview>,
    /// Findings of the first run alone, by app and host, until it is known whether their far ends were reached again.
    missing: BTreeMap<(Option<String>, String), Vec<Missing>>,
    kept_missing: usize,
    kept: [usize; 2],
    worse: u64,
    changed: u64,
    common: u64,
    opened: u64,
    left_out: BTreeMap<&'static str, u64>,
}

impl Reviewer {
    /// A reviewer who has seen nothing, and for whom findings weigh from `fail_on` on.
    #[must_use]
    pub fn new(fail_on: Option<Severity>) -> Self {
        Self { fail_on, ..Self::default() }
    }

    /// Takes the flows of an app in both runs; before anything else of it.
    pub fn app(&mut self, app: Option<&str>, before: u64, after: u64) {
        let review = self.entry(app);
        (review.flows_before, review.flows_after) = (before, after);
        let sign = match (before, after) {
            (0, _) => Sign::Added,
            (_, 0) => Sign::NotSeen,
            _ => return,
        };
        self.keep(app, Change::of(sign, Kind::App, None));
    }

    /// Takes an app's verdict on a requirement in both runs.
    pub fn verdict(
        &mut self,
        app: Option<&str>,
        requirement: &str,
        before: Option<Judgement>,
        after: Option<Judgement>,
    ) {
        let Some(now) = after else { return };
        if before == after {
            return;
        }
        let worse = now == Judgement::Violated;
        // An app that is new has verdicts on everything: those that say something are told.
        if before.is_none() && !worse {
            return;
        }
        if now == Judgement::Inconclusive && requirement.starts_with("cl-mss:") {
            self.opened = self.opened.saturating_add(1);
        }
        let words = |judgement: Option<Judgement>| {
            judgement.map(|judgement| judgement.in_words().to_owned()).into_iter().collect()
        };
        let sign = if before.is_none() { Sign::Added } else { Sign::Changed };
        let change = Change::of(sign, Kind::Verdict, Some(requirement));
        self.keep(app, Change { worse, before: words(before), after: words(after), ..change });
    }

    /// Takes a finding in both runs: equal ones have the same fingerprint.
    pub fn finding(&mut self, before: Option<FindingState>, after: Option<FindingState>) {
        match (before, after) {
            (Some(before), None) if before.weight > Weight::Excused => self.miss(before),
            (Some(before), Some(after)) => self.changed_finding(&before, &after),
            (None, Some(after)) => {
                let worse = self.weighs(&after);
                let change = Change { after: said(&after), worse, ..finding_change(Sign::Added, &after) };
                self.keep(after.app.as_deref(), Change { note: uncounted(after.weight), ..change });
            }
            _ => {}
        }
    }

    /// Takes an app's far ends of one name or address in both runs.
    pub fn endpoints(&mut self, app: Option<&str>, host: &str, before: &[Endpoint], after: &[Endpoint]) {
        if let Some(missing) = self.missing.get_mut(&(app.map(str::to_owned), host.to_owned())) {
            for Missing { finding, reached } in missing {
                *reached |= after.iter().any(|endpoint| endpoint.port.unwrap_or(0) == finding.port);
            }
        }
        let missing_app = self.apps.get(&app.map(str::to_owned)).is_some_and(|app| app.flows_after == 0);
        let (changes, common) = endpoint::compare(host, before, after);
        self.common = self.common.saturating_add(common);
        for change in changes {
            // That the app was not exercised says it of each of its far ends.
            if !(missing_app && change.sign == Sign::NotSeen) {
                self.keep(app, change);
            }
        }
    }

    /// Counts what a bound left out.
    pub fn leave_out(&mut self, kind: &'static str, many: u64) {
        if many > 0 {
            let count = self.left_out.entry(kind).or_default();
            *count = count.saturating_add(many);
        }
    }

    /// Concludes.
    #[must_use]
    pub fn finish(mut self, before: Side, after: Side) -> Review {
        for Missing { finding, reached } in std::mem::take(&mut self.missing).into_values().flatten() {
            let note = if reached {
                "its far end was reached again, and it was not seen"
            } else {
                "its far end was not exercised"
            };
            let change = finding_change(Sign::NotSeen, &finding);
            let change = Change { before: said(&finding), note: Some(note.to_owned()), ..change };
            self.keep(finding.app.as_deref(), change);
        }
        let mut apps: Vec<_> = self.apps.into_values().filter(|app| !app.changes.is_empty()).collect();
        for app in &mut apps {
            app.changes.sort_by(|a, b| (!a.worse, a).cmp(&(!b.worse, b)));
        }
        apps.sort_by_key(|app| {
            let worse = app.changes.iter().filter(|change| change.worse).count();
            (std::cmp::Reverse(worse), app.app.is_none(), app.app.clone())
        });
        let mut doubts = Vec::new();
        for side in [&before, &after] {
            if let Some(reason) = &side.inconclusive {
                let Origin { path, run } = &side.origin;
                doubts.push(format!("{path}, run {run}, is inconclusive: {reason}"));
            }
        }
        if self.common == 0 {
            doubts.push("no far end was exercised in both runs".to_owned());
        }
        if self.opened > 0 {
            doubts.push(format!("verdicts on CL MSS that became inconclusive: {}", self.opened));
        }
        Review {
            notes: notes(&before, &after),
            before,
            after,
            worse: self.worse,
            changed: self.changed,
            common_endpoints: self.common,
            doubts,
            apps,
            left_out: self.left_out,
        }
    }

    fn weighs(&self, finding: &FindingState) -> bool {
        finding.weight == Weight::Held && self.fail_on.is_some_and(|least| finding.severity >= least)
    }

    fn changed_finding(&mut self, before: &FindingState, after: &FindingState) {
        let graver = after.severity > before.severity || after.weight > before.weight;
        if before.severity == after.severity && before.weight == after.weight {
            return;
        }
        let note = (before.weight != after.weight).then(|| match after.weight {
            Weight::Held => "it counts now".to_owned(),
            other => uncounted(other).unwrap_or_default(),
        });
        let change = Change {
            worse: graver && self.weighs(after),
            before: said(before),
            after: said(after),
            note,
            ..finding_change(Sign::Changed, after)
        };
        self.keep(after.app.as_deref(), change);
    }

    fn miss(&mut self, finding: FindingState) {
        if self.kept_missing >= MAX_CHANGES {
            self.changed = self.changed.saturating_add(1);
            self.leave_out("findings that were not seen", 1);
            return;
        }
        self.kept_missing = self.kept_missing.saturating_add(1);
        let key = (finding.app.clone(), finding.host.clone());
        self.missing.entry(key).or_default().push(Missing { finding, reached: false });
    }

    fn entry(&mut self, app: Option<&str>) -> &mut AppReview {
        let key = app.map(str::to_owned);
        self.apps.entry(key.clone()).or_insert_with(|| AppReview { app: key, ..AppReview::default() })
    }

    fn keep(&mut self, app: Option<&str>, change: Change) {
        self.changed = self.changed.saturating_add(1);
        self.worse = self.worse.saturating_add(u64::from(change.worse));
        let [others, worse] = &mut self.kept;
        let kept = if change.worse { worse } else { others };
        if *kept >= MAX_CHANGES {
            self.leave_out("changes", 1);
            return;
        }
        *kept = kept.saturating_add(1);
        self.entry(app).changes.push(change);
    }
}

/// What makes the comparison one of unlike things.
fn notes(before: &Side, after: &Side) -> Vec<String> {
    let mut notes = Vec::new();
    match (&before.judged_by, &after.judged_by) {
        (Some(one), Some(other)) => {
            if one.policy != other.policy {
                notes.push("the runs were judged by different policies".to_owned());
            }
            if one.tls_policy != other.tls_policy {
                let (one, other) = (&one.tls_policy, &other.tls_policy);
                notes.push(format!(
                    "the runs were judged by different recommendations on TLS ({one}; {other})"
                ));
            }
            if other.test_ca && !one.test_ca {
                notes.push(
                    "the second run was made with a test CA: observer diff --interception says whether validation and \
                     pinning hold"
                        .to_owned(),
                );
            }
        }
        _ => notes.push("what the runs were judged by is unknown: an earlier version wrote one".to_owned()),
    }
    notes
}

fn finding_change(sign: Sign, finding: &FindingState) -> Change {
    Change {
        name: Some(finding.rule.clone()),
        ..Change::at(sign, Kind::Finding, &finding.host, Some(finding.port), None)
    }
}

/// How bad it is, and what was seen.
fn said(finding: &FindingState) -> Vec<String> {
    vec![finding.severity.as_str().to_owned(), finding.message.clone()]
}

fn uncounted(weight: Weight) -> Option<String> {
    match weight {
        Weight::Held => None,
        Weight::Noted => Some("held against no app".to_owned()),
        Weight::Excused => Some("excused".to_owned()),
    }
}

/// Values in order.
fn listed(values: &BTreeSet<String>) -> Vec<String> {
    values.iter().cloned().collect()
}

#[cfg(test)]
mod tests;
