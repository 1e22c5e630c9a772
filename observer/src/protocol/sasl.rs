//! SASL ([RFC 4422](https://datatracker.ietf.org/doc/html/rfc4422)) as protocols carry it: which mechanism, and when its secret
//! goes by. Nothing of a response is kept; how long it is decides whether there was one.

use super::login::{self, Exposure};
use super::{Context, Fact};

/// Characters of a mechanism's name that are kept; RFC 4422 §3.1 allows 20.
const MAX_NAME: usize = 32;

/// What those who listen learn from `mechanism`.
pub(super) fn exposure(mechanism: &str) -> Exposure {
    match mechanism {
        "PLAIN" | "LOGIN" | "XOAUTH2" | "OAUTHBEARER" | "XOAUTH" | "SECURID" | "OTP" | "X-OAUTH2"
        | "AMQPLAIN" | "RABBIT-CR-DEMO" => Exposure::Secret,
        // With `MSSBCBS` (Azure) nothing but a token counts that is sent later.
        "EXTERNAL" | "ANONYMOUS" | "MSSBCBS" => Exposure::Identity,
        _ => Exposure::Response,
    }
}

/// An authentication that is under way.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    mechanism: String,
    /// Responses of the client before its secret has gone by, that one included.
    left: u8,
}

impl Exchange {
    /// The client names `mechanism`.
    pub(super) fn new(mechanism: &[u8]) -> Self {
        let name = String::from_utf8_lossy(mechanism);
        let mechanism: String = name
            .trim()
            .chars()
            .filter(char::is_ascii_graphic)
            .take(MAX_NAME)
            .collect::<String>()
            .to_ascii_uppercase();
        // The user's name goes before the password, and before the proof.
        let twice =
            matches!(mechanism.as_str(), "LOGIN" | "RABBIT-CR-DEMO") || mechanism.starts_with("SCRAM-");
        Self { mechanism, left: if twice { 2 } else { 1 } }
    }

    /// The client names a mechanism, behind which the initial response may stand: `PLAIN AGFubmEA…` (RFC 4954 §4).
    pub(super) fn of_words(words: &[u8], protocol: &'static str, cx: &mut Context<'_>) -> Self {
        let mut words = words.splitn(2, |byte| *byte == b' ');
        let mut exchange = Self::new(words.next().unwrap_or_default());
        exchange.response(words.next().unwrap_or_default(), protocol, cx);
        exchange
    }

    /// The client names `mechanism` and responds in one message, where the response may be empty: a mechanism without a
    /// secret is said at once.
    pub(super) fn begin(
        mechanism: &[u8],
        response: &[u8],
        protocol: &'static str,
        cx: &mut Context<'_>,
    ) -> Self {
        let mut exchange = Self::new(mechanism);
        if exposure(&exchange.mechanism) == Exposure::Identity {
            exchange.left = 0;
            say(protocol, &exchange.mechanism, Exposure::Identity, cx);
        } else {
            exchange.response(response, protocol, cx);
        }
        exchange
    }

    /// The client sends a response; says the login when that was it. `protocol` is whose.
    pub(super) fn response(&mut self, response: &[u8], protocol: &'static str, cx: &mut Context<'_>) {
        // `=` is an initial response without content, `*` gives up (RFC 4954 §4).
        let response = response.trim_ascii();
        if matches!(response, b"" | b"=" | b"*" | b"+") || self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            say(protocol, &self.mechanism, exposure(&self.mechanism), cx);
        }
    }
}

/// Says that a credential went by.
pub(super) fn say(protocol: &'static str, mechanism: &str, exposure: Exposure, cx: &mut Context<'_>) {
    cx.say(Fact::Login(Box::new(login::Fact { protocol, mechanism: mechanism.to_owned(), exposure })));
}
