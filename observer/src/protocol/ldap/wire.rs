//! `LDAPMessage` (RFC 4511 §4.1.1): a sequence of a number and an operation, in BER with definite lengths (§5.1).

use crate::bytes::{ParseError, Reader};

/// The tags of operations that are read.
pub(super) mod tag {
    pub(in crate::protocol::ldap) const BIND_REQUEST: u8 = 0x60;
    pub(in crate::protocol::ldap) const BIND_RESPONSE: u8 = 0x61;
    pub(in crate::protocol::ldap) const UNBIND_REQUEST: u8 = 0x42;
    pub(in crate::protocol::ldap) const SEARCH_REQUEST: u8 = 0x63;
    pub(in crate::protocol::ldap) const SEARCH_ENTRY: u8 = 0x64;
    pub(in crate::protocol::ldap) const SEARCH_DONE: u8 = 0x65;
    pub(in crate::protocol::ldap) const EXTENDED_REQUEST: u8 = 0x77;
    pub(in crate::protocol::ldap) const EXTENDED_RESPONSE: u8 = 0x78;
}

/// The universal tags.
const INTEGER: u8 = 2;
const OCTET_STRING: u8 = 4;
const ENUMERATED: u8 = 10;
const SEQUENCE: u8 = 0x30;

/// The longest message that is taken for one: a probe's and a measure's bound.
const MAX_LEN: usize = 16 << 20;

/// A message: its number, the operation's tag and content. The content may be cut.
pub(super) struct Message<'a> {
    pub(super) id: u32,
    pub(super) operation: u8,
    pub(super) content: &'a [u8],
}

/// How a bind authenticates (RFC 4511 §4.2).
pub(super) enum Bind<'a> {
    Simple { name: &'a [u8], password: &'a [u8] },
    Sasl { mechanism: &'a [u8], credentials: &'a [u8] },
}

/// A tag and the length of what it heads.
fn header(reader: &mut Reader<'_>) -> Result<(u8, usize), ParseError> {
    let tag = reader.u8("tag")?;
    let first = reader.u8("length")?;
    let len = match first {
        0..=0x7f => usize::from(first),
        0x81 => usize::from(reader.u8("length")?),
        0x82 => usize::from(reader.u16("length")?),
        0x83 => usize::try_from(reader.u24("length")?).unwrap_or(usize::MAX),
        0x84 => usize::try_from(reader.u32("length")?).unwrap_or(usize::MAX),
        _ => return Err(reader.invalid("length")),
    };
    if len > MAX_LEN { Err(reader.invalid("length")) } else { Ok((tag, len)) }
}

/// The bytes of the message at the start of `bytes`.
pub(super) fn measure(bytes: &[u8]) -> Result<usize, ParseError> {
    let mut reader = Reader::new(bytes);
    match header(&mut reader)? {
        (SEQUENCE, len) => Ok(reader.position().saturating_add(len)),
        _ => Err(ParseError::invalid("message", 0)),
    }
}

/// Reads a message; its end may be missing.
pub(super) fn message(bytes: &[u8]) -> Result<Message<'_>, ParseError> {
    let mut reader = Reader::new(bytes);
    let (_, len) = header(&mut reader)?;
    let (tag, digits) = header(&mut reader)?;
    if tag != INTEGER || !(1..=4).contains(&digits) {
        return Err(reader.invalid("message number"));
    }
    let id = reader.take(digits, "message number")?.iter().fold(0_u32, |id, byte| id << 8 | u32::from(*byte));
    let (operation, inside) = header(&mut reader)?;
    // The operation has to end within the message; controls may follow it.
    if inside.saturating_add(digits).saturating_add(4) > len.saturating_add(1) {
        return Err(reader.invalid("operation"));
    }
    let content = reader.peek();
    Ok(Message { id, operation, content: content.get(..inside).unwrap_or(content) })
}

/// Whether `bytes` begin an LDAP message that a client (or a server) begins with.
pub(super) fn recognise(bytes: &[u8], from_client: bool) -> Result<bool, ParseError> {
    if bytes.first() != Some(&SEQUENCE) {
        return Ok(false);
    }
    let len = measure(bytes)?;
    let message = message(bytes)?;
    // A whole message must end where its operation or the controls behind it end.
    let operations: &[u8] = if from_client {
        &[tag::BIND_REQUEST, tag::SEARCH_REQUEST, tag::EXTENDED_REQUEST]
    } else {
        &[tag::BIND_RESPONSE, tag::SEARCH_ENTRY, tag::SEARCH_DONE, tag::EXTENDED_RESPONSE]
    };
    if message.id == 0 || len < 7 || !operations.contains(&message.operation) {
        return Ok(false);
    }
    let mut reader = Reader::new(message.content);
    let (inner, inner_len) = header(&mut reader)?;
    Ok(match message.operation {
        tag::BIND_REQUEST => inner == INTEGER && inner_len == 1 && matches!(reader.u8("version")?, 2 | 3),
        tag::SEARCH_REQUEST | tag::SEARCH_ENTRY => inner == OCTET_STRING && inner_len < len,
        tag::EXTENDED_REQUEST => {
            inner == 0x80 && reader.take(4, "name")?.iter().all(|byte| b"0123456789.".contains(byte))
        }
        _ => inner == ENUMERATED && inner_len == 1 && reader.u8("result")? <= 0x50,
    })
}

/// Reads a bind request.
pub(super) fn bind(content: &[u8]) -> Result<Bind<'_>, ParseError> {
    let mut reader = Reader::new(content);
    let (_, len) = header(&mut reader)?;
    reader.take(len, "version")?;
    let (_, len) = header(&mut reader)?;
    let name = reader.take(len, "name")?;
    let (choice, len) = header(&mut reader)?;
    match choice {
        0x80 => Ok(Bind::Simple { name, password: reader.take(len, "password")? }),
        0xa3 => {
            let mut inside = Reader::new(reader.peek().get(..len).unwrap_or(reader.peek()));
            let (_, len) = header(&mut inside)?;
            let mechanism = inside.take(len, "mechanism")?;
            let credentials = inside.rest();
            // A tag and a length are none.
            Ok(Bind::Sasl { mechanism, credentials: if credentials.len() > 2 { credentials } else { &[] } })
        }
        _ => Err(reader.invalid("authentication")),
    }
}

/// The name of an extended request.
pub(super) fn request_name(content: &[u8]) -> Result<&[u8], ParseError> {
    let mut reader = Reader::new(content);
    let (_, len) = header(&mut reader)?;
    reader.take(len, "name")
}

/// The code of a result (RFC 4511 §4.1.9).
pub(super) fn result_code(content: &[u8]) -> Result<u8, ParseError> {
    let mut reader = Reader::new(content);
    let (tag, len) = header(&mut reader)?;
    if (tag, len) == (ENUMERATED, 1) { reader.u8("result") } else { Err(reader.invalid("result")) }
}
