//! One TLS session, from the bytes of both directions to facts.
//!
//! Handshake messages are read as long as they are in the clear: all of them up to TLS 1.2, the hellos alone in TLS 1.3.
//! Of encrypted records only the header is looked at, unless the key log opens them (`decryption`). The analyzer is done when both sides have sent data, after
//! [`MAX_RECORDS`] encrypted records of one side, or when the handshake was not captured: the bulk of a session costs
//! nothing. A renegotiation after that goes unseen: to find it, every record of every download had to be followed.
//!
//! Which side is the client is told by the messages, not by who opened the flow.

use super::decryption::Decryption;
use super::handshake::Handshake;
use super::held::Sealed;
use super::record::{Message, MessageReader, Piece, RecordHeader, RecordReader, content};
use super::tls13::{EncryptedSide, Known, Shows};
use super::{Alert, Fact, Role, ServerAnswer, TlsVersion, ssl2};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction, Gap};
use crate::observation::Basis;
use crate::protocol::{self, Analyzer, Context, Progress};

/// Encrypted records of a side after which nothing new is expected.
const MAX_RECORDS: u32 = 64;

/// Handshake messages and alerts of a flow that are read: many times those of a handshake with several
/// renegotiations.
const MAX_MESSAGES: u32 = 128;

/// Bytes of a direction in which a record is looked for after a gap, or that are let pass after bytes that are no
/// record.
const MAX_SEARCHED: usize = 64 << 10;

/// Reads a TLS session.
#[derive(Default)]
pub(super) struct TlsAnalyzer {
    sides: [Side; 2],
    handshake: Handshake,
    decryption: Decryption,
    messages: u32,
    /// The server sent an encrypted record of TLS 1.3 after the first of the client.
    answered: bool,
    /// SSL 2.0 was agreed on: no records of later versions follow.
    ssl2: bool,
}

/// One direction.
#[derive(Default)]
struct Side {
    start: Start,
    records: RecordReader,
    messages: MessageReader,
    /// The record whose body is being read.
    current: Current,
    /// ChangeCipherSpec went by (up to TLS 1.2).
    encrypted: bool,
    finished: bool,
    data: bool,
    heartbeat: bool,
    /// Bytes of this direction are missing.
    gap: bool,
    /// The bytes stopped being TLS.
    malformed: bool,
    searched: usize,
    encrypted_records: u32,
    tls13: EncryptedSide,
    /// What a record's length shows, while its contents may say it better.
    shown: [Option<Shows>; 2],
}

/// Whether handshake bytes can be what they are taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Understood {
    Yes,
    No,
}

/// How a direction begins.
#[derive(Default)]
enum Start {
    #[default]
    Unknown,
    Ssl2(Vec<u8>),
    Records,
}

#[derive(Default)]
enum Current {
    #[default]
    Ignored,
    /// A handshake record in the clear, and its version.
    Handshake(u16),
    Alert(Option<u8>),
    /// An encrypted record that the key log may open, and what there is of its body.
    Sealed(RecordHeader, Vec<u8>),
}

impl Analyzer for TlsAnalyzer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let progress = if self.side(data.direction).malformed {
            self.search(data.direction, data.bytes.len())
        } else {
            self.read(data, cx).unwrap_or_else(|error| self.malformed(data.direction, error, cx))
        };
        if !matches!(progress, Progress::NeedMore | Progress::Within(_)) {
            self.finish(cx);
        }
        progress
    }

    fn gap(&mut self, gap: Gap, cx: &mut Context<'_>) -> Progress {
        let from = self.handshake.role(gap.direction);
        let side = self.side(gap.direction);
        if matches!(side.start, Start::Ssl2(_)) {
            self.finish(cx);
            return Progress::Done;
        }
        side.start = Start::Records;
        if side.malformed {
            return self.search(gap.direction, usize::try_from(gap.len).unwrap_or(usize::MAX));
        }
        self.decryption.gap(gap, &mut self.handshake, cx);
        let side = self.side(gap.direction);
        let in_handshake = !side.finished && !side.data && !side.gap;
        side.gap = true;
        side.records.skip(gap.len);
        side.messages.reset();
        side.current = Current::Ignored;
        if in_handshake {
            say(cx, Fact::HandshakeGap { from });
        }
        self.progress()
    }

    fn rest(&mut self, cx: &mut Context<'_>) -> Progress {
        self.decryption.finish(&mut self.handshake, cx);
        self.progress()
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.decryption.finish(&mut self.handshake, cx);
        self.handshake.finish(cx);
        for direction in [Direction::ToResponder, Direction::ToOriginator] {
            let from = self.handshake.role(direction);
            let done = self.is_done();
            let side = self.side(direction);
            let whole = !done && !side.gap && !side.malformed && side.tls13.kept_all();
            let lengths = side.tls13.lengths();
            if !lengths.is_empty() {
                say(cx, Fact::EncryptedRecords { from, lengths: lengths.into(), whole });
            }
        }
    }
}

impl TlsAnalyzer {
    fn side(&mut self, direction: Direction) -> &mut Side {
        let [to_responder, to_originator] = &mut self.sides;
        match direction {
            Direction::ToResponder => to_responder,
            Direction::ToOriginator => to_originator,
        }
    }

    fn read(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Result<Progress, ParseError> {
        let direction = data.direction;
        let mut input = data.bytes;
        if self.ssl2 && matches!(self.side(direction).start, Start::Unknown | Start::Records) {
            self.side(direction).start = Start::Ssl2(Vec::new());
        }
        match self.side(direction).start {
            Start::Records => {}
            Start::Unknown if input.first().is_some_and(|first| first & 0x80 == 0) => {
                self.side(direction).start = Start::Records;
            }
            Start::Unknown | Start::Ssl2(_) => match self.ssl2(direction, &mut input, cx)? {
                Progress::NeedMore if matches!(self.side(direction).start, Start::Records) => {}
                progress => return Ok(progress),
            },
        }
        let records = &mut self.side(direction).records;
        if records.is_lost() && !records.resume(input) {
            return Ok(self.search(direction, input.len()));
        }
        while let Some(piece) = self.side(direction).records.next(&mut input)? {
            match piece {
                Piece::Header(header) => self.header(direction, header, cx),
                Piece::Body(body) => self.body(direction, body, cx),
            }
            if self.is_done() {
                return Ok(Progress::Done);
            }
        }
        Ok(self.progress())
    }

    /// Goes on, with what was decrypted.
    fn progress(&mut self) -> Progress {
        if self.decryption.take_carries() { Progress::Within(Basis::Decrypted) } else { Progress::NeedMore }
    }

    /// One direction is not TLS any more. The other may be: some clients begin with a hello that is only for show.
    fn malformed(&mut self, direction: Direction, error: ParseError, cx: &mut Context<'_>) -> Progress {
        if self.handshake.is_answered() || self.side(direction.reverse()).malformed {
            return Progress::Malformed(error);
        }
        self.side(direction).malformed = true;
        let (protocol, error) = (super::PROTOCOL.name, Box::new(error));
        cx.say(protocol::Fact::Malformed { protocol, direction, error });
        Progress::NeedMore
    }

    /// Counts bytes in which nothing was found.
    fn search(&mut self, direction: Direction, len: usize) -> Progress {
        let side = self.side(direction);
        side.searched = side.searched.saturating_add(len);
        if side.searched > MAX_SEARCHED { Progress::Done } else { Progress::NeedMore }
    }

    fn is_done(&self) -> bool {
        let [a, b] = &self.sides;
        if self.decryption.goes_on() {
            return false;
        }
        (a.data && b.data)
            || self.messages > MAX_MESSAGES
            || a.encrypted_records.max(b.encrypted_records) > MAX_RECORDS
    }

    fn header(&mut self, direction: Direction, header: RecordHeader, cx: &mut Context<'_>) {
        let from = self.handshake.role(direction);
        // Up to TLS 1.2 all that follows ChangeCipherSpec is encrypted.
        let encrypted = header.content == content::APPLICATION_DATA || self.side(direction).encrypted;
        let sealed = encrypted && self.decryption.wants(direction, cx);
        let reads = sealed && self.decryption.reads(direction, &self.handshake, cx);
        let side = self.side(direction);
        side.current = Current::Ignored;
        side.shown = [None; 2];
        match header.content {
            content::HANDSHAKE if side.encrypted => self.encrypted_handshake(direction, cx),
            content::HANDSHAKE => side.current = Current::Handshake(header.version),
            content::ALERT if header.len == 2 => side.current = Current::Alert(None),
            content::ALERT => {
                self.messages = self.messages.saturating_add(1);
                if header.len > 2 {
                    self.midstream(TlsVersion(header.version), cx);
                    self.shows(direction, [Some(Shows::Alert), None], reads, cx);
                }
            }
            content::CHANGE_CIPHER_SPEC => {
                if !self.handshake.dummy_change_cipher_spec(from) {
                    self.midstream(TlsVersion(header.version), cx);
                    let side = self.side(direction);
                    side.messages.reset();
                    if !std::mem::replace(&mut side.encrypted, true) {
                        say(cx, Fact::ChangeCipherSpec { from });
                    }
                }
            }
            content::APPLICATION_DATA => self.application_data(direction, header, reads, cx),
            _ => {
                if !std::mem::replace(&mut side.heartbeat, true) {
                    say(cx, Fact::Heartbeat { from });
                }
            }
        }
        let side = self.side(direction);
        if sealed && header.len > 0 && matches!(side.current, Current::Ignored) {
            side.current = Current::Sealed(header, Vec::with_capacity(usize::from(header.len)));
        }
    }

    fn body(&mut self, direction: Direction, bytes: &[u8], cx: &mut Context<'_>) {
        let from = self.handshake.role(direction);
        let side = self.side(direction);
        match &mut side.current {
            Current::Ignored => {}
            Current::Sealed(header, body) => {
                body.extend_from_slice(bytes);
                if body.len() >= usize::from(header.len) {
                    let (header, body) = (*header, std::mem::take(body));
                    side.current = Current::Ignored;
                    let shown = std::mem::take(&mut side.shown);
                    let sealed = Sealed { direction, header, body, frame: cx.frame, at: cx.at };
                    self.decryption.record(sealed, &mut self.handshake, cx);
                    let unread = self.decryption.is_shut(direction);
                    self.side(direction).data |= self.decryption.has_data(direction);
                    if unread {
                        self.shows(direction, shown, false, cx);
                    }
                }
            }
            Current::Alert(level) => {
                let mut bytes = bytes.iter().copied();
                let first = level.take().or_else(|| bytes.next());
                match (first, bytes.next()) {
                    (Some(level), Some(description)) => {
                        side.current = Current::Ignored;
                        self.messages = self.messages.saturating_add(1);
                        let (level, description) = (Some(level), Some(description));
                        say(cx, Fact::Alert(Alert { from, level, description }));
                    }
                    (first, _) => *level = first,
                }
            }
            Current::Handshake(version) => {
                let version = TlsVersion(*version);
                let mut messages = std::mem::take(&mut side.messages);
                if self.handshake_bytes(direction, bytes, &mut messages, cx) == Understood::No {
                    // An encrypted message after a ChangeCipherSpec that was not captured.
                    messages.reset();
                    let side = self.side(direction);
                    side.encrypted = true;
                    side.current = Current::Ignored;
                    self.midstream(version, cx);
                }
                self.side(direction).messages = messages;
            }
        }
    }

    fn handshake_bytes(
        &mut self,
        direction: Direction,
        mut bytes: &[u8],
        messages: &mut MessageReader,
        cx: &mut Context<'_>,
    ) -> Understood {
        while let Some(message) = messages.next(&mut bytes, cx.limits.message_bytes) {
            self.messages = self.messages.saturating_add(1);
            if self.messages > MAX_MESSAGES {
                return Understood::Yes;
            }
            let in_place = self.handshake.has_begun() && !self.side(direction).gap;
            let understood = match message {
                Message::Whole { kind, body } => self.handshake.message(direction, kind, body, cx),
                Message::Buffered { kind } => self.handshake.message(direction, kind, messages.body(), cx),
                Message::TooLong { kind, len } if in_place => {
                    let from = self.handshake.role(direction);
                    say(cx, Fact::MessageDropped { from, kind, len });
                    true
                }
                Message::TooLong { .. } => false,
            };
            // Where the beginning is known, a message that is not understood is just that.
            if !understood && (self.side(direction).gap || !self.handshake.has_begun()) {
                return Understood::No;
            }
        }
        Understood::Yes
    }

    /// A handshake record after ChangeCipherSpec: the Finished, and after that a renegotiation.
    fn encrypted_handshake(&mut self, direction: Direction, cx: &mut Context<'_>) {
        let from = self.handshake.role(direction);
        let side = self.side(direction);
        side.encrypted_records = side.encrypted_records.saturating_add(1);
        if !std::mem::replace(&mut side.finished, true) {
            say(cx, Fact::EncryptedHandshake { from });
        } else if !side.gap {
            self.handshake.renegotiation(from, cx);
        }
    }

    fn application_data(
        &mut self,
        direction: Direction,
        header: RecordHeader,
        reads: bool,
        cx: &mut Context<'_>,
    ) {
        self.midstream(TlsVersion(header.version), cx);
        let from = self.handshake.role(direction);
        let tls13 = self.handshake.is_tls13();
        let other = self.side(direction.reverse());
        let known = Known {
            client_finished: other.tls13.finished(),
            client_data: other.data,
            suite: self.handshake.suite(),
            early_data: self.handshake.early_data(),
        };
        let side = self.side(direction);
        side.encrypted_records = side.encrypted_records.saturating_add(1);
        if !tls13 {
            if !std::mem::replace(&mut side.data, true) {
                say(cx, Fact::ApplicationData { from });
            }
            return;
        }
        let shown = match from {
            Role::Client => side.tls13.client(header.len, known),
            Role::Server => {
                let shown = side.tls13.server(header.len, known);
                self.server_record(direction, header.len, cx);
                shown
            }
        };
        self.shows(direction, shown, reads, cx);
    }

    /// Says what the server answers the client's flight with.
    fn server_record(&mut self, direction: Direction, len: u16, cx: &mut Context<'_>) {
        let after = self.side(direction.reverse()).tls13.count();
        if after > 0 && !std::mem::replace(&mut self.answered, true) {
            let before = self.side(direction).tls13.count().saturating_sub(1);
            say(cx, Fact::ServerAnswer(ServerAnswer { len, before, after }));
        }
    }

    /// Says what a record's length shows, unless it is about to be read.
    fn shows(&mut self, direction: Direction, shown: [Option<Shows>; 2], reads: bool, cx: &mut Context<'_>) {
        if reads {
            self.side(direction).shown = shown;
            return;
        }
        let from = self.handshake.role(direction);
        for shows in shown.into_iter().flatten() {
            let fact = match shows {
                Shows::Alert => Fact::Alert(Alert { from, level: None, description: None }),
                Shows::Handshake => {
                    self.side(direction).finished = true;
                    Fact::EncryptedHandshake { from }
                }
                Shows::Data => {
                    self.side(direction).data = true;
                    Fact::ApplicationData { from }
                }
            };
            say(cx, fact);
        }
    }

    /// Notes that the session goes on without a hello having been seen.
    fn midstream(&mut self, version: TlsVersion, cx: &mut Context<'_>) {
        if self.handshake.begin_midstream() {
            say(cx, Fact::Midstream { version });
        }
    }

    /// Collects and reads a message of SSL 2.0. What follows a ClientHello that offers more than that are records.
    fn ssl2(
        &mut self,
        direction: Direction,
        input: &mut &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Progress, ParseError> {
        let side = self.side(direction);
        if matches!(side.start, Start::Unknown) {
            side.start = Start::Ssl2(Vec::new());
        }
        let Start::Ssl2(buffer) = &mut side.start else { return Ok(Progress::NeedMore) };
        let mut message = std::mem::take(buffer);
        while !input.is_empty() {
            let wanted = match ssl2::record_len(&message) {
                Some(len) => len.saturating_add(ssl2::HEADER),
                None if message.len() >= ssl2::HEADER => {
                    return Err(ParseError::invalid("SSL 2.0 header", 0));
                }
                None => ssl2::HEADER,
            };
            let missing = wanted.saturating_sub(message.len());
            let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
            message.extend_from_slice(taken);
            *input = rest;
            if ssl2::record_len(&message).is_some_and(|len| message.len() >= len.saturating_add(ssl2::HEADER))
            {
                return self.ssl2_message(direction, message.get(ssl2::HEADER..).unwrap_or_default(), cx);
            }
        }
        self.side(direction).start = Start::Ssl2(message);
        Ok(Progress::NeedMore)
    }

    fn ssl2_message(
        &mut self,
        direction: Direction,
        message: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Progress, ParseError> {
        if let Some(kind) = ssl2::master_key(message).filter(|_| self.ssl2) {
            self.handshake.client_is(direction, cx);
            say(cx, Fact::Ssl2MasterKey(kind));
            return Ok(Progress::Done);
        }
        if self.handshake.ssl2_server_hello(direction, message, cx)? {
            self.ssl2 = true;
            return Ok(Progress::NeedMore);
        }
        let hello = ssl2::client_hello(message)?;
        let only_ssl2 = hello.legacy_version == TlsVersion::SSL_2;
        self.handshake.client_hello(direction, hello, cx);
        self.side(direction).start = if only_ssl2 { Start::Ssl2(Vec::new()) } else { Start::Records };
        Ok(Progress::NeedMore)
    }
}

pub(super) fn say(cx: &mut Context<'_>, fact: Fact) {
    cx.say(protocol::Fact::Tls(fact));
}
