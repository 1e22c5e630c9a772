//! Strict-Transport-Security (RFC 6797), and what of it is remembered of a flow.

use super::responses::{Reading, whole_responses};
use crate::observation::Flow;
use crate::protocol::http1::header;
use crate::source::FrameNumber;

/// A Strict-Transport-Security field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// Seconds for which the host asks to be reached over TLS only; `None` where the field says nothing that a client
    /// may heed.
    pub max_age: Option<u64>,
    /// Whether subdomains are meant, too.
    pub subdomains: bool,
}

impl Hsts {
    /// Reads a field by RFC 6797 §6.1: unknown directives are ignored, a repeated one makes it void.
    pub(super) fn parse(value: &str) -> Self {
        let void = Self { max_age: None, subdomains: false };
        let (mut max_age, mut subdomains) = (None, false);
        for directive in value.split(';').map(str::trim).filter(|directive| !directive.is_empty()) {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            if name.trim_end().eq_ignore_ascii_case("max-age") {
                let digits = argument.trim().trim_matches('"');
                let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                if !whole || max_age.is_some() {
                    return void;
                }
                // More seconds than fit are as good as for ever.
                max_age = Some(digits.parse().unwrap_or(u64::MAX));
            } else if name.eq_ignore_ascii_case("includeSubDomains") {
                if subdomains {
                    return void;
                }
                subdomains = true;
            }
        }
        Self { max_age, subdomains: subdomains && max_age.is_some() }
    }

    /// Whether a client that heeds it stays with TLS.
    pub(super) fn is_in_force(self) -> bool {
        self.max_age.is_some_and(|seconds| seconds > 0)
    }
}

/// What is remembered of the readable responses inside a flow's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protected {
    /// The first that ought to carry the field.
    pub first: FrameNumber,
    /// How many there are.
    pub responses: u64,
    /// The first field, with its frame.
    pub hsts: Option<(FrameNumber, Hsts)>,
}

impl Protected {
    /// Of the responses of `flow` that a server configured for it sends the field with: successes and redirects.
    pub(super) fn of(flow: &Flow) -> Option<Self> {
        flow.tls.as_ref()?;
        if Reading::of(flow) != Reading::Decrypted {
            return None;
        }
        let mut found: Option<Self> = None;
        for readable in
            whole_responses(flow).filter(|readable| (200..400).contains(&readable.response.status))
        {
            let frame = readable.observation.frame;
            let entry = found.get_or_insert(Self { first: frame, responses: 0, hsts: None });
            entry.responses = entry.responses.saturating_add(1);
            if entry.hsts.is_none() {
                // A client heeds the first of several fields (RFC 6797 §8.1).
                let value = header(&readable.response.headers, "strict-transport-security");
                entry.hsts = value.map(|value| (frame, Hsts::parse(value)));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_clients_do() {
        let parse = |value: &str| {
            let hsts = Hsts::parse(value);
            (hsts.max_age, hsts.subdomains)
        };
        assert_eq!(parse("max-age=63072000; includeSubDomains; preload"), (Some(63_072_000), true));
        assert_eq!(parse(" MAX-AGE = \"300\" ;; INCLUDESUBDOMAINS"), (Some(300), true));
        assert_eq!(parse("max-age=0"), (Some(0), false));
        assert_eq!(parse("max-age=99999999999999999999999"), (Some(u64::MAX), false));
        for void in ["", "includeSubDomains", "max-age=", "max-age=1y", "max-age=-1", "max-age=1; max-age=2"]
        {
            assert_eq!(parse(void), (None, false), "{void}");
        }
    }
}
