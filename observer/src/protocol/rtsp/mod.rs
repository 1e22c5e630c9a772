//! RTSP ([RFC 2326](https://datatracker.ietf.org/doc/html/rfc2326), RFC 7826): software, logins and how media will be carried.
//!
//! Bodies and interleaved media are passed over.

use super::login::{self, Exposure};
use super::pending::{Messages, Reading, Step};
use super::text_head::{self, Head};
use super::{Analyzer, Context, Fact, Probe, ProbeInput, Protocol, Worth, property};
use crate::bytes::ParseError;
use crate::decode::Transport;
use crate::flow::Direction;

/// The name of its layer.
const NAME: &str = "rtsp";

/// RTSP in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: NAME,
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// The methods that requests have (RFC 2326 §10).
const METHODS: [&str; 11] = [
    "OPTIONS",
    "DESCRIBE",
    "ANNOUNCE",
    "SETUP",
    "PLAY",
    "PAUSE",
    "TEARDOWN",
    "GET_PARAMETER",
    "SET_PARAMETER",
    "REDIRECT",
    "RECORD",
];
/// Messages that are read before a flow is only counted.
const MAX_MESSAGES: u8 = 32;

fn probe(input: &ProbeInput<'_>) -> Probe {
    text_head::probe(input.bytes, (&METHODS, &[" rtsp", " * RTSP/"]), "RTSP/", is_start)
}

fn is_start(line: &str) -> bool {
    line.starts_with("RTSP/1.0 ")
        || line.starts_with("RTSP/2.0 ")
        || line.ends_with(" RTSP/1.0")
        || line.ends_with(" RTSP/2.0")
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(Reading::<Session>::default())
}

/// What was said before.
#[derive(Default)]
struct Session {
    software: [bool; 2],
    login: bool,
    transport: bool,
    messages: u8,
}

impl Messages for Session {
    const LIMIT: usize = 64 << 10;

    fn message(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Step, ParseError> {
        if bytes.first() == Some(&b'$') {
            // Media within the stream (RFC 2326 §10.12): the session is set up.
            return Ok(Step::Stop);
        }
        let Some(head) = Head::parse(bytes) else { return Ok(Step::Wait) };
        if !is_start(head.start) {
            return Err(ParseError::invalid("start line", 0));
        }
        let length = head.length.saturating_add(head.body(&["content-length"]));
        if bytes.len() < length {
            return Ok(Step::Wait);
        }
        let say = |name, value: &str, cx: &mut Context<'_>| {
            cx.say(Fact::Property(Box::new(property::Fact::new(NAME, name, value))));
        };
        let name = match direction {
            Direction::ToResponder => "client_software",
            Direction::ToOriginator => "server_software",
        };
        if let (Some(value), Some(said)) = (
            head.first(&["user-agent", "server"]),
            self.software.get_mut(direction.index()).filter(|said| !**said),
        ) {
            *said = true;
            say(name, value, cx);
        }
        if let Some(value) = head.first(&["authorization"]).filter(|_| !self.login) {
            self.login = true;
            let mechanism: String = value.chars().take_while(|char| *char != ' ').take(32).collect();
            let digest = mechanism.eq_ignore_ascii_case("digest");
            let exposure = if digest { Exposure::Response } else { Exposure::Secret };
            cx.say(Fact::Login(Box::new(login::Fact { protocol: NAME, mechanism, exposure })));
        }
        if let Some(value) = head.first(&["transport"]).filter(|_| !self.transport) {
            self.transport = true;
            say("media_profile", value.split(';').next().unwrap_or_default(), cx);
        }
        self.messages = self.messages.saturating_add(1);
        Ok(if self.messages >= MAX_MESSAGES { Step::Stop } else { Step::Took(length) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::script::{Act, REQUEST, RESPONSE, cut, play, send, sizes};

    fn session() -> Vec<Act> {
        vec![
            send(REQUEST, "OPTIONS rtsp://cam.test/1 RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: Lavf60\r\n\r\n"),
            send(
                RESPONSE,
                "RTSP/1.0 401 Unauthorized\r\nServer: cam/3\r\nWWW-Authenticate: Basic realm=\"c\"\r\n\r\n",
            ),
            send(
                REQUEST,
                "SETUP rtsp://cam.test/1 RTSP/1.0\r\nAuthorization: Basic YTpi\r\nTransport: RTP/AVP/TCP;unicast\r\n\r\n",
            ),
            send(RESPONSE, "$\0\0\x04abcd"),
        ]
    }

    #[test]
    fn software_login_and_transport_are_said() {
        let played = play(Transport::Tcp, 554, &session());
        let said = played.said();
        assert_eq!((played.layers.as_slice(), played.facts().len()), (["rtsp"].as_slice(), 4), "{said}");
        assert!(said.contains("Basic") && !said.contains("YTpi"), "{said}");
        assert_eq!(played.done, Some(4));
    }

    proptest! {
        #[test]
        fn any_split_says_the_same(sizes in sizes()) {
            let whole = play(Transport::Tcp, 554, &session());
            prop_assert_eq!(play(Transport::Tcp, 554, &cut(&session(), &sizes)).said(), whole.said());
        }
    }
}
