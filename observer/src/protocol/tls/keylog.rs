//! The secrets of TLS sessions that a tester's key log discloses, by the ClientHello's random.
//!
//! The format is the one that NSS began and all stacks write (draft-ietf-tls-keylogfile): a line a secret, made of a
//! label, the ClientHello's random and the secret, in hex. Where Encrypted Client Hello was accepted, it is the random of
//! the inner ClientHello. Secrets of exporters and of ECH decrypt no record and are passed over, `RSA` lines too: they name
//! a premaster secret by ciphertext. Secrets never appear in `Debug` output.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::Role;

/// `ClientHello.random`.
pub(super) type Random = [u8; 32];

/// Sessions whose secrets are kept. A key log of more is one of many runs: what exceeds the bound is counted.
const MAX_SESSIONS: usize = 1 << 18;

/// The longest secret: a hash of SHA-512. A line with a longer one is not of this format.
const MAX_SECRET: usize = 64;

/// Bytes of a master secret (RFC 5246 §8.1).
const MASTER: usize = 48;

/// Bytes of a secret of TLS 1.3: of SHA-256 or SHA-384.
const HASHES: [usize; 2] = [32, 48];

/// A secret, as long as its hash or, up to TLS 1.2, 48 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) struct Secret {
    bytes: [u8; MAX_SECRET],
    len: usize,
}

impl Secret {
    /// `None` for more than [`MAX_SECRET`] bytes.
    pub(in crate::protocol) fn new(content: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_SECRET];
        bytes.get_mut(..content.len())?.copy_from_slice(content);
        Some(Self { bytes, len: content.len() })
    }

    pub(in crate::protocol) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret of {} bytes", self.len)
    }
}

/// What is known of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::protocol) struct SessionSecrets {
    /// `CLIENT_RANDOM`: the master secret, up to TLS 1.2.
    pub(super) master: Option<Secret>,
    /// `CLIENT_EARLY_TRAFFIC_SECRET`.
    pub(in crate::protocol) client_early: Option<Secret>,
    /// `CLIENT_HANDSHAKE_TRAFFIC_SECRET`.
    pub(in crate::protocol) client_handshake: Option<Secret>,
    /// `SERVER_HANDSHAKE_TRAFFIC_SECRET`.
    pub(in crate::protocol) server_handshake: Option<Secret>,
    /// `CLIENT_TRAFFIC_SECRET_0`.
    pub(in crate::protocol) client_traffic: Option<Secret>,
    /// `SERVER_TRAFFIC_SECRET_0`.
    pub(in crate::protocol) server_traffic: Option<Secret>,
}

/// What a secret of TLS 1.3 is for, in the order of a session; in QUIC, an encryption level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::protocol) enum Epoch {
    #[default]
    Early,
    Handshake,
    Application,
}

impl SessionSecrets {
    /// The first secret of a side and an epoch.
    pub(in crate::protocol) fn traffic(&self, role: Role, epoch: Epoch) -> Option<&Secret> {
        match (role, epoch) {
            (Role::Client, Epoch::Early) => self.client_early.as_ref(),
            (Role::Client, Epoch::Handshake) => self.client_handshake.as_ref(),
            (Role::Client, Epoch::Application) => self.client_traffic.as_ref(),
            (Role::Server, Epoch::Early) => None,
            (Role::Server, Epoch::Handshake) => self.server_handshake.as_ref(),
            (Role::Server, Epoch::Application) => self.server_traffic.as_ref(),
        }
    }

    fn slot(&mut self, label: &[u8]) -> Option<&mut Option<Secret>> {
        Some(match label {
            b"CLIENT_RANDOM" => &mut self.master,
            b"CLIENT_EARLY_TRAFFIC_SECRET" => &mut self.client_early,
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => &mut self.client_handshake,
            b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => &mut self.server_handshake,
            b"CLIENT_TRAFFIC_SECRET_0" => &mut self.client_traffic,
            b"SERVER_TRAFFIC_SECRET_0" => &mut self.server_traffic,
            _ => return None,
        })
    }
}

/// What a line of a key log is.
enum Line<'a> {
    /// A comment, or nothing.
    Blank,
    Secret(&'a [u8], Random, Secret),
    /// In order, but of no use here.
    Other(&'static str),
    Unreadable,
}

/// The secrets that are known so far.
#[derive(Clone, Default)]
pub struct KeyLog {
    /// In the order in which they came.
    sessions: Vec<(Random, Arc<SessionSecrets>)>,
    /// Where each is.
    places: HashMap<Random, usize, foldhash::fast::RandomState>,
    /// Whether more secrets can come: then it is worth waiting for one.
    growing: bool,
    /// Lines without use, by what they are.
    passed_over: BTreeMap<&'static str, u64>,
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLog")
            .field("sessions", &self.sessions.len())
            .field("growing", &self.growing)
            .field("passed_over", &self.passed_over)
            .finish()
    }
}

impl KeyLog {
    /// Takes whole lines of a key log.
    pub fn read(&mut self, text: &[u8]) {
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            match parse(line) {
                Line::Blank => {}
                Line::Secret(label, random, secret) => self.add(label, random, secret),
                Line::Other(what) => self.pass_over(what),
                Line::Unreadable => self.pass_over("lines that could not be read"),
            }
        }
    }

    /// Says whether more secrets can come.
    pub fn set_growing(&mut self, growing: bool) {
        self.growing = growing;
    }

    /// Whether more secrets can come.
    #[must_use]
    pub fn is_growing(&self) -> bool {
        self.growing
    }

    /// Sessions of which something is known.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Lines without use so far, by what they are, in words for people.
    pub fn passed_over(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.passed_over.iter().map(|(what, count)| (*what, *count))
    }

    /// Whether nothing can be decrypted, now or later.
    pub(in crate::protocol) fn is_idle(&self) -> bool {
        self.sessions.is_empty() && !self.growing
    }

    pub(super) fn session(&self, random: &Random) -> Option<&SessionSecrets> {
        let (_, secrets) = self.sessions.get(self.place(random)?)?;
        Some(secrets)
    }

    /// Where the session of `random` stands among the others, which never changes.
    pub(super) fn place(&self, random: &Random) -> Option<usize> {
        self.places.get(random).copied()
    }

    /// The random of the session at a place.
    pub(super) fn random(&self, place: usize) -> Option<&Random> {
        self.sessions.get(place).map(|(random, _)| random)
    }

    fn add(&mut self, label: &[u8], random: Random, secret: Secret) {
        let full = self.sessions.len() >= MAX_SESSIONS;
        let place = match self.places.entry(random) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(_) if full => return self.pass_over("sessions beyond the limit"),
            Entry::Vacant(entry) => {
                let place = *entry.insert(self.sessions.len());
                self.sessions.push((random, Arc::default()));
                place
            }
        };
        if let Some((_, session)) = self.sessions.get_mut(place)
            && let Some(slot) = Arc::make_mut(session).slot(label)
        {
            *slot = Some(secret);
        }
    }

    /// Takes what another one knows.
    #[cfg(test)]
    pub(super) fn absorb(&mut self, other: &Self) {
        for (random, secrets) in &other.sessions {
            self.places.insert(*random, self.sessions.len());
            self.sessions.push((*random, Arc::clone(secrets)));
        }
    }

    fn pass_over(&mut self, what: &'static str) {
        let count = self.passed_over.entry(what).or_default();
        *count = count.saturating_add(1);
    }
}

fn parse(line: &[u8]) -> Line<'_> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let Some(label) = words.next().filter(|label| !label.starts_with(b"#")) else { return Line::Blank };
    match label {
        b"RSA" => return Line::Other("RSA lines"),
        b"EXPORTER_SECRET" | b"EARLY_EXPORTER_SECRET" | b"EARLY_EXPORTER_MASTER_SECRET" => {
            return Line::Blank;
        }
        b"ECH_SECRET" | b"ECH_CONFIG" => return Line::Other("ECH lines"),
        _ => {}
    }
    let (Some(random), Some(secret), None) = (words.next(), words.next(), words.next()) else {
        return Line::Unreadable;
    };
    let random = HEXLOWER_PERMISSIVE.decode(random).ok().and_then(|random| random.try_into().ok());
    let secret = HEXLOWER_PERMISSIVE.decode(secret).ok().and_then(|secret| Secret::new(&secret));
    let (Some(random), Some(secret)) = (random, secret) else { return Line::Unreadable };
    if SessionSecrets::default().slot(label).is_none() {
        return Line::Other("lines with another label");
    }
    let fits = if label == b"CLIENT_RANDOM" { secret.len == MASTER } else { HASHES.contains(&secret.len) };
    if fits { Line::Secret(label, random, secret) } else { Line::Unreadable }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(label: &str, random: u8, secret: u8, len: usize) -> String {
        format!("{label} {} {}\n", format!("{random:02x}").repeat(32), format!("{secret:02X}").repeat(len))
    }

    #[test]
    fn lines_of_all_kinds() {
        let text = [
            "# a comment\r\n\n".to_owned(),
            line("CLIENT_RANDOM", 1, 0xa1, 48),
            line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 2, 0xb2, 32),
            line("SERVER_TRAFFIC_SECRET_0", 2, 0xc3, 48),
            line("EXPORTER_SECRET", 2, 1, 32),
            "RSA 0123456789abcdef 00\n".to_owned(),
            line("CLIENT_RANDOM", 3, 1, 32),
            line("CLIENT_TRAFFIC_SECRET_1", 3, 1, 32),
            line("CLIENT_RANDOM", 3, 1, 65),
            "CLIENT_RANDOM 12".to_owned(),
        ]
        .concat();
        let mut log = KeyLog::default();
        log.read(text.as_bytes());
        assert_eq!(log.sessions(), 2);
        let master = log.session(&[1; 32]).and_then(|session| session.master);
        assert_eq!(master.map(|secret| secret.bytes().to_vec()), Some(vec![0xa1; 48]));
        let session = log.session(&[2; 32]).unwrap();
        assert!(session.client_handshake.is_some() && session.server_traffic.is_some());
        let passed_over: Vec<_> = log.passed_over().collect();
        assert_eq!(
            passed_over,
            [("RSA lines", 1), ("lines that could not be read", 3), ("lines with another label", 1)]
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut log = KeyLog::default();
        log.read(line("CLIENT_RANDOM", 1, 0xa1, 48).as_bytes());
        let shown = format!("{log:?} {:?}", log.session(&[1; 32]));
        assert!(!shown.contains("161") && !shown.contains("a1"), "{shown}");
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            KeyLog::default().read(&text);
        }
    }
}
