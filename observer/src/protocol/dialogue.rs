//! Protocols in which a client and a server take turns: cuts both directions into messages and hands them to a
//! [`Dialogue`], one after the other.
//!
//! By default a message is a line. What a message means is the dialogue's business. What is kept is bounded: a long line
//! is cut, a long message is read as far as [`MAX_MESSAGE`] and the rest passed over. A direction can be held until the
//! other has answered, so that bytes which belong to the next layer are not taken for this one's. Where what comes is no
//! answer, the bytes that follow show how it was taken: they are TLS, or they are not.

use super::{Analyzer, Context, Probe, ProbeInput, Progress, property, tls};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction, Gap};
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Bytes of a line that are looked at. RFC 5321 §4.5.3.1 allows 512, IMAP clients send some thousand; SASL tokens may be
/// longer, and are not looked at.
const MAX_LINE: usize = 4096;
/// Bytes of a message with a length that are looked at.
const MAX_MESSAGE: usize = 16 << 10;
/// Bytes that wait for the other direction's answer.
const MAX_HELD: usize = 16 << 10;

/// The bound on bytes that wait: [`MAX_HELD`].
const WAITS: &str = "flows read up to bytes that wait for an answer";

/// How a direction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Where the message ends is not in sight.
    More,
    /// A message of so many bytes; they need not be in sight yet.
    Message(usize),
    /// A line that is longer than what is looked at.
    Overlong,
    /// It is no message of this protocol.
    Malformed(ParseError),
}

/// What follows a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next one.
    Next,
    /// Bytes of this direction that are no message.
    Skip(u64),
    /// Nothing of this direction until the other has answered.
    Hold,
    /// The other direction goes on: it is not held, and has nothing to pass over.
    Release,
    /// Nothing that is this protocol's. With [`Progress::Inner`], what is left of both directions is handed on; with
    /// [`Progress::Upgraded`], from where TLS begins.
    Stop(Progress),
}

/// What messages mean.
pub(super) trait Dialogue: Default + Send {
    /// The protocol's name, as in `network.layers`.
    const NAME: &'static str;

    /// What a message ends with, if [`Self::measure`] goes by that.
    const END: u8 = b'\n';

    /// How long the message at the start of `bytes` is. `bytes` is never empty.
    fn measure(&self, _direction: Direction, bytes: &[u8]) -> Measure {
        line(bytes, Self::END)
    }

    /// Takes a message; a line comes without its end, which is LF with or without CR.
    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn;

    /// Bytes of a direction are missing, and with them messages.
    fn missing(&mut self, _direction: Direction) {}

    /// Whether lines tell, as [`Self::resumes`] says, where one begins.
    const RESUMES: bool = false;

    /// Whether what follows missing bytes up to the end of a line is all of the line, by what it says.
    fn resumes(&self, _direction: Direction, _line: &[u8]) -> bool {
        false
    }
}

/// A line of text. NUL is in none: whoever sends it speaks something else.
fn line(bytes: &[u8], end: u8) -> Measure {
    let within = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let stop = within.iter().position(|byte| *byte == end || *byte == 0);
    match stop.and_then(|at| Some((at, bytes.get(at)?))) {
        Some((at, 0)) => Measure::Malformed(ParseError::invalid("line", at)),
        Some((at, _)) => Measure::Message(at.saturating_add(1)),
        None if bytes.len() >= MAX_LINE => Measure::Overlong,
        None => Measure::More,
    }
}

/// Reads a [`Dialogue`].
#[derive(Default)]
pub(super) struct Talk<D> {
    dialogue: D,
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    /// Not read yet; at most what a piece of data and [`MAX_MESSAGE`] or [`MAX_HELD`] make.
    buffer: Vec<u8>,
    skip: u64,
    hold: Hold,
    /// Whether the rest of a line is passed over: it was too long, or its start is missing.
    until_end: bool,
    /// Whether that is because what came before is missing.
    torn: bool,
    last: (FrameNumber, Timestamp),
}

/// Whether a direction waits for the other's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    /// It does not.
    #[default]
    Free,
    /// It does.
    Held,
    /// The other direction has said something since that is no answer, or it is missing.
    Doubted,
}

impl<D: Dialogue + 'static> Talk<D> {
    /// A fresh one.
    pub(super) fn boxed() -> Box<dyn Analyzer> {
        Box::new(Self::default())
    }
}

impl<D: Dialogue> Analyzer for Talk<D> {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let side = self.side(data.direction);
        side.last = (data.frame, data.at);
        side.buffer.extend_from_slice(data.bytes);
        match side.hold {
            Hold::Held if side.buffer.len() > MAX_HELD => return cx.cut_short(WAITS),
            Hold::Held => return Progress::NeedMore,
            Hold::Doubted | Hold::Free => side.hold = Hold::Free,
        }
        self.read(data.direction, cx)
    }

    fn gap(&mut self, gap: Gap, _cx: &mut Context<'_>) -> Progress {
        let side = self.side(gap.direction);
        side.buffer.clear();
        // What is missing of bytes that are passed over is no loss.
        let loses = gap.len > side.skip;
        side.until_end |= loses;
        side.torn |= loses && D::RESUMES;
        side.skip = side.skip.saturating_sub(gap.len);
        if loses {
            self.dialogue.missing(gap.direction);
            self.doubt(gap.direction.reverse());
        }
        Progress::NeedMore
    }
}

impl<D: Dialogue> Talk<D> {
    fn side(&mut self, direction: Direction) -> &mut Side {
        let [to_responder, to_originator] = &mut self.sides;
        match direction {
            Direction::ToResponder => to_responder,
            Direction::ToOriginator => to_originator,
        }
    }

    /// What came instead of the answer that `direction` waits for is none.
    fn doubt(&mut self, direction: Direction) {
        let side = self.side(direction);
        if side.hold == Hold::Held {
            side.hold = Hold::Doubted;
        }
    }

    /// Reads as many messages of a direction as there are.
    fn read(&mut self, direction: Direction, cx: &mut Context<'_>) -> Progress {
        let input = std::mem::take(&mut self.side(direction).buffer);
        let mut rest = input.as_slice();
        let progress = self.messages(direction, &mut rest, cx);
        let side = self.side(direction);
        side.buffer = rest.to_vec();
        match progress {
            Progress::NeedMore if side.hold != Hold::Free && side.buffer.len() > MAX_HELD => {
                cx.cut_short(WAITS)
            }
            Progress::Inner | Progress::Upgraded => {
                self.hand_on(direction, progress == Progress::Upgraded, cx);
                progress
            }
            other => other,
        }
    }

    fn messages(&mut self, direction: Direction, rest: &mut &[u8], cx: &mut Context<'_>) -> Progress {
        loop {
            let side = self.side(direction);
            if side.hold != Hold::Free {
                return Progress::NeedMore;
            }
            if side.skip > 0 {
                let skipped = usize::try_from(side.skip).unwrap_or(usize::MAX).min(rest.len());
                side.skip = side.skip.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
                *rest = rest.get(skipped..).unwrap_or_default();
            }
            if rest.is_empty() {
                return Progress::NeedMore;
            }
            match begins_tls(rest) {
                Some(true) => return Progress::Upgraded,
                None => return Progress::NeedMore,
                Some(false) => {}
            }
            if side.until_end {
                let end = rest.iter().position(|byte| *byte == D::END);
                if side.torn && end.is_none() && rest.len() < MAX_LINE {
                    return Progress::NeedMore;
                }
                side.until_end = end.is_none();
                let torn = std::mem::take(&mut side.torn);
                let line = end.and_then(|end| rest.get(..end));
                if torn && line.is_some_and(|line| self.dialogue.resumes(direction, line)) {
                    continue;
                }
                *rest = end.and_then(|end| rest.get(end.saturating_add(1)..)).unwrap_or_default();
                continue;
            }
            let (message, total) = match self.dialogue.measure(direction, rest) {
                Measure::More => return Progress::NeedMore,
                Measure::Malformed(error) => return Progress::Malformed(error),
                Measure::Overlong => {
                    self.side(direction).until_end = true;
                    (rest.get(..MAX_LINE).unwrap_or(rest), MAX_LINE)
                }
                Measure::Message(len) => {
                    let seen = len.clamp(1, MAX_MESSAGE);
                    let Some(message) = rest.get(..seen) else { return Progress::NeedMore };
                    (message, len.max(1))
                }
            };
            let taken = total.min(rest.len());
            let beyond = u64::try_from(total.saturating_sub(taken)).unwrap_or(u64::MAX);
            self.side(direction).skip = beyond;
            *rest = rest.get(taken..).unwrap_or_default();
            match self.dialogue.message(direction, message, cx) {
                Turn::Next => self.doubt(direction.reverse()),
                Turn::Skip(len) => {
                    let side = self.side(direction);
                    side.skip = side.skip.saturating_add(len);
                }
                Turn::Hold => self.side(direction).hold = Hold::Held,
                Turn::Release => {
                    let other = self.side(direction.reverse());
                    (other.hold, other.skip) = (Hold::Free, 0);
                    match self.read(direction.reverse(), cx) {
                        Progress::NeedMore => {}
                        progress => return progress,
                    }
                }
                Turn::Stop(progress) => return progress,
            }
        }
    }

    /// Gives the next layer what neither direction has read; `answered` last, as it answers the other.
    fn hand_on(&mut self, answered: Direction, upgraded: bool, cx: &mut Context<'_>) {
        for direction in [answered.reverse(), answered] {
            let side = self.side(direction);
            let ((frame, at), bytes) = (side.last, std::mem::take(&mut side.buffer));
            (side.hold, side.skip, side.until_end, side.torn) = (Hold::Free, 0, false, false);
            let plain = if upgraded { before_tls(direction, &bytes) } else { 0 };
            if plain > 0 {
                let side = if direction == Direction::ToResponder { "client" } else { "server" };
                property::Fact::say(D::NAME, BEFORE_TLS, format!("{side}, {plain} bytes").as_bytes(), cx);
            }
            cx.hand_on(Data { direction, bytes: bytes.get(plain..).unwrap_or_default(), frame, at });
        }
    }
}

/// The property that tells of readable bytes behind the agreement to change to TLS, or behind the request for it. Whoever is
/// on the way can put them there, for a peer that takes them for protected
/// ([CVE-2011-0411](https://nvd.nist.gov/vuln/detail/CVE-2011-0411)).
const BEFORE_TLS: &str = "plaintext_before_tls";

/// How many of the bytes of a direction come before TLS.
fn before_tls(direction: Direction, bytes: &[u8]) -> usize {
    let input = ProbeInput { bytes, other: &[], earlier: &[], direction, midstream: false, port: 0 };
    if bytes.is_empty() || (tls::PROTOCOL.probe)(&input) != Probe::NoMatch {
        return 0;
    }
    let begins = |at: &usize| begins_tls(bytes.get(*at..).unwrap_or_default()) != Some(false);
    (0..bytes.len()).find(begins).unwrap_or(bytes.len())
}

/// Whether TLS begins here, although nobody was seen to agree to it: a handshake's record. No message of a dialogue
/// begins like one. `None` where that is not in sight.
fn begins_tls(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [0x16, 3, 0..=4, ..] => Some(true),
        [0x16] | [0x16, 3] => None,
        _ => Some(false),
    }
}

/// A line without its end, which is LF with or without CR.
pub(super) fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The first word of a line in upper case, and what follows it.
pub(super) fn command(line: &[u8]) -> (String, &[u8]) {
    let line = trimmed(line);
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
    (text(word).to_ascii_uppercase(), rest.trim_ascii())
}

/// The three digits that a reply begins with, and whether more lines of it follow (`250-…`).
pub(super) fn reply(line: &[u8]) -> Option<(u16, bool)> {
    let (code, rest) = line.split_first_chunk::<3>()?;
    let more = match trimmed(rest).first() {
        None | Some(b' ') => false,
        Some(b'-') => true,
        Some(_) => return None,
    };
    let code: u16 = std::str::from_utf8(code).ok().filter(|code| !code.contains('+'))?.parse().ok()?;
    (100..700).contains(&code).then_some((code, more))
}

/// Whether a line, as far as it is in sight, is a reply with one of `codes`.
pub(super) fn may_reply(line: &[u8], codes: &[&[u8; 3]]) -> bool {
    let starts = codes.iter().any(|code| {
        let len = line.len().min(code.len());
        line.get(..len) == code.get(..len)
    });
    starts && (line.len() <= 3 || reply(line).is_some())
}

/// Bytes as text; what is no UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The first line of `bytes` without its end, and whether its end is in sight.
pub(super) fn first_line(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (trimmed(bytes.get(..end).unwrap_or_default()), true),
        None => (bytes, false),
    }
}

/// Whether `bytes` are text as far as they go: no control characters but those that end and indent lines.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte >= b' ' && *byte != 0x7f || matches!(byte, b'\r' | b'\n' | b'\t'))
}

/// Whether `word` is in `bytes`, letters of either case alike.
pub(super) fn mentions(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Transport;
    use crate::protocol::script::{REQUEST, RESPONSE, play, send};

    #[test]
    fn what_waits_for_too_long_is_counted() {
        let acts = [
            send(RESPONSE, "220 mail.test ESMTP\r\n"),
            send(REQUEST, "EHLO phone.test\r\n"),
            send(RESPONSE, "250-mail.test\r\n250 STARTTLS\r\n"),
            send(REQUEST, "STARTTLS\r\n"),
            send(REQUEST, vec![0x16; MAX_HELD + 1]),
        ];
        let played = play(Transport::Tcp, 25, &acts);
        assert_eq!(played.cut_short.get(WAITS), Some(&1), "{:?}", played.layers);
        assert!(play(Transport::Tcp, 25, &acts[..4]).cut_short.is_empty());
    }

    #[test]
    fn lines_end_with_lf_and_hold_no_nul() {
        assert_eq!(line(b"EHLO a\r\nX", b'\n'), Measure::Message(8));
        assert_eq!(line(b"EHLO a", b'\n'), Measure::More);
        assert!(matches!(line(b"a\0\n", b'\n'), Measure::Malformed(_)));
        assert_eq!(line(&[b'a'; MAX_LINE], b'\n'), Measure::Overlong);
    }

    #[test]
    fn replies_are_three_digits() {
        assert_eq!(reply(b"250-STARTTLS\r\n"), Some((250, true)));
        assert_eq!(reply(b"250\r\n"), Some((250, false)));
        assert_eq!(reply(b"250ok"), None);
        assert_eq!(reply(b"+50 a"), None);
        assert_eq!(reply(b"25"), None);
    }

    #[test]
    fn commands_are_words_of_either_case() {
        assert_eq!(command(b"auth PLAIN =\r\n"), ("AUTH".to_owned(), b"PLAIN =".as_slice()));
        assert_eq!(command(b"QUIT\n"), ("QUIT".to_owned(), b"".as_slice()));
    }
}
