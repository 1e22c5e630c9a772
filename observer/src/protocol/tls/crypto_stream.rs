//! The handshake of TLS 1.3 where another protocol carries it without records: QUIC's CRYPTO frames (RFC 9001 §4.1.3).

use super::analyzer::say;
use super::encrypted::{self, Turn};
use super::handshake::Handshake;
use super::keylog::SessionSecrets;
use super::keys::PacketProtection;
use super::record::{Message, MessageReader};
use super::wire::kind as message;
use super::{Fact, Role};
use crate::flow::Direction;
use crate::protocol::Context;

/// Handshake messages within encryption that are read of a connection: those of a handshake, and tickets.
const MAX_MESSAGES: u32 = 128;

/// Reads the hellos of both directions and says them, and of what follows them what the key log opened.
#[derive(Debug)]
pub(in crate::protocol) struct CryptoStream {
    handshake: Handshake,
    readers: [MessageReader; 2],
    /// The stream does not begin with a hello: nothing of it is read.
    refused: [bool; 2],
    /// Of what was encrypted, of each direction: the handshake, and what comes after it.
    encrypted: [[MessageReader; 2]; 2],
    finished: [bool; 2],
    /// Messages within encryption.
    messages: u32,
}

impl CryptoStream {
    /// A handshake that has not begun; `transport` is JA4's letter.
    pub(in crate::protocol) fn new(transport: char) -> Self {
        Self {
            handshake: Handshake::over(transport),
            readers: Default::default(),
            refused: [false; 2],
            encrypted: Default::default(),
            finished: [false; 2],
            messages: 0,
        }
    }

    /// Notes which way the client's bytes go.
    pub(in crate::protocol) fn client_is(&mut self, direction: Direction, cx: &mut Context<'_>) {
        self.handshake.client_is(direction, cx);
    }

    /// Whether the server's hello was read.
    pub(in crate::protocol) fn is_answered(&self) -> bool {
        self.handshake.is_answered()
    }

    /// Who sends in `direction`.
    pub(in crate::protocol) fn role(&self, direction: Direction) -> Role {
        self.handshake.role(direction)
    }

    /// Whether the Finished of a direction was decrypted.
    pub(in crate::protocol) fn is_finished(&self, direction: Direction) -> bool {
        self.finished.get(direction.index()).copied().unwrap_or_default()
    }

    /// What the key log has of the session.
    pub(in crate::protocol) fn secrets<'a>(&self, cx: &Context<'a>) -> Option<&'a SessionSecrets> {
        self.handshake.secrets(cx)
    }

    /// The handshake that it carries.
    pub(in crate::protocol) fn handshake(&mut self) -> &mut Handshake {
        &mut self.handshake
    }

    /// How packets are protected once the server has answered, if it is a way that can be undone here.
    pub(in crate::protocol) fn protection(&self) -> Option<PacketProtection> {
        self.handshake.suite().and_then(PacketProtection::of)
    }

    /// Takes the next bytes of a direction that were decrypted; `after` the handshake or of it.
    pub(in crate::protocol) fn decrypted(
        &mut self,
        direction: Direction,
        after: bool,
        mut bytes: &[u8],
        cx: &mut Context<'_>,
    ) {
        let from = self.handshake.role(direction);
        let Self { encrypted, finished, messages, .. } = self;
        let (Some(readers), Some(finished)) =
            (encrypted.get_mut(direction.index()), finished.get_mut(direction.index()))
        else {
            return;
        };
        let [of_handshake, of_rest] = readers;
        let reader = if after { of_rest } else { of_handshake };
        while let Some(message) = reader.next(&mut bytes, cx.limits.message_bytes) {
            *messages = messages.saturating_add(1);
            if *messages > MAX_MESSAGES {
                return;
            }
            let turn = match message {
                Message::Whole { kind, body } => encrypted::take(from, kind, body, cx),
                Message::Buffered { kind } => encrypted::take(from, kind, reader.body(), cx),
                Message::TooLong { kind, len } => {
                    say(cx, Fact::MessageDropped { from, kind, len });
                    None
                }
            };
            if turn == Some(Turn::Finished) && !std::mem::replace(finished, true) {
                say(cx, Fact::EncryptedHandshake { from });
                say(cx, Fact::Finished { from });
            }
        }
    }

    /// Takes the next bytes of a direction.
    pub(in crate::protocol) fn data(&mut self, direction: Direction, mut bytes: &[u8], cx: &mut Context<'_>) {
        let Self { handshake, readers, refused, .. } = self;
        let (Some(reader), Some(refused)) =
            (readers.get_mut(direction.index()), refused.get_mut(direction.index()))
        else {
            return;
        };
        while !*refused {
            let Some(message) = reader.next(&mut bytes, cx.limits.message_bytes) else { return };
            let (kind, body) = match message {
                Message::Whole { kind, body } => (kind, Some(body)),
                Message::Buffered { kind } => (kind, None),
                Message::TooLong { kind, len } => {
                    let from = handshake.role(direction);
                    say(cx, Fact::MessageDropped { from, kind, len });
                    continue;
                }
            };
            let expected = match handshake.role(direction) {
                Role::Client => kind == message::CLIENT_HELLO,
                Role::Server => kind == message::SERVER_HELLO,
            };
            // After its hello a server has nothing more to say in the clear.
            *refused = !expected || handshake.is_answered();
            if !*refused {
                let body = body.unwrap_or_else(|| reader.body());
                handshake.message(direction, kind, body, cx);
            }
        }
    }

    /// Begins again: the client does so after a version negotiation.
    pub(in crate::protocol) fn restart(&mut self) {
        self.readers = Default::default();
        self.refused = [false; 2];
    }
}
