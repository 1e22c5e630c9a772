//! Entries with stable indices, each in one of a few lists ordered by last use.

use crate::time::Tick;

/// No entry.
const NONE: u32 = u32::MAX;

/// Entries of type `T`, each in one of `LISTS` lists; the least recently touched stands first in its list.
pub(super) struct Slab<T, const LISTS: usize> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    ends: [Ends; LISTS],
    len: usize,
}

struct Slot<T> {
    value: Option<T>,
    touched: Tick,
    previous: u32,
    next: u32,
    list: u8,
}

#[derive(Clone, Copy)]
struct Ends {
    first: u32,
    last: u32,
}

impl<T, const LISTS: usize> Slab<T, LISTS> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), ends: [Ends { first: NONE, last: NONE }; LISTS], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry at the end of `list`; its index.
    pub(super) fn insert(&mut self, value: T, list: usize, tick: Tick) -> u32 {
        let slot = Slot { value: Some(value), touched: tick, previous: NONE, next: NONE, list: 0 };
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(place) = self.slots.get_mut(index as usize) {
                    *place = slot;
                }
                index
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(NONE)
            }
        };
        self.len = self.len.saturating_add(1);
        self.link(index, list);
        index
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize).and_then(|slot| slot.value.as_ref())
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize).and_then(|slot| slot.value.as_mut())
    }

    /// The list of an entry and when it was last touched.
    pub(super) fn place(&self, index: u32) -> Option<(usize, Tick)> {
        self.slots.get(index as usize).map(|slot| (usize::from(slot.list), slot.touched))
    }

    /// Moves an entry to the end of `list`.
    pub(super) fn touch(&mut self, index: u32, list: usize, tick: Tick) {
        let at_end = self.ends.get(list).is_some_and(|ends| ends.last == index);
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.touched = tick;
            if at_end && usize::from(slot.list) == list {
                return;
            }
        }
        self.unlink(index);
        self.link(index, list);
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slots.get_mut(index as usize)?.value.take()?;
        self.unlink(index);
        self.free.push(index);
        self.len = self.len.saturating_sub(1);
        Some(value)
    }

    /// The least recently touched entry of `list`.
    pub(super) fn first(&self, list: usize) -> Option<(u32, Tick)> {
        let index = self.ends.get(list)?.first;
        self.slots.get(index as usize).map(|slot| (index, slot.touched))
    }

    fn link(&mut self, index: u32, list: usize) {
        let Some(ends) = self.ends.get_mut(list) else { return };
        let previous = std::mem::replace(&mut ends.last, index);
        if previous == NONE {
            ends.first = index;
        }
        if let Some(slot) = self.slots.get_mut(previous as usize) {
            slot.next = index;
        }
        if let Some(slot) = self.slots.get_mut(index as usize) {
            (slot.list, slot.previous, slot.next) = (u8::try_from(list).unwrap_or(u8::MAX), previous, NONE);
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize) else { return };
        let (list, previous, next) = (usize::from(slot.list), slot.previous, slot.next);
        if let Some(slot) = self.slots.get_mut(previous as usize) {
            slot.next = next;
        }
        if let Some(slot) = self.slots.get_mut(next as usize) {
            slot.previous = previous;
        }
        if let Some(ends) = self.ends.get_mut(list) {
            if ends.first == index {
                ends.first = next;
            }
            if ends.last == index {
                ends.last = previous;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The lists agree with plain vectors, whatever is inserted, touched and removed.
        #[test]
        fn agrees_with_vectors(steps in prop::collection::vec((0_u8..3, 0_usize..2, 0_usize..16), 0..200)) {
            let mut slab: Slab<u32, 2> = Slab::new();
            let mut lists: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
            for (tick, (step, list, pick)) in (0_u64..).zip(steps) {
                let all: Vec<u32> = lists.iter().flatten().copied().collect();
                let picked = all.get(pick % all.len().max(1)).copied();
                match (step, picked) {
                    (1, Some(index)) => {
                        lists.iter_mut().for_each(|list| list.retain(|&other| other != index));
                        lists[list].push(index);
                        slab.touch(index, list, Tick(tick));
                    }
                    (2, Some(index)) => {
                        lists.iter_mut().for_each(|list| list.retain(|&other| other != index));
                        prop_assert!(slab.remove(index).is_some());
                    }
                    _ => lists[list].push(slab.insert(7, list, Tick(tick))),
                }
                prop_assert_eq!(slab.len(), lists.iter().map(Vec::len).sum::<usize>());
                for (number, list) in lists.iter().enumerate() {
                    prop_assert_eq!(slab.first(number).map(|(index, _)| index), list.first().copied());
                    let mut walked = Vec::new();
                    let mut at = slab.ends[number].first;
                    while let Some(slot) = slab.slots.get(at as usize) {
                        walked.push(at);
                        at = slot.next;
                    }
                    prop_assert_eq!(&walked, list);
                }
            }
        }
    }
}
