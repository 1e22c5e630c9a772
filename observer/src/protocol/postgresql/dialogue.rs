//! Openings without a type, the server's single bytes, and messages with a type.

use super::{Opening, PROTOCOL, opening};
use crate::bytes::{ParseError, Reader};
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Measure, Turn};
use crate::protocol::login::Exposure;
use crate::protocol::sasl::{self, Exchange};
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

/// The longest message that is taken for one.
const MAX_LEN: u32 = 1 << 30;

/// What the server has asked the client for.
enum Asked {
    Password,
    Md5,
    Sasl(Option<Exchange>),
    Gss,
}

#[derive(Default)]
pub(super) struct PostgreSql {
    /// What the server's next single byte answers.
    awaited: Option<Opening>,
    started: bool,
    asked: Option<Asked>,
}

impl Dialogue for PostgreSql {
    const NAME: &'static str = PROTOCOL.name;

    fn measure(&self, direction: Direction, bytes: &[u8]) -> Measure {
        let len = match direction {
            Direction::ToResponder if !self.started => opening(bytes).map(|(_, len)| len),
            // An old server says `E` and a message (protocol 2); it has no length.
            Direction::ToOriginator if self.awaited.is_some() => Ok(1),
            _ => message_len(bytes),
        };
        match len {
            Ok(len) => Measure::Message(usize::try_from(len).unwrap_or(usize::MAX)),
            Err(error) if error.is_truncated() => Measure::More,
            Err(error) => Measure::Malformed(error),
        }
    }

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        match direction {
            Direction::ToResponder if !self.started => self.open(message, cx),
            Direction::ToResponder => self.hear_client(message, cx),
            Direction::ToOriginator => match self.awaited.take() {
                Some(asked) => Self::answer(asked, message, cx),
                None => self.hear_server(message, cx),
            },
        }
    }
}

/// The length of a message with a type: it counts itself, but not the type.
fn message_len(bytes: &[u8]) -> Result<u32, ParseError> {
    let mut reader = Reader::new(bytes);
    let kind = reader.u8("type")?;
    let len = reader.u32("length")?;
    let sound = kind.is_ascii_alphanumeric() && (4..=MAX_LEN).contains(&len);
    if sound { Ok(len.saturating_add(1)) } else { Err(ParseError::invalid("message", 0)) }
}

impl PostgreSql {
    fn open(&mut self, message: &[u8], cx: &mut Context<'_>) -> Turn {
        let opening = match opening(message) {
            Ok((opening, _)) => opening,
            Err(error) => return Turn::Stop(Progress::Malformed(error)),
        };
        match opening {
            Opening::Ssl => upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx),
            Opening::Gss => property::Fact::say(PROTOCOL.name, "gss_encryption", b"requested", cx),
            // A key, and the end of the flow.
            Opening::Cancel => {
                upgrade::went_on(PROTOCOL.name, b"cancel", cx);
                return Turn::Stop(Progress::Done);
            }
            Opening::Startup { minor } => {
                self.started = true;
                upgrade::went_on(PROTOCOL.name, b"startup", cx);
                property::Fact::say(PROTOCOL.name, "version", format!("3.{minor}").as_bytes(), cx);
                return Turn::Next;
            }
        }
        self.awaited = Some(opening);
        Turn::Hold
    }

    /// The byte that answers a request for encryption.
    fn answer(asked: Opening, byte: &[u8], cx: &mut Context<'_>) -> Turn {
        match (asked, byte) {
            (Opening::Ssl, b"S") => upgrade::answered(PROTOCOL.name, true, cx),
            (Opening::Gss, b"G") => {
                property::Fact::say(PROTOCOL.name, "gss_encryption", b"accepted", cx);
                Turn::Stop(Progress::Inner)
            }
            (Opening::Ssl, b"N" | b"E") => {
                upgrade::Fact::say(PROTOCOL.name, Step::Refused, cx);
                if byte == b"E" { Turn::Stop(Progress::Done) } else { Turn::Release }
            }
            (_, b"N") => {
                property::Fact::say(PROTOCOL.name, "gss_encryption", b"refused", cx);
                Turn::Release
            }
            (_, b"E") => Turn::Stop(Progress::Done),
            _ => Turn::Stop(Progress::Malformed(ParseError::invalid("answer to SSLRequest", 0))),
        }
    }

    fn hear_client(&mut self, message: &[u8], cx: &mut Context<'_>) -> Turn {
        let body = message.get(5..).unwrap_or_default();
        match message.first() {
            Some(b'p') => match &mut self.asked {
                Some(Asked::Password) => sasl::say(PROTOCOL.name, "password", Exposure::Secret, cx),
                Some(Asked::Md5) => sasl::say(PROTOCOL.name, "md5", Exposure::Response, cx),
                Some(Asked::Gss) if sasl::answers_ntlm(body) => {
                    sasl::say(PROTOCOL.name, "GSSAPI", Exposure::Response, cx);
                }
                Some(Asked::Sasl(Some(exchange))) => exchange.response(body, PROTOCOL.name, cx),
                Some(Asked::Sasl(exchange @ None)) => {
                    let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
                    let mut begun = Exchange::new(body.get(..end).unwrap_or_default());
                    // NUL and the response's length come before it.
                    begun.response(body.get(end.saturating_add(5)..).unwrap_or_default(), PROTOCOL.name, cx);
                    *exchange = Some(begun);
                }
                Some(Asked::Gss) | None => {}
            },
            // A query.
            Some(b'Q' | b'P') => return Turn::Stop(Progress::Done),
            _ => {}
        }
        Turn::Next
    }

    fn hear_server(&mut self, message: &[u8], cx: &mut Context<'_>) -> Turn {
        let body = message.get(5..).unwrap_or_default();
        match message.first() {
            Some(b'R') => match Reader::new(body).u32("authentication") {
                Ok(3) => self.asked = Some(Asked::Password),
                Ok(5) => self.asked = Some(Asked::Md5),
                Ok(7 | 9) => self.asked = Some(Asked::Gss),
                Ok(10) => self.asked = Some(Asked::Sasl(None)),
                _ => {}
            },
            Some(b'S') => {
                let mut parts = body.split(|byte| *byte == 0);
                if parts.next() == Some(b"server_version".as_slice()) {
                    property::Fact::say(
                        PROTOCOL.name,
                        "server_version",
                        parts.next().unwrap_or_default(),
                        cx,
                    );
                }
            }
            // ReadyForQuery.
            Some(b'Z') => return Turn::Stop(Progress::Done),
            _ => {}
        }
        Turn::Next
    }
}
