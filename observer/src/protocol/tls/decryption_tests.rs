//! Decryption of recorded sessions whose secrets are in the file.

use proptest::prelude::*;

use super::tests::recorded;
use super::{Fact, KeyLog, Undecrypted};
use crate::decode::Transport;
use crate::observation::Basis;
use crate::protocol;
use crate::protocol::script::{Act, Played, RESPONSE, cut, play_with, secrets, sizes};

const SUITES: &[&str] = &["decryption/tls12-suites.pcapng", "decryption/tls13-suites.pcapng"];
const TURNS: &str = "decryption/tls13-turns.pcapng";

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
    for name in SUITES.iter().chain([&TURNS]) {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_split_gives_the_same_facts(sizes in sizes(), choice in 0..3_usize) {
        let log = secrets(TURNS);
        let flow = recorded(TURNS).remove(choice);
        prop_assert_eq!(played(&cut(&flow, &sizes), &log, 0).said(), played(&flow, &log, 0).said());
    }
}
