//! What bytes look like that no protocol claims: cleartext, opaque or nothing.

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
