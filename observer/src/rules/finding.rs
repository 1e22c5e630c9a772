//! A rule's opinion on something that was seen, and where.

use std::net::IpAddr;
use std::sync::Arc;

use super::{RuleInfo, Severity, facts};
use crate::attribution::Owner;
use crate::observation::Flow;
use crate::source::FrameNumber;

/// How sure it is that it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Another explanation is easy to think of.
    Tentative,
    /// Follows from what was seen and one assumption.
    Firm,
    /// The bytes say so.
    Certain,
}

impl Confidence {
    /// The word in outputs: `tentative`, `firm`, `certain`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tentative => "tentative",
            Self::Firm => "firm",
            Self::Certain => "certain",
        }
    }
}

/// Where something was seen: flow and frame.
pub type Place = (u64, FrameNumber);

/// The places that prove a finding: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The place to look at first.
    pub primary: Place,
    /// Others, in order; bounded, see [`Finding::flows`] for how many flows there were.
    pub related: Vec<Place>,
}

impl Evidence {
    /// All places, the primary one first.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        std::iter::once(self.primary).chain(self.related.iter().copied())
    }
}

/// The far end of a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName {
    /// Host name, where known.
    pub host: Option<String>,
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
}

impl EndpointName {
    /// The responder of `flow`.
    #[must_use]
    pub fn of(flow: &Flow) -> Self {
        let responder = flow.destination();
        Self {
            host: flow.domain.as_ref().map(|domain| domain.name.clone()),
            ip: responder.ip,
            port: responder.port,
        }
    }

    /// The host's name, or its address where it has none.
    #[must_use]
    pub fn host_or_address(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.ip.to_string())
    }
}

/// Whom a finding is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// An app in scope.
    App,
    /// The capture as a whole, which knows no owners.
    #[default]
    Capture,
    /// The platform: a system uid. Never an app's fault.
    Platform,
    /// An app that the policy's scope does not name.
    OutOfScope,
    /// Nobody: the capture knows owners, but not this flow's.
    Unattributed,
}

/// What of a far end is another in each run, though the same is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Varying {
    /// The address: the device's own, or one of many that were tried.
    pub address: bool,
    /// The port: agreed upon in the traffic, or one of many that were tried.
    pub port: bool,
}

/// A rule's opinion on something that was seen.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Whose opinion.
    pub rule: &'static RuleInfo,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// Whose traffic; `None` is unattributed.
    pub owner: Option<Arc<Owner>>,
    /// Whom it is held against; settled when the run is over.
    pub blame: Blame,
    /// With whom.
    pub endpoint: EndpointName,
    /// What of that says nothing in another run.
    pub varying: Varying,
    /// What sort of it, e.g. the suite's name: findings that differ in it are not merged.
    pub kind: String,
    /// One sentence with what was seen.
    pub message: String,
    /// Where.
    pub evidence: Evidence,
    /// Flows that show it; at least 1.
    pub flows: u64,
    /// The values that the opinion rests on, for machines. `basis` is `observed` or `inferred`.
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl Finding {
    /// What `rule` says of `flow`, seen in `frame`: as severe as the rule is, certain, observed.
    #[must_use]
    pub fn new(rule: &'static RuleInfo, flow: &Flow, frame: FrameNumber, message: impl Into<String>) -> Self {
        let port = facts::has_agreed_port(flow);
        Self::at(rule, flow.owner.clone(), EndpointName::of(flow), (flow.id, frame), message)
            .varying(Varying { address: false, port })
    }

    /// What `rule` says of an endpoint, seen at `place` first.
    #[must_use]
    pub fn at(
        rule: &'static RuleInfo,
        owner: Option<Arc<Owner>>,
        endpoint: EndpointName,
        place: Place,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: rule.severity,
            confidence: Confidence::Certain,
            owner,
            blame: Blame::default(),
            endpoint,
            varying: Varying::default(),
            kind: String::new(),
            message: message.into(),
            evidence: Evidence { primary: place, related: Vec::new() },
            flows: 1,
            details: serde_json::Map::from_iter([("basis".to_owned(), "observed".into())]),
        }
    }

    /// Is as severe as this instead.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Is as sure as this instead.
    #[must_use]
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Is of this sort.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Shows at another far end in each run.
    #[must_use]
    pub fn varying(mut self, varying: Varying) -> Self {
        self.varying = varying;
        self
    }

    /// Rests on this value.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Was concluded, not seen; no more than firm.
    #[must_use]
    pub fn inferred(mut self, from: &str) -> Self {
        self.confidence = self.confidence.min(Confidence::Firm);
        self.detail("basis", "inferred").detail("inferred_from", from)
    }

    /// Was seen here, too.
    #[must_use]
    pub fn also(mut self, place: Place) -> Self {
        if place != self.evidence.primary && !self.evidence.related.contains(&place) {
            self.evidence.related.push(place);
        }
        self
    }

    /// Names this finding in any run: 32 hex digits over rule, owner, far end and sort; no frame, no time, no severity.
    ///
    /// The far end is a name and a port. It is an address where no name is known; neither where they are
    /// [others each time](Varying).
    #[must_use]
    pub fn fingerprint(&self) -> String {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        let owner = self.owner.as_ref().map(|owner| owner.name()).unwrap_or_default();
        let host = match (&self.endpoint.host, self.varying.address) {
            (None, true) => String::new(),
            _ => self.endpoint.host_or_address(),
        };
        let port = if self.varying.port { String::new() } else { self.endpoint.port.to_string() };
        for part in [self.rule.id, &owner, &host, &port, &self.kind] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;

    fn finding(host: Option<&str>, ip: [u8; 4], port: u16) -> Finding {
        let endpoint = EndpointName { host: host.map(str::to_owned), ip: IpAddr::from(ip), port };
        Finding::at(RULES[0].info(), None, endpoint, (1, 2), "seen")
    }

    #[test]
    fn a_fingerprint_outlives_addresses_frames_and_severities() {
        let named = finding(Some("a.test"), [192, 0, 2, 1], 443);
        let mut elsewhere = finding(Some("a.test"), [192, 0, 2, 9], 443).severity(Severity::Low);
        elsewhere.evidence.primary = (7, 70);
        assert_eq!(named.fingerprint(), elsewhere.fingerprint());
        for other in [
            finding(Some("b.test"), [192, 0, 2, 1], 443),
            finding(Some("a.test"), [192, 0, 2, 1], 80),
            finding(None, [192, 0, 2, 1], 443),
            named.clone().kind("x"),
        ] {
            assert_ne!(named.fingerprint(), other.fingerprint());
        }
    }

    #[test]
    fn what_is_another_each_time_is_left_out() {
        let at = |ip, port, varying| finding(None, ip, port).varying(varying).fingerprint();
        let (address, port) =
            (Varying { address: true, port: false }, Varying { address: false, port: true });
        assert_eq!(at([10, 0, 0, 2], 80, address), at([10, 0, 0, 3], 80, address));
        assert_ne!(at([10, 0, 0, 2], 80, address), at([10, 0, 0, 2], 81, address));
        assert_eq!(at([10, 0, 0, 2], 80, port), at([10, 0, 0, 2], 81, port));
        assert_ne!(at([10, 0, 0, 2], 80, port), at([10, 0, 0, 3], 80, port));
        let named = |ip| finding(Some("a.test"), ip, 80).varying(address).fingerprint();
        assert_ne!(named([10, 0, 0, 2]), at([10, 0, 0, 2], 80, address), "a name stays");
    }
}
