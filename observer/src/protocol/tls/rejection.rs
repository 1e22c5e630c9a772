//! Whether the client turned the server away: the four shapes that this has on the wire.
//!
//! Stacks differ in what they do with a certificate that they do not like. OpenSSL says so in the clear; others say
//! it encrypted, or hang up without a word, or finish the handshake and then hang up. Only what is said in the clear is
//! certain. The rest looks like a connection that was made in advance and not needed, a request that was called off, or
//! a network that went away: it is material for a comparison of two runs, and proves nothing alone.

use super::tls13::tag;
use super::{Alert, Certainty, Ech, Role, Seen, Session};
use crate::observation::Basis;
use crate::source::FrameNumber;

/// What a refusal looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// An alert in the clear that names the certificate.
    PlaintextAlert,
    /// TLS 1.3: a record as short as an alert in place of the other side's next messages, and the end.
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
    /// Whether the client turned the server away; `ended` is who sent the first FIN or RST, and in which frame.
    ///
    /// `None` where the client went on, where nothing can be told, and where the session resumes another: then no
    /// certificate is shown. Silence says nothing where the server asked for a certificate: Chromium hangs up to look for
    /// one, and comes again.
    #[must_use]
    pub fn rejection(&self, ended: Option<(Role, FrameNumber)>) -> Option<Rejection> {
        let rejection = |shape, certainty| Some(Rejection { shape, certainty });
        if let Some(alert) = self.refusal_alert() {
            let shape = match self.alerts.iter().find(|seen| seen.frame == alert).map(|seen| seen.basis) {
                Some(Basis::Decrypted) => Shape::EncryptedAlert,
                Some(Basis::Observed | Basis::Inferred) | None => Shape::PlaintextAlert,
            };
            return rejection(shape, Certainty::Certain);
        }
        // Where Encrypted Client Hello is not accepted, the client breaks off whatever the certificate (RFC 9849 §6.1.6).
        if self.resumed || self.handshake_gap || self.ech.hides_name() {
            return None;
        }
        let server = &self.server_hello.as_ref()?.value;
        let left = match self.first_leave(ended.map(|(_, frame)| frame)) {
            Some(role) => role == Role::Client,
            None => ended.is_some_and(|(role, _)| role == Role::Client) || self.took_leave_first(),
        };
        let left = left && self.broke_off().is_none();
        if !server.version.is_tls13() {
            // The shapes of the end are read off a full handshake alone.
            self.server_hello_done?;
            let silent = self.client_key_exchange.is_none() && !self.has_alert_of(Role::Client);
            return match (silent, self.established(), self.client_data) {
                _ if !left => None,
                (true, ..) if self.certificate_request.is_some() => None,
                (true, ..) => rejection(Shape::Silence, Certainty::Tentative),
                (false, true, None) => rejection(Shape::AfterHandshake, Certainty::Tentative),
                _ => None,
            };
        }
        // The server's flight was seen.
        self.server_finished?;
        if self.client_records.is_empty() {
            let asked = self.client_flight().and_then(|flight| flight.asked) == Some(true);
            let silent = left && !asked && !self.has_alert_of(Role::Client);
            return if silent { rejection(Shape::Silence, Certainty::Tentative) } else { None };
        }
        // A fatal alert ends the session, whoever hangs up first.
        if self.client_records.iter().all(|len| self.is_alert(*len)) {
            // An alert that the key log opens says another reason.
            let read =
                |seen: &Seen<Alert>| seen.value.from == Role::Client && seen.value.description.is_some();
            if self.alerts.iter().any(read) {
                return None;
            }
            let certainty = if self.ech == Ech::Absent { Certainty::Firm } else { Certainty::Tentative };
            return rejection(Shape::EncryptedAlert, certainty);
        }
        if self.client_decrypted.is_some() {
            let quiet = left && self.client_data.is_none();
            return if quiet { rejection(Shape::AfterHandshake, Certainty::Tentative) } else { None };
        }
        let quiet = left && self.data_after_flight() == Some(false);
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
        let guess = || self.client_finished.is_some() && self.client_data.is_some();
        self.data_after_flight().unwrap_or_else(guess)
    }

    /// TLS 1.3: whether the client's flight is followed by more than alerts; `None` where its end is not known.
    fn data_after_flight(&self) -> Option<bool> {
        let flight = self.client_flight().filter(|flight| flight.records > 0)?;
        let tag = tag(self.server_hello.as_ref().map(|hello| hello.value.cipher_suite));
        let alert = tag.saturating_add(ALERT).saturating_add(flight.padding);
        let after = self.client_records.get(flight.records..)?;
        Some(after.len() > MOST_ALERTS || after.iter().any(|len| *len != alert))
    }

    /// Whether an encrypted record of TLS 1.3 is as short as an alert, padded as JSSE does or not.
    fn is_alert(&self, len: u16) -> bool {
        let tag = tag(self.server_hello.as_ref().map(|hello| hello.value.cipher_suite));
        len == tag.saturating_add(ALERT) || len == tag.saturating_add(ALERT).saturating_add(16)
    }

    /// Whether the client, and not the server, said that it closes: then it left first, whose FIN ever came first.
    fn took_leave_first(&self) -> bool {
        let hidden = |lengths: &[u16]| lengths.iter().any(|len| self.is_alert(*len));
        let last = self.client_records.last().is_some_and(|len| self.is_alert(*len));
        (last || self.has_alert_of(Role::Client))
            && !self.has_alert_of(Role::Server)
            && !hidden(&self.server_records)
    }

    /// Who was the first to say that it ends the session, before the connection ended: warnings aside, an alert does.
    fn first_leave(&self, end: Option<FrameNumber>) -> Option<Role> {
        let before = |seen: &&Seen<Alert>| end.is_none_or(|end| seen.frame <= end);
        let mut alerts = self.alerts.iter().filter(before).map(|seen| seen.value);
        let ends = |alert: &Alert| alert.level != Some(WARNING) || alert.description == Some(CLOSE_NOTIFY);
        alerts.find(ends).map(|alert| alert.from)
    }

    fn has_alert_of(&self, role: Role) -> bool {
        self.alerts.iter().any(|seen| seen.value.from == role)
    }

    /// The frame of an alert that could be read and says that the client does not like the server's certificate.
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
pub(super) const REFUSALS: [u8; 6] = [42, 43, 44, 45, 46, 48];

/// AlertLevel `warning`, and the one warning that ends a session.
const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;

/// Bytes of an alert and of the record's content type.
const ALERT: u16 = 3;

/// Records as short as an alert with which a client may take its leave: a close, perhaps after another.
const MOST_ALERTS: usize = 2;

#[cfg(test)]
mod tests {
    use super::super::tests::only;
    use super::*;

    #[test]
    fn who_leaves_after_the_server_did_turned_nobody_away() {
        let mut session = only("certificates/handshake-only.pcap").0;
        let frame = session.alerts[0].frame;
        let ended = |session: &Session, frame| {
            session.rejection(Some((Role::Client, frame))).map(|rejection| rejection.shape)
        };
        let shape = |session: &Session| ended(session, frame);
        assert_eq!(shape(&session), Some(Shape::AfterHandshake));
        let mut alert = session.alerts[0].clone();
        alert.value.from = Role::Server;
        session.alerts.insert(0, alert.clone());
        assert_eq!(shape(&session), None);
        // The client had hung up before.
        assert_eq!(ended(&session, frame - 1), Some(Shape::AfterHandshake));
        // A warning that the handshake survives, e.g. of a name that the server does not know.
        session.alerts[0].value = Alert { from: Role::Server, level: Some(WARNING), description: Some(112) };
        assert_eq!(shape(&session), Some(Shape::AfterHandshake));
    }
}
