//! FTP's control connection ([RFC 959](https://datatracker.ietf.org/doc/html/rfc959), [RFC
//! 4217](https://datatracker.ietf.org/doc/html/rfc4217) AUTH TLS).
//!
//! Data connections are flows of their own. Where client and server agreed on one in sight ([`transfer`]), the pipeline names
//! it `ftp-data`, whatever is in its files; under TLS it is `ftp-data` within. Where the control connection is under TLS,
//! that a flow carries its data is concluded, and said as a property alone.

mod dialogue;
pub mod transfer;

use super::dialogue::{Talk, command, first_line, is_text, may_reply, mentions, reply};
use super::{Analyzer, Probe, ProbeInput, Protocol, Worth};
use crate::decode::Transport;
use crate::flow::Direction;

/// FTP in the registry.
pub static PROTOCOL: Protocol = Protocol {
    name: "ftp",
    transports: &[Transport::Tcp],
    worth: Worth::Cleartext,
    probe,
    analyzer,
    views: "",
};

/// The layer of data connections. Nobody's bytes: what is transferred can be anything.
pub const DATA_LAYER: &str = "ftp-data";

/// The port that decides what a greeting without a word of its own is.
const PORT: u16 = 21;

fn probe(input: &ProbeInput<'_>) -> Probe {
    let (line, whole) = first_line(input.bytes);
    if line.len() > 512 || !is_text(line) {
        return Probe::NoMatch;
    }
    match input.direction {
        Direction::ToOriginator => greeting(line, whole, input),
        Direction::ToResponder => {
            let greeted = matches!(reply(first_line(input.other).0), Some((220 | 234, _)));
            match whole {
                true if greeted && is_first_command(line) => Probe::Match,
                true if input.midstream && is_command_of_ftp_alone(line) => Probe::Match,
                true if input.other.is_empty() && is_first_command(line) => Probe::NeedMore,
                true => Probe::NoMatch,
                false => Probe::NeedMore,
            }
        }
    }
}

fn greeting(line: &[u8], whole: bool, input: &ProbeInput<'_>) -> Probe {
    if !may_reply(line, &[b"220", b"421", b"530"]) {
        return Probe::NoMatch;
    }
    if !whole {
        return Probe::NeedMore;
    }
    // A mail server may be called ftp.example, and no file server says SMTP.
    if mentions(line, "smtp") || mentions(line, "lmtp") {
        return Probe::NoMatch;
    }
    if mentions(line, "ftp") {
        return Probe::Match;
    }
    let asked = is_first_command(first_line(input.other).0);
    let by_port = input.port == PORT && !input.midstream;
    match reply(line) {
        Some((220, _)) if asked || by_port => Probe::Match,
        Some((220, _)) => Probe::NeedMore,
        Some((421 | 530, _)) if by_port => Probe::Match,
        _ => Probe::NoMatch,
    }
}

/// Commands that a client may begin with, behind a greeting that SMTP has, too.
fn is_first_command(line: &[u8]) -> bool {
    let (word, rest) = command(line);
    match word.as_str() {
        "USER" | "HOST" | "CLNT" | "OPTS" => !rest.is_empty(),
        "FEAT" | "SYST" => rest.is_empty(),
        "AUTH" => {
            matches!(command(rest).0.as_str(), "TLS" | "SSL" | "TLS-C" | "TLS-P" | "GSSAPI")
        }
        _ => false,
    }
}

fn is_command_of_ftp_alone(line: &[u8]) -> bool {
    let (word, rest) = command(line);
    match word.as_str() {
        "PASV" | "EPSV" => rest.is_empty(),
        "TYPE" => matches!(rest, b"A" | b"I"),
        "PORT" => rest.split(|byte| *byte == b',').count() == 6,
        _ => false,
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Talk::<dialogue::Ftp>::boxed()
}
