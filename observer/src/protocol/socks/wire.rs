//! The messages of SOCKS, each from the start of `bytes`, with its length.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::bytes::{ParseError, Reader};

/// Longest text of SOCKS 4, which ends with a zero byte: a domain name has at most 255.
const MAX_TEXT: usize = 255;
/// The server takes none of the methods (RFC 1928 §3).
pub(super) const NO_METHOD: u8 = 0xff;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// 1 `CONNECT`, 2 `BIND`, 3 `UDP ASSOCIATE`.
    pub(super) command: u8,
    pub(super) host: String,
    pub(super) port: u16,
    /// SOCKS 4: whether it names a user.
    pub(super) user: bool,
}

/// The methods that a client offers (RFC 1928 §3): at least one, none twice.
pub(super) fn greeting(bytes: &[u8]) -> Result<(&[u8], usize), ParseError> {
    let mut reader = Reader::new(bytes);
    expect(&mut reader, 5, "version")?;
    let count = usize::from(reader.u8("number of methods")?);
    let methods = reader.take(count, "methods")?;
    let unlike = methods.iter().enumerate().all(|(index, method)| {
        *method != NO_METHOD && !methods.get(..index).unwrap_or_default().contains(method)
    });
    if count == 0 || !unlike {
        return Err(ParseError::invalid("methods", 1));
    }
    Ok((methods, reader.position()))
}

/// The method that a server chooses.
pub(super) fn method(bytes: &[u8]) -> Result<(u8, usize), ParseError> {
    let mut reader = Reader::new(bytes);
    expect(&mut reader, 5, "version")?;
    Ok((reader.u8("method")?, reader.position()))
}

/// Whether `server` chooses one of the methods that `client` offers.
pub(super) fn chosen_from(client: &[u8], server: &[u8]) -> Result<(), ParseError> {
    let (method, _) = method(server)?;
    let (methods, _) = greeting(client)?;
    if method == NO_METHOD || methods.contains(&method) {
        Ok(())
    } else {
        Err(ParseError::invalid("method", 1))
    }
}

/// A user name and a password (RFC 1929 §2): whether there is a password.
pub(super) fn login(bytes: &[u8]) -> Result<(bool, usize), ParseError> {
    let mut reader = Reader::new(bytes);
    expect(&mut reader, 1, "login version")?;
    let user = reader.u8("user name length")?;
    reader.take(usize::from(user), "user name")?;
    let password = reader.u8("password length")?;
    reader.take(usize::from(password), "password")?;
    Ok((password > 0, reader.position()))
}

/// The answer to a login: whether it is accepted.
pub(super) fn login_reply(bytes: &[u8]) -> Result<(bool, usize), ParseError> {
    let mut reader = Reader::new(bytes);
    reader.u8("login version")?;
    Ok((reader.u8("login status")? == 0, reader.position()))
}

/// A request of SOCKS 5 (RFC 1928 §4).
pub(super) fn request_5(bytes: &[u8]) -> Result<(Request, usize), ParseError> {
    let (command, host, port, taken) = message_5(bytes)?;
    if !(1..=3).contains(&command) {
        return Err(ParseError::invalid("command", 1));
    }
    Ok((Request { command, host, port, user: false }, taken))
}

/// A reply of SOCKS 5 (RFC 1928 §6): its code, 0 for success.
pub(super) fn reply_5(bytes: &[u8]) -> Result<(u8, usize), ParseError> {
    message_5(bytes).map(|(code, _, _, taken)| (code, taken))
}

fn message_5(bytes: &[u8]) -> Result<(u8, String, u16, usize), ParseError> {
    let mut reader = Reader::new(bytes);
    expect(&mut reader, 5, "version")?;
    let code = reader.u8("command")?;
    expect(&mut reader, 0, "reserved")?;
    let (host, _) = address(&mut reader)?;
    let port = u16::from_be_bytes(reader.array("port")?);
    Ok((code, host, port, reader.position()))
}

/// What stands before a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    /// 0 for a datagram that is whole.
    pub(super) fragment: u8,
    pub(super) host: String,
    /// Whether the host is a name.
    pub(super) is_name: bool,
    pub(super) port: u16,
    /// Bytes of the header.
    pub(super) taken: usize,
}

/// The header of a datagram (RFC 1928 §7).
pub(super) fn datagram(bytes: &[u8]) -> Result<Datagram, ParseError> {
    let mut reader = Reader::new(bytes);
    expect(&mut reader, 0, "reserved")?;
    expect(&mut reader, 0, "reserved")?;
    let fragment = reader.u8("fragment")?;
    let (host, is_name) = address(&mut reader)?;
    let port = u16::from_be_bytes(reader.array("port")?);
    Ok(Datagram { fragment, host, is_name, port, taken: reader.position() })
}

/// An address or a name (RFC 1928 §5), and whether it is a name.
fn address(reader: &mut Reader<'_>) -> Result<(String, bool), ParseError> {
    let offset = reader.position();
    Ok(match reader.u8("address type")? {
        1 => (Ipv4Addr::from(reader.array::<4>("address")?).to_string(), false),
        3 => {
            let length = usize::from(reader.u8("name length")?);
            (String::from_utf8_lossy(reader.take(length, "name")?).into_owned(), true)
        }
        4 => (Ipv6Addr::from(reader.array::<16>("address")?).to_string(), false),
        _ => return Err(ParseError::invalid("address type", offset)),
    })
}

/// A request of SOCKS 4, or of 4a, which writes a name behind an address 0.0.0.x.
pub(super) fn request_4(bytes: &[u8]) -> Result<(Request, usize), ParseError> {
    let mut reader = Reader::new(bytes);
    expect(&mut reader, 4, "version")?;
    let command = reader.u8("command")?;
    if !(1..=2).contains(&command) {
        return Err(ParseError::invalid("command", 1));
    }
    let port = u16::from_be_bytes(reader.array("port")?);
    let address = reader.array::<4>("address")?;
    let user = !text(&mut reader, "user")?.is_empty();
    let host = match address {
        [0, 0, 0, last] if last != 0 => {
            let name = text(&mut reader, "name")?;
            if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                return Err(ParseError::invalid("name", 8));
            }
            String::from_utf8_lossy(name).into_owned()
        }
        _ => Ipv4Addr::from(address).to_string(),
    };
    Ok((Request { command, host, port, user }, reader.position()))
}

/// A reply of SOCKS 4: its code, 90 for success.
pub(super) fn reply_4(bytes: &[u8]) -> Result<(u8, usize), ParseError> {
    let mut reader = Reader::new(bytes);
    expect(&mut reader, 0, "version")?;
    let code = reader.u8("code")?;
    if !(90..=93).contains(&code) {
        return Err(ParseError::invalid("code", 1));
    }
    reader.take(6, "address")?;
    Ok((code, reader.position()))
}

fn expect(reader: &mut Reader<'_>, value: u8, field: &'static str) -> Result<(), ParseError> {
    let offset = reader.position();
    if reader.u8(field)? == value { Ok(()) } else { Err(ParseError::invalid(field, offset)) }
}

/// Bytes up to a zero, which is passed over.
fn text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], ParseError> {
    let rest = reader.peek();
    match rest.iter().position(|byte| *byte == 0) {
        Some(end) if end <= MAX_TEXT => {
            let found = reader.take(end, field)?;
            reader.u8(field)?;
            Ok(found)
        }
        None if rest.len() <= MAX_TEXT => reader.take(rest.len().saturating_add(1), field),
        _ => Err(ParseError::invalid(field, reader.position())),
    }
}
