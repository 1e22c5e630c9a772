//! What bytes look like that no protocol claims: cleartext, opaque or nothing.
//!
//! Text is what people can read: printable ASCII, or UTF-8 without control characters. Everything else is opaque:
//! entropy is shown but does not decide, because compressed data has as much of it as encrypted data and a short
//! sample of either has little. Binary formats that are readable with the right program are opaque here.

/// Below this many bytes nothing is called text: a binary length or a tag can be printable by chance.
const MIN_SAMPLE: usize = 8;
/// The share of printable bytes from which on a sample is text. Line protocols reach 1; a stray telnet command or a
/// cut UTF-8 sequence at the sample's end must not turn it.
const TEXT_SHARE: f64 = 0.95;

/// What the first bytes of a flow look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Likeness {
    /// Printable text.
    Text,
    /// Neither text nor anything else that is known. Says nothing of encryption.
    Opaque,
}

/// What unrecognised bytes look like, with the numbers that say so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fact {
    /// The verdict.
    pub likeness: Likeness,
    /// Bytes looked at, both directions.
    pub sampled: usize,
    /// Share of printable bytes, 0 to 1.
    pub printable: f64,
    /// Shannon entropy, bits a byte, 0 to 8. Shown, never decisive.
    pub entropy: f64,
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
        let text = sampled >= MIN_SAMPLE && printable >= TEXT_SHARE;
        Fact {
            likeness: if text { Likeness::Text } else { Likeness::Opaque },
            sampled,
            printable,
            entropy: self.entropy(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(bytes: &[u8]) -> Fact {
        Sample { parts: [bytes, &[]] }.judge()
    }

    #[test]
    fn text_of_any_script_is_text() {
        assert_eq!(judge(b"220 mail.example ESMTP\r\n").likeness, Likeness::Text);
        assert_eq!(judge("Grüße aus Köln, 你好\n".as_bytes()).likeness, Likeness::Text);
    }

    #[test]
    fn compressed_or_encrypted_bytes_are_opaque_and_entropy_does_not_decide() {
        let all: Vec<u8> = (0..=255).collect();
        let fact = judge(&all);
        assert_eq!((fact.likeness, fact.sampled), (Likeness::Opaque, 256));
        assert!((fact.entropy - 8.0).abs() < 1e-9);
        let zeros = judge(&[0; 64]);
        assert_eq!((zeros.likeness, zeros.entropy), (Likeness::Opaque, 0.0));
    }

    #[test]
    fn a_short_sample_is_opaque_whatever_it_holds() {
        let fact = judge(b"HELO");
        assert_eq!((fact.likeness, fact.sampled, fact.printable), (Likeness::Opaque, 4, 1.0));
    }

    #[test]
    fn both_directions_count() {
        let sample = Sample { parts: [b"USER bob\r\n", &[0xff; 10]] };
        assert_eq!(sample.judge().printable, 0.5);
    }
}
