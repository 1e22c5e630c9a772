//! What addresses are called, as the DNS answers of the capture say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use super::{AnswerData, Fact};
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Names kept for one address, for each who asked: the latest ones.
const NAMES_PER_ADDRESS: usize = 16;
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
    /// Each name once for each who asked, the one learned last at the end.
    names: VecDeque<Learned>,
    last: u64,
}

/// A name, who asked for it, and when it was learned: first, and the last times.
#[derive(Clone, Debug)]
struct Learned {
    name: String,
    /// [`hash_of`] the name: most names of an address differ, and are told apart by it.
    hash: u64,
    asker: Option<Arc<str>>,
    first: FrameNumber,
    again: VecDeque<FrameNumber>,
}

impl Learned {
    /// Whether `asker` may have it from this look-up: where both are known, only who asked.
    fn is_for(&self, asker: Option<&str>) -> bool {
        let (Some(asked), Some(asker)) = (self.asker.as_deref(), asker) else { return true };
        asked == asker
    }

    fn learn_again(&mut self, frame: FrameNumber) {
        if self.again.len() >= FRAMES_PER_NAME {
            self.again.pop_front();
        }
        self.again.push_back(frame);
    }

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

    /// Learns that `address` is called `name` from `frame` on, as `asker` was told; `None` where nobody in particular asked
    /// or it is not known who.
    pub fn learn(&mut self, address: IpAddr, name: &str, asker: Option<&Arc<str>>, frame: FrameNumber) {
        self.learned = self.learned.saturating_add(1);
        let entry = self.names.entry(address).or_default();
        self.order.remove(&entry.last);
        self.order.insert(self.learned, address);
        entry.last = self.learned;
        let hash = hash_of(name);
        let is_same = |known: &Learned| {
            known.hash == hash && known.name.eq_ignore_ascii_case(name) && known.asker.as_ref() == asker
        };
        let known = entry.names.iter().position(is_same);
        let learned = match known.and_then(|index| entry.names.remove(index)) {
            Some(mut known) => {
                known.learn_again(frame);
                known
            }
            None => {
                let (name, asker) = (name.to_owned(), asker.cloned());
                Learned { name, hash, asker, first: frame, again: VecDeque::new() }
            }
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

    /// Learns what an answer to `asker` says.
    pub fn take(&mut self, one: &Resolution, asker: Option<&Arc<str>>) {
        match &one.resolved {
            Resolved::Address(address) => self.learn(*address, &one.name, asker, one.frame),
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

    /// What `address` was called before `frame` to `asker`, the last name first, each once: where there are several, a
    /// flow may belong to any of them.
    #[must_use]
    pub fn lookup(&self, address: IpAddr, frame: FrameNumber, asker: Option<&str>) -> Vec<&str> {
        let names = self.names.get(&address).into_iter().flat_map(|entry| &entry.names);
        let before = names.filter(|known| known.is_for(asker));
        let mut before: Vec<_> =
            before.filter_map(|known| Some((known.before(frame)?, known.name.as_str()))).collect();
        before.sort_by_key(|(learned, _)| std::cmp::Reverse(*learned));
        let mut known: Vec<&str> = Vec::new();
        for (_, name) in before {
            if !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                known.push(name);
            }
        }
        known
    }

    /// How many names and addresses the limits dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// What names have in common that differ in letter case alone (FNV-1a): clients mix it in what they ask for, as a nonce.
fn hash_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
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

    fn names(memory: &NameMemory, last: u8, frame: FrameNumber) -> Vec<&str> {
        memory.lookup(address(last), frame, None)
    }

    #[test]
    fn a_flow_gets_the_names_before_it_began() {
        let mut memory = NameMemory::default();
        for (host, frame) in [("a.test", 10), ("b.test", 20), ("A.test", 30)] {
            memory.learn(address(1), host, None, frame);
        }
        assert!(names(&memory, 1, 10).is_empty());
        assert_eq!(names(&memory, 1, 11), ["a.test"]);
        assert_eq!(names(&memory, 1, 25), ["b.test", "a.test"]);
        assert_eq!(names(&memory, 1, 31), ["a.test", "b.test"]);
    }

    #[test]
    fn another_app_asked_for_itself() {
        let [shop, news] = ["shop", "news"].map(Arc::<str>::from);
        let mut memory = NameMemory::default();
        memory.learn(address(1), "a.test", Some(&shop), 10);
        memory.learn(address(1), "b.test", Some(&news), 20);
        memory.learn(address(1), "a.test", Some(&news), 30);
        memory.learn(address(2), "c.test", None, 40);
        let asked = |last: u8, asker: Option<&str>| memory.lookup(address(last), 50, asker);
        assert_eq!(asked(1, Some("shop")), ["a.test"]);
        assert_eq!(asked(1, Some("news")), ["a.test", "b.test"]);
        assert!(asked(1, Some("mail")).is_empty());
        // Whoever it is, it may have been one of those; and a resolver asks for everybody.
        assert_eq!(asked(1, None), ["a.test", "b.test"]);
        assert_eq!(asked(2, Some("mail")), ["c.test"]);
    }

    #[test]
    fn a_name_learned_again_and_again_stays_known_to_early_flows() {
        let mut memory = NameMemory::default();
        for frame in 1..1000 {
            memory.learn(address(1), "a.test", None, frame);
        }
        assert_eq!(names(&memory, 1, 2), ["a.test"]);
        assert_eq!((memory.order.len(), memory.dropped()), (1, 0));
    }

    #[test]
    fn the_oldest_address_is_dropped_and_counted() {
        let mut memory = NameMemory::new(2);
        for (last, frame) in [(1, 1), (2, 2), (1, 3), (3, 4)] {
            memory.learn(address(last), "a.test", None, frame);
        }
        assert!(names(&memory, 2, 9).is_empty());
        assert!(!names(&memory, 1, 9).is_empty() && !names(&memory, 3, 9).is_empty());
        assert_eq!(memory.dropped(), 1);
        for number in 0..100 {
            memory.learn(address(1), &format!("n{number}.test"), None, 10);
        }
        assert_eq!(memory.dropped(), 1 + 85);
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
