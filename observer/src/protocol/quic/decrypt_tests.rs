//! Decryption of recorded connections whose secrets are in the file.

use proptest::prelude::*;

use super::frame::{Frame, Frames};
use super::keys::Keys;
use super::packet::{Packet, next};
use super::version::Version;
use crate::decode::Transport;
use crate::flow::Direction;
use crate::observation::Basis;
use crate::protocol::script::{Act, Played, datagrams, play_with, secrets, send};
use crate::protocol::tls::{ClientCertificate, Ech, Fact, KeyLog, Role, Session, Undecrypted};
use crate::protocol::{self, quic};

const SUITES: &str = "decryption/quic-suites.pcapng";
const UPDATES: &str = "decryption/quic-key-updates.pcapng";
const MUTUAL: &str = "decryption/quic-mutual.pcapng";
const ALL: &[&str] =
    &[SUITES, UPDATES, MUTUAL, "decryption/quic-retry.pcapng", "decryption/quic-zero-rtt.pcapng"];

fn played(acts: &[Act], secrets: &KeyLog, from: usize) -> Played {
    play_with(Transport::Udp, 443, acts, secrets, from)
}

/// What was read with the key log, without frames.
fn decrypted(played: &Played) -> Vec<String> {
    let facts = played.observations.iter().filter(|observation| observation.basis == Basis::Decrypted);
    let mut said: Vec<_> = facts.map(|observation| format!("{:?}", observation.fact)).collect();
    // What was held of one level may wait longer than what was of another.
    said.sort_unstable();
    said
}

fn undecrypted(played: &Played) -> Vec<Undecrypted> {
    let facts = played.facts().into_iter();
    facts
        .filter_map(|fact| match fact {
            protocol::Fact::Tls(Fact::Undecrypted { reason, .. }) => Some(*reason),
            _ => None,
        })
        .collect()
}

fn session(played: &Played) -> Box<Session> {
    Session::fold(&played.observations).unwrap()
}

fn closes(played: &Played) -> bool {
    let close = quic::Connection::fold(&played.observations).and_then(|connection| connection.close);
    close.is_some_and(|close| close.basis == Basis::Decrypted && close.value.application)
}

#[test]
fn connections_are_decrypted_to_the_end() {
    for name in ALL {
        let log = secrets(name);
        for flow in datagrams(name) {
            let played = played(&flow, &log, 0);
            assert_eq!(undecrypted(&played), [], "{name}");
            assert!(closes(&played), "{name}");
            let tls = session(&played);
            assert_eq!(tls.alpn(), Some("h3"), "{name}");
            assert!(tls.client_decrypted.is_some() && tls.server_decrypted.is_some(), "{name}");
            assert_eq!(tls.server_chain.is_some(), !tls.resumed, "{name}");
        }
    }
}

#[test]
fn what_became_of_the_client_s_certificate_is_read() {
    let log = secrets(MUTUAL);
    let states: Vec<_> =
        datagrams(MUTUAL).iter().map(|flow| session(&played(flow, &log, 0)).client_certificate()).collect();
    use ClientCertificate::{Declined, NotRequested, Sent};
    assert_eq!(states, [Sent, Declined, NotRequested]);
}

#[test]
fn secrets_that_come_late_say_the_same() {
    for name in ALL {
        let log = secrets(name);
        for flow in datagrams(name) {
            let at_once = decrypted(&played(&flow, &log, 0));
            for from in 1..flow.len() {
                assert_eq!(decrypted(&played(&flow, &log, from)), at_once, "{name} from act {from}");
            }
        }
    }
}

#[test]
fn without_its_secret_nothing_is_read_and_that_is_said() {
    let other = secrets(MUTUAL);
    for flow in datagrams(SUITES) {
        for (log, from) in [(&other, 0), (&KeyLog::default(), 1000)] {
            let played = played(&flow, log, from);
            assert_eq!(decrypted(&played), [""; 0]);
            assert_eq!(undecrypted(&played), [Undecrypted::Secret]);
        }
        let silent = played(&flow, &KeyLog::default(), 0);
        assert_eq!(undecrypted(&silent), []);
    }
}

/// Packets open by themselves: what is missing hides nothing but its own content.
#[test]
fn what_follows_a_lost_datagram_is_read() {
    let log = secrets(UPDATES);
    let flow = datagrams(UPDATES).remove(0);
    let last = flow.len() - 1;
    // Behind the handshake.
    for lost in 7..last {
        let mut rest = flow.clone();
        rest.remove(lost);
        let played = played(&rest, &log, 0);
        assert!(closes(&played) && undecrypted(&played).is_empty(), "without {lost}");
    }
}

#[test]
fn datagrams_in_another_order_say_the_same() {
    let log = secrets(UPDATES);
    let flow = datagrams(UPDATES).remove(0);
    let whole = decrypted(&played(&flow, &log, 0));
    for place in 5..flow.len() - 2 {
        let mut turned = flow.clone();
        turned.swap(place, place + 1);
        assert_eq!(decrypted(&played(&turned, &log, 0)), whole, "{place}");
    }
}

#[test]
fn a_packet_that_was_changed_is_passed_over_and_so_is_a_reset() {
    let log = secrets(UPDATES);
    let mut flow = datagrams(UPDATES).remove(0);
    let place = flow.len() - 3;
    let Act::Bytes(direction, bytes) = &mut flow[place] else { panic!("bytes") };
    *bytes.last_mut().unwrap() ^= 1;
    let reset = send(*direction, [0x5a; 40]);
    flow.insert(place, reset);
    let played = played(&flow, &log, 0);
    assert!(closes(&played) && undecrypted(&played).is_empty());
}

#[test]
fn secrets_that_do_not_fit_are_told() {
    let flow = datagrams(UPDATES).remove(0);
    // The secrets of the same session, each in the place of another.
    let path = observer_captures::path(UPDATES);
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let mut lines = String::new();
    for line in text.lines().filter(|line| line.contains("_SECRET") && line.is_ascii()) {
        let from = line.find("CLIENT_").into_iter().chain(line.find("SERVER_")).min().unwrap();
        let line = line[from..].trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        let turned = match line.split_at(7) {
            ("CLIENT_", rest) => format!("SERVER_{rest}\n"),
            (_, rest) => format!("CLIENT_{rest}\n"),
        };
        lines.push_str(&turned);
    }
    let mut log = KeyLog::default();
    log.read(lines.as_bytes());
    assert_eq!(log.sessions(), 1, "{lines}");
    let played = played(&flow, &log, 0);
    assert_eq!(decrypted(&played), [""; 0]);
    assert_eq!(undecrypted(&played), [Undecrypted::Tag, Undecrypted::Tag]);
}

/// The connection of a flow, whose ClientHello offers Encrypted Client Hello, too: no stack that is recorded here does.
fn with_ech(mut flow: Vec<Act>) -> Vec<Act> {
    let Act::Bytes(_, datagram) = &mut flow[0] else { panic!("bytes") };
    let Ok(Some(Packet::Numbered(packet))) = next(&mut datagram.as_slice()) else { panic!("no packet") };
    let (destination, source) = (packet.header.destination, packet.header.source);
    let mut keys = Keys::derive(Version::V1.scheme().unwrap(), destination).unwrap();
    let mut buffer = Vec::new();
    let payload = keys.open(Role::Client, &packet, &mut buffer).unwrap();
    let payload = buffer[payload].to_vec();
    let hello = Frames::new(&payload, false).find_map(|frame| match frame {
        Frame::Crypto { bytes, .. } => Some(bytes.to_vec()),
        _ => None,
    });
    let mut hello = hello.unwrap();
    let ech = [0xfe, 0x0d, 0, 10, 0, 0, 1, 0, 1, 7, 0, 0, 0, 0];
    hello.extend(ech);
    // The lengths of the message and of its extensions.
    let more = u16::try_from(ech.len()).unwrap();
    let suites = 39 + usize::from(hello[38]);
    let methods = suites + 2 + usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
    for place in [2, methods + 1 + usize::from(hello[methods])] {
        let len = u16::from_be_bytes([hello[place], hello[place + 1]]) + more;
        hello[place..place + 2].copy_from_slice(&len.to_be_bytes());
    }
    let two = |len: usize| (u16::try_from(len).unwrap() | 0x4000).to_be_bytes();
    let mut frames = [&[6, 0][..], &two(hello.len()), &hello].concat();
    frames.resize(frames.len().max(1150), 0);
    let mut header = vec![0xc3, 0, 0, 0, 1];
    for id in [destination, source] {
        header.push(u8::try_from(id.len()).unwrap());
        header.extend(id);
    }
    header.push(0);
    header.extend(two(frames.len() + 4 + 16));
    header.extend([0; 4]);
    let sealed = keys.seal(Role::Client, &header, &frames);
    flow[0] = send(Direction::ToResponder, sealed);
    flow
}

/// The secrets of a capture, each session's under another random than its own.
fn renamed(name: &str) -> KeyLog {
    let bytes = std::fs::read(observer_captures::path(name)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let mut log = KeyLog::default();
    for line in text.lines().filter(|line| line.contains("_TRAFFIC_SECRET")) {
        let line = line[line.find("CLIENT_").or(line.find("SERVER_")).unwrap()..].to_owned();
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        words[1] = words[1].chars().rev().collect();
        log.read(words.join(" ").as_bytes());
    }
    log
}

#[test]
fn secrets_of_an_inner_client_hello_are_found() {
    let log = renamed(SUITES);
    assert_eq!(log.sessions(), 3);
    for flow in datagrams(SUITES) {
        let open = played(&flow, &log, 0);
        assert_eq!((decrypted(&open), undecrypted(&open)), (vec![], vec![Undecrypted::Secret]));
        let flow = with_ech(flow);
        let hidden = played(&flow, &log, 0);
        assert!(closes(&hidden) && undecrypted(&hidden).is_empty(), "{:?}", undecrypted(&hidden));
        let tls = session(&hidden);
        assert_eq!(tls.ech, Ech::Accepted);
        assert!(tls.client_decrypted.is_some() && tls.server_decrypted.is_some());
        let at_once = decrypted(&hidden);
        for from in 1..flow.len() {
            assert_eq!(decrypted(&played(&flow, &log, from)), at_once, "from act {from}");
        }
        // Those of others open nothing.
        let other = played(&flow, &renamed(MUTUAL), 0);
        assert_eq!((decrypted(&other), undecrypted(&other)), (vec![], vec![Undecrypted::Secret]));
        assert_eq!(session(&other).ech, Ech::Unknown);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nothing_that_comes_panics(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..20),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4),
        from in 0_usize..12,
    ) {
        let log = secrets(UPDATES);
        let mut flow = datagrams(UPDATES).remove(0);
        for (act, place, value) in damage {
            if let Act::Bytes(_, bytes) = &mut flow[act.index(18)] {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
        }
        for (act, len) in cuts {
            let act = act.index(flow.len());
            if let Act::Bytes(_, bytes) = &mut flow[act] {
                bytes.truncate(1 + len.index(bytes.len()));
            }
        }
        played(&flow, &log, from);
    }
}
