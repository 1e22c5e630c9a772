//! SIP ([RFC 3261](https://datatracker.ietf.org/doc/html/rfc3261)) over datagrams and streams: software, logins, and how the
//! media that is agreed on will be protected (RFC 4568, RFC 5763).
//!
//! Keys in `a=crypto` are not kept: only that one went by. Message bodies other than SDP are passed over.

use super::login::{self, Exposure};
use super::pending::{Messages, Reading, Step};
use super::text_head::{self, Head};
use super::{Analyzer, Context, Fact, Probe, ProbeInput, Protocol, Worth, property};
use crate::bytes::ParseError;
use crate::decode::Transport;
use crate::flow::Direction;

/// The name of its layer.
const NAME: &str = "sip";

/// SIP in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Udp, Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// The methods that IANA has registered.
const METHODS: [&str; 14] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "REGISTER",
    "OPTIONS",
    "PRACK",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "INFO",
    "REFER",
    "MESSAGE",
    "UPDATE",
];
/// Messages that are read before a flow is only counted.
const MAX_MESSAGES: u8 = 64;

fn probe(input: &ProbeInput<'_>) -> Probe {
    text_head::probe(input.bytes, (&METHODS, &[" sip:", " sips:", " tel:"]), "SIP/2.0 ", is_start)
}

fn is_start(line: &str) -> bool {
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => status.get(..3).is_some_and(|code| code.bytes().all(|digit| digit.is_ascii_digit())),
        None => line.ends_with(" SIP/2.0"),
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(Reading::<Session>::default())
}

/// What was said before, so that it is said once.
#[derive(Default)]
struct Session {
    said: Vec<(&'static str, String)>,
    logins: Vec<String>,
    messages: u8,
}

/// Values that a session says at most.
const MAX_SAID: usize = 16;

impl Messages for Session {
    const LIMIT: usize = 64 << 10;

    fn message(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Step, ParseError> {
        // Empty lines keep a connection open (RFC 5626 §3.5.1).
        if let [b'\r' | b'\n' | 0, ..] = bytes {
            return Ok(Step::Took(1));
        }
        let Some(head) = Head::parse(bytes) else { return Ok(Step::Wait) };
        if !is_start(head.start) {
            return Err(ParseError::invalid("start line", 0));
        }
        let length = head.length.saturating_add(head.body(&["content-length", "l"]));
        let Some(body) = bytes.get(head.length..length) else { return Ok(Step::Wait) };
        let software = match direction {
            Direction::ToResponder => "client_software",
            Direction::ToOriginator => "server_software",
        };
        if let Some(value) = head.first(&["user-agent", "server"]) {
            self.say(software, value, cx);
        }
        for value in head.all("authorization").chain(head.all("proxy-authorization")) {
            self.login(value, cx);
        }
        if head.first(&["content-type", "c"]).is_some_and(|value| value.starts_with("application/sdp")) {
            self.media(&String::from_utf8_lossy(body), cx);
        }
        self.messages = self.messages.saturating_add(1);
        Ok(if self.messages >= MAX_MESSAGES { Step::Stop } else { Step::Took(length) })
    }
}

impl Session {
    fn say(&mut self, name: &'static str, value: &str, cx: &mut Context<'_>) {
        let known = self.said.iter().any(|(one, other)| *one == name && other == value);
        if !known && self.said.len() < MAX_SAID {
            self.said.push((name, value.to_owned()));
            cx.say(Fact::Property(Box::new(property::Fact::new(NAME, name, value))));
        }
    }

    fn login(&mut self, value: &str, cx: &mut Context<'_>) {
        let mechanism = value.split(' ').next().unwrap_or_default();
        let exposure =
            if mechanism.eq_ignore_ascii_case("digest") { Exposure::Response } else { Exposure::Secret };
        let mechanism: String = mechanism.chars().take(32).collect();
        if !self.logins.contains(&mechanism) && self.logins.len() < MAX_SAID {
            self.logins.push(mechanism.clone());
            cx.say(Fact::Login(Box::new(login::Fact { protocol: NAME, mechanism, exposure })));
        }
    }

    /// How each stream of media is to be carried, and what keys it.
    fn media(&mut self, sdp: &str, cx: &mut Context<'_>) {
        for line in sdp.lines() {
            if let Some(media) = line.strip_prefix("m=") {
                if let Some(profile) = media.split(' ').nth(2) {
                    self.say("media_profile", profile, cx);
                }
            } else if let Some(crypto) = line.strip_prefix("a=crypto:") {
                if let Some(suite) = crypto.split(' ').nth(1) {
                    self.say("media_key_in_clear", suite, cx);
                }
            } else if let Some(fingerprint) = line.strip_prefix("a=fingerprint:") {
                self.say("media_fingerprint", fingerprint, cx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::script::{Act, REQUEST, RESPONSE, cut, play, send, sizes};

    fn call() -> Vec<Act> {
        let sdp = "v=0\r\nm=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n";
        let invite = format!(
            "INVITE sip:bob@b.test SIP/2.0\r\nUser-Agent: phone/1\r\nAuthorization: Digest username=\"a\"\r\n\
             c: application/sdp\r\nl: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        vec![
            send(REQUEST, invite),
            send(RESPONSE, "SIP/2.0 200 OK\r\nServer: pbx/2\r\nContent-Length: 0\r\n\r\n"),
        ]
    }

    #[test]
    fn software_login_and_keys_of_media_are_said_and_no_secret() {
        let played = play(Transport::Udp, 5060, &call());
        let said = played.said();
        assert_eq!((played.layers.as_slice(), played.facts().len()), (["sip"].as_slice(), 5), "{said}");
        assert!(said.contains("AES_CM_128_HMAC_SHA1_80") && !said.contains("c2VjcmV0"), "{said}");
    }

    #[test]
    fn other_start_lines_are_not_sip() {
        for line in
            ["OPTIONS * HTTP/1.1\r\n\r\n", "INVITE someone else\r\n", "OPTIONS rtsp://a/ RTSP/1.0\r\n\r\n"]
        {
            assert_eq!(play(Transport::Udp, 5060, &[send(REQUEST, line)]).layers, ["unknown"], "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_split_says_the_same(sizes in sizes()) {
            let whole = play(Transport::Tcp, 5060, &call());
            prop_assert_eq!(&whole.layers, &["sip"]);
            prop_assert_eq!(play(Transport::Tcp, 5060, &cut(&call(), &sizes)).said(), whole.said());
        }
    }
}
