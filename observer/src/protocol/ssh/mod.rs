//! SSH ([RFC 4253](https://datatracker.ietf.org/doc/html/rfc4253)): who speaks, and on which algorithms the peers agree.
//!
//! Both identification lines and both KEXINIT messages are read; everything behind them is encrypted. Lines that a server
//! sends before its identification are not recognised as SSH; the client's line is then.

use super::pending::{Messages, Pending, Step};
use super::{Analyzer, Context, Fact, Probe, ProbeInput, Progress, Protocol, Worth, property};
use crate::bytes::{ParseError, Reader};
use crate::decode::Transport;
use crate::flow::{Data, Direction};

/// The name of its layer.
const NAME: &str = "ssh";

/// SSH in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: NAME, transports: &[Transport::Tcp], worth: Worth::Opaque, probe, analyzer, views: "" };

/// How identifications begin (RFC 4253 §4.2, §5.1): 1.99 speaks both versions.
const STARTS: [&[u8]; 3] = [b"SSH-2.0-", b"SSH-1.99-", b"SSH-1.5-"];
/// Bytes of a packet that every implementation takes (RFC 4253 §6.1).
const MAX_PACKET: usize = 35_000;
/// Bytes of an identification, its end included (RFC 4253 §4.2).
const MAX_IDENTIFICATION: usize = 255;
/// The number of SSH_MSG_KEXINIT (RFC 4253 §12).
const KEXINIT: u8 = 20;
/// The lists of a KEXINIT that are looked at, in order, by the name under which their outcome is said.
const LISTS: [&str; 4] = ["key_exchange", "host_key", "cipher_to_server", "cipher_to_client"];

fn probe(input: &ProbeInput<'_>) -> Probe {
    let begins = |start: &&[u8]| input.bytes.starts_with(start);
    if STARTS.iter().any(begins) {
        Probe::Match
    } else if STARTS.iter().any(|start| start.starts_with(input.bytes)) {
        Probe::NeedMore
    } else {
        Probe::NoMatch
    }
}

fn analyzer() -> Box<dyn Analyzer> {
    Box::new(Ssh::default())
}

#[derive(Default)]
struct Ssh {
    pending: Pending,
    handshake: Handshake,
}

impl Analyzer for Ssh {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        match self.pending.feed(data, &mut self.handshake, cx) {
            // One direction has nothing more to say; the other may.
            Progress::NeedMore if self.handshake.over() => Progress::Done,
            progress => progress,
        }
    }
}

/// What both sides have said.
#[derive(Default)]
struct Handshake {
    identified: [bool; 2],
    offers: [Option<[String; LISTS.len()]>; 2],
}

impl Handshake {
    fn over(&self) -> bool {
        self.offers.iter().all(Option::is_some)
    }

    /// The first of the client's names that the server has, too (RFC 4253 §7.1).
    fn agree(&self, cx: &mut Context<'_>) {
        let [Some(client), Some(server)] = &self.offers else { return };
        for (name, (client, server)) in LISTS.iter().zip(client.iter().zip(server)) {
            let chosen = client.split(',').find(|one| server.split(',').any(|other| other == *one));
            if let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) {
                say(name, chosen, cx);
            }
        }
    }

    fn identification(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Step, ParseError> {
        let within = bytes.get(..MAX_IDENTIFICATION).unwrap_or(bytes);
        let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
            let long = within.len() == MAX_IDENTIFICATION;
            return if long { Err(ParseError::invalid("identification", 0)) } else { Ok(Step::Wait) };
        };
        let line = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
        if let Some((version, software)) =
            line.trim_end().strip_prefix("SSH-").and_then(|rest| rest.split_once('-'))
        {
            let (side, speaks) = match direction {
                Direction::ToResponder => ("client_software", "client_version"),
                Direction::ToOriginator => ("server_software", "server_version"),
            };
            say(speaks, version, cx);
            say(side, software, cx);
            if let Some(identified) = self.identified.get_mut(direction.index()) {
                *identified = true;
            }
            if version == "1.5" {
                return Ok(Step::Stop);
            }
        }
        Ok(Step::Took(end.saturating_add(1)))
    }
}

impl Messages for Handshake {
    const LIMIT: usize = MAX_PACKET;

    fn message(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Step, ParseError> {
        let index = direction.index();
        if !self.identified.get(index).is_some_and(|identified| *identified) {
            return self.identification(direction, bytes, cx);
        }
        if self.offers.get(index).is_some_and(Option::is_some) {
            return Ok(if self.over() { Step::Stop } else { Step::Took(bytes.len()) });
        }
        let mut reader = Reader::new(bytes);
        let Ok(length) = reader.u32("packet length") else { return Ok(Step::Wait) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(12..=MAX_PACKET).contains(&length) {
            return Err(ParseError::invalid("packet length", 0));
        }
        let Ok(mut packet) = reader.sub(length, "packet") else { return Ok(Step::Wait) };
        packet.u8("padding length")?;
        if packet.u8("message")? == KEXINIT {
            packet.take(16, "cookie")?;
            let mut lists = <[String; LISTS.len()]>::default();
            for list in &mut lists {
                let length = usize::try_from(packet.u32("list length")?).unwrap_or(usize::MAX);
                *list = String::from_utf8_lossy(packet.take(length, "list")?).into_owned();
            }
            if let Some(offer) = self.offers.get_mut(index) {
                *offer = Some(lists);
            }
            self.agree(cx);
        }
        Ok(Step::Took(reader.position()))
    }
}

fn say(name: &'static str, value: &str, cx: &mut Context<'_>) {
    cx.say(Fact::Property(Box::new(property::Fact::new(NAME, name, value))));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::script::{Act, REQUEST, RESPONSE, cut, play, send, sizes};

    fn kexinit(lists: [&str; 4]) -> Vec<u8> {
        let mut body = vec![6, KEXINIT];
        body.extend([0x11; 16]);
        for list in lists.into_iter().chain([""; 6]) {
            body.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
            body.extend(list.as_bytes());
        }
        body.extend([0; 11]);
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
    }

    fn session() -> Vec<Act> {
        let client = kexinit(["sntrup761,curve25519-sha256", "ssh-ed25519", "aes128-ctr,aes256-gcm", "a,b"]);
        let server = kexinit(["curve25519-sha256", "rsa-sha2-256,ssh-ed25519", "aes256-gcm", "b,a"]);
        vec![
            send(RESPONSE, "SSH-2.0-OpenSSH_9.6 Debian\r\n"),
            send(REQUEST, "SSH-2.0-dropbear_2024\r\n"),
            send(REQUEST, client),
            send(RESPONSE, server),
            send(REQUEST, [0xd5; 100]),
        ]
    }

    #[test]
    fn software_and_chosen_algorithms_are_said() {
        let played = play(Transport::Tcp, 22, &session());
        assert_eq!((played.layers.as_slice(), played.done), (["ssh"].as_slice(), Some(4)));
        let said = played.said();
        for value in [
            "OpenSSH_9.6 Debian",
            "dropbear_2024",
            "\"curve25519-sha256\"",
            "ssh-ed25519",
            "aes256-gcm",
            "\"a\"",
        ] {
            assert!(said.contains(value), "{value}: {said}");
        }
        assert_eq!(played.facts().len(), 8);
    }

    #[test]
    fn other_lines_are_not_ssh() {
        for line in ["SSH-3.0-x\r\n", "SSHD is here\r\n", "SSH"] {
            assert_eq!(play(Transport::Tcp, 22, &[send(RESPONSE, line)]).layers, ["unknown"], "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_split_says_the_same(sizes in sizes()) {
            let whole = play(Transport::Tcp, 22, &session());
            prop_assert_eq!(play(Transport::Tcp, 22, &cut(&session(), &sizes)).said(), whole.said());
        }
    }
}
