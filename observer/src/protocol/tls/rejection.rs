//! Whether the client turned the server away: the four shapes that this has on the wire.
//!
//! Stacks differ in what they do with a certificate that they do not like. OpenSSL says so in the clear; others say
//! it encrypted, or hang up without a word, or finish the handshake and then hang up. Only what is said in the clear is
//! certain. The rest looks like a connection that was made in advance and not needed, a request that was called off, or
//! a network that went away: it is material for a comparison of two runs, and proves nothing alone.

use super::tls13::tag;
use super::{Certainty, Role, Session};
use crate::source::FrameNumber;

/// What a client's refusal looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// An alert in the clear that names the certificate.
    PlaintextAlert,
    /// TLS 1.3: a record as short as an alert in place of the client's flight, and the end.
    EncryptedAlert,
    /// Nothing after the server's flight but the end.
    Silence,
    /// A whole handshake, and the end without any data of the client.
    AfterHandshake,
}

/// A client's refusal of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// What it looks like.
    pub shape: Shape,
    /// How sure it is that the server's certificate is the reason.
    pub certainty: Certainty,
}

impl Session {
    /// Whether the client turned the server away; `ended_by` is who sent the first FIN or RST.
    ///
    /// `None` where the client went on, where nothing can be told, and where the session resumes another: then no
    /// certificate is shown.
    #[must_use]
    pub fn rejection(&self, ended_by: Option<Role>) -> Option<Rejection> {
        let rejection = |shape, certainty| Some(Rejection { shape, certainty });
        if self.refusal_alert().is_some() {
            return rejection(Shape::PlaintextAlert, Certainty::Certain);
        }
        if self.resumed || self.handshake_gap || ended_by != Some(Role::Client) {
            return None;
        }
        let server = &self.server_hello.as_ref()?.value;
        if !server.version.is_tls13() {
            // The shapes of the end are read off a full handshake alone.
            self.server_hello_done?;
            let silent = self.client_key_exchange.is_none()
                && !self.alerts.iter().any(|seen| seen.value.from == Role::Client);
            return match (silent, self.established(), self.client_data) {
                (true, ..) => rejection(Shape::Silence, Certainty::Tentative),
                (false, true, None) => rejection(Shape::AfterHandshake, Certainty::Tentative),
                _ => None,
            };
        }
        // The server's flight was seen.
        self.server_finished?;
        let short = tag(Some(server.cipher_suite)).saturating_add(3);
        let is_alert = |len: &u16| *len == short || *len == short.saturating_add(16);
        let Some((first, _)) = self.client_records.split_first() else {
            let said = self.alerts.iter().any(|seen| seen.value.from == Role::Client);
            return if said { None } else { rejection(Shape::Silence, Certainty::Tentative) };
        };
        if is_alert(first) {
            return rejection(Shape::EncryptedAlert, Certainty::Firm);
        }
        let flight = self.client_flight().filter(|flight| flight.records > 0)?;
        let after = self.client_records.get(flight.records..)?;
        let quiet = after.len() <= MOST_ALERTS && after.iter().all(is_alert);
        if quiet { rejection(Shape::AfterHandshake, Certainty::Tentative) } else { None }
    }

    /// Whether the client sent data under the server's certificate, as far as can be told: it accepted it. A resumed
    /// session shows none.
    #[must_use]
    pub fn accepted_server(&self) -> bool {
        let Some(server) = self.server_hello.as_ref().map(|hello| &hello.value) else { return false };
        if self.resumed || self.refusal_alert().is_some() {
            return false;
        }
        if !server.version.is_tls13() {
            return self.established() && self.client_data.is_some();
        }
        let short = tag(Some(server.cipher_suite)).saturating_add(3);
        let is_alert = |len: &u16| *len == short || *len == short.saturating_add(16);
        match self.client_flight() {
            Some(flight) if flight.records > 0 => {
                let after = self.client_records.get(flight.records..).unwrap_or_default();
                after.len() > MOST_ALERTS || !after.iter().all(is_alert)
            }
            _ => self.client_finished.is_some() && self.client_data.is_some(),
        }
    }

    /// The frame of an alert in the clear that says that the client does not like the server's certificate.
    #[must_use]
    pub fn refusal_alert(&self) -> Option<FrameNumber> {
        let refuses = |description| REFUSALS.contains(&description);
        self.alerts
            .iter()
            .find(|seen| seen.value.from == Role::Client && seen.value.description.is_some_and(refuses))
            .map(|seen| seen.frame)
    }
}

/// Alerts that say what is wrong with a certificate: bad, of an unsupported kind, revoked, expired, unknown, from an
/// unknown authority (RFC 9846 §6.2).
const REFUSALS: [u8; 6] = [42, 43, 44, 45, 46, 48];

/// Records as short as an alert with which a client may take its leave: a close, perhaps after another.
const MOST_ALERTS: usize = 2;
