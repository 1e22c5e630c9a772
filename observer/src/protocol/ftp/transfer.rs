//! Where data connections will be, as client and server agree on it: PASV and PORT ([RFC 959
//! §3.2](https://datatracker.ietf.org/doc/html/rfc959#section-3.2)), EPSV and EPRT ([RFC
//! 2428](https://datatracker.ietf.org/doc/html/rfc2428)).

use std::net::{IpAddr, Ipv4Addr};

use crate::observation::Basis;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// What a control connection says of the data connections beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// What is known.
    pub step: Step,
    /// The frame that said so.
    pub frame: FrameNumber,
    /// When that was captured.
    pub at: Timestamp,
    /// How it was read.
    pub basis: Basis,
}

/// A step of [`Transfer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The peers agreed on where the next data connection goes.
    Agreed(Agreement),
    /// The control connection changes to TLS (RFC 4217): what it agrees on from here is hidden.
    Hidden,
}

/// Where a data connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The command by which it was agreed on.
    pub command: Command,
    /// The address that was said; `None` where it is that of the control connection.
    pub address: Option<IpAddr>,
    /// The port, above 0.
    pub port: u16,
}

/// The commands that lead to data connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `PASV`: the client connects to the server's IPv4 address.
    Pasv,
    /// `EPSV`: the client connects to the control connection's address.
    Epsv,
    /// `PORT`: the server connects to the client's IPv4 address.
    Port,
    /// `EPRT`: the server connects to the client's address.
    Eprt,
}

impl Command {
    /// As the protocol writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pasv => "PASV",
            Self::Epsv => "EPSV",
            Self::Port => "PORT",
            Self::Eprt => "EPRT",
        }
    }

    /// Whether the client connects; otherwise the server does.
    #[must_use]
    pub fn is_passive(self) -> bool {
        matches!(self, Self::Pasv | Self::Epsv)
    }
}

impl Agreement {
    /// The text of reply 227: six numbers, with brackets around or without (RFC 1123 §4.1.2.6).
    pub(super) fn of_pasv(text: &[u8]) -> Option<Self> {
        let starts = text.iter().position(u8::is_ascii_digit)?;
        let numbers = text.get(starts..)?;
        let within = |byte: &u8| byte.is_ascii_digit() || *byte == b',';
        let end = numbers.iter().position(|byte| !within(byte)).unwrap_or(numbers.len());
        Self::of_numbers(Command::Pasv, numbers.get(..end)?)
    }

    /// The text of reply 229: `(|||port|)`, with any delimiter (RFC 2428 §3).
    pub(super) fn of_epsv(text: &[u8]) -> Option<Self> {
        let opens = text.iter().rposition(|byte| *byte == b'(')?;
        let [delimiter, rest @ ..] = text.get(opens.saturating_add(1)..)? else { return None };
        let mut fields = rest.split(|byte| byte == delimiter);
        let (network, address, port) = (fields.next()?, fields.next()?, fields.next()?);
        let empty = network.is_empty() && address.is_empty();
        let port = number(port).filter(|port| empty && *port > 0)?;
        Some(Self { command: Command::Epsv, address: None, port })
    }

    /// The argument of PORT.
    pub(super) fn of_port(argument: &[u8]) -> Option<Self> {
        Self::of_numbers(Command::Port, argument)
    }

    /// The argument of EPRT: `|1|192.0.2.1|6275|`, with any delimiter (RFC 2428 §2).
    pub(super) fn of_eprt(argument: &[u8]) -> Option<Self> {
        let [delimiter, rest @ ..] = argument else { return None };
        let mut fields = rest.split(|byte| byte == delimiter);
        let (_network, address, port) = (fields.next()?, fields.next()?, fields.next()?);
        let address = std::str::from_utf8(address).ok()?.parse().ok()?;
        let port = number(port).filter(|port| *port > 0)?;
        Some(Self { command: Command::Eprt, address: Some(address), port })
    }

    /// `h1,h2,h3,h4,p1,p2`.
    fn of_numbers(command: Command, text: &[u8]) -> Option<Self> {
        let mut numbers = text.split(|byte| *byte == b',').map(|one| u8::try_from(number(one)?).ok());
        let mut next = || numbers.next().flatten();
        let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
        let port = u16::from_be_bytes([next()?, next()?]);
        let whole = numbers.next().is_none() && port > 0;
        whole.then_some(Self { command, address: Some(address.into()), port })
    }
}

/// A number without a sign.
fn number(text: &[u8]) -> Option<u16> {
    let digits = text.trim_ascii();
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to(command: Command, address: Option<[u8; 4]>, port: u16) -> Option<Agreement> {
        Some(Agreement { command, address: address.map(IpAddr::from), port })
    }

    #[test]
    fn replies_to_pasv() {
        let expected = to(Command::Pasv, Some([192, 0, 2, 7]), 50_001);
        let whole = b"Entering Passive Mode (192,0,2,7,195,81).";
        assert_eq!(Agreement::of_pasv(whole), expected);
        assert_eq!(Agreement::of_pasv(b"Entering Passive Mode 192,0,2,7,195,81"), expected);
        assert_eq!(Agreement::of_pasv(b"(192,0,2,7,195)"), None);
        assert_eq!(Agreement::of_pasv(b"(192,0,2,7,195,256)"), None);
        assert_eq!(Agreement::of_pasv(b"(192,0,2,7,0,0)"), None);
        assert_eq!(Agreement::of_pasv(b"ok"), None);
    }

    #[test]
    fn replies_to_epsv() {
        let expected = to(Command::Epsv, None, 6446);
        assert_eq!(Agreement::of_epsv(b"Entering Extended Passive Mode (|||6446|)"), expected);
        assert_eq!(Agreement::of_epsv(b"Entering Extended Passive Mode (!!!6446!)."), expected);
        assert_eq!(Agreement::of_epsv(b"(|1|192.0.2.1|6446|)"), None);
        assert_eq!(Agreement::of_epsv(b"(|||+6446|)"), None);
        assert_eq!(Agreement::of_epsv(b"("), None);
    }

    #[test]
    fn ports_that_clients_listen_on() {
        assert_eq!(Agreement::of_port(b"10,0,0,1,4,1"), to(Command::Port, Some([10, 0, 0, 1]), 1025));
        assert_eq!(Agreement::of_port(b"10,0,0,1,4,1,1"), None);
        assert_eq!(Agreement::of_eprt(b"|1|10.0.0.1|1025|"), to(Command::Eprt, Some([10, 0, 0, 1]), 1025));
        let six = Agreement { command: Command::Eprt, address: "2001:db8::1".parse().ok(), port: 5282 };
        assert_eq!(Agreement::of_eprt(b"|2|2001:db8::1|5282|"), Some(six));
        assert_eq!(Agreement::of_eprt(b"|2|2001:db8::1|"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            for read in [Agreement::of_pasv, Agreement::of_epsv, Agreement::of_port, Agreement::of_eprt] {
                prop_assert!(read(&text).is_none_or(|agreement| agreement.port > 0));
            }
        }
    }
}
