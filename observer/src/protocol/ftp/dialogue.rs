//! Commands and their replies.

use super::PROTOCOL;
use super::transfer::{self, Agreement, Transfer};
use crate::flow::Direction;
use crate::protocol::awaited::Awaited;
use crate::protocol::dialogue::{Dialogue, Turn, command, mentions, reply, trimmed};
use crate::protocol::login::Exposure;
use crate::protocol::sasl;
use crate::protocol::upgrade::{self, Step};
use crate::protocol::{Context, Progress, property};

/// Commands that are a client's purpose, with the names of its files: transfers, lists, changes ([RFC 959
/// §4.1.3](https://datatracker.ietf.org/doc/html/rfc959#section-4.1.3), RFC 3659).
const PURPOSE: &[&str] = &[
    "RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD", "MLST", "SIZE", "MDTM", "DELE", "RNFR", "MKD",
    "XMKD", "RMD", "XRMD",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Greeting,
    Features,
    StartTls,
    /// `AUTH` with something that is not TLS.
    Auth,
    Passive,
    ExtendedPassive,
    /// The client listens there, if the server agrees.
    Active(Option<Agreement>),
    /// `PROT C` or `PROT P` (RFC 4217 §9).
    Protection(&'static str),
    Other,
}

#[derive(Default)]
pub(super) struct Ftp {
    awaited: Awaited<Pending>,
    /// The code of a reply of several lines that is being read (RFC 959 §4.2).
    inside: Option<u16>,
    offered: bool,
    anonymous: bool,
    /// Whether it has been said that the client went on since the last word on TLS.
    went_on: bool,
}

impl Dialogue for Ftp {
    const NAME: &'static str = PROTOCOL.name;

    fn message(&mut self, direction: Direction, message: &[u8], cx: &mut Context<'_>) -> Turn {
        self.awaited.speak(direction, Pending::Greeting);
        match direction {
            Direction::ToResponder => self.command(message, cx),
            Direction::ToOriginator => self.reply(message, cx),
        }
    }

    fn missing(&mut self, _direction: Direction) {
        self.awaited.lose();
        self.inside = None;
    }
}

impl Ftp {
    fn command(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        let (word, rest) = command(line);
        let mut turn = Turn::Next;
        let pending = match word.as_str() {
            "FEAT" => {
                self.offered = false;
                Pending::Features
            }
            "AUTH" if matches!(command(rest).0.as_str(), "TLS" | "SSL" | "TLS-C" | "TLS-P") => {
                self.say(Step::Requested, cx);
                turn = Turn::Hold;
                Pending::StartTls
            }
            "AUTH" => Pending::Auth,
            "USER" => {
                self.anonymous = rest.eq_ignore_ascii_case(b"anonymous") || rest.eq_ignore_ascii_case(b"ftp");
                upgrade::went_on(PROTOCOL.name, b"USER", cx);
                self.went_on = true;
                Pending::Other
            }
            "PASS" => {
                // An anonymous user's password is an address that nobody checks (RFC 1635).
                let exposure = if self.anonymous { Exposure::Identity } else { Exposure::Secret };
                sasl::say(PROTOCOL.name, "USER/PASS", exposure, cx);
                Pending::Other
            }
            word if PURPOSE.contains(&word) => {
                if !std::mem::replace(&mut self.went_on, true) {
                    upgrade::went_on(PROTOCOL.name, word.as_bytes(), cx);
                }
                Pending::Other
            }
            "PASV" => Pending::Passive,
            "EPSV" => Pending::ExtendedPassive,
            "PORT" => Pending::Active(Agreement::of_port(rest)),
            "EPRT" => Pending::Active(Agreement::of_eprt(rest)),
            "PROT" if rest.eq_ignore_ascii_case(b"C") => Pending::Protection("C"),
            "PROT" if rest.eq_ignore_ascii_case(b"P") => Pending::Protection("P"),
            _ => Pending::Other,
        };
        self.awaited.ask(pending, turn)
    }

    fn reply(&mut self, line: &[u8], cx: &mut Context<'_>) -> Turn {
        let begins = reply(line);
        let (code, more) = match (self.inside, begins) {
            (Some(code), Some((other, false))) if code == other => (code, false),
            (Some(code), _) => (code, true),
            (None, Some(begins)) => begins,
            (None, None) => return self.awaited.no_reply(&Pending::StartTls),
        };
        self.inside = more.then_some(code);
        if self.awaited.next() == Some(&Pending::Features) && begins.is_none() {
            let said = trimmed(line).trim_ascii();
            if !self.offered && (mentions(said, "AUTH TLS") || mentions(said, "AUTH SSL")) {
                self.offered = true;
                self.say(Step::Offered, cx);
            } else if said.starts_with(b"XXXX") {
                property::Fact::say(PROTOCOL.name, "garbled_capability", said, cx);
            }
        }
        // 1xx: another reply follows (RFC 959 §4.2.1).
        if more || code < 200 {
            return Turn::Next;
        }
        let said = trimmed(line).get(4..).unwrap_or_default();
        match self.awaited.answer() {
            Some(Pending::Greeting) => property::Fact::say(PROTOCOL.name, "banner", said, cx),
            Some(Pending::Features) if code == 211 && !self.offered => {
                self.say(Step::NotOffered, cx);
            }
            Some(Pending::StartTls) => {
                self.went_on = false;
                let agreed = code == 234;
                if agreed {
                    say(transfer::Step::Hidden, cx);
                }
                return upgrade::answered(PROTOCOL.name, agreed, cx);
            }
            Some(Pending::Passive) if code == 227 => agree(Agreement::of_pasv(said), cx),
            Some(Pending::ExtendedPassive) if code == 229 => agree(Agreement::of_epsv(said), cx),
            Some(Pending::Active(agreement)) if code == 200 => agree(agreement, cx),
            Some(Pending::Protection(level)) if code == 200 => {
                property::Fact::say(PROTOCOL.name, "data_protection", level.as_bytes(), cx);
            }
            // What follows is wrapped by another mechanism (RFC 2228), which nothing here reads.
            Some(Pending::Auth) if matches!(code, 234 | 334) => return Turn::Stop(Progress::Done),
            _ => {}
        }
        Turn::Next
    }

    /// Says a step towards TLS: what the client does after it has not been said.
    fn say(&mut self, step: Step, cx: &mut Context<'_>) {
        self.went_on = false;
        upgrade::Fact::say(PROTOCOL.name, step, cx);
    }
}

/// Says where a data connection goes, where that could be read.
fn agree(agreement: Option<Agreement>, cx: &mut Context<'_>) {
    if let Some(agreement) = agreement {
        say(transfer::Step::Agreed(agreement), cx);
    }
}

fn say(step: transfer::Step, cx: &mut Context<'_>) {
    let transfer = Transfer { step, frame: cx.frame, at: cx.at, basis: cx.basis };
    cx.transfers.push(transfer);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::decode::Transport;
    use crate::protocol::Fact;
    use crate::protocol::ftp::transfer::Command;
    use crate::protocol::script::{REQUEST, RESPONSE, cut, play, send};

    #[test]
    fn data_connections_are_agreed_on_with_the_reply() {
        let acts = [
            send(RESPONSE, "220 FTP\r\n"),
            send(REQUEST, "USER ftp\r\nPASV\r\nEPSV\r\n"),
            send(RESPONSE, "331 password\r\n227 Entering Passive Mode (192,0,2,2,4,1).\r\n"),
            send(RESPONSE, "229-Entering\r\n229 Extended Passive Mode (|||1026|)\r\n"),
            send(REQUEST, "PORT 192,0,2,1,4,3\r\nEPRT |1|192.0.2.1|1028|\r\n"),
            send(RESPONSE, "500 no\r\n200 yes\r\n"),
        ];
        let [client, server] = [1, 2].map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let expected =
            [(Command::Pasv, server, 1025), (Command::Epsv, None, 1026), (Command::Eprt, client, 1028)]
                .map(|(command, address, port)| transfer::Step::Agreed(Agreement { command, address, port }));
        for size in [1, 7, 4096] {
            let played = play(Transport::Tcp, 21, &cut(&acts, &[size]));
            let steps: Vec<_> = played.transfers.iter().map(|transfer| transfer.step).collect();
            assert_eq!(steps, expected, "pieces of {size} bytes");
        }
    }

    #[test]
    fn what_a_client_goes_on_with_is_said_once_after_each_step() {
        let acts = [
            send(RESPONSE, "220 FTP\r\n"),
            send(REQUEST, "USER ftp\r\nLIST\r\nFEAT\r\n"),
            send(RESPONSE, "331 password\r\n226 done\r\n211-Features:\r\n AUTH TLS\r\n211 End\r\n"),
            send(REQUEST, "PWD\r\nRETR a\r\nSTOR b\r\nQUIT\r\n"),
        ];
        let played = play(Transport::Tcp, 21, &acts);
        let said: Vec<String> = played
            .facts()
            .into_iter()
            .filter_map(|fact| match fact {
                Fact::Upgrade(fact) => Some(format!("{:?}", fact.step)),
                Fact::Property(fact) if fact.name == upgrade::WENT_ON => Some(fact.value.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(said, ["USER", "Offered", "RETR"]);
    }

    #[test]
    fn tls_hides_what_follows() {
        let acts = [
            send(RESPONSE, "220 FTP\r\n"),
            send(REQUEST, "AUTH TLS\r\n"),
            send(RESPONSE, "234 go\r\n"),
            send(REQUEST, [0x16, 3, 1, 0, 4, 1, 0, 0, 0]),
        ];
        let played = play(Transport::Tcp, 21, &acts);
        let steps: Vec<_> = played.transfers.iter().map(|transfer| (transfer.step, transfer.frame)).collect();
        assert_eq!(steps, [(transfer::Step::Hidden, 3)]);
    }
}
