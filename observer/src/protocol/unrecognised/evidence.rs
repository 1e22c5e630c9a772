//! How improbable it is that random bytes pass a test.

/// Bits of evidence from which on bytes are called what they look like: random bytes, ciphertext among them, get there
/// once in a million million tries. A flow is put to some four hundred tests, which takes nine bits of that away.
pub(super) const ENOUGH: u32 = 40;

/// Why bytes are called what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Bytes that the test read.
    pub bytes: usize,
    /// Fields, values or blocks among them.
    pub items: u32,
    /// The logarithm to base 2 of the chance that random bytes look the same, as a positive number, rounded down.
    pub bits: u32,
}

impl Evidence {
    /// Counts one more item.
    pub(super) fn item(&mut self, bits: u32) {
        self.items = self.items.saturating_add(1);
        self.weigh(bits);
    }

    /// Adds bits.
    pub(super) fn weigh(&mut self, bits: u32) {
        self.bits = self.bits.saturating_add(bits);
    }

    /// Takes over what is within.
    pub(super) fn add(&mut self, inner: Self) {
        self.items = self.items.saturating_add(inner.items);
        self.weigh(inner.bits);
    }
}

/// What it says that all bytes are printable ASCII: of 256 values 95 are. Other characters of UTF-8 count nothing, and
/// neither does a single character. `None` where it is no text.
pub(super) fn of_text(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    if text.chars().any(|char| char.is_control() && !matches!(char, '\t' | '\n' | '\r')) {
        return None;
    }
    let printable = text.bytes().filter(|byte| matches!(byte, b' '..=b'~')).count();
    let printable = u32::try_from(printable).unwrap_or(u32::MAX);
    Some(if printable < 2 { 0 } else { printable.saturating_mul(14) / 10 })
}
