//! What a handshake has come to, and its messages to facts.

use std::sync::Arc;

use super::analyzer::say;
use super::hello::{self, ServerAnswer};
use super::keylog::{Random, SessionSecrets};
use super::keys::Protection;
use super::wire::{self, kind as message};
use super::{Certificate, CipherSuite, ClientEch, ClientHello, Fact, Role, ServerHello, TlsVersion, ssl2};
use crate::bytes::ParseError;
use crate::flow::Direction;
use crate::protocol::Context;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// JA4's letter for TLS over TCP.
const OVER_TCP: char = 't';

/// The state that both directions share.
#[derive(Debug)]
pub(in crate::protocol) struct Handshake {
    /// JA4's letter for what carries it.
    transport: char,
    client: Option<Direction>,
    /// A hello was seen, or that there is none to come.
    begun: bool,
    offers_tls13: bool,
    early_data: bool,
    ech: bool,
    retry: bool,
    version: Option<TlsVersion>,
    suite: Option<CipherSuite>,
    client_key_exchange: bool,
    renegotiated: bool,
    client_random: Option<Random>,
    server_random: Option<Random>,
    /// Records are compressed before they are encrypted (RFC 3749).
    compressed: bool,
    /// A chain of which the next message tells whose it is, where the beginning was not captured.
    unclaimed: Option<Box<Unclaimed>>,
}

/// A chain from a peer whose role is not known yet.
#[derive(Debug)]
struct Unclaimed {
    direction: Direction,
    chain: Arc<[Arc<Certificate>]>,
    frame: FrameNumber,
    at: Timestamp,
}

impl Default for Handshake {
    fn default() -> Self {
        Self::over(OVER_TCP)
    }
}

impl Handshake {
    /// A handshake of DTLS that has not begun.
    pub(in crate::protocol) fn of_dtls() -> Self {
        Self::over(hello::OVER_UDP)
    }

    /// A handshake that has not begun; `transport` is JA4's letter.
    pub(super) fn over(transport: char) -> Self {
        Self {
            transport,
            client: None,
            begun: false,
            offers_tls13: false,
            early_data: false,
            ech: false,
            retry: false,
            version: None,
            suite: None,
            client_key_exchange: false,
            renegotiated: false,
            client_random: None,
            server_random: None,
            compressed: false,
            unclaimed: None,
        }
    }

    /// Who sends in `direction`: the client is the originator until a message says otherwise.
    pub(in crate::protocol) fn role(&self, direction: Direction) -> Role {
        if self.client.unwrap_or(Direction::ToResponder) == direction { Role::Client } else { Role::Server }
    }

    /// Which way the server's bytes go.
    pub(in crate::protocol) fn of_server(&self) -> Direction {
        self.client.unwrap_or(Direction::ToResponder).reverse()
    }

    /// Whether a hello was seen, or data in its place.
    pub(in crate::protocol) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the server's hello was seen.
    pub(in crate::protocol) fn is_answered(&self) -> bool {
        self.version.is_some()
    }

    /// Notes that the flow began without a hello; whether that is news.
    pub(in crate::protocol) fn begin_midstream(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// Whether the session is TLS 1.3. Where only the client was captured, that it offers TLS 1.3 and does not
    /// exchange keys as before is taken for it.
    pub(in crate::protocol) fn is_tls13(&self) -> bool {
        match self.version {
            Some(version) => version.is_tls13(),
            None => self.retry || (self.offers_tls13 && !self.client_key_exchange),
        }
    }

    /// Whether a ChangeCipherSpec is the one without meaning of RFC 9846 Appendix E.4.
    pub(super) fn dummy_change_cipher_spec(&self, from: Role) -> bool {
        self.retry || self.is_tls13() && (from == Role::Client || self.version.is_some())
    }

    pub(super) fn suite(&self) -> Option<CipherSuite> {
        self.suite
    }

    pub(super) fn early_data(&self) -> bool {
        self.early_data
    }

    /// Whether the client offers Encrypted Client Hello, or pretends to.
    pub(super) fn offers_ech(&self) -> bool {
        self.ech
    }

    /// What a key log calls the session by.
    pub(super) fn client_random(&self) -> Option<&Random> {
        self.client_random.as_ref()
    }

    /// Notes that the server accepted the inner ClientHello, and its random, under which the session goes on.
    pub(super) fn accept_inner(&mut self, random: Random, cx: &mut Context<'_>) {
        self.client_random = Some(random);
        say(cx, Fact::EchAccepted);
    }

    /// What the key log has of the session.
    pub(super) fn secrets<'a>(&self, cx: &Context<'a>) -> Option<&'a SessionSecrets> {
        cx.secrets.session(self.client_random.as_ref()?)
    }

    /// The client's and the server's.
    pub(super) fn randoms(&self) -> Option<(&Random, &Random)> {
        self.client_random.as_ref().zip(self.server_random.as_ref())
    }

    /// How records are protected, if it is a way that can be undone here.
    pub(super) fn protection(&self) -> Option<Protection> {
        self.suite.filter(|_| !self.compressed).and_then(Protection::of)
    }

    /// Says a renegotiation, once.
    pub(in crate::protocol) fn renegotiation(&mut self, from: Role, cx: &mut Context<'_>) {
        if !std::mem::replace(&mut self.renegotiated, true) {
            say(cx, Fact::Renegotiation { from });
        }
    }

    /// Notes which way the client's bytes go.
    pub(in crate::protocol) fn client_is(&mut self, direction: Direction, cx: &mut Context<'_>) {
        if self.client.is_none() {
            self.client = Some(direction);
            say(cx, Fact::Client { direction });
            if let Some(Unclaimed { direction, chain, frame, at }) = self.unclaimed.take().map(|own| *own) {
                let from = self.role(direction);
                let now = (cx.frame, cx.at);
                (cx.frame, cx.at) = (frame, at);
                say(cx, Fact::Certificate { from, chain });
                (cx.frame, cx.at) = now;
            }
        }
    }

    /// Takes a Certificate message. Up to TLS 1.2 both peers send one: who is who has to be known.
    fn certificate(&mut self, direction: Direction, chain: Arc<[Arc<Certificate>]>, cx: &mut Context<'_>) {
        if self.client.is_some() {
            let from = self.role(direction);
            say(cx, Fact::Certificate { from, chain });
        } else {
            self.finish(cx);
            self.unclaimed = Some(Box::new(Unclaimed { direction, chain, frame: cx.frame, at: cx.at }));
        }
    }

    /// Nothing more comes: of a chain that nobody claimed is said that a part of the handshake is missing.
    pub(in crate::protocol) fn finish(&mut self, cx: &mut Context<'_>) {
        if let Some(unclaimed) = self.unclaimed.take() {
            say(cx, Fact::HandshakeGap { from: self.role(unclaimed.direction) });
        }
    }

    /// Takes a ClientHello of either form.
    pub(super) fn client_hello(&mut self, direction: Direction, hello: ClientHello, cx: &mut Context<'_>) {
        self.client_is(direction, cx);
        self.begun = true;
        if self.version.is_some() {
            self.renegotiation(Role::Client, cx);
        }
        self.offers_tls13 = hello.supported_versions.iter().any(|version| version.is_tls13());
        self.early_data = hello.early_data;
        self.ech = hello.ech != ClientEch::Absent;
        say(cx, Fact::ClientHello(Arc::new(hello)));
    }

    /// Takes a ServerHello of SSL 2.0; false for another message.
    pub(super) fn ssl2_server_hello(
        &mut self,
        direction: Direction,
        message: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<bool, ParseError> {
        if message.first() != Some(&ssl2::MSG_SERVER_HELLO) {
            return Ok(false);
        }
        let (hello, certificate) = ssl2::server_hello(message)?;
        self.client_is(direction.reverse(), cx);
        self.begun = true;
        self.version = Some(hello.version);
        say(cx, Fact::Ssl2ServerHello(Box::new(hello)));
        if !certificate.is_empty() {
            let chain = Arc::new([cx.certificates.parse(certificate)]);
            say(cx, Fact::Certificate { from: Role::Server, chain });
        }
        Ok(true)
    }

    fn server_hello(&mut self, direction: Direction, hello: ServerHello, cx: &mut Context<'_>) {
        self.client_is(direction.reverse(), cx);
        self.begun = true;
        self.version = Some(hello.version);
        self.suite = Some(hello.cipher_suite);
        say(cx, Fact::ServerHello(Arc::new(hello)));
    }

    fn hello_retry_request(&mut self, direction: Direction, hello: ServerHello, cx: &mut Context<'_>) {
        self.client_is(direction.reverse(), cx);
        self.begun = true;
        self.retry = true;
        say(cx, Fact::HelloRetryRequest(Arc::new(hello)));
    }

    /// Takes a handshake message in the clear. False when it is none that is known, or not what its type demands.
    pub(in crate::protocol) fn message(
        &mut self,
        direction: Direction,
        kind: u8,
        body: &[u8],
        cx: &mut Context<'_>,
    ) -> bool {
        let known = self.begun;
        match self.read(direction, kind, body, cx) {
            Ok(understood) => understood,
            Err(error) => {
                if known || matches!(kind, message::CLIENT_HELLO | message::SERVER_HELLO) {
                    self.begun = true;
                    let (from, error) = (self.role(direction), Box::new(error));
                    say(cx, Fact::MalformedMessage { from, kind, error });
                }
                false
            }
        }
    }

    fn read(
        &mut self,
        direction: Direction,
        kind: u8,
        body: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<bool, ParseError> {
        match kind {
            message::CLIENT_HELLO => {
                let hello = hello::client_hello(body, self.transport)?;
                self.client_random = hello::random(body);
                self.client_hello(direction, hello, cx);
            }
            message::SERVER_HELLO => match hello::server_hello(body)? {
                ServerAnswer::Hello(hello) => {
                    self.server_random = hello::random(body);
                    self.compressed = hello.compression_method != 0;
                    self.server_hello(direction, hello, cx);
                }
                ServerAnswer::Retry(hello) => self.hello_retry_request(direction, hello, cx),
            },
            message::HELLO_RETRY_REQUEST => {
                let hello = hello::draft_hello_retry_request(body)?;
                self.hello_retry_request(direction, hello, cx);
            }
            message::HELLO_REQUEST if body.is_empty() => {}
            message::CERTIFICATE => {
                let chain = wire::certificates(body, cx.certificates)?.into();
                self.certificate(direction, chain, cx);
            }
            message::SERVER_KEY_EXCHANGE => {
                self.client_is(direction.reverse(), cx);
                let exchange = wire::server_key_exchange(body, self.suite, self.version);
                say(cx, Fact::ServerKeyExchange(exchange));
            }
            message::CERTIFICATE_REQUEST => {
                let request = wire::certificate_request(body, self.version)?;
                self.client_is(direction.reverse(), cx);
                say(cx, Fact::CertificateRequest(Arc::new(request)));
            }
            message::SERVER_HELLO_DONE if body.is_empty() => {
                self.client_is(direction.reverse(), cx);
                say(cx, Fact::ServerHelloDone);
            }
            message::CERTIFICATE_VERIFY => {
                let from = self.role(direction);
                say(cx, Fact::CertificateVerify { from });
            }
            message::CLIENT_KEY_EXCHANGE => {
                self.client_key_exchange = true;
                self.client_is(direction, cx);
                say(cx, Fact::ClientKeyExchange);
            }
            message::NEW_SESSION_TICKET => {
                self.client_is(direction.reverse(), cx);
                say(cx, Fact::NewSessionTicket);
            }
            message::CERTIFICATE_STATUS => say(cx, Fact::CertificateStatus),
            _ => return Ok(false),
        }
        Ok(true)
    }
}
