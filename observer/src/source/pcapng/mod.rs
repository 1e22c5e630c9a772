//! pcapng files (draft-ietf-opsawg-pcapng): any number of sections, each in its own byte order.
//!
//! Packets, names, losses, ownership and TLS secrets are read; custom and journal blocks are passed over by their length, wherever they stand and however long they are. The length that a section header may state is not
//! used: writers that stream cannot know it. A block whose length is corrupt does not end the file: the next place
//! that looks like a block, with its length at both ends, is searched for.

mod annotate;
mod blocks;
mod interface;
mod options;
mod secrets;

pub(super) use self::secrets::SecretsScan;

use self::blocks::{Malformed, Section};
use super::file::{Format, Found, MAX_CAPTURED, Window};
use super::order::{ByteOrder, to_u64, to_usize};
use super::{Metadata, Secrets};
use crate::time::Timestamp;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAMES: u32 = 4;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const JOURNAL: u32 = 9;
const SECRETS: u32 = 0x0a;
const CUSTOM: u32 = 0x0bad;
const CUSTOM_NOT_COPIED: u32 = 0x4000_0bad;
const DARWIN_PROCESS: u32 = 0x8000_0001;

/// Bytes before and after a block's body.
const FRAME: usize = 12;
/// A block that is read is at most so long: a largest packet and its options. Others may be longer.
const MAX_BLOCK: usize = MAX_CAPTURED + (1 << 20);

/// What is known of the file so far.
pub(super) struct Pcapng {
    section: Section,
    /// The latest time that a packet stated: what a packet without one is given.
    last: Timestamp,
    /// Bytes that are still to be passed over.
    skip: u64,
    /// Where the damage began that is being passed over, and what it is.
    lost: Option<(u64, &'static str)>,
}

/// What stands at a place where a block is expected.
#[derive(Clone, Copy)]
enum Block {
    /// A block of this type and length, whose length is also at its end.
    Good { kind: u32, len: usize, order: ByteOrder },
    /// A block that need not be looked into, too long to look at its end.
    Long { kind: u32, len: usize },
    /// A block of this type and length, with another length at its end.
    BadEnd { kind: u32, len: usize, order: ByteOrder },
    /// The file ends within a block of this type and length.
    Cut { kind: u32, len: usize },
    /// No block.
    Bad { reason: &'static str },
    /// More bytes are needed to tell.
    Unknown,
}

impl Pcapng {
    /// The format by its magic: a section header and its byte-order magic.
    pub(super) fn recognise(bytes: &[u8]) -> Option<Self> {
        // Where the byte-order magic is wrong or cut off, the error that comes later says more than "unknown format".
        (ByteOrder::Big.u32(bytes, 0)? == SECTION_HEADER).then(|| Self {
            section: Section::new(ByteOrder::Little, 0),
            last: Timestamp(0),
            skip: 0,
            lost: None,
        })
    }

    /// What stands at `at`.
    fn block(&self, window: Window<'_>, at: usize) -> Block {
        let bytes = window.bytes;
        let may_grow = !(window.last || window.full && at == 0);
        let Some(head) = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<FRAME>()) else {
            return if window.last { Block::Cut { kind: 0, len: FRAME } } else { Block::Unknown };
        };
        let order = match section_order(head) {
            Some(Ok(order)) => order,
            Some(Err(reason)) => return Block::Bad { reason },
            None => self.section.order,
        };
        let kind = order.u32(head, 0).unwrap_or(0);
        let len = to_usize(order.u32(head, 4).unwrap_or(0));
        if len < FRAME || !len.is_multiple_of(4) {
            return Block::Bad { reason: "a block length is invalid" };
        }
        if len > MAX_BLOCK {
            return match kind {
                JOURNAL | SECRETS | CUSTOM | CUSTOM_NOT_COPIED => Block::Long { kind, len },
                _ => Block::Bad { reason: "a block is too long" },
            };
        }
        match order.u32(bytes, at.saturating_add(len).saturating_sub(4)) {
            Some(end) if to_usize(end) == len => Block::Good { kind, len, order },
            Some(_) => Block::BadEnd { kind, len, order },
            None if may_grow => Block::Unknown,
            None => Block::Cut { kind, len },
        }
    }

    /// The first place from `from` on where a block of a known type begins: found, or how far to drop.
    fn search(&self, window: Window<'_>, from: usize) -> Result<usize, usize> {
        let mut at = from;
        while let Some(head) = window.bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>()) {
            let kind = self.section.order.u32(head, 0).unwrap_or(0);
            if matches!(
                kind,
                INTERFACE
                    ..=PACKET
                        | JOURNAL
                        | SECRETS
                        | CUSTOM
                        | CUSTOM_NOT_COPIED
                        | SECTION_HEADER
                        | DARWIN_PROCESS
            ) {
                match self.block(window, at) {
                    Block::Good { .. } => return Ok(at),
                    Block::Unknown => return Err(at),
                    _ => {}
                }
            }
            at = at.saturating_add(1);
        }
        Err(if window.last { window.bytes.len() } else { at })
    }

    /// Hands over what a block says; what is wrong with it.
    fn read(&mut self, kind: u32, body: &[u8], start: usize, found: &mut Found) -> Result<(), Malformed> {
        match kind {
            INTERFACE => self.section.interface(body),
            PACKET => self.section.packet(body, start, &mut self.last, found),
            SIMPLE_PACKET => self.section.simple_packet(body, start, self.last, found),
            OBSOLETE_PACKET => self.section.obsolete_packet(body, start, &mut self.last, found),
            NAMES => {
                self.section.names(body, found);
                Ok(())
            }
            STATISTICS => self.section.statistics(body, self.last, found),
            SECRETS => {
                if let Some(text) = secrets::tls_secrets(self.section.order, body) {
                    let text = Secrets(text.into());
                    found.metadata(Metadata::Secrets { text, growing: true });
                }
                Ok(())
            }
            CUSTOM => self.section.custom(body, found),
            DARWIN_PROCESS => self.section.darwin_process(body),
            _ => Ok(()),
        }
    }
}

/// Whether Wireshark counts a block as a frame although it is no packet. Evidence has to name Wireshark's numbers.
fn takes_a_number(kind: u32) -> bool {
    matches!(kind, JOURNAL | CUSTOM | CUSTOM_NOT_COPIED)
}

/// The byte order that a section header states; `None` if `head` begins another block.
fn section_order(head: &[u8; FRAME]) -> Option<Result<ByteOrder, &'static str>> {
    (ByteOrder::Big.u32(head, 0)? == SECTION_HEADER).then(|| match ByteOrder::Big.u32(head, 8) {
        Some(BYTE_ORDER_MAGIC) => Ok(ByteOrder::Big),
        Some(magic) if magic.swap_bytes() == BYTE_ORDER_MAGIC => Ok(ByteOrder::Little),
        _ => Err("a section header has no byte-order magic"),
    })
}

impl Format for Pcapng {
    fn name(&self) -> &'static str {
        "pcapng"
    }

    fn parse(&mut self, window: Window<'_>, found: &mut Found) -> usize {
        let bytes = window.bytes;
        let offset = |at: usize| window.base.saturating_add(to_u64(at));
        let mut at = 0;
        loop {
            if self.skip > 0 {
                let left = bytes.len().saturating_sub(at);
                let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(left);
                self.skip = self.skip.saturating_sub(to_u64(passed));
                at = at.saturating_add(passed);
                if self.skip > 0 {
                    if window.last {
                        found.summary.truncated = true;
                        found.damage(offset(at), "a block is cut short", None);
                    }
                    return at;
                }
            }
            if let Some((lost, reason)) = self.lost {
                match self.search(window, at) {
                    Ok(place) => {
                        found.damage(lost, reason, Some(offset(place).saturating_sub(lost)));
                        self.lost = None;
                        at = place;
                    }
                    Err(place) => {
                        if window.last {
                            found.damage(lost, reason, None);
                            self.lost = None;
                        }
                        return place;
                    }
                }
            }
            if window.last && at >= bytes.len() {
                return at;
            }
            let (kind, len, order) = match self.block(window, at) {
                Block::Good { kind, len, order } => (kind, len, order),
                Block::Long { kind, len } => {
                    if takes_a_number(kind) {
                        found.pass_number();
                    }
                    self.skip = to_u64(len);
                    continue;
                }
                Block::BadEnd { kind, len, order } => match self.block(window, at.saturating_add(len)) {
                    // Only the length at the end is wrong if the next block begins where the first one says.
                    Block::Good { .. } => {
                        found.damage(offset(at), "a block ends with another length", Some(0));
                        (kind, len, order)
                    }
                    Block::Unknown => return at,
                    _ => {
                        self.lost = Some((offset(at), "a block ends with another length"));
                        at = at.saturating_add(4);
                        continue;
                    }
                },
                Block::Cut { kind, len } => match self.search(window, at.saturating_add(4)) {
                    Ok(place) => {
                        let skipped = to_u64(place.saturating_sub(at));
                        let reason = format!("a block of type {kind:#x} claims {len} bytes");
                        found.damage(offset(at), reason, Some(skipped));
                        at = place;
                        continue;
                    }
                    Err(_) => {
                        found.summary.truncated = true;
                        found.damage(offset(at), "the last block is cut short", None);
                        return bytes.len();
                    }
                },
                Block::Bad { reason } => {
                    self.lost = Some((offset(at), reason));
                    at = at.saturating_add(4);
                    continue;
                }
                Block::Unknown => return at,
            };
            let start = at.saturating_add(8);
            let next = at.saturating_add(len);
            let body = bytes.get(start..next.saturating_sub(4)).unwrap_or_default();
            if takes_a_number(kind) {
                found.pass_number();
            }
            if kind == SECTION_HEADER {
                self.section = Section::new(order, self.section.next_index());
            } else if let Err(Malformed(reason)) = self.read(kind, body, start, found) {
                found.damage(offset(at), reason, Some(to_u64(len)));
            }
            at = next;
        }
    }
}
