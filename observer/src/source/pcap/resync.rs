//! How reading goes on where a record header cannot be right.
//!
//! Which record is wrong is decided by what follows: a record is believed if others follow it, and a place where
//! records follow one another is one where reading can go on. What is decided does not depend on how the file came
//! in pieces.

use super::{Header, Pcap};
use crate::source::file::{Found, MAX_CAPTURED, Window};
use crate::source::order::{to_u64, to_usize};

/// How far behind a doubtful record its neighbour is searched for, to find out the record's true length.
const LOOKAHEAD: usize = 1 << 20;
/// Records that must follow one another at a place to go on; fewer where the file ends with the last of them.
const CHAIN: usize = 3;
/// Seconds that may lie between such records.
const NEAR: i64 = 86_400;

/// What to do with a record that does not look right.
pub(super) enum Verdict {
    /// Take it as it is; `trusted` if what follows it confirms it.
    Keep { trusted: bool },
    /// Its length is wrong; the next record begins there.
    Resume(usize),
    /// Nothing can be used up to there; look on.
    SearchFrom(usize),
    /// More bytes are needed to decide.
    Wait,
    /// The file ends within it.
    Cut,
}

/// What stands at a place where records are searched for.
enum Chain {
    Good,
    Bad,
    /// More bytes are needed to tell.
    Unknown,
}

/// Where a search ended.
enum Search {
    /// Records go on there.
    At(usize),
    /// Records may go on there: more bytes are needed to tell.
    Maybe(usize),
    /// There are none before that place.
    NoneBefore(usize),
}

impl Pcap {
    /// Decides about the record at `at`, whose header or whose follower's header does not look right.
    pub(super) fn judge(&mut self, window: Window<'_>, at: usize, header: Header) -> Verdict {
        let may_grow = !(window.last || window.full && at == 0);
        let next = at.saturating_add(self.record_header).saturating_add(to_usize(header.captured));
        let whole = at.saturating_add(self.record_header).saturating_add(to_usize(header.original));
        let believable = to_usize(header.captured) <= MAX_CAPTURED && !header.is_blank();
        if believable {
            match self.loose_chain(window, next) {
                Chain::Good => return Verdict::Keep { trusted: true },
                Chain::Unknown if may_grow => return Verdict::Wait,
                Chain::Unknown | Chain::Bad => {}
            }
        }
        if may_grow && window.bytes.len().saturating_sub(at) < LOOKAHEAD {
            return Verdict::Wait;
        }
        let fits = believable && next <= window.bytes.len();
        let horizon = at.saturating_add(LOOKAHEAD);
        match self.next_chain(window, at.saturating_add(1), horizon) {
            // As long as the whole frame was on the link: then that is the length that is meant.
            Search::At(place) if place == whole => Verdict::Resume(place),
            // The record itself is whole; what follows it is not.
            Search::At(place) if fits && next <= place => Verdict::Keep { trusted: false },
            Search::At(place) => Verdict::Resume(place),
            Search::Maybe(_) if may_grow => Verdict::Wait,
            Search::NoneBefore(_) | Search::Maybe(_) if fits => Verdict::Keep { trusted: false },
            Search::Maybe(place) => Verdict::SearchFrom(place),
            Search::NoneBefore(place) if !window.last || place >= horizon => Verdict::SearchFrom(place),
            Search::NoneBefore(_) => Verdict::Cut,
        }
    }

    /// Goes on after damage that began at `lost`: the place where records begin again, or else how far to drop.
    pub(super) fn search(
        &mut self,
        window: Window<'_>,
        lost: u64,
        at: usize,
        found: &mut Found,
    ) -> Result<usize, usize> {
        let mut from = at;
        loop {
            match self.next_chain(window, from, window.bytes.len()) {
                Search::At(place) => {
                    let end = window.base.saturating_add(to_u64(place));
                    found.damage(lost, "no record header", Some(end.saturating_sub(lost)));
                    self.lost = None;
                    return Ok(place);
                }
                Search::Maybe(place) if window.full && place == 0 => from = 1,
                Search::Maybe(place) => return Err(place),
                Search::NoneBefore(place) if !window.last => return Err(place),
                Search::NoneBefore(_) => {
                    found.damage(lost, "no record header in the rest of the file", None);
                    self.lost = None;
                    return Err(window.bytes.len());
                }
            }
        }
    }

    /// Whether records, however odd, follow one another from `at` on.
    fn loose_chain(&self, window: Window<'_>, mut at: usize) -> Chain {
        for _ in 0..CHAIN {
            let Some(header) = self.header(window.bytes, at) else { return ending(window, at) };
            if header.captured > self.usual || header.is_blank() || to_usize(header.original) > MAX_CAPTURED {
                return Chain::Bad;
            }
            at = at.saturating_add(self.record_header).saturating_add(to_usize(header.captured));
        }
        Chain::Good
    }

    /// Whether records as writers make them follow one another from `at` on, close in time.
    fn strict_chain(&self, window: Window<'_>, mut at: usize) -> Chain {
        let mut previous = None;
        for length in 0..CHAIN {
            let Some(header) = self.header(window.bytes, at) else {
                // A chain of one is believed only if it fits what was read before.
                return match ending(window, at) {
                    Chain::Good if length < 2 && !near(self.last_seconds, previous) => Chain::Bad,
                    ending => ending,
                };
            };
            if !self.sane(header) || header.seconds == 0 || !near(previous, Some(header.seconds)) {
                return Chain::Bad;
            }
            previous = Some(header.seconds);
            at = at.saturating_add(self.record_header).saturating_add(to_usize(header.captured));
        }
        Chain::Good
    }

    /// The first place from `from` to before `horizon` where records go on.
    fn next_chain(&mut self, window: Window<'_>, from: usize, horizon: usize) -> Search {
        let known = usize::try_from(self.barren.saturating_sub(window.base)).unwrap_or(usize::MAX);
        let mut at = from.max(known);
        let search = loop {
            let Some(header) = self.header(window.bytes, at).filter(|_| at < horizon) else {
                break Search::NoneBefore(at);
            };
            if self.sane(header) {
                match self.strict_chain(window, at) {
                    Chain::Good => break Search::At(at),
                    Chain::Unknown => break Search::Maybe(at),
                    Chain::Bad => {}
                }
            }
            at = at.saturating_add(1);
        };
        // Doubtful records may follow one another: what was searched for one of them is not searched again.
        self.barren = self.barren.max(window.base.saturating_add(to_u64(at)));
        search
    }
}

/// What it means that no header is left at `at`.
fn ending(window: Window<'_>, at: usize) -> Chain {
    match window.last {
        true if at == window.bytes.len() => Chain::Good,
        true => Chain::Bad,
        false => Chain::Unknown,
    }
}

/// Whether two times in seconds can be those of neighbours, as far as they are known.
pub(super) fn near(one: Option<u32>, other: Option<u32>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => i64::from(one).abs_diff(i64::from(other)) <= NEAR.unsigned_abs(),
        _ => true,
    }
}
