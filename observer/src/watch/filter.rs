//! The filter line: words that all have to match.
//!
//! ```text
//! pkg:shop sev:>=high -host:cdn step:"log in" readable
//! ```
//!
//! A word is `key:text`, or text alone, which matches anything that a row shows. Letters match in either case (ASCII).
//! `-` or `!` before a word turns it round; quotes keep spaces, colons and a leading `-` as they are. Nothing here knows
//! how rows are stored.

use std::fmt;

use crate::rules::Severity;

/// Characters of a filter.
pub(super) const MAX_LENGTH: usize = 200;

/// Words of a filter.
pub(super) const MAX_WORDS: usize = 16;

/// What a word is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The app: package, label, process.
    Package,
    /// The far end: name, address, port.
    Host,
    /// The rule of a finding.
    Rule,
    /// The step of the test.
    Step,
    /// Transport, protocols, version, protection.
    Protocol,
    /// All of these, and what a finding says.
    Anything,
}

/// The keys as they are written.
const KEYS: [(&str, Key); 5] = [
    ("pkg", Key::Package),
    ("host", Key::Host),
    ("rule", Key::Rule),
    ("step", Key::Step),
    ("proto", Key::Protocol),
];

/// The severities, the mildest first.
const SEVERITIES: [Severity; 5] =
    [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

/// How a severity is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `=`, or nothing.
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

/// The comparisons as they are written, the longer ones first.
const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Below),
    (">", Comparison::Above),
    ("=", Comparison::Equal),
];

/// What a word asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// The text is part of it.
    Contains(Key, String),
    /// There is a finding as grave as that.
    Severity(Comparison, Severity),
}

impl Test {
    /// The severities that a comparison lets through; empty for other tests, and for what is graver than critical.
    pub(super) fn severities(&self) -> impl Iterator<Item = Severity> + use<> {
        let wanted = match self {
            Self::Severity(comparison, severity) => Some((*comparison, *severity)),
            Self::Contains(..) => None,
        };
        SEVERITIES.into_iter().filter(move |severity| {
            wanted.is_some_and(|(comparison, wanted)| match comparison {
                Comparison::Below => *severity < wanted,
                Comparison::AtMost => *severity <= wanted,
                Comparison::Equal => *severity == wanted,
                Comparison::AtLeast => *severity >= wanted,
                Comparison::Above => *severity > wanted,
            })
        })
    }
}

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Whether it must not match.
    pub(super) negated: bool,
    /// What it asks for.
    pub(super) test: Test,
}

/// All words; none lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// In the order in which they were written.
    pub(super) words: Vec<Word>,
}

/// Why a filter cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum FilterError {
    /// `host:` and nothing after it.
    #[error("nothing follows {0}")]
    Empty(String),
    /// A key that there is not.
    #[error("there is no {0}: but pkg: host: sev: rule: step: proto: (quotes make it text)")]
    Key(String),
    /// A severity that there is not.
    #[error("sev: knows info low medium high critical, not {0:?}")]
    Severity(String),
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    Quote,
    /// Too many words.
    #[error("more than {MAX_WORDS} words")]
    Words,
    /// Too long.
    #[error("longer than {MAX_LENGTH} characters")]
    Length,
}

impl Filter {
    /// Reads a filter as it was typed.
    ///
    /// # Errors
    /// When a word cannot be understood; none is passed over.
    pub(super) fn parse(text: &str) -> Result<Self, FilterError> {
        if text.chars().count() > MAX_LENGTH {
            return Err(FilterError::Length);
        }
        let words = split(text)?.iter().map(word).collect::<Result<Vec<_>, _>>()?;
        if words.len() > MAX_WORDS {
            return Err(FilterError::Words);
        }
        Ok(Self { words })
    }

    /// Whether it lets everything through.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// A word as it was written, quotes resolved.
#[derive(Default)]
struct Raw {
    negated: bool,
    /// What stands before the first colon outside quotes.
    key: Option<String>,
    text: String,
    quoted: bool,
}

/// Splits at spaces outside quotes.
fn split(text: &str) -> Result<Vec<Raw>, FilterError> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.next_if(|c| c.is_whitespace()).is_some() || chars.peek().is_some() {
        let mut raw = Raw::default();
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        raw.negated = chars.next_if(|c| matches!(c, '-' | '!')).is_some();
        let mut within = false;
        while let Some(c) = chars.next_if(|c| within || !c.is_whitespace()) {
            match c {
                '"' => {
                    within = !within;
                    raw.quoted = true;
                }
                '\\' if within => raw.text.extend(chars.next()),
                ':' if !within && raw.key.is_none() && !raw.quoted && is_key(&raw.text) => {
                    raw.key = Some(std::mem::take(&mut raw.text));
                }
                c => raw.text.push(c),
            }
        }
        if within {
            return Err(FilterError::Quote);
        }
        if raw.negated || raw.quoted || raw.key.is_some() || !raw.text.is_empty() {
            words.push(raw);
        }
    }
    Ok(words)
}

/// Whether `text` before a colon is meant as a key: addresses and host names with a port are not.
fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic())
}

fn word(raw: &Raw) -> Result<Word, FilterError> {
    let Raw { negated, key, text, .. } = raw;
    let written = || match key {
        Some(key) => format!("{key}:"),
        None if *negated => "-".to_owned(),
        None => "a quote".to_owned(),
    };
    if text.is_empty() {
        return Err(FilterError::Empty(written()));
    }
    let test = match key.as_deref() {
        None => Test::Contains(Key::Anything, text.clone()),
        Some("sev") => severity(text)?,
        Some(key) => match KEYS.iter().find(|(name, _)| *name == key) {
            Some((_, key)) => Test::Contains(*key, text.clone()),
            None => return Err(FilterError::Key(key.to_owned())),
        },
    };
    Ok(Word { negated: *negated, test })
}

/// `high`, `>=medium`; the first letters of a severity will do.
fn severity(text: &str) -> Result<Test, FilterError> {
    let (comparison, word) = COMPARISONS
        .iter()
        .find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?)))
        .unwrap_or((Comparison::Equal, text));
    let lower = word.to_ascii_lowercase();
    SEVERITIES
        .into_iter()
        .find(|severity| !lower.is_empty() && severity.as_str().starts_with(&lower))
        .map(|severity| Test::Severity(comparison, severity))
        .ok_or_else(|| FilterError::Severity(word.to_owned()))
}

impl fmt::Display for Filter {
    /// As it can be typed again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, word) in self.words.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{word}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_str("-")?;
        }
        match &self.test {
            Test::Severity(comparison, severity) => {
                let sign =
                    COMPARISONS.iter().find(|(_, known)| known == comparison).map_or("", |(sign, _)| sign);
                write!(f, "sev:{}{severity}", if sign == "=" { "" } else { sign })
            }
            Test::Contains(key, text) => {
                if let Some((name, _)) = KEYS.iter().find(|(_, known)| known == key) {
                    write!(f, "{name}:")?;
                }
                quoted(text, f)
            }
        }
    }
}

/// Writes `text`, within quotes where it needs them.
fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = !text.is_empty()
        && !text.starts_with(['-', '!'])
        && !text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | ':'));
    if plain {
        return f.write_str(text);
    }
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(key: Key, text: &str) -> Test {
        Test::Contains(key, text.to_owned())
    }

    fn tests(text: &str) -> Vec<(bool, Test)> {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        filter.words.into_iter().map(|word| (word.negated, word.test)).collect()
    }

    #[test]
    fn words_are_read_as_they_are_meant() {
        assert_eq!(
            tests("  pkg:shop -host:cdn  !proto:quic rule:clear step:\"log in\" free "),
            [
                (false, contains(Key::Package, "shop")),
                (true, contains(Key::Host, "cdn")),
                (true, contains(Key::Protocol, "quic")),
                (false, contains(Key::Rule, "clear")),
                (false, contains(Key::Step, "log in")),
                (false, contains(Key::Anything, "free")),
            ]
        );
        assert_eq!(tests(""), []);
        assert_eq!(tests("   "), []);
    }

    #[test]
    fn addresses_and_quotes_are_text() {
        assert_eq!(
            tests("10.0.0.1:443 [2001:db8::1]:53 \"localhost:80\" \"-x\" \"a\\\"b\""),
            ["10.0.0.1:443", "[2001:db8::1]:53", "localhost:80", "-x", "a\"b"]
                .map(|text| (false, contains(Key::Anything, text)))
        );
        assert_eq!(tests("host:shop.test:443"), [(false, contains(Key::Host, "shop.test:443"))]);
    }

    #[test]
    fn severities_compare() {
        let let_through = |text: &str| {
            let words = tests(text);
            let [(false, test)] = words.as_slice() else { panic!("{text}") };
            test.severities().map(Severity::as_str).collect::<Vec<_>>()
        };
        assert_eq!(let_through("sev:high"), ["high"]);
        assert_eq!(let_through("sev:>=HIGH"), ["high", "critical"]);
        assert_eq!(let_through("sev:>m"), ["high", "critical"]);
        assert_eq!(let_through("sev:<low"), ["info"]);
        assert_eq!(let_through("sev:<=low"), ["info", "low"]);
        assert_eq!(let_through("sev:>critical"), [""; 0]);
        assert_eq!(let_through("host:x"), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| Filter::parse(text).unwrap_err().to_string();
        assert_eq!(error("host:"), "nothing follows host:");
        assert_eq!(error("a -"), "nothing follows -");
        assert_eq!(error("\"\""), "nothing follows a quote");
        assert!(error("app:shop").starts_with("there is no app: but pkg: host:"));
        assert_eq!(error("sev:bad"), "sev: knows info low medium high critical, not \"bad\"");
        assert_eq!(error("sev:>="), "sev: knows info low medium high critical, not \"\"");
        assert_eq!(error("step:\"log"), "a quote is not closed");
        assert_eq!(error(&"x ".repeat(MAX_WORDS + 1)), "more than 16 words");
        assert_eq!(error(&"x".repeat(MAX_LENGTH + 1)), "longer than 200 characters");
    }

    fn any_word() -> impl Strategy<Value = Word> {
        let key = prop::sample::select(vec![
            Key::Package,
            Key::Host,
            Key::Rule,
            Key::Step,
            Key::Protocol,
            Key::Anything,
        ]);
        let comparison = prop::sample::select(COMPARISONS.map(|(_, comparison)| comparison).to_vec());
        let test = prop_oneof![
            (key, "[ -~äλ]{1,9}").prop_map(|(key, text)| Test::Contains(key, text)),
            (comparison, prop::sample::select(SEVERITIES.to_vec()))
                .prop_map(|(comparison, severity)| Test::Severity(comparison, severity)),
        ];
        (any::<bool>(), test).prop_map(|(negated, test)| Word { negated, test })
    }

    proptest! {
        #[test]
        fn anything_can_be_typed(text in "\\PC{0,40}|[-!:\"\\\\a-z>=< ]{0,20}") {
            if let Ok(filter) = Filter::parse(&text) {
                // What was understood is written so that it is understood in the same way.
                prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
            }
        }

        #[test]
        fn what_is_written_reads_the_same(words in prop::collection::vec(any_word(), 0..5)) {
            let filter = Filter { words };
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
        }
    }
}
