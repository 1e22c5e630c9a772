//! An app's far ends in two runs: what was negotiated with them, and what their bytes are worth.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Kind, Sign, listed};

/// Ports of a host that are compared; a search for open ones tries all.
pub const MAX_PORTS: usize = 1024;

/// Values of an aspect that are compared, and certificates.
pub const MAX_VALUES: usize = 64;

/// What of a far end is compared by its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// The client certificate's state, e.g. `sent`.
    ClientCertificate,
    /// E.g. `TLS_AES_128_GCM_SHA256`.
    Cipher,
    /// E.g. `x25519`.
    Curve,
    /// E.g. `h2`.
    NextProtocol,
    /// E.g. `encrypted`.
    Protection,
    /// The innermost protocol.
    Protocol,
    /// E.g. `TLS 1.3`.
    Version,
}

/// A server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf {
    /// SHA-256, hex.
    pub sha256: String,
    /// Its name, RFC 4514.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// SHA-256 of its key, hex.
    pub spki_sha256: String,
    /// Its last day, e.g. `2027-03-31`.
    pub not_after: String,
}

/// A far end of one app in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The port.
    pub port: Option<u16>,
    /// E.g. `tcp`.
    pub transport: String,
    /// What was seen, at most [`MAX_VALUES`] each.
    pub values: BTreeMap<Aspect, BTreeSet<String>>,
    /// The certificates that could be read, at most [`MAX_VALUES`].
    pub leaves: BTreeSet<Leaf>,
}

impl Endpoint {
    fn of(&self, aspect: Aspect) -> BTreeSet<String> {
        let mut values = self.values.get(&aspect).cloned().unwrap_or_default();
        match aspect {
            // A flow without payload is worth nothing.
            Aspect::Protection => values.retain(|value| value != "empty"),
            Aspect::ClientCertificate => {
                values.retain(|value| {
                    ["sent", "declined", "not_sent", "not_requested"].contains(&value.as_str())
                });
            }
            _ => {}
        }
        values
    }

    fn is_cleartext(&self) -> bool {
        self.of(Aspect::Protection).contains("cleartext")
    }

    fn is_protected(&self) -> bool {
        let protection = self.of(Aspect::Protection);
        protection.contains("encrypted") || protection.contains("opportunistic")
    }

    /// What it is, in a few words.
    fn described(&self) -> Vec<String> {
        let protection = self.of(Aspect::Protection);
        let mut words =
            if protection.is_empty() { vec!["no payload".to_owned()] } else { listed(&protection) };
        words.extend(self.of(Aspect::Version));
        if words.len() <= protection.len().max(1) {
            words.extend(self.of(Aspect::Protocol));
        }
        words
    }
}

/// What differs of the far ends of one name or address, and how many both runs have.
pub(super) fn compare(host: &str, before: &[Endpoint], after: &[Endpoint]) -> (Vec<Change>, u64) {
    let key = |endpoint: &Endpoint| (endpoint.port, endpoint.transport.clone());
    let old: BTreeMap<_, _> = before.iter().map(|endpoint| (key(endpoint), endpoint)).collect();
    let new: BTreeMap<_, _> = after.iter().map(|endpoint| (key(endpoint), endpoint)).collect();
    // The same host, reached without protection: most often on another port.
    let was_protected =
        before.iter().any(Endpoint::is_protected) && !before.iter().any(Endpoint::is_cleartext);
    let mut changes = Vec::new();
    let mut common = 0_u64;
    for (key, endpoint) in &new {
        let at = |sign, kind| Change::at(sign, kind, host, endpoint.port, Some(&endpoint.transport));
        match old.get(key) {
            Some(known) => {
                common = common.saturating_add(1);
                differences(known, endpoint, &at, &mut changes);
            }
            None => {
                let worse = was_protected && endpoint.is_cleartext();
                let note = worse.then(|| "the host was reached with protection alone before".to_owned());
                let change = at(Sign::Added, Kind::Endpoint);
                changes.push(Change { worse, after: endpoint.described(), note, ..change });
            }
        }
    }
    for (key, endpoint) in &old {
        if !new.contains_key(key) {
            let change =
                Change::at(Sign::NotSeen, Kind::Endpoint, host, endpoint.port, Some(&endpoint.transport));
            changes.push(Change { before: endpoint.described(), ..change });
        }
    }
    (changes, common)
}

fn differences(
    before: &Endpoint,
    after: &Endpoint,
    at: &dyn Fn(Sign, Kind) -> Change,
    changes: &mut Vec<Change>,
) {
    for (aspect, kind) in [
        (Aspect::Protection, Kind::Protection),
        (Aspect::Version, Kind::TlsVersion),
        (Aspect::ClientCertificate, Kind::ClientCertificate),
        (Aspect::Cipher, Kind::Cipher),
        (Aspect::Curve, Kind::Curve),
        (Aspect::NextProtocol, Kind::NextProtocol),
        (Aspect::Protocol, Kind::Protocol),
    ] {
        let (old, new) = (before.of(aspect), after.of(aspect));
        // What only one run shows was not exercised, or could not be read, in the other.
        if old == new || old.is_empty() || new.is_empty() {
            continue;
        }
        let worse = match aspect {
            Aspect::Protection => before.is_protected() && !before.is_cleartext() && after.is_cleartext(),
            Aspect::Version => is_lower(&old, &new),
            _ => false,
        };
        let change = at(Sign::Changed, kind);
        changes.push(Change { worse, before: listed(&old), after: listed(&new), ..change });
    }
    if before.leaves != after.leaves && !before.leaves.is_empty() && !after.leaves.is_empty() {
        changes.push(certificates(before, after, at(Sign::Changed, Kind::Certificate)));
    }
}

/// Whether the lowest or the highest version fell.
fn is_lower(before: &BTreeSet<String>, after: &BTreeSet<String>) -> bool {
    let ranks = |versions: &BTreeSet<String>| -> BTreeSet<u8> {
        versions.iter().filter_map(|version| rank(version)).collect()
    };
    let (before, after) = (ranks(before), ranks(after));
    match (before.first(), after.first(), before.last(), after.last()) {
        (Some(low), Some(now_low), Some(high), Some(now_high)) => now_low < low || now_high < high,
        _ => false,
    }
}

/// The place of a version among all: `SSL 2.0` to `TLS 1.3`, DTLS among those that it is derived from.
fn rank(version: &str) -> Option<u8> {
    let (protocol, number) = version.split_once(' ')?;
    let number = number.split('-').next()?;
    Some(match (protocol, number) {
        ("SSL", "2.0" | "2") => 0,
        ("SSL", _) => 1,
        (_, "1.0") if protocol != "DTLS" => 2,
        (_, "1.0" | "1.1") => 3,
        (_, "1.2") => 4,
        (_, "1.3") => 5,
        _ => return None,
    })
}

fn certificates(before: &Endpoint, after: &Endpoint, change: Change) -> Change {
    let words = |leaves: &BTreeSet<Leaf>| {
        leaves
            .iter()
            .map(|leaf| format!("{} by {}, until {}", leaf.subject, leaf.issuer, leaf.not_after))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    };
    let of = |leaves: &BTreeSet<Leaf>, part: fn(&Leaf) -> &String| {
        leaves.iter().map(part).cloned().collect::<BTreeSet<_>>()
    };
    let (old, new) = (&before.leaves, &after.leaves);
    let mut notes = Vec::new();
    let keys = (of(old, |leaf| &leaf.spki_sha256), of(new, |leaf| &leaf.spki_sha256));
    notes.push(match keys.1.difference(&keys.0).count() {
        0 => "the same key",
        _ if keys.0.is_disjoint(&keys.1) => "another key",
        _ => "another key beside a known one",
    });
    if of(old, |leaf| &leaf.issuer) != of(new, |leaf| &leaf.issuer) {
        notes.push("another issuer");
    }
    Change { before: words(old), after: words(new), note: Some(notes.join(", ")), ..change }
}
