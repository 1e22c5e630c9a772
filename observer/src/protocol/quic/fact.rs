//! What QUIC shows outside encryption, and its connections put together.

use super::version::Version;
use crate::decode::Endpoint;
use crate::flow::Direction;
use crate::observation::{Observation, Observations};
use crate::protocol;
use crate::protocol::tls::{Role, Seen};
use crate::source::FrameNumber;

/// A piece of a QUIC connection. Its handshake is said as [`crate::protocol::tls::Fact`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// Packets of a version, the first time and when it changes.
    Version(Version),
    /// The server does not speak the client's version (RFC 9000 §17.2.1).
    VersionNegotiation {
        /// The versions that it speaks, reserved ones among them; at most 32 are kept.
        versions: Vec<Version>,
    },
    /// The server has the client prove its address (RFC 9000 §17.2.5).
    Retry {
        /// Whether the integrity tag is that of an answer to this client; `None` where that cannot be told.
        valid: Option<bool>,
    },
    /// The client's Initial carries a token: of a Retry, or of an earlier connection to this server.
    Token {
        /// Bytes of the token.
        len: usize,
    },
    /// The client sent 0-RTT packets.
    ZeroRtt,
    /// A side ends the connection: in an Initial packet, or in one that was decrypted.
    Close(Close),
    /// The flow goes on with the connection of another: an inference from a connection id.
    Continues(Continues),
    /// The ClientHello of Google's own handshake (not TLS).
    GoogleHello(GoogleHello),
}

/// CONNECTION_CLOSE (RFC 9000 §19.19).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Who.
    pub from: Role,
    /// The application ended it: the code is the application protocol's.
    pub application: bool,
    /// The code; of the transport 0x0100 to 0x01ff are TLS alerts (RFC 9001 §4.8).
    pub error_code: u64,
    /// The reason that is given, at most 256 bytes; what is not UTF-8 is replaced.
    pub reason: String,
}

impl Close {
    /// The TLS alert that the code stands for.
    #[must_use]
    pub fn alert(&self) -> Option<u8> {
        let [.., high, low] = self.error_code.to_be_bytes();
        (!self.application && self.error_code >> 16 == 0 && high == 1).then_some(low)
    }

    /// The name of a transport error (RFC 9000 §20.1).
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        if self.application {
            return None;
        }
        Some(match self.error_code {
            0x00 => "no_error",
            0x01 => "internal_error",
            0x02 => "connection_refused",
            0x03 => "flow_control_error",
            0x04 => "stream_limit_error",
            0x05 => "stream_state_error",
            0x06 => "final_size_error",
            0x07 => "frame_encoding_error",
            0x08 => "transport_parameter_error",
            0x09 => "connection_id_limit_error",
            0x0a => "protocol_violation",
            0x0b => "invalid_token",
            0x0c => "application_error",
            0x0d => "crypto_buffer_exceeded",
            0x0e => "key_update_error",
            0x0f => "aead_limit_reached",
            0x10 => "no_viable_path",
            0x11 => "version_negotiation_error",
            0x0100..=0x01ff => "crypto_error",
            _ => return None,
        })
    }
}

/// The flow whose connection goes on in this one (RFC 9000 §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continues {
    /// Its place in the output, where it ended before this one.
    pub flow: Option<u64>,
    /// Its first frame.
    pub first_frame: FrameNumber,
    /// Its originator.
    pub source: Endpoint,
    /// Its responder.
    pub destination: Endpoint,
    /// The connection's version.
    pub version: Option<Version>,
    /// The connection id with which packets of this flow begin, and that a side of that connection issued; 8 to 20
    /// bytes.
    pub id: Box<[u8]>,
}

/// A connection id that a side issued: the other writes to it, from whatever address (RFC 9000 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Who is written to.
    pub by: Role,
    /// Which way its bytes go.
    pub direction: Direction,
    /// The id; 8 to 20 bytes.
    pub id: Box<[u8]>,
    /// The connection's version.
    pub version: Option<Version>,
}

/// What the ClientHello of Google's handshake says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoogleHello {
    /// `SNI`, lower case.
    pub server_name: Option<String>,
    /// `UAID`: the client's name and system.
    pub user_agent: Option<String>,
}

/// A flow's QUIC connection: its facts put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The version of the last packets: what the peers came to.
    pub version: Option<Version>,
    /// The version of the first packets, where it is another.
    pub first_version: Option<Version>,
    /// The versions that the server answered with.
    pub offered_versions: Vec<Version>,
    /// The server sent Retry; one whose tag is wrong does not count.
    pub retry: bool,
    /// The client brought a token.
    pub token: bool,
    /// The client sent 0-RTT packets.
    pub zero_rtt: bool,
    /// The first close that could be read.
    pub close: Option<Seen<Close>>,
    /// The flow that this one goes on with.
    pub continues: Option<Continues>,
    /// Google's ClientHello.
    pub google: Option<GoogleHello>,
}

impl Connection {
    /// Puts the QUIC facts together; `None` where there are none.
    #[must_use]
    pub fn fold(observations: &Observations) -> Option<Self> {
        let mut connection: Option<Self> = None;
        for observation in observations.iter() {
            let protocol::Fact::Quic(fact) = &observation.fact else { continue };
            connection.get_or_insert_default().add(fact, observation);
        }
        connection
    }

    fn add(&mut self, fact: &Fact, seen: &Observation) {
        match fact {
            Fact::Version(version) => {
                if let Some(before) = self.version.replace(*version) {
                    self.first_version.get_or_insert(before);
                }
            }
            Fact::VersionNegotiation { versions } if self.offered_versions.is_empty() => {
                self.offered_versions.clone_from(versions);
            }
            Fact::Retry { valid } => self.retry |= *valid != Some(false),
            Fact::Token { .. } => self.token = true,
            Fact::ZeroRtt => self.zero_rtt = true,
            Fact::Close(close) if self.close.is_none() => {
                let Observation { frame, at, basis, .. } = *seen;
                self.close = Some(Seen { frame, at, basis, value: close.clone() });
            }
            Fact::GoogleHello(hello) if self.google.is_none() => self.google = Some(hello.clone()),
            Fact::Continues(continues) => {
                self.version = self.version.or(continues.version);
                self.continues.get_or_insert_with(|| continues.clone());
            }
            Fact::VersionNegotiation { .. } | Fact::Close(_) | Fact::GoogleHello(_) => {}
        }
    }
}
