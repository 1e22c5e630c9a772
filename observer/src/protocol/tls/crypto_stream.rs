//! The handshake of TLS 1.3 where another protocol carries it without records: QUIC's CRYPTO frames (RFC 9001 §4.1.3).

use super::handshake::Handshake;
use super::record::{Message, MessageReader};
use super::wire::kind as message;
use super::{Fact, Role};
use crate::flow::Direction;
use crate::protocol::Context;

/// Reads the hellos of both directions and says them; what follows them is encrypted.
#[derive(Debug)]
pub(in crate::protocol) struct CryptoStream {
    handshake: Handshake,
    readers: [MessageReader; 2],
    /// The stream does not begin with a hello: nothing of it is read.
    refused: [bool; 2],
}

impl CryptoStream {
    /// A handshake that has not begun; `transport` is JA4's letter.
    pub(in crate::protocol) fn new(transport: char) -> Self {
        Self { handshake: Handshake::over(transport), readers: Default::default(), refused: [false; 2] }
    }

    /// Notes which way the client's bytes go.
    pub(in crate::protocol) fn client_is(&mut self, direction: Direction, cx: &mut Context<'_>) {
        self.handshake.client_is(direction, cx);
    }

    /// Whether the server's hello was read.
    pub(in crate::protocol) fn is_answered(&self) -> bool {
        self.handshake.is_answered()
    }

    /// Takes the next bytes of a direction.
    pub(in crate::protocol) fn data(&mut self, direction: Direction, mut bytes: &[u8], cx: &mut Context<'_>) {
        let Self { handshake, readers, refused } = self;
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
                    super::analyzer::say(cx, Fact::MessageDropped { from, kind, len });
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
