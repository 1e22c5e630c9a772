//! SASL ([RFC 4422](https://datatracker.ietf.org/doc/html/rfc4422)) as protocols carry it: which mechanism, and when its secret
//! goes by. Nothing of a response is kept; how long it is decides whether there was one.
//!
//! GSSAPI and SPNEGO ([RFC 4178](https://datatracker.ietf.org/doc/html/rfc4178)) wrap mechanisms of their own: what is within a
//! token decides. A ticket of Kerberos ([RFC 4120](https://datatracker.ietf.org/doc/html/rfc4120)) answers no challenge and gives
//! nothing of the client's away; NTLM's last message (MS-NLMP §2.2.1.3) does.

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

/// What NTLM's messages begin with (MS-NLMP §2.2.1), and the number of the one that answers the challenge.
const NTLM: &[u8] = b"NTLMSSP\0";
const NTLM_AUTHENTICATE: u32 = 3;

/// Characters of a token in base64 that are looked at: more than SPNEGO puts in front of what it wraps.
const MAX_TOKEN: usize = 4096;

/// Whether what goes by is not told by the name: the mechanism wraps others, or has messages without a proof.
fn is_told_by_token(mechanism: &str) -> bool {
    matches!(mechanism, "GSSAPI" | "GSS-SPNEGO" | "NTLM" | "GS2-KRB5" | "GS2-KRB5-PLUS")
}

/// What those who listen learn from `response`, in the client's first message of `mechanism`; `None` where that is nothing.
pub(super) fn exposure_of(mechanism: &str, response: &[u8]) -> Option<Exposure> {
    if is_told_by_token(mechanism) {
        answers_ntlm(response).then_some(Exposure::Response)
    } else {
        Some(exposure(mechanism))
    }
}

/// Whether a token is, or wraps, the answer to NTLM's challenge.
pub(super) fn answers_ntlm(token: &[u8]) -> bool {
    let at = token.windows(NTLM.len()).position(|window| window == NTLM);
    let kind = at.and_then(|at| token.get(at.saturating_add(NTLM.len())..)?.first_chunk::<4>());
    kind.is_some_and(|kind| u32::from_le_bytes(*kind) == NTLM_AUTHENTICATE)
}

/// The bytes of a token that stands in base64, as far as they are looked at; one of which the end is missing loses some
/// more.
pub(super) fn decoded(text: &[u8]) -> Vec<u8> {
    let text = text.get(..MAX_TOKEN).unwrap_or(text);
    let (quads, _) = text.as_chunks::<4>();
    data_encoding::BASE64.decode(quads.as_flattened()).unwrap_or_default()
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

    /// A server asks for a name or a password in a text of its own, as `LOGIN` does (draft-murchison-sasl-login): the exchange
    /// that this is, where it was not seen to begin.
    pub(super) fn prompted(challenge: &[u8]) -> Option<Self> {
        let asks = |starts: [&[u8]; 2]| starts.iter().any(|start| challenge.starts_with(start));
        // `User`, `user`, `Pass` and `pass`, as far as their characters in base64 are theirs alone.
        let left = match () {
            () if asks([b"VXNlc", b"dXNlc"]) => 2,
            () if asks([b"UGFzc3", b"cGFzc3"]) => 1,
            () => return None,
        };
        Some(Self { left, ..Self::new(b"LOGIN") })
    }

    /// The client sends a response; says the login when that was it. `protocol` is whose.
    pub(super) fn response(&mut self, response: &[u8], protocol: &'static str, cx: &mut Context<'_>) {
        // `=` is an initial response without content, `*` gives up (RFC 4954 §4).
        let response = response.trim_ascii();
        if matches!(response, b"" | b"=" | b"*" | b"+") || self.left == 0 {
            return;
        }
        if is_told_by_token(&self.mechanism) && !answers_ntlm(response) && !answers_ntlm(&decoded(response)) {
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

/// Whether `mechanism` is the name of one that clients are known to log in with.
pub(super) fn is_known(mechanism: &[u8]) -> bool {
    const KNOWN: [&[u8]; 14] = [
        b"PLAIN",
        b"LOGIN",
        b"XOAUTH2",
        b"OAUTHBEARER",
        b"CRAM-MD5",
        b"DIGEST-MD5",
        b"NTLM",
        b"GSSAPI",
        b"GSS-SPNEGO",
        b"EXTERNAL",
        b"ANONYMOUS",
        b"SCRAM-SHA-1",
        b"SCRAM-SHA-256",
        b"SCRAM-SHA-512",
    ];
    KNOWN.iter().any(|known| mechanism.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of NTLM.
    fn ntlm(kind: u8) -> Vec<u8> {
        [NTLM, &[kind, 0, 0, 0], &[7; 40]].concat()
    }

    /// The beginning of a token of SPNEGO that wraps `token`, with the mechanisms in front (RFC 4178 §4.2.1).
    fn spnego(token: &[u8]) -> Vec<u8> {
        let krb = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
        let ntlm = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";
        [
            b"\x60\x80\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x80\x30\x80\xa0\x19\x30\x17",
            &krb[..],
            &ntlm[..],
            token,
        ]
        .concat()
    }

    #[test]
    fn a_ticket_is_no_answer_to_a_challenge() {
        let ticket = b"\x60\x82\x05\x29\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\0\x6e\x82";
        for token in [spnego(ticket), ticket.to_vec(), spnego(&ntlm(1)), ntlm(1), spnego(&[]), Vec::new()] {
            assert_eq!(exposure_of("GSS-SPNEGO", &token), None);
            assert_eq!(exposure_of("GSSAPI", &token), None);
        }
        for token in [spnego(&ntlm(3)), ntlm(3)] {
            assert_eq!(exposure_of("GSS-SPNEGO", &token), Some(Exposure::Response));
        }
        assert_eq!(exposure_of("DIGEST-MD5", b"x"), Some(Exposure::Response));
        assert_eq!(exposure_of("PLAIN", b"x"), Some(Exposure::Secret));
    }

    #[test]
    fn tokens_in_base64_are_looked_into() {
        for token in [ntlm(3), spnego(&ntlm(3))] {
            let text = data_encoding::BASE64.encode(&token);
            assert!(answers_ntlm(&decoded(text.as_bytes())));
            assert!(answers_ntlm(&decoded(&text.as_bytes()[..text.len() - 6])));
        }
        assert!(!answers_ntlm(&decoded(data_encoding::BASE64.encode(&ntlm(1)).as_bytes())));
        assert!(decoded(b"{no base64}").is_empty());
    }
}
