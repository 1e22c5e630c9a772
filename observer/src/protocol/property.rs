//! Single values that protocols show: a version, a client's name, a topic. Words that all of them share.

/// Characters of a value that are kept.
const MAX_VALUE: usize = 256;

/// A value that is worth showing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The protocol that says it or that it is about, as in `network.layers`.
    pub protocol: &'static str,
    /// What it is, in snake case.
    pub name: &'static str,
    /// The value; at most [`MAX_VALUE`] characters, without control characters.
    pub value: String,
}

impl Fact {
    /// A value, cut to what is kept.
    #[must_use]
    pub fn new(protocol: &'static str, name: &'static str, value: &str) -> Self {
        let value = value.chars().filter(|char| !char.is_control()).take(MAX_VALUE).collect();
        Self { protocol, name, value }
    }
}

impl Fact {
    /// Says a value that came as bytes.
    pub(super) fn say(protocol: &'static str, name: &'static str, value: &[u8], cx: &mut super::Context<'_>) {
        let value = Self::new(protocol, name, String::from_utf8_lossy(value).trim());
        if !value.value.is_empty() {
            cx.say(super::Fact::Property(Box::new(value)));
        }
    }
}
