//! Opinions over observations: a file a rule, a folder a requirement of CL MSS section 5.
//!
//! Rules are unit structs without state or I/O. They see flows and endpoints with their facts, never bytes. A rule's
//! doc comment is its help text.

mod tls_settings;

use std::sync::Arc;

use crate::attribution::Owner;
use crate::observation::Flow;
use crate::policy::Policy;
use crate::source::FrameNumber;

/// How bad it is if it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the reviewer's knowledge.
    Info,
    /// A weakness that needs others to matter.
    Low,
    /// A weakness.
    Medium,
    /// Breaks a requirement.
    High,
    /// Secrets are readable.
    Critical,
}

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

/// What a rule is.
#[derive(Debug)]
pub struct RuleInfo {
    /// Named for the bad pattern: reads after "allow".
    pub id: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The doc comment: What it observes, Fails when, Blind spots, References.
    pub explanation: &'static str,
    /// How bad a finding is; a finding may be milder.
    pub severity: Severity,
    /// The requirements that a finding breaks, e.g. `cl-mss:5.1`.
    pub requirements: &'static [&'static str],
}

/// Where something was seen: flow and frame.
pub type Place = (u64, FrameNumber);

/// The places that prove a finding: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The place to look at first.
    pub primary: Place,
    /// Others, in order.
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
    pub ip: std::net::IpAddr,
    /// Port.
    pub port: u16,
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
    /// With whom.
    pub endpoint: EndpointName,
    /// One sentence with what was seen.
    pub message: String,
    /// Where.
    pub evidence: Evidence,
    /// The values that the opinion rests on, for machines.
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// What rules may ask besides the flow.
pub struct RuleContext<'a> {
    /// What the tester declared.
    pub policy: &'a Policy,
}

/// An opinion.
pub trait Rule: Sync {
    /// What it is.
    fn info(&self) -> &'static RuleInfo;
    /// Judges one flow.
    fn check_flow(&self, _flow: &Flow, _cx: &RuleContext<'_>, _report: &mut dyn FnMut(Finding)) {}
}

/// Every rule, by requirement, then by name.
pub static RULES: &[&dyn Rule] = &[&tls_settings::TlsVersionNegotiated];

/// Declares a rule's struct with its [`RuleInfo`]; the doc comment becomes the explanation.
macro_rules! declare_rule {
    (
        $(#[doc = $doc:literal])*
        $name:ident { id: $id:literal, summary: $summary:literal, severity: $severity:ident, requirements: $requirements:expr $(,)? }
    ) => {
        $(#[doc = $doc])*
        pub(crate) struct $name;

        impl $name {
            const INFO: $crate::rules::RuleInfo = $crate::rules::RuleInfo {
                id: $id,
                summary: $summary,
                explanation: concat!($($doc, "\n"),*),
                severity: $crate::rules::Severity::$severity,
                requirements: $requirements,
            };
        }
    };
}
pub(crate) use declare_rule;
