//! What addresses are called, as the DNS answers of the capture say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::{AnswerData, Fact};
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Names kept for one address, the latest ones.
const NAMES_PER_ADDRESS: usize = 8;
/// Frames kept for one name beside the first: enough to tell which of two names was last when a flow began.
const FRAMES_PER_NAME: usize = 8;

/// What an answer gives to the name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// An address.
    Address(IpAddr),
    /// A key for Encrypted Client Hello: its number, and the name that is shown in the open (RFC 9849 §4).
    EchKey(u8, String),
}

/// A name that was asked for, and what an answer gave to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What was given.
    pub resolved: Resolved,
    /// The name that was asked for, not the alias that it led to; written as in a question.
    pub name: String,
    /// The frame of the answer.
    pub frame: FrameNumber,
    /// When that was captured.
    pub at: Timestamp,
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// The last name before the moment in question.
    pub name: &'a str,
    /// The frame of its answer.
    pub frame: FrameNumber,
    /// Whether other names shared the address then: the flow may belong to one of them.
    pub ambiguous: bool,
}

/// Names by address, bounded: the address that was learned longest ago is dropped first, and counted.
#[derive(Clone, Debug)]
pub struct NameMemory {
    names: BTreeMap<IpAddr, Entry>,
    /// Each address by when it was learned last, as a count of learnings.
    order: BTreeMap<u64, IpAddr>,
    learned: u64,
    /// By the name that Encrypted Client Hello shows: the keys' numbers, whose they are, and since when.
    ech: BTreeMap<String, Vec<(u8, String, FrameNumber)>>,
    limit: usize,
    dropped: u64,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    /// Each name once, the one learned last at the end.
    names: VecDeque<Learned>,
    last: u64,
}

/// A name and when it was learned: first, and the last times.
#[derive(Clone, Debug)]
struct Learned {
    name: String,
    first: FrameNumber,
    again: VecDeque<FrameNumber>,
}

impl Learned {
    /// The last time before `frame`.
    fn before(&self, frame: FrameNumber) -> Option<FrameNumber> {
        let again = self.again.iter().rev().copied().find(|learned| *learned < frame);
        again.or_else(|| (self.first < frame).then_some(self.first))
    }
}

impl Default for NameMemory {
    fn default() -> Self {
        Self::new(Self::ADDRESSES)
    }
}

impl NameMemory {
    /// Addresses kept: a day of a phone holds some thousands.
    pub const ADDRESSES: usize = 1 << 16;
    /// Names in the open that are kept; providers of Encrypted Client Hello have one or a few.
    pub const PUBLIC_NAMES: usize = 1024;
    /// Keys and names that are kept behind one of those.
    pub const HIDDEN_NAMES: usize = 1024;

    /// Room for `limit` addresses.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            names: BTreeMap::new(),
            order: BTreeMap::new(),
            learned: 0,
            ech: BTreeMap::new(),
            limit,
            dropped: 0,
        }
    }

    /// Learns that `address` is called `name` from `frame` on.
    pub fn learn(&mut self, address: IpAddr, name: &str, frame: FrameNumber) {
        self.learned = self.learned.saturating_add(1);
        let entry = self.names.entry(address).or_default();
        self.order.remove(&entry.last);
        self.order.insert(self.learned, address);
        entry.last = self.learned;
        let known = entry.names.iter().position(|known| known.name == name);
        let learned = match known.and_then(|index| entry.names.remove(index)) {
            Some(mut known) => {
                if known.again.len() >= FRAMES_PER_NAME {
                    known.again.pop_front();
                }
                known.again.push_back(frame);
                known
            }
            None => Learned { name: name.to_owned(), first: frame, again: VecDeque::new() },
        };
        if entry.names.len() >= NAMES_PER_ADDRESS {
            entry.names.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        entry.names.push_back(learned);
        if self.names.len() > self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.names.remove(&oldest);
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Learns what an answer says.
    pub fn take(&mut self, one: &Resolution) {
        match &one.resolved {
            Resolved::Address(address) => self.learn(*address, &one.name, one.frame),
            Resolved::EchKey(number, public) => self.learn_ech(*number, public, &one.name, one.frame),
        }
    }

    fn learn_ech(&mut self, number: u8, public: &str, name: &str, frame: FrameNumber) {
        if self.ech.len() >= Self::PUBLIC_NAMES && !self.ech.contains_key(public) {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let names = self.ech.entry(public.to_owned()).or_default();
        if names.iter().any(|(known, of, _)| *known == number && of == name) {
            return;
        }
        if names.len() >= Self::HIDDEN_NAMES {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        names.push((number, name.to_owned(), frame));
    }

    /// The names that Encrypted Client Hello may hide behind `public` under the key `number`, as answers before `frame`
    /// say.
    pub fn hidden(&self, public: &str, number: u8, frame: FrameNumber) -> impl Iterator<Item = &str> {
        let names = self.ech.get(public).into_iter().flatten();
        names
            .filter(move |(known, _, learned)| *known == number && *learned < frame)
            .map(|(_, name, _)| name.as_str())
    }

    /// Whether some name may hide behind `public`.
    #[must_use]
    pub fn has_key(&self, public: &str) -> bool {
        self.ech.contains_key(public)
    }

    /// What `address` was called before `frame`.
    #[must_use]
    pub fn lookup(&self, address: IpAddr, frame: FrameNumber) -> Option<Known<'_>> {
        let names = &self.names.get(&address)?.names;
        let before = || names.iter().filter_map(|known| Some((known.before(frame)?, &known.name)));
        let (learned, name) = before().max_by_key(|(learned, _)| *learned)?;
        Some(Known { name, frame: learned, ambiguous: before().nth(1).is_some() })
    }

    /// How many names and addresses the limits dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Adds the addresses that a response gives to names; an alias counts for the name that was asked for.
pub(super) fn resolutions(fact: &Fact, frame: FrameNumber, at: Timestamp, out: &mut Vec<Resolution>) {
    if !fact.response {
        return;
    }
    let aliases = aliases(fact);
    // Without aliases every address belongs to the name that it stands at.
    let questions = fact.questions.iter().filter(|_| !aliases.is_empty());
    let asked: Vec<_> =
        questions.map(|question| (&question.name, led_to(&question.name, &aliases))).collect();
    for answer in &fact.answers {
        let addresses = match &answer.data {
            AnswerData::Address(address) => std::slice::from_ref(address),
            AnswerData::Service(service) => &service.hints,
            AnswerData::Name(_) | AnswerData::Other(_) => continue,
        };
        let question = asked.iter().find(|(_, owners)| owners.contains(answer.name.as_str()));
        let name = question.map_or(&answer.name, |(name, _)| *name);
        let keys = match &answer.data {
            AnswerData::Service(service) => service.ech_keys.as_slice(),
            _ => &[],
        };
        let addresses = addresses.iter().copied().map(Resolved::Address);
        let keys = keys.iter().map(|(number, public)| Resolved::EchKey(*number, public.clone()));
        out.extend(addresses.chain(keys).map(|resolved| Resolution {
            resolved,
            name: name.clone(),
            frame,
            at,
        }));
    }
}

/// The names that each alias among the answers leads to.
fn aliases(fact: &Fact) -> BTreeMap<&str, Vec<&str>> {
    let mut aliases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for answer in &fact.answers {
        if matches!(answer.kind.as_ref(), "CNAME" | "HTTPS" | "SVCB") {
            let target = match &answer.data {
                AnswerData::Name(target) => target,
                AnswerData::Service(service) => &service.target,
                AnswerData::Address(_) | AnswerData::Other(_) => continue,
            };
            aliases.entry(&answer.name).or_default().push(target);
        }
    }
    aliases
}

/// `name` and all that the aliases lead to from there. Each name is followed once, so a circle ends.
fn led_to<'a>(name: &'a str, aliases: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::from([name]);
    let mut ahead = vec![name];
    while let Some(name) = ahead.pop() {
        for target in aliases.get(name).into_iter().flatten() {
            if reached.insert(target) {
                ahead.push(target);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::protocol::dns::{Answer, Question};

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    fn name(memory: &NameMemory, last: u8, frame: FrameNumber) -> Option<(&str, bool)> {
        memory.lookup(address(last), frame).map(|known| (known.name, known.ambiguous))
    }

    #[test]
    fn a_flow_gets_the_last_name_before_it_began() {
        let mut memory = NameMemory::default();
        for (host, frame) in [("a.test", 10), ("b.test", 20), ("a.test", 30)] {
            memory.learn(address(1), host, frame);
        }
        assert_eq!(name(&memory, 1, 10), None);
        assert_eq!(name(&memory, 1, 11), Some(("a.test", false)));
        assert_eq!(name(&memory, 1, 25), Some(("b.test", true)));
        assert_eq!(name(&memory, 1, 31), Some(("a.test", true)));
    }

    #[test]
    fn a_name_learned_again_and_again_stays_known_to_early_flows() {
        let mut memory = NameMemory::default();
        for frame in 1..1000 {
            memory.learn(address(1), "a.test", frame);
        }
        assert_eq!(name(&memory, 1, 2), Some(("a.test", false)));
        assert_eq!((memory.order.len(), memory.dropped()), (1, 0));
    }

    #[test]
    fn the_oldest_address_is_dropped_and_counted() {
        let mut memory = NameMemory::new(2);
        for (last, frame) in [(1, 1), (2, 2), (1, 3), (3, 4)] {
            memory.learn(address(last), "a.test", frame);
        }
        assert_eq!(name(&memory, 2, 9), None);
        assert!(name(&memory, 1, 9).is_some() && name(&memory, 3, 9).is_some());
        assert_eq!(memory.dropped(), 1);
        for number in 0..100 {
            memory.learn(address(1), &format!("n{number}.test"), 10);
        }
        assert_eq!(memory.dropped(), 1 + 93);
    }

    #[test]
    fn an_alias_counts_for_the_name_that_was_asked_for() {
        let answer = |name: &str, kind: &'static str, data| Answer {
            name: name.into(),
            kind: kind.into(),
            ttl: 1,
            data,
        };
        let fact = Fact {
            id: 1,
            response: true,
            response_code: Some("NOERROR".into()),
            questions: vec![Question { name: "www.test".into(), kind: "A".into() }],
            answers: vec![
                answer("www.test", "CNAME", AnswerData::Name("cdn.test".into())),
                answer("cdn.test", "CNAME", AnswerData::Name("www.test".into())),
                answer("cdn.test", "A", AnswerData::Address(address(1))),
                answer("other.test", "A", AnswerData::Address(address(2))),
            ],
        };
        let mut found = Vec::new();
        resolutions(&fact, 7, Timestamp(0), &mut found);
        let found: Vec<_> = found
            .iter()
            .filter_map(|one| match one.resolved {
                Resolved::Address(address) => Some((address, one.name.as_str())),
                Resolved::EchKey(..) => None,
            })
            .collect();
        assert_eq!(found, [(address(1), "www.test"), (address(2), "other.test")]);
    }
}
