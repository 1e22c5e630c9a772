//! Opinions over observations: a file a rule, a folder a requirement of CL MSS section 5.
//!
//! Rules are unit structs without state or I/O. They see flows, and digests of flows an endpoint and an app, with their
//! facts, never bytes. A rule's doc comment is its help text. Which app is to blame, what the policy excuses and what a
//! requirement's verdict is, they do not decide: that is [`crate::assess`].
//!
//! To add a rule: a file with `declare_rule!`, and a line in [`RULES`].

mod certificates;
mod consistency;
mod declared_endpoints;
mod device;
mod exceptions;
pub(crate) mod facts;
mod finding;
mod headers;
mod history;
mod hsts;
mod mutual_tls;
mod offline;
mod pinning;
mod platform;
mod responses;
mod revocation;
mod tls_everywhere;
mod tls_settings;
mod upgrade;

use crate::observation::Flow;
use crate::policy::{Exception, KnownKeys, Policy, TlsPolicy};
use crate::trust::ChainStatus;

pub use self::device::{Device, Offer};
pub use self::finding::{Blame, Confidence, EndpointName, Evidence, Finding, Place, Varying};
pub use self::history::{App, Attempt, Digest, Endpoint, Redirect, TlsDigest};
pub use self::hsts::{Hsts, Protected};
pub use self::platform::errand;
pub use self::upgrade::Missed;
pub use crate::policy::Severity;

/// What a rule is.
#[derive(Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Named for the bad pattern: reads after "allow".
    pub id: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The doc comment: What it observes, Fails when, Blind spots, References.
    pub explanation: &'static str,
    /// How bad a finding is; a finding may be milder.
    pub severity: Severity,
    /// The requirements that a finding breaks, e.g. `cl-mss:5.1`; rows of [`crate::requirements`].
    pub requirements: &'static [&'static str],
}

/// What rules may ask besides the flow.
pub struct RuleContext<'a> {
    /// What the tester declared.
    pub policy: &'a Policy,
    /// What counts as weak.
    pub tls: &'a TlsPolicy,
    /// What is known of the flow's server chain; `None` where it cannot be read.
    pub chain: Option<&'a ChainStatus>,
    /// What is known of the device when the run is over; nothing before.
    pub device: &'a Device,
    /// The server keys that earlier runs saw.
    pub known_keys: &'a KnownKeys,
}

/// An opinion. Each method has a default that says nothing.
pub trait Rule: Sync {
    /// What it is.
    fn info(&self) -> &'static RuleInfo;
    /// Judges one flow, when it has ended.
    fn check_flow(&self, _flow: &Flow, _cx: &RuleContext<'_>, _report: &mut dyn FnMut(Finding)) {}
    /// Judges an app's flows with one host, when the run is over.
    fn check_endpoint(&self, _endpoint: &Endpoint, _cx: &RuleContext<'_>, _report: &mut dyn FnMut(Finding)) {}
    /// Judges all of an app's flows, when the run is over.
    fn check_app(&self, _app: &App, _cx: &RuleContext<'_>, _report: &mut dyn FnMut(Finding)) {}
    /// Judges the use of an expired exception that was meant to excuse `finding`.
    fn check_expired(&self, _finding: &Finding, _exception: &Exception, _report: &mut dyn FnMut(Finding)) {}
}

/// Every rule, by requirement, then by name.
pub static RULES: &[&dyn Rule] = &[
    &tls_everywhere::CleartextCredentials,
    &tls_everywhere::CleartextHttp,
    &tls_everywhere::CleartextProtocol,
    &tls_everywhere::CleartextSecretInUrl,
    &tls_everywhere::CleartextUnknown,
    &tls_everywhere::CleartextWebsocket,
    &tls_everywhere::NonTlsEncryption,
    &tls_everywhere::NullOrAnonymousCipher,
    &tls_settings::InsecureRenegotiation,
    &tls_settings::MissingSni,
    &tls_settings::NoExtendedMasterSecret,
    &tls_settings::TlsCompression,
    &tls_settings::TlsVersionNegotiated,
    &tls_settings::TlsVersionOffered,
    &tls_settings::WeakCipherNegotiated,
    &tls_settings::WeakCipherOffered,
    &tls_settings::WeakGroup,
    &tls_settings::WeakSignature,
    &tls_settings::WeakerThanPlatform,
    &headers::InsecureCookie,
    &headers::MissingCsp,
    &headers::MissingHsts,
    &headers::MissingNosniff,
    &headers::RedirectWithoutHsts,
    &headers::WeakHsts,
    &consistency::CleartextFirstThenRedirect,
    &consistency::CleartextOnTlsPort,
    &consistency::MixedProtectionDomain,
    &consistency::MixedProtectionHost,
    &consistency::RedirectToCleartext,
    &consistency::StarttlsNotUsed,
    &consistency::StarttlsStripped,
    &consistency::TlsFailureThenCleartext,
    &consistency::VersionDowngradeRetry,
    &certificates::AcceptedExpired,
    &certificates::AcceptedNameMismatch,
    &certificates::AcceptedSelfSigned,
    &certificates::AcceptedUntrustedChain,
    &certificates::AcceptedWeakCertificate,
    &offline::CleartextAfterNetworkLoss,
    &pinning::AcceptedTestCa,
    &pinning::AcceptedUnpinnedKey,
    &pinning::ServerKeyChanged,
    &mutual_tls::ClientCertificateCleartextOnly,
    &mutual_tls::ClientCertificateDeclined,
    &mutual_tls::ClientCertificateMissing,
    &declared_endpoints::ListeningPort,
    &declared_endpoints::PortScan,
    &declared_endpoints::UndeclaredEndpoint,
    &exceptions::PolicyExpiredException,
];

/// The rule called `id`.
#[must_use]
pub fn find(id: &str) -> Option<&'static RuleInfo> {
    RULES.iter().map(|rule| rule.info()).find(|info| info.id == id)
}

/// The rules that bear on the requirement called `id`.
pub fn bearing_on(id: &str) -> impl Iterator<Item = &'static RuleInfo> {
    RULES.iter().map(|rule| rule.info()).filter(move |info| info.requirements.contains(&id))
}

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::requirements;

    #[test]
    fn every_rule_bears_on_rows_of_the_catalogue() {
        let mut ids = BTreeSet::new();
        for info in RULES.iter().map(|rule| rule.info()) {
            assert!(ids.insert(info.id), "{} twice", info.id);
            // An exception that is over says something of the policy, not of the app.
            assert!(
                !info.requirements.is_empty() || info.id == "policy-expired-exception",
                "{} bears on nothing",
                info.id
            );
            let mut seen = BTreeSet::new();
            for requirement in info.requirements {
                assert!(requirements::find(requirement).is_some(), "{}: no row {requirement}", info.id);
                assert!(seen.insert(requirement), "{}: {requirement} twice", info.id);
            }
        }
    }

    #[test]
    fn a_rule_bears_on_every_row_that_traffic_exercises() {
        for row in requirements::all() {
            let judged = bearing_on(row.id).next().is_some();
            let exercised = row.exercise != requirements::Exercise::None;
            // A changed key is information on 5.8; the process that it asks for traffic shows nowhere.
            assert!(judged == exercised || row.id == "cl-mss:5.8", "{}", row.id);
        }
    }
}
