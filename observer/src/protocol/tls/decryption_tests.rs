//! Decryption of recorded sessions whose secrets are in the file.

use proptest::prelude::*;

use super::tests::recorded;
use super::{Ech, Fact, KeyLog, Session, Undecrypted};
use crate::decode::Transport;
use crate::flow::FlowLimits;
use crate::observation::Basis;
use crate::protocol;
use crate::protocol::script::{Act, Played, RESPONSE, cut, play_with, secrets, sizes};

const SUITES: &[&str] = &["decryption/tls12-suites.pcapng", "decryption/tls13-suites.pcapng"];
const TURNS: &str = "decryption/tls13-turns.pcapng";
/// Encrypted Client Hello accepted, for show, and accepted after a HelloRetryRequest.
const ECH: &str = "decryption/tls13-ech.pcapng";

fn played(acts: &[Act], secrets: &KeyLog, from: usize) -> Played {
    play_with(Transport::Tcp, 443, acts, secrets, from)
}

/// What was read with the key log, without frames.
fn decrypted(played: &Played) -> Vec<String> {
    let facts = played.observations.iter().filter(|observation| observation.basis == Basis::Decrypted);
    let mut said: Vec<_> = facts.map(|observation| format!("{:?}", observation.fact)).collect();
    // What was held is handed to the layer within at once, behind what TLS itself says.
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

#[test]
fn every_suite_is_decrypted_to_the_end() {
    for name in SUITES.iter().chain([&TURNS, &ECH]) {
        let log = secrets(name);
        for flow in recorded(name) {
            let played = played(&flow, &log, 0);
            assert_eq!(played.layers, ["tls", "http"], "{name}");
            assert_eq!(undecrypted(&played), [], "{name}");
            assert!(played.said().contains("close_notify") || played.said().contains("description: Some(0)"));
        }
    }
}

/// The layer within is told of the flow's end, too, and says what it has not said yet.
#[test]
fn what_is_said_at_the_end_was_decrypted_like_the_rest() {
    let log = secrets(TURNS);
    let inside = |fact: &protocol::Fact| {
        matches!(fact, protocol::Fact::Http1(_) | protocol::Fact::Unrecognised(_) | protocol::Fact::Login(_))
    };
    let mut last_words = 0;
    for flow in recorded(TURNS) {
        let pieces = cut(&flow, &[40]);
        for end in (1..pieces.len()).rev().take(60) {
            let played = played(&pieces[..end], &log, 0);
            let said: Vec<_> = played.observations.iter().filter(|seen| inside(&seen.fact)).collect();
            assert!(said.iter().all(|seen| seen.basis == Basis::Decrypted), "{said:?}");
            last_words += said.len();
        }
    }
    assert!(last_words > 0);
}

#[test]
fn secrets_that_come_late_say_the_same() {
    let log = secrets(TURNS);
    for flow in recorded(TURNS) {
        let at_once = decrypted(&played(&flow, &log, 0));
        for from in 1..flow.len() {
            assert_eq!(decrypted(&played(&flow, &log, from)), at_once, "from act {from}");
        }
    }
}

#[test]
fn without_its_secret_nothing_is_read_and_that_is_said() {
    let other = secrets("decryption/tls13-mutual.pcapng");
    for flow in recorded(TURNS) {
        for (log, from) in [(&other, 0), (&KeyLog::default(), 1000)] {
            let played = played(&flow, log, from);
            assert_eq!(decrypted(&played), [""; 0]);
            assert_eq!(undecrypted(&played), [Undecrypted::Secret]);
        }
    }
}

#[test]
fn what_follows_a_gap_is_not_read() {
    let log = secrets(SUITES[1]);
    let mut flow = recorded(SUITES[1]).remove(0);
    let place = flow.len() - 2;
    let Act::Bytes(direction, bytes) = flow[place].clone() else { panic!("bytes") };
    flow[place] = Act::Missing(direction, u64::try_from(bytes.len()).unwrap());
    assert_eq!(undecrypted(&played(&flow, &log, 0)), [Undecrypted::Gap]);
}

#[test]
fn a_session_without_its_server_hello_lacks_no_secret() {
    let log = secrets(SUITES[1]);
    let mut flow = recorded(SUITES[1]).remove(0);
    let of_server = |act: &Act| matches!(act, Act::Bytes(RESPONSE, _));
    let place = flow.iter().position(of_server).unwrap();
    let Act::Bytes(direction, bytes) = flow[place].clone() else { panic!("bytes") };
    flow[place] = Act::Missing(direction, u64::try_from(bytes.len()).unwrap());
    assert_eq!(undecrypted(&played(&flow, &log, 0)), [Undecrypted::Hello]);
    // Where the secret is missing, too, that is what is said.
    let other = secrets("decryption/tls13-mutual.pcapng");
    assert_eq!(undecrypted(&played(&flow, &other, 0)), [Undecrypted::Secret]);
}

#[test]
fn a_record_that_was_changed_ends_it() {
    let log = secrets(SUITES[1]);
    let mut flow = recorded(SUITES[1]).remove(0);
    let place = flow.len() - 1;
    let Act::Bytes(_, bytes) = &mut flow[place] else { panic!("bytes") };
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(undecrypted(&played(&flow, &log, 0)), [Undecrypted::Tag]);
}

/// The sessions of a capture, each in a key log of its own.
fn sessions(name: &str) -> Vec<KeyLog> {
    let bytes = std::fs::read(observer_captures::path(name)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let mut logs: Vec<(String, KeyLog)> = Vec::new();
    for line in text.split(['\n', '\0']).filter(|line| line.contains("_TRAFFIC_SECRET")) {
        let random = line.split(' ').nth(1).unwrap();
        if logs.last().is_none_or(|(last, _)| last != random) {
            logs.push((random.to_owned(), KeyLog::default()));
        }
        logs.last_mut().unwrap().1.read(line.as_bytes());
    }
    logs.into_iter().map(|(_, log)| log).collect()
}

fn accepted(played: &Played) -> bool {
    played.said().contains("EchAccepted")
}

fn secret(random: [u8; 32], secret: [u8; 32]) -> String {
    let hex = |bytes| data_encoding::HEXLOWER.encode(bytes);
    format!("SERVER_HANDSHAKE_TRAFFIC_SECRET {} {}\n", hex(&random), hex(&secret))
}

#[test]
fn secrets_of_an_inner_client_hello_are_found() {
    let log = secrets(ECH);
    for (flow, inner) in recorded(ECH).iter().zip([true, false, true]) {
        let played = played(flow, &log, 0);
        assert_eq!(played.layers, ["tls", "http"]);
        assert_eq!(undecrypted(&played), []);
        assert_eq!(accepted(&played), inner);
        let session = Session::fold(&played.observations).unwrap();
        assert_eq!(session.ech, if inner { Ech::Accepted } else { Ech::Unknown });
        assert_eq!(session.ech_accepted.is_some(), inner);
        assert!(session.server_chain.is_some_and(|chain| chain.basis == Basis::Decrypted));
        assert!(session.client_decrypted.is_some() && session.server_decrypted.is_some());
    }
}

#[test]
fn those_that_come_late_are_found_as_well() {
    let log = secrets(ECH);
    for flow in recorded(ECH) {
        let at_once = decrypted(&played(&flow, &log, 0));
        for from in 1..flow.len() {
            assert_eq!(decrypted(&played(&flow, &log, from)), at_once, "from act {from}");
            // A key log that grows to the end, too.
            let mut growing = log.clone();
            growing.set_growing(true);
            assert_eq!(decrypted(&played(&flow, &growing, from)), at_once, "from act {from}");
        }
    }
}

#[test]
fn only_its_own_secrets_open_a_session() {
    for (place, flow) in recorded(ECH).iter().enumerate() {
        for (of, log) in sessions(ECH).iter().enumerate() {
            assert_eq!(log.sessions(), 1);
            let played = played(flow, log, 0);
            if of == place {
                assert_eq!(undecrypted(&played), []);
            } else {
                assert_eq!(decrypted(&played), [""; 0]);
                assert_eq!(undecrypted(&played), [Undecrypted::Secret]);
                assert!(!accepted(&played));
            }
        }
    }
}

#[test]
fn a_hello_without_ech_has_no_inner_one() {
    // A recorded session, its secrets under another random.
    let mut log = KeyLog::default();
    for of in sessions(TURNS) {
        let secret_of = of.random(0).and_then(|random| of.session(random)?.server_handshake).unwrap();
        log.read(secret([7; 32], secret_of.bytes().try_into().unwrap_or([0; 32])).as_bytes());
        for flow in recorded(TURNS) {
            assert_eq!(undecrypted(&played(&flow, &log, 0)), [Undecrypted::Secret]);
        }
    }
}

#[test]
fn how_many_are_tried_is_bounded() {
    let (flow, limits) = (recorded(ECH).remove(0), FlowLimits::default());
    let own = &sessions(ECH)[0];
    for (others, finds) in [(limits.trials_per_flow - 1, true), (limits.trials_per_flow, false)] {
        let mut log = KeyLog::default();
        for number in 0..others {
            let mut random = [0; 32];
            random[..8].copy_from_slice(&number.to_be_bytes());
            log.read(secret(random, random).as_bytes());
        }
        log.absorb(own);
        let played = played(&flow, &log, 0);
        assert_eq!(accepted(&played), finds);
        assert_eq!(undecrypted(&played), if finds { vec![] } else { vec![Undecrypted::Trials] });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_split_gives_the_same_facts(sizes in sizes(), choice in 0..3_usize) {
        let log = secrets(TURNS);
        let flow = recorded(TURNS).remove(choice);
        prop_assert_eq!(played(&cut(&flow, &sizes), &log, 0).said(), played(&flow, &log, 0).said());
    }
    #[test]
    fn secrets_that_are_not_its_own_say_nothing(
        secrets in proptest::collection::vec((any::<[u8; 32]>(), any::<[u8; 32]>()), 1..40),
        choice in 0..3_usize,
    ) {
        let mut log = KeyLog::default();
        for (random, bytes) in secrets {
            log.read(secret(random, bytes).as_bytes());
        }
        let flow = recorded(ECH).remove(choice);
        let played = played(&flow, &log, 0);
        prop_assert_eq!(decrypted(&played), [""; 0]);
        prop_assert_eq!(undecrypted(&played), [Undecrypted::Secret]);
        prop_assert!(!accepted(&played));
    }
}
