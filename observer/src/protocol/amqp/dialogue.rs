//! Headers, the login, and the first things that a client asks a broker for.

use super::wire::{self, Family, Header};
use super::{PROTOCOL, types};
use crate::bytes::{ParseError, Reader};
use crate::flow::Direction;
use crate::protocol::dialogue::{Dialogue, Measure, Turn, mentions};
use crate::protocol::login::Exposure;
use crate::protocol::sasl::{self, Exchange};
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

/// Frames that are read of a flow.
const MAX_FRAMES: u32 = 200;
/// Queues, exchanges, keys and addresses that are said of a flow.
const MAX_TOPICS: usize = 16;
/// Bytes of one of them that are kept: no less than a property keeps.
const MAX_TOPIC: usize = 1024;

#[derive(Default)]
pub(super) struct Amqp {
    /// The client's last header; the server's, where the client's was not seen.
    header: Option<Header>,
    tls: Tls,
    exchange: Option<Exchange>,
    frames: u32,
    topics: Vec<(&'static str, Vec<u8>)>,
    /// Whether bytes are missing outside of what is passed over: frames cannot be found again.
    lost: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Tls {
    #[default]
    Unasked,
    Asked,
    Refused,
}

impl Dialogue for Amqp {
    const NAME: &'static str = PROTOCOL.name;

    fn measure(&self, _direction: Direction, bytes: &[u8]) -> Measure {
        if self.lost {
            return Measure::Message(1);
        }
        // No frame begins like a header: it would be of no type, or of a gigabyte.
        let measured = if bytes.first() == Some(&b'A') {
            Ok(wire::HEADER)
        } else {
            match self.header.map(Header::family) {
                Some(Family::Nine) => wire::measure(bytes),
                Some(Family::One) => types::measure(bytes),
                Some(Family::Other) | None => Err(ParseError::invalid("header", 0)),
            }
        };
        match measured {
            Ok(length) => Measure::Message(length),
            Err(error) if error.is_truncated() => Measure::More,
            Err(error) => Measure::Malformed(error),
        }
    }

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        self.frames = self.frames.saturating_add(1);
        if self.lost || self.frames > MAX_FRAMES {
            return Turn::Stop(Progress::Done);
        }
        let client = direction == Direction::ToResponder;
        let family = self.header.map(Header::family);
        let read = match message.first() {
            Some(b'A') => wire::header(message).map(|header| self.hear_header(client, header, cx)),
            _ if family == Some(Family::One) => {
                types::performative(message).map(|found| self.hear_performative(client, found, message, cx))
            }
            _ => wire::method(message).and_then(|found| match found {
                Some(found) => self.hear_method(client, found, cx),
                None => Ok(Turn::Next),
            }),
        };
        read.unwrap_or_else(|error| Turn::Stop(Progress::Malformed(error)))
    }

    fn missing(&mut self, _direction: Direction) {
        self.lost = true;
    }
}

impl Amqp {
    fn hear_header(&mut self, client: bool, header: Header, cx: &mut Context<'_>) -> Turn {
        let before = self.header;
        if client || before.is_none() {
            if before.map(Header::version) != Some(header.version()) {
                say("version", header.version().as_bytes(), cx);
            }
            self.header = Some(header);
            if client && header.asks_for_tls() {
                self.tls = Tls::Asked;
                upgrade::Fact::say(PROTOCOL.name, Step::Requested, cx);
                return Turn::Hold;
            }
            return if header.family() == Family::Other { Turn::Stop(Progress::Done) } else { Turn::Next };
        }
        match self.tls {
            Tls::Asked if header.asks_for_tls() => {
                // Within TLS the client begins anew, with a header (part 2 §2.2).
                self.tls = Tls::Unasked;
                upgrade::answered(PROTOCOL.name, true, cx)
            }
            // The server names what it would speak instead (AMQP 1.0 part 2 §2.2).
            Tls::Asked => {
                self.tls = Tls::Refused;
                upgrade::answered(PROTOCOL.name, false, cx)
            }
            _ if before.map(Header::family) != Some(header.family()) => {
                say("refusal", format!("speaks {}", header.version()).as_bytes(), cx);
                Turn::Stop(Progress::Done)
            }
            _ => Turn::Next,
        }
    }

    /// A method of 0-9-1 (its classes: 10 connection, 40 exchange, 50 queue, 60 basic).
    fn hear_method(
        &mut self,
        client: bool,
        method: wire::Method<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Turn, ParseError> {
        let wire::Method { name, mut arguments } = method;
        let arguments = &mut arguments;
        match (client, name) {
            // Start: version, properties, mechanisms.
            (false, (10, 10)) => {
                arguments.u16("version")?;
                software("server", wire::long(arguments)?, cx);
                say("mechanisms", wire::long(arguments)?, cx);
            }
            // Start-ok: properties, mechanism, response.
            (true, (10, 11)) => {
                software("client", wire::long(arguments)?, cx);
                let (mechanism, response) = (wire::short(arguments)?, wire::long(arguments)?);
                self.exchange = Some(Exchange::begin(mechanism, response, PROTOCOL.name, cx));
            }
            (true, (10, 21)) => {
                let response = wire::long(arguments)?;
                self.respond(response, cx);
            }
            // Tune: the login is over.
            (false, (10, 30)) => self.exchange = None,
            (true, (10, 40)) => say("virtual_host", wire::short(arguments)?, cx),
            (false, (10, 50)) => {
                let code = arguments.u16("reply code")?;
                let text = String::from_utf8_lossy(wire::short(arguments)?).into_owned();
                say("refusal", format!("{code} {text}").as_bytes(), cx);
                return Ok(Turn::Stop(Progress::Done));
            }
            (true, (10, 50)) => return Ok(Turn::Stop(Progress::Done)),
            (true, (40, 10)) => self.topic("exchange", named(arguments)?, cx),
            // Declare, consume, get.
            (true, (50, 10) | (60, 20 | 70)) => self.topic("queue", named(arguments)?, cx),
            (true, (60, 40)) => {
                let exchange = named(arguments)?;
                let key = wire::short(arguments)?;
                self.topic("exchange", exchange, cx);
                self.topic("publish", key, cx);
            }
            _ => {}
        }
        Ok(Turn::Next)
    }

    fn hear_performative(
        &mut self,
        client: bool,
        found: Option<types::Value<'_>>,
        frame: &[u8],
        cx: &mut Context<'_>,
    ) -> Turn {
        let Some(performative) = found else { return Turn::Next };
        let fields = performative.items();
        let text = |index: usize| fields.get(index).and_then(|field| field.text()).unwrap_or_default();
        match (client, performative.descriptor) {
            (false, Some(types::code::SASL_MECHANISMS)) => {
                let names = fields.first().map(|field| field.names()).unwrap_or_default();
                say("mechanisms", &names.join(&b' '), cx);
            }
            (true, Some(types::code::SASL_INIT)) => {
                self.exchange = Some(Exchange::begin(text(0), text(1), PROTOCOL.name, cx));
                self.topic("host", text(2), cx);
            }
            (true, Some(types::code::SASL_RESPONSE)) => self.respond(text(0), cx),
            (false, Some(types::code::SASL_OUTCOME)) => {
                self.exchange = None;
                if let Some(code) = fields.first().and_then(|field| field.number()).filter(|code| *code != 0)
                {
                    say("refusal", format!("SASL outcome {code}").as_bytes(), cx);
                }
            }
            (_, Some(types::code::OPEN)) => {
                if client {
                    if self.tls == Tls::Refused {
                        upgrade::went_on(PROTOCOL.name, b"open", cx);
                    }
                    say("container_id", text(0), cx);
                    self.topic("host", text(1), cx);
                }
                if let Some(properties) = fields.get(9) {
                    let product = properties.entry("product").unwrap_or_default();
                    let version = properties.entry("version").unwrap_or_default();
                    say(if client { "client" } else { "server" }, &[product, b" ", version].concat(), cx);
                }
            }
            (true, Some(types::code::ATTACH)) => {
                // A receiver names where messages come from, a sender where they go.
                let receives = fields.get(2).is_some_and(|role| role.is_true());
                let (name, index) = if receives { ("source", 5) } else { ("target", 6) };
                let terminus = fields.get(index).map(|terminus| terminus.items()).unwrap_or_default();
                let address = terminus.first().and_then(|address| address.text());
                self.topic(name, address.unwrap_or_default(), cx);
            }
            // Claims-based security: a token is a message to the node `$cbs`.
            (true, Some(types::code::TRANSFER)) if mentions(frame, "put-token") => {
                sasl::say(PROTOCOL.name, "put-token", Exposure::Secret, cx);
            }
            (_, Some(types::code::CLOSE)) => return Turn::Stop(Progress::Done),
            _ => {}
        }
        Turn::Next
    }

    fn respond(&mut self, response: &[u8], cx: &mut Context<'_>) {
        if let Some(exchange) = &mut self.exchange {
            exchange.response(response, PROTOCOL.name, cx);
        }
    }

    fn topic(&mut self, name: &'static str, value: &[u8], cx: &mut Context<'_>) {
        let value = value.get(..MAX_TOPIC).unwrap_or(value);
        let known = self.topics.iter().any(|(other, said)| *other == name && said == value);
        if !known && self.topics.len() < MAX_TOPICS {
            self.topics.push((name, value.to_vec()));
            say(name, value, cx);
        }
    }
}

/// A name behind the two reserved bytes with which most methods begin.
fn named<'a>(arguments: &mut Reader<'a>) -> Result<&'a [u8], ParseError> {
    arguments.u16("reserved")?;
    wire::short(arguments)
}

/// What a table of properties calls its sender.
fn software(name: &'static str, table: &[u8], cx: &mut Context<'_>) {
    let strings = wire::strings(table);
    let value = |wanted: &[u8]| {
        strings.iter().find_map(|(key, value)| (*key == wanted).then_some(*value)).unwrap_or_default()
    };
    say(name, &[value(b"product"), b" ", value(b"version")].concat(), cx);
}

fn say(name: &'static str, value: &[u8], cx: &mut Context<'_>) {
    property::Fact::say(PROTOCOL.name, name, value, cx);
}
