//! Decryption of recorded connections whose secrets are in the file.

use proptest::prelude::*;

use crate::decode::Transport;
use crate::observation::Basis;
use crate::protocol::script::{Act, Played, datagrams, play_with, secrets, send};
use crate::protocol::tls::{ClientCertificate, Fact, KeyLog, Session, Undecrypted};
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
