//! Heads of text in the manner of HTTP that SIP and RTSP share: a start line and fields, ended by an empty line.

use super::Probe;

/// Bytes of a start line without an end that are waited for.
const MAX_LINE: usize = 900;

/// A head that is whole.
pub(super) struct Head<'a> {
    /// The first line.
    pub(super) start: &'a str,
    fields: &'a str,
    /// Its bytes, the empty line included.
    pub(super) length: usize,
}

impl<'a> Head<'a> {
    /// The head at the start of `bytes`; `None` where its end is not in sight. A head that is not UTF-8 is empty.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let length = bytes.windows(4).position(|end| end == b"\r\n\r\n")?.saturating_add(4);
        let text = std::str::from_utf8(bytes.get(..length)?).unwrap_or_default();
        let (start, fields) = text.split_once("\r\n").unwrap_or((text, ""));
        Some(Self { start, fields, length })
    }

    /// The values of a field; its name in lower case.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields.split("\r\n").filter_map(move |line| {
            let (field, value) = line.split_once(':')?;
            field.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The first value of one of a field's names.
    pub(super) fn first(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.all(name).next())
    }

    /// The length of the body behind the head, in bytes; 0 where it is not stated.
    pub(super) fn body(&self, names: &[&str]) -> usize {
        self.first(names).and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

/// Whether `bytes` begin with a start line: that of a request has one of the `methods` and one of the `targets` behind it.
pub(super) fn probe(
    bytes: &[u8],
    (methods, targets): (&[&str], &[&str]),
    response: &str,
    is_start: fn(&str) -> bool,
) -> Probe {
    let begins = |start: &[u8]| bytes.starts_with(start) || start.starts_with(bytes);
    let request = |method: &str, target: &str| begins([method, target].concat().as_bytes());
    let requests = methods.iter().any(|method| targets.iter().any(|target| request(method, target)));
    if !requests && !begins(response.as_bytes()) {
        return Probe::NoMatch;
    }
    match first_line(bytes) {
        Some(line) if is_start(line) => Probe::Match,
        Some(_) => Probe::NoMatch,
        None if bytes.len() < MAX_LINE => Probe::NeedMore,
        None => Probe::NoMatch,
    }
}

/// The first line of `bytes` without its end; `None` where the end is not in sight.
fn first_line(bytes: &[u8]) -> Option<&str> {
    let end = bytes.windows(2).position(|end| end == b"\r\n")?;
    std::str::from_utf8(bytes.get(..end)?).ok()
}
