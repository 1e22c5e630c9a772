//! The exchange before the next layer: each message is answered before the next one counts.

use super::wire;
use super::{PROTOCOL_4, PROTOCOL_5};
use crate::bytes::ParseError;
use crate::flow::{Data, Direction};
use crate::protocol::login::Exposure;
use crate::protocol::{Analyzer, Context, Fact, Progress, login, property, proxy};
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Bytes of a direction that wait for the other one. Clients may write on before they are answered.
const MAX_HELD: usize = 16 << 10;

/// The message that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    Method,
    Login,
    LoginReply,
    Request5,
    Request4,
    /// The reply to a command; `BIND` has two.
    Reply5(u8),
    Reply4(u8),
}

impl Step {
    fn sender(self) -> Direction {
        match self {
            Self::Greeting | Self::Login | Self::Request5 | Self::Request4 => Direction::ToResponder,
            Self::Method | Self::LoginReply | Self::Reply5(_) | Self::Reply4(_) => Direction::ToOriginator,
        }
    }
}

/// `CONNECT` in both versions.
const CONNECT: u8 = 1;
/// `BIND` in both versions.
const BIND: u8 = 2;

/// Reads one exchange.
pub(super) struct SocksAnalyzer {
    step: Step,
    sides: [Side; 2],
    /// `BIND`: the first reply has come, the second follows when the peer does.
    bound: bool,
}

#[derive(Default)]
struct Side {
    /// At most [`MAX_HELD`].
    buffer: Vec<u8>,
    frame: FrameNumber,
    at: Timestamp,
}

/// What a message leads to.
enum Next {
    Step(Step),
    End(Progress),
}

impl Analyzer for SocksAnalyzer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let Some(side) = self.sides.get_mut(data.direction.index()) else { return Progress::Done };
        let room = MAX_HELD.saturating_sub(side.buffer.len());
        if data.bytes.len() > room && self.step.sender() != data.direction {
            // The answer was not captured, or this is something else.
            return Progress::Done;
        }
        let (held, rest) = data.bytes.split_at_checked(room).unwrap_or((data.bytes, &[]));
        side.buffer.extend_from_slice(held);
        (side.frame, side.at) = (data.frame, data.at);
        loop {
            let sender = self.step.sender();
            let buffer = self.sides.get(sender.index()).map_or(&[][..], |side| side.buffer.as_slice());
            if buffer.is_empty() {
                return if rest.is_empty() { Progress::NeedMore } else { Progress::Done };
            }
            match read(self.step, buffer, &mut self.bound, cx) {
                Ok((next, taken)) => {
                    if let Some(side) = self.sides.get_mut(sender.index()) {
                        side.buffer.drain(..taken.min(side.buffer.len()));
                    }
                    match next {
                        Next::Step(step) => self.step = step,
                        Next::End(Progress::Inner) => {
                            self.hand_on(cx);
                            cx.hand_on(Data { bytes: rest, ..data });
                            return Progress::Inner;
                        }
                        Next::End(progress) => return progress,
                    }
                }
                Err(error) if error.is_truncated() && rest.is_empty() => return Progress::NeedMore,
                Err(error) if error.is_truncated() => return Progress::Done,
                Err(error) => return Progress::Malformed(error),
            }
        }
    }
}

impl SocksAnalyzer {
    /// For SOCKS 4 and 4a.
    pub(super) fn version_4() -> Self {
        Self { step: Step::Request4, sides: Default::default(), bound: false }
    }

    /// For SOCKS 5.
    pub(super) fn version_5() -> Self {
        Self { step: Step::Greeting, sides: Default::default(), bound: false }
    }

    fn hand_on(&mut self, cx: &mut Context<'_>) {
        for direction in [Direction::ToResponder, Direction::ToOriginator] {
            let Some(side) = self.sides.get_mut(direction.index()) else { continue };
            let bytes = std::mem::take(&mut side.buffer);
            cx.hand_on(Data { direction, bytes: &bytes, frame: side.frame, at: side.at });
        }
    }
}

fn read(
    step: Step,
    bytes: &[u8],
    bound: &mut bool,
    cx: &mut Context<'_>,
) -> Result<(Next, usize), ParseError> {
    let (next, taken) = match step {
        Step::Greeting => {
            let (_, taken) = wire::greeting(bytes)?;
            (Next::Step(Step::Method), taken)
        }
        Step::Method => {
            let (method, taken) = wire::method(bytes)?;
            let (name, next) = match method {
                0 => ("none".to_owned(), Next::Step(Step::Request5)),
                1 => ("gssapi".to_owned(), Next::End(Progress::Done)),
                2 => ("password".to_owned(), Next::Step(Step::Login)),
                wire::NO_METHOD => ("refused".to_owned(), Next::End(Progress::Done)),
                other => (format!("{other:#04x}"), Next::End(Progress::Done)),
            };
            cx.say(property(PROTOCOL_5.name, "method", &name));
            (next, taken)
        }
        Step::Login => {
            let (secret, taken) = wire::login(bytes)?;
            say_login(PROTOCOL_5.name, "USERNAME/PASSWORD", secret, cx);
            (Next::Step(Step::LoginReply), taken)
        }
        Step::LoginReply => {
            let (accepted, taken) = wire::login_reply(bytes)?;
            cx.say(property(PROTOCOL_5.name, "login", if accepted { "accepted" } else { "refused" }));
            (if accepted { Next::Step(Step::Request5) } else { Next::End(Progress::Done) }, taken)
        }
        Step::Request5 => {
            let (request, taken) = wire::request_5(bytes)?;
            say_request(PROTOCOL_5.name, &request, cx);
            (Next::Step(Step::Reply5(request.command)), taken)
        }
        Step::Request4 => {
            let (request, taken) = wire::request_4(bytes)?;
            if request.user {
                say_login(PROTOCOL_4.name, "USERID", false, cx);
            }
            say_request(PROTOCOL_4.name, &request, cx);
            (Next::Step(Step::Reply4(request.command)), taken)
        }
        Step::Reply5(command) => {
            let (code, taken) = wire::reply_5(bytes)?;
            (answered(PROTOCOL_5.name, step, command, code == 0, bound, cx), taken)
        }
        Step::Reply4(command) => {
            let (code, taken) = wire::reply_4(bytes)?;
            (answered(PROTOCOL_4.name, step, command, code == 90, bound, cx), taken)
        }
    };
    Ok((next, taken))
}

fn answered(
    protocol: &'static str,
    step: Step,
    command: u8,
    granted: bool,
    bound: &mut bool,
    cx: &mut Context<'_>,
) -> Next {
    if command == CONNECT {
        cx.say(Fact::Proxy(Box::new(proxy::Fact::Answered { granted })));
    } else {
        cx.say(property(protocol, "answer", if granted { "granted" } else { "refused" }));
    }
    match command {
        _ if !granted => Next::End(Progress::Done),
        CONNECT => Next::End(Progress::Inner),
        BIND if std::mem::replace(bound, true) => Next::End(Progress::Inner),
        BIND => Next::Step(step),
        _ => Next::End(Progress::Done),
    }
}

fn say_request(protocol: &'static str, request: &wire::Request, cx: &mut Context<'_>) {
    let command = match request.command {
        CONNECT => {
            let target = proxy::Target::new(protocol, &request.host, request.port);
            cx.say(Fact::Proxy(Box::new(proxy::Fact::Asked(target))));
            return;
        }
        BIND => "bind",
        _ => "udp_associate",
    };
    cx.say(property(protocol, "command", command));
}

fn say_login(protocol: &'static str, mechanism: &str, secret: bool, cx: &mut Context<'_>) {
    let exposure = if secret { Exposure::Secret } else { Exposure::Identity };
    cx.say(Fact::Login(Box::new(login::Fact { protocol, mechanism: mechanism.to_owned(), exposure })));
}

fn property(protocol: &'static str, name: &'static str, value: &str) -> Fact {
    Fact::Property(Box::new(property::Fact::new(protocol, name, value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::decode::Transport;
    use crate::protocol::script::{Act, Played, REQUEST, RESPONSE, cut, play, send, sizes};
    use crate::protocol::{Fact, login, proxy};

    fn tcp(acts: &[Act]) -> Played {
        play(Transport::Tcp, 1080, acts)
    }

    /// A login, a name, and a request to it.
    fn five() -> Vec<Act> {
        vec![
            send(REQUEST, b"\x05\x03\x00\x01\x02"),
            send(RESPONSE, b"\x05\x02"),
            send(REQUEST, b"\x01\x03bob\x06secret"),
            send(RESPONSE, b"\x01\x00"),
            send(REQUEST, b"\x05\x01\x00\x03\x09Bank.test\x00\x50"),
            send(RESPONSE, b"\x05\x00\x00\x01\x0a\x00\x00\x01\x1f\x90"),
            send(REQUEST, b"GET /a HTTP/1.1\r\nHost: bank.test\r\n\r\n"),
            send(RESPONSE, b"HTTP/1.1 204 No Content\r\n\r\n"),
        ]
    }

    fn asked(played: &Played) -> Vec<(&'static str, String, u16)> {
        let facts = played.facts();
        let targets = facts.iter().filter_map(|fact| match fact {
            Fact::Proxy(fact) => match fact.as_ref() {
                proxy::Fact::Asked(target) => Some(target.clone()),
                proxy::Fact::Answered { .. } => None,
            },
            _ => None,
        });
        targets.map(|target| (target.protocol, target.host, target.port)).collect()
    }

    fn logins(played: &Played) -> Vec<(String, login::Exposure)> {
        let facts = played.facts();
        let logins = facts.iter().filter_map(|fact| match fact {
            Fact::Login(fact) => Some((fact.mechanism.clone(), fact.exposure)),
            _ => None,
        });
        logins.collect()
    }

    #[test]
    fn a_login_and_what_is_led_through_are_said() {
        let played = tcp(&five());
        assert_eq!(played.layers, ["socks5", "http"]);
        assert_eq!(asked(&played), [("socks5", "bank.test".to_owned(), 80)]);
        assert_eq!(logins(&played), [("USERNAME/PASSWORD".to_owned(), login::Exposure::Secret)]);
        assert_eq!(played.facts().iter().filter(|fact| matches!(fact, Fact::Http1(_))).count(), 2);
        assert!(!played.said().contains("secret\""), "{}", played.said());
    }

    #[test]
    fn four_and_four_a() {
        let reply = send(RESPONSE, b"\x00\x5a\x00\x00\x00\x00\x00\x00");
        let get = send(REQUEST, b"GET / HTTP/1.0\r\n\r\n");
        let played =
            tcp(&[send(REQUEST, b"\x04\x01\x00\x50\xc0\x00\x02\x07bob\0"), reply.clone(), get.clone()]);
        assert_eq!(played.layers, ["socks4", "http"]);
        assert_eq!(asked(&played), [("socks4", "192.0.2.7".to_owned(), 80)]);
        assert_eq!(logins(&played), [("USERID".to_owned(), login::Exposure::Identity)]);
        let played = tcp(&[send(REQUEST, b"\x04\x01\x00\x50\0\0\0\x01\0shop.test\0"), reply, get]);
        assert_eq!(asked(&played), [("socks4", "shop.test".to_owned(), 80)]);
    }

    #[test]
    fn a_refusal_ends_it() {
        let mut acts = five();
        acts.truncate(5);
        acts.push(send(RESPONSE, b"\x05\x05\x00\x01\0\0\0\0\0\0"));
        let played = tcp(&acts);
        assert_eq!((played.layers.as_slice(), played.done), (["socks5"].as_slice(), Some(6)));
        assert!(played.facts().iter().any(|fact| {
            matches!(fact, Fact::Proxy(fact) if **fact == proxy::Fact::Answered { granted: false })
        }));
    }

    #[test]
    fn one_side_alone_is_not_recognised() {
        let greeting = send(REQUEST, b"\x05\x01\x00");
        assert_eq!(tcp(std::slice::from_ref(&greeting)).layers, ["unknown"]);
        // A method that was not offered.
        assert_eq!(tcp(&[greeting, send(RESPONSE, b"\x05\x02")]).layers, ["unknown"]);
        // DCE/RPC's version 5.0.
        assert_eq!(
            tcp(&[send(REQUEST, b"\x05\x00\x0b\x03"), send(RESPONSE, b"\x05\x00\x0c\x03")]).layers,
            ["unknown"]
        );
    }

    proptest! {
        #[test]
        fn splitting_does_not_change_what_is_said(sizes in sizes()) {
            prop_assert_eq!(tcp(&cut(&five(), &sizes)).said(), tcp(&five()).said());
        }
    }
}
