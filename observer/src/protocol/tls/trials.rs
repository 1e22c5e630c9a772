//! Secrets that are tried, because nothing on the wire says which session they are of.
//!
//! Where a server accepts Encrypted Client Hello, both ends go on as if the inner ClientHello had been sent
//! ([RFC 9849 §6.1.5](https://datatracker.ietf.org/doc/html/rfc9849#section-6.1.5)), and log their secrets under its
//! random, which nobody else sees. So the key log's secrets of the server's handshake are tried on the server's first
//! encrypted bytes. That they open is proof: the tag of an AEAD fits a wrong key once in 2^128 attempts, with CCM_8
//! once in 2^64. And a session whose secrets stand under another random than that of its ClientHello is one whose
//! server accepted the inner one.
//!
//! A session of the key log whose flow was found is not tried again. The others are tried in the order of their distance
//! from the last that was found: key logs and captures have much the same order. How many are looked at is bounded for a
//! flow and for a shard, by [`FlowLimits::trials_per_flow`] and [`FlowLimits::trials_per_shard`].

use std::collections::BTreeMap;

use super::Undecrypted;
use super::keylog::{KeyLog, Random, Secret};
use crate::flow::FlowLimits;

/// What a shard has tried so far.
#[derive(Debug, Default)]
pub struct Trials {
    /// Which sessions of the key log, by their places in it, have their flow: a bit each.
    found: Vec<u64>,
    /// The place behind the last of them.
    next: usize,
    /// The inner random to an outer one: flows may be captured twice, within a tunnel and without.
    inner: BTreeMap<Random, Random>,
    /// Places that were looked at.
    spent: usize,
}

impl Trials {
    /// The place in the key log near which the next flow's session is.
    pub(in crate::protocol) fn next(&self) -> usize {
        self.next
    }

    /// Notes that the session at a place of the key log has its flow.
    pub(in crate::protocol) fn found(&mut self, place: usize) {
        let (word, bit) = bit(place);
        if word >= self.found.len() {
            self.found.resize(word.saturating_add(1), 0);
        }
        if let Some(word) = self.found.get_mut(word) {
            *word |= bit;
        }
        self.next = place.saturating_add(1);
    }

    /// The random of the inner ClientHello of a session whose ClientHello has the random `outer`: the one under which
    /// `log` has a secret of the server's handshake that `opens` what the server sent. `from` is the place to begin at.
    pub(in crate::protocol) fn seek(
        &mut self,
        log: &KeyLog,
        (outer, from): (&Random, usize),
        limits: &FlowLimits,
        mut opens: impl FnMut(&Secret) -> bool,
    ) -> Result<Random, Undecrypted> {
        let mut fits = |random: &Random| {
            let secret = log.session(random).and_then(|secrets| secrets.server_handshake.as_ref());
            secret.is_some_and(&mut opens)
        };
        if let Some(inner) = self.inner.get(outer).filter(|inner| fits(inner)) {
            return Ok(*inner);
        }
        let mut left = limits.trials_per_flow.min(limits.trials_per_shard.saturating_sub(self.spent));
        for place in nearest(from, log.sessions()) {
            left = left.checked_sub(1).ok_or(Undecrypted::Trials)?;
            self.spent = self.spent.saturating_add(1);
            let Some(random) = log.random(place).filter(|_| !self.is_found(place)) else { continue };
            if fits(random) {
                self.found(place);
                self.inner.insert(*outer, *random);
                return Ok(*random);
            }
        }
        Err(Undecrypted::Secret)
    }

    fn is_found(&self, place: usize) -> bool {
        let (word, bit) = bit(place);
        self.found.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// The word of a bitmap that has the bit of `place`, and the bit.
fn bit(place: usize) -> (usize, u64) {
    (place >> 6, 1 << (place & 63))
}

/// The places below `len`, those next to `from` first.
fn nearest(from: usize, len: usize) -> impl Iterator<Item = usize> {
    let from = from.min(len);
    (0..len)
        .flat_map(move |distance| [from.checked_add(distance), from.checked_sub(distance.saturating_add(1))])
        .flatten()
        .filter(move |place| *place < len)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> FlowLimits =
        || FlowLimits { trials_per_flow: 6, trials_per_shard: 15, ..FlowLimits::default() };

    /// A key log of sessions that are called 0, 1, 2, …, and whose secrets are their names.
    fn log(sessions: u8) -> KeyLog {
        let mut log = KeyLog::default();
        for session in 0..sessions {
            let name = data_encoding::HEXLOWER.encode(&[session; 32]);
            log.read(format!("SERVER_HANDSHAKE_TRAFFIC_SECRET {name} {name}").as_bytes());
        }
        log
    }

    /// Looks for a session; what was found, and which were tried.
    fn seek(trials: &mut Trials, sessions: u8, outer: u8, own: u8) -> (Result<u8, Undecrypted>, Vec<u8>) {
        let mut tried = Vec::new();
        let from = trials.next();
        let found = trials.seek(&log(sessions), (&[outer; 32], from), &LIMITS(), |secret| {
            tried.push(secret.bytes()[0]);
            secret.bytes()[0] == own
        });
        (found.map(|random| random[0]), tried)
    }

    #[test]
    fn those_near_the_last_that_was_found_come_first() {
        assert_eq!(nearest(3, 6).collect::<Vec<_>>(), [3, 2, 4, 1, 5, 0]);
        assert_eq!(nearest(6, 3).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!(nearest(0, 0).count(), 0);
        let mut trials = Trials::default();
        trials.found(9);
        assert_eq!(seek(&mut trials, 20, 100, 11), (Ok(11), vec![10, 11]));
    }

    #[test]
    fn what_has_its_flow_is_not_tried_again() {
        let mut trials = Trials::default();
        trials.found(1);
        assert_eq!(seek(&mut trials, 5, 100, 2), (Ok(2), vec![2]));
        assert_eq!(seek(&mut trials, 5, 101, 2), (Err(Undecrypted::Secret), vec![3, 4, 0]));
        // A flow that was captured twice is known again.
        assert_eq!(seek(&mut trials, 5, 100, 2), (Ok(2), vec![2]));
    }

    #[test]
    fn trials_end_at_their_bounds() {
        let mut trials = Trials::default();
        let tried = |result: (Result<u8, Undecrypted>, Vec<u8>)| {
            assert_eq!(result.0, Err(Undecrypted::Trials));
            result.1.len()
        };
        assert_eq!(tried(seek(&mut trials, 20, 100, 99)), 6);
        assert_eq!(tried(seek(&mut trials, 20, 101, 99)), 6);
        assert_eq!(tried(seek(&mut trials, 20, 102, 99)), 3);
        assert_eq!(tried(seek(&mut trials, 20, 103, 99)), 0);
    }
}
