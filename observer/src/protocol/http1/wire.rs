//! Message heads ([RFC 9112 §2 to §5](https://datatracker.ietf.org/doc/html/rfc9112#section-2)).
//!
//! Read by lines and not by a strict grammar: an observer has to say what peers send, not what they ought to. A line
//! ends with LF, with or without CR; folded values are joined; a line that is no field is passed over.

use super::Header;
use crate::bytes::ParseError;
use crate::protocol::Probe;

/// Longest method: `UPDATEREDIRECTREF` has 17 letters.
const MAX_METHOD: usize = 24;
/// From this length on a request line that has no end yet is recognised by its beginning.
const LONG_LINE: usize = 512;
/// Fields that are read of one head; the rest is not looked at.
const MAX_FIELDS: usize = 1000;
/// Bytes kept of a field's value.
const MAX_VALUE: usize = 4096;
/// Bytes kept of a request's target.
const MAX_TARGET: usize = 8192;

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Without a version where the line is cut before it.
    Request {
        method: String,
        target: String,
        version: Option<&'static str>,
    },
    Response {
        version: &'static str,
        status: u16,
    },
}

/// The start line and the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) start: Start,
    /// All of them, up to [`MAX_FIELDS`].
    pub(super) fields: Vec<Header>,
    /// Whether the empty line that ends a head was there.
    pub(super) ended: bool,
}

impl Head {
    /// The first value of the field `name`.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        super::header(&self.fields, name)
    }
}

/// Whether `bytes` begin a message.
pub(super) fn recognise(bytes: &[u8]) -> Probe {
    let bytes = skip_blank_lines(bytes);
    let (line, whole) = first_line(bytes);
    if line.is_empty() {
        return if whole { Probe::NoMatch } else { Probe::NeedMore };
    }
    if whole {
        return if start_line(line).is_some() { Probe::Match } else { Probe::NoMatch };
    }
    if is_prefix(line, b"HTTP/1.") {
        return if line.len() > 64 && start_line(line).is_some() { Probe::Match } else { Probe::NeedMore };
    }
    let method = line.iter().take_while(|byte| is_method_byte(**byte)).count();
    if method == 0 || method > MAX_METHOD {
        return Probe::NoMatch;
    }
    match line.get(method..).and_then(<[u8]>::split_first) {
        None => Probe::NeedMore,
        Some((b' ', target)) if target.iter().any(|byte| *byte < b' ' && *byte != b'\r') => Probe::NoMatch,
        Some((b' ', target)) if line.len() >= LONG_LINE => {
            let path = target.starts_with(b"/") || target.starts_with(b"http");
            if path { Probe::Match } else { Probe::NoMatch }
        }
        Some((b' ', _)) => Probe::NeedMore,
        Some(_) => Probe::NoMatch,
    }
}

/// Where the head that `bytes` begin with ends: behind its empty line. The first `scanned` bytes were searched before.
pub(super) fn head_end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    let mut at = from;
    loop {
        at = at.saturating_add(bytes.get(at..)?.iter().position(|byte| *byte == b'\n')?).saturating_add(1);
        match bytes.get(at..)? {
            [b'\n', ..] => return at.checked_add(1),
            [b'\r', b'\n', ..] => return at.checked_add(2),
            _ => {}
        }
    }
}

/// Bytes of empty lines before a message (RFC 9112 §2.2).
pub(super) fn blank_lines(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// Reads a head, from the start line to the empty line or as far as it goes.
pub(super) fn head(bytes: &[u8]) -> Result<Head, ParseError> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(trim_end);
    let line = lines.next().unwrap_or_default();
    let start = start_line(line).ok_or_else(|| ParseError::invalid("start line", 0))?;
    let mut fields: Vec<Header> = Vec::new();
    let ended = bytes.ends_with(b"\n\n") || bytes.ends_with(b"\n\r\n");
    for line in lines.take_while(|line| !line.is_empty()).take(MAX_FIELDS) {
        if matches!(line, [b' ' | b'\t', ..]) {
            if let Some(last) = fields.last_mut() {
                let more = text(line.trim_ascii(), MAX_VALUE.saturating_sub(last.value.len()));
                last.value.push(' ');
                last.value.push_str(&more);
            }
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if !name.trim_ascii().is_empty() {
            let name = text(name.trim_ascii(), MAX_VALUE).to_ascii_lowercase();
            fields.push(Header { name, value: text(value.trim_ascii(), MAX_VALUE) });
        }
    }
    Ok(Head { start, fields, ended })
}

/// Whether `bytes` begin with a whole request line that states no version. Fields may follow it, of a client that got
/// the line wrong, or nothing (RFC 1945 §4.1).
pub(super) fn states_no_version(bytes: &[u8]) -> bool {
    // No longer than its target may be.
    let (line, whole) = first_line(bytes.get(..MAX_TARGET).unwrap_or(bytes));
    whole && simple_request(line).is_some()
}

/// A request line whose end is missing, if all but a part of the version is there.
pub(super) fn cut_line(line: &[u8]) -> Option<Head> {
    let (rest, version) = line.split_at(line.iter().rposition(|byte| *byte == b' ')?);
    let version = version.trim_ascii_start();
    if version.is_empty() || !is_prefix(version, b"HTTP/1.") {
        return None;
    }
    let (method, target) = method_and_target(rest)?;
    Some(Head { start: Start::Request { method, target, version: None }, fields: Vec::new(), ended: false })
}

fn start_line(line: &[u8]) -> Option<Start> {
    if let Some(rest) = line.strip_prefix(b"HTTP/1.") {
        let (minor, rest) = rest.split_first()?;
        let rest = rest.strip_prefix(b" ")?.trim_ascii_start();
        let (code, reason) = rest.split_first_chunk::<3>()?;
        let ends = reason.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
        let status = std::str::from_utf8(code).ok()?.parse().ok()?;
        return (ends && status >= 100).then_some(Start::Response { version: version(*minor)?, status });
    }
    if let Some(simple) = simple_request(line) {
        return Some(simple);
    }
    let line = line.trim_ascii_end();
    let (rest, protocol) = line.split_at(line.iter().rposition(|byte| matches!(byte, b' ' | b'\t'))?);
    let minor = match protocol.trim_ascii_start() {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] => *minor,
        _ => return None,
    };
    let version = Some(version(minor)?);
    let (method, target) = method_and_target(rest)?;
    Some(Start::Request { method, target, version })
}

/// `GET /path`, all that a request of HTTP/0.9 is (RFC 1945 §4.1).
fn simple_request(line: &[u8]) -> Option<Start> {
    let target = line.strip_prefix(b"GET ")?.trim_ascii();
    let is_path = target.starts_with(b"/") && target.iter().all(u8::is_ascii_graphic);
    is_path.then(|| Start::Request {
        method: "GET".to_owned(),
        target: text(target, MAX_TARGET),
        version: Some("0.9"),
    })
}

fn method_and_target(line: &[u8]) -> Option<(String, String)> {
    let (method, target) = line.split_at(line.iter().position(|byte| *byte == b' ')?);
    if !(1..=MAX_METHOD).contains(&method.len()) || !method.iter().all(|byte| is_method_byte(*byte)) {
        return None;
    }
    let mut target = target.trim_ascii();
    if method == b"CONNECT" {
        // An authority has no spaces; what follows one is noise.
        target = target.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    }
    Some((text(method, MAX_METHOD), text(target, MAX_TARGET)))
}

/// A recipient takes a higher minor version as the highest that it knows ([RFC 9110 §2.5]).
///
/// [RFC 9110 §2.5]: https://datatracker.ietf.org/doc/html/rfc9110#section-2.5
fn version(minor: u8) -> Option<&'static str> {
    match minor {
        b'0' => Some("1.0"),
        b'1'..=b'9' => Some("1.1"),
        _ => None,
    }
}

/// A token character ([RFC 9110 §5.6.2](https://datatracker.ietf.org/doc/html/rfc9110#section-5.6.2)).
fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn skip_blank_lines(bytes: &[u8]) -> &[u8] {
    bytes.get(blank_lines(bytes)..).unwrap_or_default()
}

/// The first line without its end, and whether it is whole.
fn first_line(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (trim_end(bytes.get(..end).unwrap_or_default()), true),
        None => (bytes, false),
    }
}

fn trim_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether one of them begins with the other.
fn is_prefix(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b)
}

/// At most `limit` bytes as text; bytes that are not UTF-8 are replaced.
fn text(bytes: &[u8], limit: usize) -> String {
    String::from_utf8_lossy(bytes.get(..limit).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_recognised_by_its_first_line() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "\r\nPROPFIND /a b HTTP/1.0 \n",
            "HTTP/1.1 200\r\n",
            "CONNECT a:1 HTTP/1.1\n",
            "GET /\r\n",
        ] {
            assert_eq!(recognise(line.as_bytes()), Probe::Match, "{line:?}");
            for cut in 0..line.len() - 1 {
                let probe = recognise(&line.as_bytes()[..cut]);
                assert_eq!(probe, Probe::NeedMore, "{line:?} cut at {cut}");
            }
        }
        let others = [
            "PRI * HTTP/2.0\r\n",
            "OPTIONS * RTSP/1.0\r\n",
            "SSH-2.0-x\r\n",
            "EHLO x\r\n",
            "HTTP/1.1 99 \r\n",
            "GET\r\n",
            "GET key\r\n",
            "POST /\r\n",
            "GET /a b\r\n",
        ];
        for line in others {
            assert_eq!(recognise(line.as_bytes()), Probe::NoMatch, "{line:?}");
        }
        assert_eq!(recognise(&[b"GET /".as_slice(), &[b'a'; 600]].concat()), Probe::Match);
        assert_eq!(recognise(b"\x16\x03\x01"), Probe::NoMatch);
    }

    #[test]
    fn folded_and_odd_fields_are_read() {
        let bytes = b"GET /caf\xc3\xa9?q=\xff HTTP/1.1\r\nHost : Shop.Test\r\nX-Long: a\r\n\tb\r\nno field\r\n: none\r\n\r\n";
        let head = head(bytes).unwrap();
        let target = "/café?q=\u{fffd}".to_owned();
        assert_eq!(head.start, Start::Request { method: "GET".into(), target, version: Some("1.1") });
        let fields: Vec<_> =
            head.fields.iter().map(|field| (field.name.as_str(), field.value.as_str())).collect();
        assert_eq!(fields, [("host", "Shop.Test"), ("x-long", "a b")]);
    }

    #[test]
    fn a_line_that_is_cut_in_its_version_says_method_and_target() {
        let cut = |line: &str| match cut_line(line.as_bytes())?.start {
            Start::Request { method, target, version: None } => Some(format!("{method} {target}")),
            other => panic!("{other:?}"),
        };
        assert_eq!(cut("GET /a b HTT").as_deref(), Some("GET /a b"));
        assert_eq!(cut("CONNECT a:1 H").as_deref(), Some("CONNECT a:1"));
        for line in ["GET", "GET /a", "GET /a ", "GET /a b", "G\u{1}T /a HTT", " /a HTT", "HTTP/1.1 200 H"] {
            assert_eq!(cut(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_line_without_a_version_is_looked_for_as_far_as_a_target_may_go() {
        let line = |len: usize| [b"GET /".as_slice(), &vec![b'a'; len], b"\r\nA: b\r\n"].concat();
        assert!(states_no_version(&line(100)));
        assert!(!states_no_version(&line(MAX_TARGET)));
        assert!(!states_no_version(b"GET /a HTTP/1.1\r\n"));
        assert!(!states_no_version(b"GET /a"));
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_the_search_was_broken_off() {
        for bytes in [b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest".as_slice(), b"GET / HTTP/1.1\nA: b\n\nrest"] {
            let end = bytes.len() - 4;
            for scanned in 0..end {
                assert_eq!(head_end(bytes, scanned), Some(end), "{scanned}");
                assert_eq!(head_end(&bytes[..scanned], 0), None);
            }
        }
    }
}
