//! CL MSS 5.5: the server's certificate is verified, and only those of trusted authorities are accepted.
//!
//! All of these rules hold two things together: a chain that a client must refuse, and that the client went on, which
//! application data from it show. A client that turns an invalid chain away is evidence for the app.

mod accepted_expired;
mod accepted_name_mismatch;
mod accepted_self_signed;
mod accepted_untrusted_chain;
mod accepted_weak_certificate;

use data_encoding::HEXLOWER;

use super::{Finding, RuleContext, RuleInfo, facts};
use crate::observation::{Basis, Flow};
use crate::protocol::tls::Certificate;
use crate::source::FrameNumber;
use crate::trust::ChainStatus;

pub(super) use self::accepted_expired::AcceptedExpired;
pub(super) use self::accepted_name_mismatch::AcceptedNameMismatch;
pub(super) use self::accepted_self_signed::AcceptedSelfSigned;
pub(super) use self::accepted_untrusted_chain::AcceptedUntrustedChain;
pub(super) use self::accepted_weak_certificate::AcceptedWeakCertificate;

/// What it breaks to go on after a chain that must be refused, and what a rule adds.
macro_rules! acceptance_breaks {
    ($($more:literal),*) => {
        &[
            "cl-mss:5.5",
            "masvs:MSTG-NETWORK-3",
            "asvs:1.9.2",
            "asvs:9.2.3",
            "google:network-security-measures",
            "ncsc:2.1.1",
            "ncsc:2.1.2",
            "niap:FCS_HTTPS_EXT.1.3",
            "nist:800-190-4.2.1",
            "mitre:T1463",
            "mitre:T1465",
            "maswe-1:MASWE-0027",
            "cwe:295",
            $($more,)*
        ]
    };
}
use acceptance_breaks;

/// A chain, and the client that went on after it.
struct Accepted<'a> {
    status: &'a ChainStatus,
    /// The leaf's subject.
    subject: &'a str,
    /// The leaf's names.
    names: &'a [String],
    leaf: &'a Certificate,
    /// How the chain was read.
    basis: Basis,
    /// The frame that completed the chain.
    chain: FrameNumber,
    /// The frame in which the client goes on.
    data: FrameNumber,
    /// Whether the policy pins a key of this chain for this host: trust of its own kind.
    is_pinned: bool,
}

impl Accepted<'_> {
    /// Whether the leaf's subject has this common name.
    fn has_common_name(&self, name: &str) -> bool {
        self.subject.split(',').any(|part| {
            part.trim().strip_prefix("CN=").is_some_and(|common| common.eq_ignore_ascii_case(name))
        })
    }

    fn finding(&self, rule: &'static RuleInfo, flow: &Flow, message: String) -> Finding {
        Finding::new(rule, flow, self.chain, message)
            .also((flow.id, self.data))
            .detail("certificate_sha256", HEXLOWER.encode(&self.leaf.sha256))
            .detail("subject", self.subject)
            .detail("basis", self.basis.name())
    }
}

/// The chain of `flow`, if its client went on after it and authorities vouch for it. Peers of WebRTC know each other's
/// self-signed certificates by fingerprints that their servers passed on (RFC 8827 §6.5).
fn accepted<'a>(flow: &'a Flow, cx: &RuleContext<'a>) -> Option<Accepted<'a>> {
    went_on(flow, cx).filter(|_| !facts::is_between_peers(flow))
}

/// The chain of `flow`, if its client went on after it.
fn went_on<'a>(flow: &'a Flow, cx: &RuleContext<'a>) -> Option<Accepted<'a>> {
    let status = cx.chain?;
    let session = facts::session(flow)?;
    let chain = session.server_chain.as_ref()?;
    let data = session.client_data.filter(|_| session.established())?;
    let leaf = chain.value.first()?;
    let parsed = leaf.parsed.as_ref()?;
    let pins = cx.policy.pins(&flow.host()).unwrap_or_default();
    let mut keys = chain.value.iter().filter_map(|certificate| certificate.parsed.as_ref());
    Some(Accepted {
        status,
        subject: if parsed.subject.is_empty() { "a certificate without a subject" } else { &parsed.subject },
        names: &parsed.san,
        leaf,
        basis: chain.basis,
        chain: chain.frame,
        data,
        is_pinned: keys.any(|certificate| pins.contains(&certificate.spki_sha256)),
    })
}
