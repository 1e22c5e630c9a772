//! The facts of a flow's TLS session, put together.

use std::sync::{Arc, OnceLock};

use super::client_flight::{self, ClientFlight};
use super::{
    Alert, Certificate, CertificateRequest, ClientEch, ClientHello, ClientRejection, Ech,
    EncryptedExtensions, Fact, HandshakePacket, NamedGroup, Role, ServerAnswer, ServerHello,
    ServerKeyExchange, Ssl2CipherKind, Ssl2ServerHello, TlsVersion, Undecrypted,
};
use crate::flow::Direction;
use crate::observation::{Basis, Observation, Observations};
use crate::protocol;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// A value and where it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// The frame that completed it.
    pub frame: FrameNumber,
    /// When that was captured.
    pub at: Timestamp,
    /// How it was read.
    pub basis: Basis,
    /// What was seen.
    pub value: T,
}

/// What became of the client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// The client sent one.
    Sent,
    /// Asked for, and an empty list was sent.
    Declined,
    /// The client's flight holds none, whether or not one was asked for.
    NotSent,
    /// The server did not ask.
    NotRequested,
    /// A resumed session: it is as good as the handshake that it resumes.
    ResumedUnknown,
    /// The capture cannot tell.
    Unknown,
}

/// How the state of the client's certificate is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientCertificateBasis {
    /// The bytes said so.
    Observed,
    /// So did bytes that the key log decrypted.
    Decrypted,
    /// The lengths of records suggest it.
    Inferred,
}

impl ClientCertificateBasis {
    /// Its name in the outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Decrypted => "decrypted",
            Self::Inferred => "inferred",
        }
    }
}

/// The full handshake of the same app with the same host that a resumed session rests on: the last before it, where
/// all that are known say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Original {
    /// What became of the client's certificate there.
    pub state: ClientCertificate,
    /// The run in the database; `None` for the same run.
    pub run: Option<i64>,
    /// The flow's number in its run.
    pub flow: u64,
}

/// How a session resumes an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resumption {
    /// By session id, up to TLS 1.2.
    SessionId,
    /// By session ticket (RFC 5077), up to TLS 1.2.
    Ticket,
    /// By PSK, TLS 1.3. An external PSK looks the same.
    Psk,
}

/// A flow's TLS session: its first handshake (a second one after HelloRetryRequest is the same handshake).
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The first ClientHello.
    pub client_hello: Option<Seen<Arc<ClientHello>>>,
    /// The HelloRetryRequest.
    pub hello_retry_request: Option<Seen<Arc<ServerHello>>>,
    /// The ServerHello.
    pub server_hello: Option<Seen<Arc<ServerHello>>>,
    /// The frame with the server's first encrypted bytes, where a secret of an inner ClientHello opened them: then the
    /// name in the open is not the host's.
    pub ech_accepted: Option<FrameNumber>,
    /// What the server encrypts of its extensions, decrypted (TLS 1.3).
    pub encrypted_extensions: Option<Seen<Arc<EncryptedExtensions>>>,
    /// The server's chain, leaf first.
    pub server_chain: Option<Seen<Arc<[Arc<Certificate>]>>>,
    /// The client's chain, leaf first; empty where it declined.
    pub client_chain: Option<Seen<Arc<[Arc<Certificate>]>>>,
    /// The server's wish for a client certificate.
    pub certificate_request: Option<Seen<Arc<CertificateRequest>>>,
    /// The server's ephemeral key.
    pub server_key_exchange: Option<Seen<ServerKeyExchange>>,
    /// The SSL 2.0 ServerHello.
    pub ssl2_server_hello: Option<Seen<Box<Ssl2ServerHello>>>,
    /// The SSL 2.0 client's choice.
    pub ssl2_cipher_kind: Option<Seen<Ssl2CipherKind>>,
    /// The server's hello messages were complete, up to TLS 1.2.
    pub server_hello_done: Option<FrameNumber>,
    /// The client's part of the key exchange, up to TLS 1.2.
    pub client_key_exchange: Option<FrameNumber>,
    /// The client's proof that it has its certificate's key, up to TLS 1.2.
    pub client_certificate_verify: Option<FrameNumber>,
    /// Alerts of both sides, in order; at most as many as observations are kept.
    pub alerts: Vec<Seen<Alert>>,
    /// The frame in which the client sent ChangeCipherSpec and then encrypted (its Finished), up to TLS 1.2. In
    /// TLS 1.3 that of its first encrypted record which is too long for an alert: it did not break off.
    pub client_finished: Option<FrameNumber>,
    /// The same of the server.
    pub server_finished: Option<FrameNumber>,
    /// The frame of the client's Finished, decrypted: its part of the handshake is known to the end.
    pub client_decrypted: Option<FrameNumber>,
    /// The same of the server.
    pub server_decrypted: Option<FrameNumber>,
    /// Why decryption ended, or did not begin, for each side that it did.
    pub undecrypted: Vec<(Role, Undecrypted)>,
    /// First application data of the client. Exact up to TLS 1.2; see [`Fact::ApplicationData`] for TLS 1.3.
    pub client_data: Option<FrameNumber>,
    /// First application data of the server.
    pub server_data: Option<FrameNumber>,
    /// The client's first Handshake packets in QUIC.
    pub client_packets: Arc<[HandshakePacket]>,
    /// What was read of the client's flight, which several ask for: read once, when the session is whole.
    flight: OnceLock<Option<ClientFlight>>,
    /// Lengths of the client's first encrypted records in TLS 1.3.
    pub client_records: Arc<[u16]>,
    /// The same of the server.
    pub server_records: Arc<[u16]>,
    /// What the server answered the client's flight with, in TLS 1.3.
    pub server_answer: Option<Seen<ServerAnswer>>,
    /// Whether that is known to be the server's last record.
    pub(super) server_answer_is_last: bool,
    /// When the client's flight began, as far as it is not decrypted; else when it ended.
    pub(super) flight_at: Option<Timestamp>,
    /// Whether the server turned the client away for its certificate; settled when the flow has ended.
    pub rejected_client: Option<ClientRejection>,
    /// The version of records whose handshake was not captured.
    pub midstream: Option<Seen<TlsVersion>>,
    /// The first renegotiation.
    pub renegotiation: Option<Seen<Role>>,
    /// The first heartbeat record.
    pub heartbeat: Option<Seen<Role>>,
    /// Whether the session resumes an earlier one (by id, ticket or PSK), as far as the capture shows.
    pub resumed: bool,
    /// How it resumes.
    pub resumption: Option<Resumption>,
    /// Parts of the handshake are missing from the capture: what is absent here may have been sent.
    pub handshake_gap: bool,
    /// What its Encrypted Client Hello is; settled when the flow is joined with the look-ups.
    pub ech: Ech,
    /// Of a resumed session: the full handshake that it rests on, as far as known.
    pub original: Option<Original>,
    /// Which way the client's bytes go. Where the flow's start was not captured, the originator is a guess that
    /// this corrects.
    pub client_direction: Option<Direction>,
}

impl Session {
    /// Puts the TLS facts together; `None` where there are none.
    #[must_use]
    pub fn fold(observations: &Observations) -> Option<Box<Self>> {
        let mut session: Option<Box<Self>> = None;
        for observation in observations.iter() {
            let protocol::Fact::Tls(fact) = &observation.fact else { continue };
            session.get_or_insert_default().add(fact, observation);
        }
        if let Some(session) = &mut session {
            session.resumption = session.resumption();
            session.resumed = session.resumption.is_some();
            let outer = |hello: &Seen<Arc<ClientHello>>| hello.value.ech != ClientEch::Absent;
            session.ech = match session.client_hello.as_ref().is_some_and(outer) {
                _ if session.ech_accepted.is_some() => Ech::Accepted,
                true => Ech::Unknown,
                false => Ech::Absent,
            };
        }
        session
    }

    fn add(&mut self, fact: &Fact, seen: &Observation) {
        let frame = seen.frame;
        match fact {
            Fact::ClientHello(hello) => first(&mut self.client_hello, hello, seen),
            Fact::HelloRetryRequest(hello) => first(&mut self.hello_retry_request, hello, seen),
            Fact::ServerHello(hello) => first(&mut self.server_hello, hello, seen),
            Fact::Ssl2ServerHello(hello) => first(&mut self.ssl2_server_hello, hello, seen),
            Fact::Ssl2MasterKey(kind) => first(&mut self.ssl2_cipher_kind, kind, seen),
            Fact::Client { direction } => {
                self.client_direction.get_or_insert(*direction);
            }
            Fact::EchAccepted => once(&mut self.ech_accepted, frame),
            Fact::EncryptedExtensions(read) => first(&mut self.encrypted_extensions, read, seen),
            Fact::Finished { from: Role::Client } => once(&mut self.client_decrypted, frame),
            Fact::Finished { from: Role::Server } => once(&mut self.server_decrypted, frame),
            Fact::Undecrypted { from, reason } => self.undecrypted.push((*from, *reason)),
            Fact::Certificate { from: Role::Server, chain } => {
                first(&mut self.server_chain, chain, seen);
            }
            Fact::Certificate { from: Role::Client, chain } => {
                first(&mut self.client_chain, chain, seen);
            }
            Fact::CertificateRequest(request) => first(&mut self.certificate_request, request, seen),
            Fact::ServerKeyExchange(exchange) => first(&mut self.server_key_exchange, exchange, seen),
            Fact::ServerHelloDone => once(&mut self.server_hello_done, frame),
            Fact::ClientKeyExchange => once(&mut self.client_key_exchange, frame),
            Fact::CertificateVerify { from: Role::Client } => {
                once(&mut self.client_certificate_verify, frame);
            }
            Fact::EncryptedHandshake { from: Role::Client } => {
                self.flight_at.get_or_insert(seen.at);
                once(&mut self.client_finished, frame);
            }
            Fact::EncryptedHandshake { from: Role::Server } => once(&mut self.server_finished, frame),
            Fact::ApplicationData { from: Role::Client } => once(&mut self.client_data, frame),
            Fact::ApplicationData { from: Role::Server } => once(&mut self.server_data, frame),
            Fact::EncryptedRecords { from: Role::Client, lengths, .. } => {
                self.client_records.clone_from(lengths);
            }
            Fact::EncryptedRecords { from: Role::Server, lengths, whole } => {
                self.server_records.clone_from(lengths);
                let before =
                    self.server_answer.as_ref().and_then(|answer| usize::try_from(answer.value.before).ok());
                self.server_answer_is_last =
                    *whole && before.is_some_and(|before| before.saturating_add(1) == lengths.len());
            }
            Fact::ServerAnswer(answer) => first(&mut self.server_answer, answer, seen),
            Fact::HandshakePackets { packets } => self.client_packets.clone_from(packets),
            Fact::Alert(alert) => {
                self.alerts.push(Seen { frame, at: seen.at, basis: seen.basis, value: *alert })
            }
            Fact::Midstream { version } => first(&mut self.midstream, version, seen),
            Fact::Renegotiation { from } => first(&mut self.renegotiation, from, seen),
            Fact::Heartbeat { from } => first(&mut self.heartbeat, from, seen),
            Fact::HandshakeGap { .. } | Fact::MessageDropped { .. } | Fact::MalformedMessage { .. } => {
                self.handshake_gap = true;
            }
            Fact::ChangeCipherSpec { .. }
            | Fact::CertificateVerify { from: Role::Server }
            | Fact::NewSessionTicket
            | Fact::CertificateStatus => {}
        }
    }

    /// Who sends in a direction.
    #[must_use]
    pub fn role_of(&self, direction: Option<Direction>) -> Option<Role> {
        let client = self.client_direction.unwrap_or(Direction::ToResponder);
        Some(if direction? == client { Role::Client } else { Role::Server })
    }

    /// The negotiated version.
    #[must_use]
    pub fn version(&self) -> Option<TlsVersion> {
        match (&self.server_hello, &self.ssl2_server_hello) {
            (Some(hello), _) => Some(hello.value.version),
            (None, Some(hello)) => Some(hello.value.version),
            (None, None) => None,
        }
    }

    /// The host's name in the ClientHello; not the one that is shown in its place.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        let hello = self.client_hello.as_ref().filter(|_| !self.ech.hides_name())?;
        hello.value.server_name.as_deref()
    }

    /// The name that an Encrypted Client Hello shows in place of the host's.
    #[must_use]
    pub fn outer_server_name(&self) -> Option<&str> {
        let hello = self.client_hello.as_ref().filter(|_| self.ech.hides_name())?;
        hello.value.server_name.as_deref()
    }

    /// The ALPN protocol that the server chose, where it could be read.
    #[must_use]
    pub fn alpn(&self) -> Option<&str> {
        let clear = self.server_hello.as_ref().and_then(|hello| hello.value.alpn.as_deref());
        clear.or_else(|| self.encrypted_extensions.as_ref()?.value.alpn.as_deref())
    }

    /// Whether the server asked for a client certificate; `None` where that cannot be read.
    #[must_use]
    pub fn certificate_requested(&self) -> Option<bool> {
        if self.certificate_request.is_some() {
            return Some(true);
        }
        // From TLS 1.3 on the request is encrypted. Before, it follows the certificate.
        let readable = match self.version().is_some_and(TlsVersion::is_tls13) {
            true => self.server_decrypted.is_some(),
            false => self.server_chain.is_some(),
        };
        readable.then_some(false)
    }

    /// How the state of the client's certificate is known; `None` where it is not: from TLS 1.3 on it is encrypted, and
    /// concluded if it is not decrypted.
    #[must_use]
    pub fn client_certificate_basis(&self) -> Option<ClientCertificateBasis> {
        let tls13 = self.version().is_some_and(TlsVersion::is_tls13);
        match self.client_certificate() {
            ClientCertificate::Unknown => None,
            ClientCertificate::ResumedUnknown => Some(ClientCertificateBasis::Observed),
            _ if !tls13 => Some(ClientCertificateBasis::Observed),
            _ if self.client_chain.is_some() || self.client_decrypted.is_some() => {
                Some(ClientCertificateBasis::Decrypted)
            }
            _ => Some(ClientCertificateBasis::Inferred),
        }
    }

    /// The group of the key exchange: of the ServerKeyExchange, or of the server's `key_share`.
    #[must_use]
    pub fn group(&self) -> Option<NamedGroup> {
        let exchanged = self.server_key_exchange.as_ref().and_then(|exchange| exchange.value.group);
        exchanged.or_else(|| self.server_hello.as_ref()?.value.group)
    }

    /// Whether both sides finished the handshake: up to TLS 1.2 both sent an encrypted Finished. In TLS 1.3 both sent
    /// encrypted records too long for an alert, so that neither broke off before its own Finished, and the server did
    /// not visibly turn the client away after that.
    ///
    /// A session whose handshake was not captured counts as established when data of both sides was seen.
    #[must_use]
    pub fn established(&self) -> bool {
        if self.rejected_client.is_some() {
            return false;
        }
        let finished = self.client_finished.is_some() && self.server_finished.is_some();
        finished || (self.client_data.is_some() && self.server_data.is_some())
    }

    /// What became of the client's certificate. Exact up to TLS 1.2; in TLS 1.3, where the messages are
    /// encrypted, inferred from the lengths of records.
    #[must_use]
    pub fn client_certificate(&self) -> ClientCertificate {
        if let Some(chain) = &self.client_chain {
            return if chain.value.is_empty() {
                ClientCertificate::Declined
            } else {
                ClientCertificate::Sent
            };
        }
        if self.resumed {
            return ClientCertificate::ResumedUnknown;
        }
        let Some(server) = self.server_hello.as_ref().map(|hello| &hello.value) else {
            return ClientCertificate::Unknown;
        };
        if server.version.is_tls13() {
            if self.client_decrypted.is_some() && self.server_decrypted.is_some() {
                return match self.certificate_request {
                    Some(_) => ClientCertificate::NotSent,
                    None => ClientCertificate::NotRequested,
                };
            }
            return self.client_flight().map_or(ClientCertificate::Unknown, |flight| flight.state);
        }
        if self.handshake_gap || self.server_hello_done.is_none() {
            return ClientCertificate::Unknown;
        }
        if self.certificate_request.is_none() {
            return ClientCertificate::NotRequested;
        }
        // SSL 3.0 declines with an alert (RFC 6101 §5.6.6) instead of an empty list.
        if self.alerts.iter().any(|seen| {
            seen.value.from == Role::Client
                && seen.value.description == Some(NO_CERTIFICATE)
                && seen.value.level == Some(1)
        }) {
            return ClientCertificate::Declined;
        }
        if self.client_key_exchange.is_some() {
            ClientCertificate::NotSent
        } else {
            ClientCertificate::Unknown
        }
    }

    /// What the lengths of records say of the client's flight; `None` where no ServerHello of TLS 1.3 was seen, and where
    /// the flight was decrypted.
    ///
    /// Of a resumed session, too: its flight has no certificate.
    #[must_use]
    pub fn client_flight(&self) -> Option<ClientFlight> {
        *self.flight.get_or_init(|| self.read_client_flight())
    }

    fn read_client_flight(&self) -> Option<ClientFlight> {
        if self.client_decrypted.is_some() {
            return None;
        }
        let server = &self.server_hello.as_ref().filter(|hello| hello.value.version.is_tls13())?.value;
        let Some(client) = self.client_hello.as_ref().map(|hello| &hello.value) else {
            return Some(client_flight::unknown("the ClientHello was not captured"));
        };
        if !self.client_packets.is_empty() {
            return Some(client_flight::read_packets(
                &self.client_packets,
                self.client_finished.is_some(),
                server.cipher_suite,
            ));
        }
        if client.early_data {
            // Records of the same kind come before the flight.
            return Some(client_flight::unknown("0-RTT data before the flight"));
        }
        if self.handshake_gap {
            return Some(client_flight::unknown("parts of the handshake are missing from the capture"));
        }
        Some(client_flight::read(client_flight::Records {
            client: &self.client_records,
            server: &self.server_records,
            suite: server.cipher_suite,
            application_settings: client.extensions.iter().any(|kind| APPLICATION_SETTINGS.contains(kind)),
        }))
    }

    /// Whether the client offers to send a certificate after the handshake (RFC 9846 §4.2.6): then that it sent none
    /// within is not the last word.
    #[must_use]
    pub fn offers_later_certificate(&self) -> bool {
        self.client_hello.as_ref().is_some_and(|hello| hello.value.extensions.contains(&POST_HANDSHAKE_AUTH))
    }

    /// Reads the resumption off the course of the handshake: up to TLS 1.2 the server that resumes sends Finished right
    /// after its ServerHello (RFC 5246 §7.3), without a certificate, a key exchange or ServerHelloDone.
    fn resumption(&self) -> Option<Resumption> {
        let server = &self.server_hello.as_ref()?.value;
        if server.version.is_tls13() {
            return server.pre_shared_key.then_some(Resumption::Psk);
        }
        let full = self.server_hello_done.is_some()
            || self.server_chain.is_some()
            || self.server_key_exchange.is_some()
            || self.client_key_exchange.is_some();
        if full || self.handshake_gap || self.server_finished.is_none() {
            return None;
        }
        let client = &self.client_hello.as_ref()?.value;
        if client.session_ticket.is_some_and(|len| len > 0) {
            return Some(Resumption::Ticket);
        }
        let echoed = !server.session_id.is_empty() && server.session_id == client.session_id;
        echoed.then_some(Resumption::SessionId)
    }
}

/// ExtensionType `post_handshake_auth`.
const POST_HANDSHAKE_AUTH: u16 = 49;

/// ExtensionTypes `application_settings`, before and after it was renumbered.
const APPLICATION_SETTINGS: [u16; 2] = [17_513, 17_613];

/// AlertDescription `no_certificate`, of SSL 3.0 alone.
const NO_CERTIFICATE: u8 = 41;

fn first<T: Clone>(slot: &mut Option<Seen<T>>, value: &T, seen: &Observation) {
    if slot.is_none() {
        let Observation { frame, at, basis, .. } = *seen;
        *slot = Some(Seen { frame, at, basis, value: value.clone() });
    }
}

fn once(slot: &mut Option<FrameNumber>, frame: FrameNumber) {
    slot.get_or_insert(frame);
}
