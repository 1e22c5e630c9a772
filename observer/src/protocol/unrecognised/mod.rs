//! What bytes look like that no protocol claims: text, a known binary format, or nothing that is known.
//!
//! Text is what people can read: printable ASCII, or UTF-8 without control characters. Serialised, compressed and media
//! data are what anybody can read who has the right program. Each is told from ciphertext by evidence: constraints that
//! the bytes meet and that random bytes meet with a chance below 2^-40 ([`Evidence`]). Entropy is shown but does not
//! decide, because compressed data has as much of it as encrypted data and a short sample of either has little.
//! Everything else is opaque: nothing is said of its encryption.

mod evidence;
#[cfg(test)]
mod samples;
mod serialised;
mod signature;
#[cfg(test)]
mod tests;

pub use self::evidence::Evidence;

/// Below this many bytes nothing is called text: a binary length or a tag can be printable by chance.
const MIN_SAMPLE: usize = 8;
/// The share of printable bytes from which on a sample is text. Line protocols reach 1; a stray telnet command or a
/// cut UTF-8 sequence at the sample's end must not turn it.
const TEXT_SHARE: f64 = 0.95;

/// What the first bytes of a flow look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// Printable text.
    Text,
    /// A known binary serialisation.
    Serialised,
    /// A known compression, which can be undone.
    Compressed,
    /// Pictures, sound, video, documents.
    Media,
    /// Nothing that is known. Says nothing of encryption.
    Opaque,
}

/// What unrecognised bytes look like, with the numbers that say so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fact {
    /// The verdict.
    pub likeness: Likeness,
    /// The format, such as `json`, `protobuf`, `gzip`, `png`; `None` for text of no known form and for opaque bytes.
    pub kind: Option<&'static str>,
    /// What speaks for a binary format; `None` for text and opaque bytes.
    pub evidence: Option<Evidence>,
    /// Bytes looked at, both directions.
    pub sampled: usize,
    /// Share of printable bytes, 0 to 1.
    pub printable: f64,
    /// Shannon entropy, bits a byte, 0 to 8. Shown, never decisive.
    pub entropy: f64,
}

/// A format that bytes are in, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    likeness: Likeness,
    kind: &'static str,
    evidence: Evidence,
}

/// The first bytes of both directions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'a> {
    /// By [`Direction::index`](crate::flow::Direction::index).
    pub(super) parts: [&'a [u8]; 2],
}

impl Sample<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).fold(0, usize::saturating_add)
    }

    /// What the sample looks like.
    pub(super) fn judge(&self) -> Fact {
        let sampled = self.len();
        let printable = ratio(self.parts.iter().map(|part| printable(part)).sum(), sampled);
        let entropy = self.entropy();
        let fact =
            Fact { likeness: Likeness::Opaque, kind: None, evidence: None, sampled, printable, entropy };
        if sampled >= MIN_SAMPLE && printable >= TEXT_SHARE {
            let kind = self.parts.into_iter().find_map(form_of_text);
            return Fact { likeness: Likeness::Text, kind, ..fact };
        }
        match self.format() {
            Some(Named { likeness, kind, evidence }) => {
                Fact { likeness, kind: Some(kind), evidence: Some(evidence), ..fact }
            }
            None => fact,
        }
    }

    /// The binary format that either direction is in, where the evidence is enough: the one with the most of it.
    fn format(&self) -> Option<Named> {
        let found = self.parts.into_iter().flat_map(|part| [signature::find(part), serialised::find(part)]);
        let enough = found.flatten().filter(|named| named.evidence.bits >= evidence::ENOUGH);
        enough.reduce(|best, next| if next.evidence.bits > best.evidence.bits { next } else { best })
    }

    fn entropy(&self) -> f64 {
        let mut counts = [0_usize; 256];
        for byte in self.parts.iter().copied().flatten() {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count = count.saturating_add(1);
            }
        }
        let total = self.len();
        let bits = |count: usize| {
            let share = ratio(count, total);
            -share * share.log2()
        };
        counts.into_iter().filter(|count| *count > 0).map(bits).sum::<f64>().max(0.0)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    let float = |count| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

/// How many of `bytes` are printable ASCII, white space, or within a well-formed UTF-8 sequence.
fn printable(bytes: &[u8]) -> usize {
    bytes
        .utf8_chunks()
        .flat_map(|chunk| chunk.valid().chars())
        .filter(|char| !char.is_control() || matches!(char, '\t' | '\n' | '\r'))
        .map(char::len_utf8)
        .sum()
}

/// The form of a text, by how it begins.
fn form_of_text(part: &[u8]) -> Option<&'static str> {
    let text = part.trim_ascii_start();
    if text.starts_with(b"<?xml")
        || text.starts_with(b"<") && text.get(1).is_some_and(u8::is_ascii_alphabetic)
    {
        return Some("xml");
    }
    let (first, rest) = text.split_first()?;
    let next = rest.trim_ascii_start().first()?;
    let json = match first {
        b'{' => matches!(next, b'"' | b'}'),
        b'[' => matches!(next, b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9'),
        _ => false,
    };
    json.then_some("json")
}
