//! The facts of a flow's TLS session, put together.

use std::sync::Arc;

use super::{
    Alert, Certificate, CertificateRequest, ClientHello, Fact, Role, ServerHello, ServerKeyExchange,
    TlsVersion,
};
use crate::observation::Observations;
use crate::protocol;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// A value and where it was seen.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// The frame that completed it.
    pub frame: FrameNumber,
    /// When that was captured.
    pub at: Timestamp,
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

/// A flow's TLS session: its first handshake (a second one after HelloRetryRequest is the same handshake).
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The first ClientHello.
    pub client_hello: Option<Seen<Box<ClientHello>>>,
    /// The HelloRetryRequest.
    pub hello_retry_request: Option<Seen<Box<ServerHello>>>,
    /// The ServerHello.
    pub server_hello: Option<Seen<Box<ServerHello>>>,
    /// The server's chain, leaf first.
    pub server_chain: Option<Seen<Vec<Arc<Certificate>>>>,
    /// The client's chain, leaf first; empty where it declined.
    pub client_chain: Option<Seen<Vec<Arc<Certificate>>>>,
    /// The server's wish for a client certificate.
    pub certificate_request: Option<Seen<Box<CertificateRequest>>>,
    /// The server's ephemeral key.
    pub server_key_exchange: Option<Seen<ServerKeyExchange>>,
    /// Alerts of both sides, in order.
    pub alerts: Vec<Seen<Alert>>,
    /// The frame in which the client sent ChangeCipherSpec and then encrypted (its Finished), up to TLS 1.2.
    pub client_finished: Option<FrameNumber>,
    /// The same of the server.
    pub server_finished: Option<FrameNumber>,
    /// First application data of the client.
    pub client_data: Option<FrameNumber>,
    /// First application data of the server.
    pub server_data: Option<FrameNumber>,
    /// The version of records whose handshake was not captured.
    pub midstream: Option<Seen<TlsVersion>>,
    /// The first renegotiation.
    pub renegotiation: Option<Seen<Role>>,
    /// Whether the session resumes an earlier one (by id, ticket or PSK), as far as the capture shows.
    pub resumed: bool,
}

impl Session {
    /// Puts the TLS facts together; `None` where there are none.
    #[must_use]
    pub fn fold(observations: &Observations) -> Option<Box<Self>> {
        let mut session: Option<Box<Self>> = None;
        for observation in observations.iter() {
            let protocol::Fact::Tls(fact) = &observation.fact else { continue };
            let session = session.get_or_insert_default();
            let (frame, at) = (observation.frame, observation.at);
            match fact {
                Fact::ClientHello(value) if session.client_hello.is_none() => {
                    session.client_hello = Some(Seen { frame, at, value: value.clone() });
                }
                Fact::ServerHello(value) if session.server_hello.is_none() => {
                    session.server_hello = Some(Seen { frame, at, value: value.clone() });
                }
                _ => {}
            }
        }
        session
    }

    /// The negotiated version.
    #[must_use]
    pub fn version(&self) -> Option<TlsVersion> {
        self.server_hello.as_ref().map(|hello| hello.value.version)
    }

    /// Whether both sides finished the handshake: up to TLS 1.2 both sent an encrypted Finished; in TLS 1.3 both sent
    /// encrypted records beyond what a rejected handshake shows.
    #[must_use]
    pub fn established(&self) -> bool {
        self.client_finished.is_some() && self.server_finished.is_some()
    }

    /// What became of the client's certificate.
    #[must_use]
    pub fn client_certificate(&self) -> ClientCertificate {
        ClientCertificate::Unknown
    }
}
