//! One DTLS association, from the datagrams of both directions to TLS's facts.

use super::reassembly::{Fragment, Message, Reassembly};
use super::record::{self, Record, content};
use crate::bytes::{ParseError, Reader};
use crate::flow::{Data, Direction};
use crate::protocol::tls::{Alert, Fact, Handshake, Role, TlsVersion, handshake_type};
use crate::protocol::{self, Context};

/// Encrypted records of a side after which nothing new is expected.
const MAX_RECORDS: u32 = 64;

/// Handshake messages and alerts that are read: many times those of a handshake.
const MAX_MESSAGES: u32 = 128;

/// Bytes that encryption adds to a record of DTLS 1.3: the content type and the tag.
const OVERHEAD: usize = 17;

/// Bytes that one record number takes in an ACK, and those of the list's length (RFC 9147 §7).
const ACK_NUMBER: usize = 16;
const ACK_HEADER: usize = 2;

/// Records that an ACK names at most: a flight has few, and a longer record of such a length is a flight itself.
const MAX_ACK_NUMBERS: usize = 8;

/// Reads a DTLS association.
#[derive(Debug)]
pub(crate) struct Association {
    sides: [Side; 2],
    handshake: Handshake,
    messages: u32,
}

/// One direction.
#[derive(Debug, Default)]
struct Side {
    reassembly: Reassembly,
    changed: bool,
    finished: bool,
    data: bool,
    heartbeat: bool,
    encrypted_alert: bool,
    encrypted_records: u32,
    /// Length of the first record with a connection id: its Finished, which may be sent again.
    first_hidden: Option<usize>,
}

impl Default for Association {
    fn default() -> Self {
        Self { sides: Default::default(), handshake: Handshake::of_dtls(), messages: 0 }
    }
}

impl Association {
    /// Whether everything worth knowing was said.
    pub(crate) fn is_done(&self) -> bool {
        let [a, b] = &self.sides;
        (a.data && b.data)
            || self.messages > MAX_MESSAGES
            || a.encrypted_records.max(b.encrypted_records) > MAX_RECORDS
    }

    /// Whether both sides encrypt.
    pub(crate) fn is_established(&self) -> bool {
        self.sides.iter().all(|side| side.finished || side.data)
    }

    /// Whether it is DTLS 1.3.
    pub(crate) fn is_dtls13(&self) -> bool {
        self.handshake.is_tls13()
    }

    /// Whether this is the datagram of an association: all of it are records.
    pub(crate) fn accepts(&self, bytes: &[u8]) -> bool {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            match record::next(&mut reader) {
                Ok(Record::Unified { .. }) if !self.handshake.is_tls13() => return false,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        !bytes.is_empty()
    }

    /// Takes a datagram; what comes before an error is taken, too.
    pub(crate) fn datagram(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Result<(), ParseError> {
        let mut reader = Reader::new(data.bytes);
        while !reader.is_empty() {
            match record::next(&mut reader)? {
                Record::Full { content, version, epoch: 0, body } => {
                    self.readable(data.direction, content, version, body, cx);
                }
                Record::Full { content, version, body, .. } => {
                    self.encrypted(data.direction, content, version, body.len(), cx);
                }
                Record::ConnectionId { version, len } => self.hidden(data.direction, version, len, cx),
                Record::Unified { epoch, len } => self.unified(data.direction, epoch, len, cx),
            }
        }
        Ok(())
    }

    /// Nothing more comes: says what is still waiting.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        for direction in [Direction::ToResponder, Direction::ToOriginator] {
            while let Some(message) = self.side(direction).reassembly.pop_late() {
                self.message(direction, message, cx);
            }
        }
        self.handshake.finish(cx);
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        let [to_responder, to_originator] = &mut self.sides;
        match direction {
            Direction::ToResponder => to_responder,
            Direction::ToOriginator => to_originator,
        }
    }

    /// A record of epoch 0.
    fn readable(&mut self, direction: Direction, kind: u8, version: u16, body: &[u8], cx: &mut Context<'_>) {
        match kind {
            content::HANDSHAKE => {
                let mut reader = Reader::new(body);
                while let Ok(fragment) = Fragment::next(&mut reader) {
                    self.side(direction).reassembly.take(fragment, cx.limits.message_bytes);
                    while let Some(message) = self.side(direction).reassembly.pop() {
                        self.message(direction, message, cx);
                    }
                }
            }
            content::ALERT => {
                if let [level, description] = *body {
                    self.messages = self.messages.saturating_add(1);
                    if self.messages <= MAX_MESSAGES {
                        let from = self.handshake.role(direction);
                        let (level, description) = (Some(level), Some(description));
                        say(cx, Fact::Alert(Alert { from, level, description }));
                    }
                }
            }
            content::CHANGE_CIPHER_SPEC => {
                self.midstream(version, cx);
                let from = self.handshake.role(direction);
                if !std::mem::replace(&mut self.side(direction).changed, true) {
                    say(cx, Fact::ChangeCipherSpec { from });
                }
            }
            _ => {}
        }
    }

    fn message(&mut self, direction: Direction, message: Message, cx: &mut Context<'_>) {
        self.messages = self.messages.saturating_add(1);
        if self.messages > MAX_MESSAGES {
            return;
        }
        match message {
            Message::Whole { kind: handshake_type::HELLO_VERIFY_REQUEST, .. } => {
                self.handshake.client_is(direction.reverse(), cx);
            }
            Message::Whole { kind, body } => {
                self.handshake.message(direction, kind, &body, cx);
            }
            Message::TooLong { kind, len } => {
                let from = self.handshake.role(direction);
                let len = u32::try_from(len).unwrap_or(u32::MAX);
                say(cx, Fact::MessageDropped { from, kind, len });
            }
            Message::Missing => {
                let from = self.handshake.role(direction);
                say(cx, Fact::HandshakeGap { from });
            }
        }
    }

    /// A record of a later epoch, up to DTLS 1.2. Finished may be sent again: a second handshake record is not news.
    fn encrypted(&mut self, direction: Direction, kind: u8, version: u16, len: usize, cx: &mut Context<'_>) {
        self.midstream(version, cx);
        let from = self.handshake.role(direction);
        let side = self.side(direction);
        side.encrypted_records = side.encrypted_records.saturating_add(1);
        match kind {
            content::HANDSHAKE if !side.finished => {
                side.finished = true;
                say(cx, Fact::EncryptedHandshake { from });
            }
            content::APPLICATION_DATA if !side.data => {
                side.data = true;
                say(cx, Fact::ApplicationData { from });
            }
            content::ALERT => self.encrypted_alert(direction, len, cx),
            // The first ChangeCipherSpec is of epoch 0.
            content::CHANGE_CIPHER_SPEC => self.handshake.renegotiation(from, cx),
            content::HEARTBEAT if !side.heartbeat => {
                side.heartbeat = true;
                say(cx, Fact::Heartbeat { from });
            }
            _ => {}
        }
    }

    /// An alert whose contents are hidden; one a side is enough, for it may be sent again.
    fn encrypted_alert(&mut self, direction: Direction, len: usize, cx: &mut Context<'_>) {
        let from = self.handshake.role(direction);
        let side = self.side(direction);
        if len > 2 && !std::mem::replace(&mut side.encrypted_alert, true) {
            say(cx, Fact::Alert(Alert { from, level: None, description: None }));
        }
    }

    /// A record with a connection id: the first of a side is its Finished, and one of another length is not.
    fn hidden(&mut self, direction: Direction, version: u16, len: usize, cx: &mut Context<'_>) {
        self.midstream(version, cx);
        let from = self.handshake.role(direction);
        let side = self.side(direction);
        side.encrypted_records = side.encrypted_records.saturating_add(1);
        if *side.first_hidden.get_or_insert(len) != len && !std::mem::replace(&mut side.data, true) {
            say(cx, Fact::ApplicationData { from });
        } else if side.changed && !std::mem::replace(&mut side.finished, true) {
            say(cx, Fact::EncryptedHandshake { from });
        }
    }

    /// A record of DTLS 1.3. Its epoch tells handshake from data; alerts and ACKs, which come in both, are told by their
    /// lengths.
    fn unified(&mut self, direction: Direction, epoch: u8, len: Option<usize>, cx: &mut Context<'_>) {
        let from = self.handshake.role(direction);
        let other_data = self.side(direction.reverse()).data;
        let side = self.side(direction);
        side.encrypted_records = side.encrypted_records.saturating_add(1);
        // Behind a connection id of unknown length nothing is known of the contents.
        let contents = len.map(|len| len.saturating_sub(OVERHEAD));
        let ack = contents.and_then(|contents| contents.checked_sub(ACK_HEADER)).is_some_and(|numbers| {
            let count = numbers / ACK_NUMBER;
            numbers.is_multiple_of(ACK_NUMBER) && (1..=MAX_ACK_NUMBERS).contains(&count)
        });
        let alert = contents == Some(2);
        match epoch {
            _ if ack => {}
            2 if alert && !side.finished => self.encrypted_alert(direction, OVERHEAD, cx),
            2 if !side.finished => {
                side.finished = true;
                say(cx, Fact::EncryptedHandshake { from });
            }
            // A server's first records may be tickets.
            3 if !alert && !side.data && (from == Role::Client || other_data) => {
                side.data = true;
                say(cx, Fact::ApplicationData { from });
            }
            _ => {}
        }
    }

    /// Notes that the association goes on without a hello having been seen.
    fn midstream(&mut self, version: u16, cx: &mut Context<'_>) {
        if self.handshake.begin_midstream() {
            say(cx, Fact::Midstream { version: TlsVersion(version) });
        }
    }
}

fn say(cx: &mut Context<'_>, fact: Fact) {
    cx.say(protocol::Fact::Tls(fact));
}
