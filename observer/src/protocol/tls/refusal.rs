//! Whether the server turned the client away for the certificate that it sent, or did not send.
//!
//! Up to TLS 1.2 the server says so in the clear, with an alert after the client's Certificate and before its own
//! Finished. In TLS 1.3 the alert is encrypted: a record as long as an alert and nothing else. A close in good order is
//! as long. What tells them apart is time and order: a server that refuses answers the client's flight with the alert
//! and with nothing else, no ticket and no data, at once, and before either side ends the connection. Where one of these
//! is not so, nothing is said. A server that issues no tickets and closes at once without a word of data looks like one that
//! refuses: hence no more than firm.
//!
//! Not seen: a server that lets the client in and refuses with an answer of its own protocol, as nginx does (HTTP 400),
//! and QUIC, where the close is encrypted.

use super::rejection::{REFUSALS, Shape};
use super::{Certainty, ClientCertificate, Role, Seen, Session, client_flight, tls13};
use crate::source::FrameNumber;

/// The server's first encrypted record in TLS 1.3 after the first of the client: what it answers the client's flight
/// with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerAnswer {
    /// `TLSCiphertext.length`.
    pub len: u16,
    /// Encrypted records that the server had sent before.
    pub before: u32,
    /// Encrypted records that the client had sent by then; at least 1.
    pub after: u32,
}

/// A server's refusal of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRejection {
    /// What it looks like: an alert in the clear or an encrypted one.
    pub shape: Shape,
    /// How sure it is that the client's certificate, or the want of one, is the reason.
    pub certainty: Certainty,
    /// The frame of the alert.
    pub frame: FrameNumber,
    /// The alert's description, where it could be read.
    pub alert: Option<u8>,
}

impl Session {
    /// Settles whether the server turned the client away; `ended_in` is the frame of the first FIN or RST.
    pub fn settle_rejected_client(&mut self, ended_in: Option<FrameNumber>) {
        self.rejected_client = self.said_refusal().or_else(|| self.hidden_refusal(ended_in));
    }

    /// What a server's alert that could be read says of the client's certificate.
    fn said_refusal(&self) -> Option<ClientRejection> {
        let state = self.client_certificate();
        let from = self.client_chain.as_ref().map(|chain| chain.frame).or(self.client_key_exchange)?;
        // Up to TLS 1.2 the server's Finished takes the client in.
        let tls13 = self.version()?.is_tls13();
        let until = self.server_finished.filter(|_| !tls13);
        let shape = if tls13 { Shape::EncryptedAlert } else { Shape::PlaintextAlert };
        let refusals = self.alerts.iter().filter_map(|seen| {
            let in_place = seen.frame >= from && until.is_none_or(|until| seen.frame <= until);
            let fatal = tls13 || seen.value.level == Some(FATAL);
            let description = seen.value.description?;
            let certainty = means(description, state)?;
            let (frame, alert) = (seen.frame, Some(description));
            (seen.value.from == Role::Server && in_place && fatal).then_some(ClientRejection {
                shape,
                certainty,
                frame,
                alert,
            })
        });
        // The surest, and of those the first.
        refusals.rev().max_by_key(|refusal| refusal.certainty)
    }

    /// TLS 1.3: what the length and the place of the server's answer to the client's flight say.
    fn hidden_refusal(&self, ended_in: Option<FrameNumber>) -> Option<ClientRejection> {
        let answer = self.broke_off()?;
        let sure = match self.client_certificate() {
            ClientCertificate::Sent | ClientCertificate::Declined => match &self.client_chain {
                Some(_) => Certainty::Firm,
                None => self.client_flight()?.certainty?,
            },
            _ => return None,
        };
        let prompt = self.waited().is_some_and(|waited| (0..=PROMPT).contains(&waited));
        let last = self.server_answer_is_last && ended_in.is_some_and(|end| answer.frame <= end);
        // An alert that the key log opens says itself what it means.
        let read = self.alerts.iter().any(|seen| seen.value.from == Role::Server);
        (prompt && last && !read).then_some(ClientRejection {
            shape: Shape::EncryptedAlert,
            certainty: sure.min(Certainty::Firm),
            frame: answer.frame,
            alert: None,
        })
    }

    /// TLS 1.3: the server's answer to the client's flight, where it is as short as an alert and the client had not
    /// said before that it closes.
    pub(super) fn broke_off(&self) -> Option<&Seen<ServerAnswer>> {
        let suite =
            self.server_hello.as_ref().filter(|hello| hello.value.version.is_tls13())?.value.cipher_suite;
        let seen = self.server_answer.as_ref()?;
        let answer = seen.value;
        let alert = |padding: u16| tls13::tag(Some(suite)).saturating_add(ALERT).saturating_add(padding);
        // Whoever pads pads every record: a longer one is an alert of such a server alone.
        let padding = client_flight::padding(&self.server_records, suite).unwrap_or(0);
        let before = self.client_records.get(..usize::try_from(answer.after).ok()?)?;
        let closes = |len: &u16| *len == alert(0) || *len == alert(client_flight::JSSE_PADDING);
        (answer.len == alert(padding) && !before.iter().any(closes)).then_some(seen)
    }

    /// TLS 1.3: nanoseconds between the client's flight and the server's answer, by the frames' times.
    #[must_use]
    pub fn waited(&self) -> Option<i64> {
        Some(self.server_answer.as_ref()?.at.0.saturating_sub(self.flight_at?.0))
    }
}

/// How sure it is that an alert of the server speaks of the client's certificate; `None` where it does not.
fn means(description: u8, state: ClientCertificate) -> Option<Certainty> {
    use ClientCertificate::{Declined, Sent};
    match (state, description) {
        (Declined, CERTIFICATE_REQUIRED | NO_CERTIFICATE) => Some(Certainty::Certain),
        (Declined | Sent, _) if REFUSALS.contains(&description) => Some(Certainty::Certain),
        // RFC 5246 §7.4.6 has servers that insist say the first.
        (Declined, HANDSHAKE_FAILURE) | (Declined | Sent, ACCESS_DENIED) => Some(Certainty::Firm),
        // GnuTLS says so of an empty list; a damaged message would get the same answer.
        (Declined, DECODE_ERROR) => Some(Certainty::Tentative),
        _ => None,
    }
}

/// AlertLevel `fatal`.
const FATAL: u8 = 2;

/// AlertDescriptions (RFC 9846 §6, RFC 6101 §5.4.2).
const HANDSHAKE_FAILURE: u8 = 40;
const NO_CERTIFICATE: u8 = 41;
const ACCESS_DENIED: u8 = 49;
const DECODE_ERROR: u8 = 50;
const CERTIFICATE_REQUIRED: u8 = 116;

/// Bytes of an alert and of the record's content type.
const ALERT: u16 = 3;

/// Nanoseconds between the client's flight and a refusal: a slow network's round trip and a busy server's work. Servers
/// wait longer for a client that says nothing.
const PROMPT: i64 = 2_000_000_000;

#[cfg(test)]
mod tests {
    use super::super::tests::only;
    use super::*;

    /// A session that a server which insists broke off, changed, and what is concluded of it.
    fn concluded(change: impl FnOnce(&mut Session, &mut Option<FrameNumber>)) -> Option<Certainty> {
        let mut session = only("mutual_tls/required-missing-tls13.pcap").0;
        let mut ended_in = session.server_answer.as_ref().map(|answer| answer.frame + 1);
        change(&mut session, &mut ended_in);
        session.settle_rejected_client(ended_in);
        assert_eq!(session.established(), session.rejected_client.is_none());
        session.rejected_client.map(|rejection| rejection.certainty)
    }

    fn answer(session: &mut Session) -> &mut ServerAnswer {
        &mut session.server_answer.as_mut().unwrap().value
    }

    fn after(waited: i64) -> Option<Certainty> {
        concluded(|session, _| {
            session.server_answer.as_mut().unwrap().at.0 = session.flight_at.unwrap().0 + waited;
        })
    }

    #[test]
    fn a_refusal_answers_the_flight_alone_at_once_and_before_the_end() {
        assert_eq!(after(0), Some(Certainty::Firm));
        assert_eq!(after(PROMPT), Some(Certainty::Firm));
        assert_eq!(after(PROMPT + 1), None);
        assert_eq!(after(-1), None);
        assert_eq!(concluded(|session, _| session.server_answer_is_last = false), None);
        assert_eq!(concluded(|_, ended_in| *ended_in = None), None);
        assert_eq!(concluded(|_, ended_in| *ended_in = ended_in.map(|end| end - 2)), None);
    }

    #[test]
    fn only_an_alert_is_a_refusal() {
        for len in [18, 20, 35, 69, 255] {
            assert_eq!(concluded(|session, _| answer(session).len = len), None, "{len}");
        }
        // A server that pads.
        let padding = |session: &mut Session, len| {
            session.server_records = session.server_records.iter().map(|len| len + 16).collect();
            answer(session).len = len;
        };
        assert_eq!(concluded(|session, _| padding(session, 35)), Some(Certainty::Firm));
        assert_eq!(concluded(|session, _| padding(session, 19)), None);
    }

    #[test]
    fn a_client_that_closed_before_or_sent_no_word_of_a_certificate_was_not_turned_away() {
        let records = |lengths: &'static [u16]| {
            concluded(move |session, _| {
                session.client_records = lengths.into();
                answer(session).after = u32::try_from(lengths.len()).unwrap();
            })
        };
        assert_eq!(records(&[25, 69]), Some(Certainty::Firm));
        assert_eq!(records(&[25, 69, 90, 400]), Some(Certainty::Firm));
        assert_eq!(records(&[25, 69, 19]), None);
        assert_eq!(records(&[25, 69, 90, 19]), None);
        assert_eq!(records(&[69, 90]), None);
        assert_eq!(records(&[200, 90]), None);
        // More records than are kept: one of them may be a close.
        assert_eq!(concluded(|session, _| answer(session).after = 40), None);
    }

    #[test]
    fn alerts_mean_what_they_say() {
        use ClientCertificate::{Declined, NotSent, Sent};
        assert_eq!(means(116, Declined), Some(Certainty::Certain));
        assert_eq!(means(42, Declined), Some(Certainty::Certain));
        assert_eq!(means(40, Declined), Some(Certainty::Firm));
        assert_eq!(means(50, Declined), Some(Certainty::Tentative));
        assert_eq!(means(48, Sent), Some(Certainty::Certain));
        assert_eq!(means(40, Sent), None);
        assert_eq!(means(116, NotSent), None);
        for close_and_others in [0, 10, 20, 51, 70, 80, 90, 112, 120] {
            assert_eq!(means(close_and_others, Declined), None, "{close_and_others}");
        }
    }

    #[test]
    fn an_alert_in_the_clear_counts_in_its_place_alone() {
        let mut session = only("mutual_tls/required-missing.pcap").0;
        let settled = |session: &mut Session| {
            session.settle_rejected_client(None);
            session.rejected_client.map(|rejection| (rejection.shape, rejection.certainty, rejection.alert))
        };
        let said = Some((Shape::PlaintextAlert, Certainty::Firm, Some(HANDSHAKE_FAILURE)));
        assert_eq!(settled(&mut session), said);
        let alert = session.alerts[0].frame;
        session.server_finished = Some(alert - 1);
        assert_eq!(settled(&mut session), None);
        session.server_finished = None;
        session.alerts[0].value.level = Some(1);
        assert_eq!(settled(&mut session), None);
    }
}
