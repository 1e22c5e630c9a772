//! Classic pcap files: µs, ns and Kuznetzov's, in both byte orders.
//!
//! A record whose length is corrupt does not end the file: the next place that looks like a chain of records is
//! searched for. Modified formats beyond Kuznetzov's are not known.

mod resync;

use std::sync::Arc;

use self::resync::{Verdict, near};
use super::file::{Format, Found, MAX_CAPTURED, Window, record};
use super::order::{ByteOrder, to_u64, to_usize};
use super::{Annotations, LinkDirection, LinkType};
use crate::time::Timestamp;

/// Bytes of the file header.
const FILE_HEADER: usize = 24;
/// The smallest limit that is put on a record's captured length: the default snaplen of tcpdump.
const USUAL_SNAPLEN: u32 = 256 << 10;
/// What is known from the file header.
pub(super) struct Pcap {
    order: ByteOrder,
    /// Nanoseconds in a unit of the fraction.
    unit: u32,
    record_header: usize,
    /// Set by the file header.
    link_type: Option<LinkType>,
    /// The captured length that is believed without a second look.
    usual: u32,
    /// Seconds of the last good record.
    last_seconds: Option<u32>,
    /// Where the damage began that is being passed over.
    lost: Option<u64>,
    /// Before this place of the file no chain of records was found.
    barren: u64,
    inbound: Arc<Annotations>,
    outbound: Arc<Annotations>,
}

/// A record header's fields.
#[derive(Clone, Copy)]
struct Header {
    seconds: u32,
    fraction: u32,
    captured: u32,
    original: u32,
    /// Kuznetzov's packet type, a `PACKET_*` of Linux.
    packet_type: u8,
}

impl Header {
    /// Whether it is made of zeros, as holes in a file are: no record, though it could pass for an empty one.
    fn is_blank(self) -> bool {
        (self.seconds, self.original) == (0, 0)
    }
}

fn direction(direction: LinkDirection) -> Arc<Annotations> {
    Arc::new(Annotations { direction: Some(direction), owner: None })
}

impl Pcap {
    /// The format by its magic, in either byte order.
    pub(super) fn recognise(bytes: &[u8]) -> Option<Self> {
        let magic = *bytes.first_chunk::<4>()?;
        let known = |magic| match magic {
            0xa1b2_c3d4_u32 => Some((1000, 16)),
            0xa1b2_3c4d => Some((1, 16)),
            0xa1b2_cd34 => Some((1000, 24)),
            _ => None,
        };
        let (order, (unit, record_header)) = known(u32::from_be_bytes(magic))
            .map(|known| (ByteOrder::Big, known))
            .or_else(|| known(u32::from_le_bytes(magic)).map(|known| (ByteOrder::Little, known)))?;
        Some(Self {
            order,
            unit,
            record_header,
            link_type: None,
            usual: USUAL_SNAPLEN,
            last_seconds: None,
            lost: None,
            barren: 0,
            inbound: direction(LinkDirection::Inbound),
            outbound: direction(LinkDirection::Outbound),
        })
    }

    fn word(&self, bytes: &[u8], at: usize) -> Option<u32> {
        self.order.u32(bytes, at)
    }

    /// Reads the file header: the snaplen and, in the low 16 bits of its last word, the link type. Above it stand
    /// bits that say how many FCS bytes end each frame.
    fn file_header(&mut self, bytes: &[u8]) -> Option<LinkType> {
        let snaplen = self.word(bytes, 16)?;
        let [.., low_high, low_low] = self.word(bytes, 20)?.to_be_bytes();
        let most = u32::try_from(MAX_CAPTURED).unwrap_or(u32::MAX);
        self.usual = snaplen.clamp(USUAL_SNAPLEN, most);
        Some(LinkType(u16::from_be_bytes([low_high, low_low])))
    }

    fn header(&self, bytes: &[u8], at: usize) -> Option<Header> {
        let bytes = bytes.get(at..)?.get(..self.record_header)?;
        Some(Header {
            seconds: self.word(bytes, 0)?,
            fraction: self.word(bytes, 4)?,
            captured: self.word(bytes, 8)?,
            original: self.word(bytes, 12)?,
            packet_type: bytes.get(22).copied().unwrap_or(0),
        })
    }

    /// Whether writers make such headers.
    fn sane(&self, header: Header) -> bool {
        header.captured <= self.usual
            && header.captured <= header.original
            && header.original > 0
            && usize::try_from(header.original).is_ok_and(|original| original <= MAX_CAPTURED)
            && header.fraction < 1_000_000_000 / self.unit
    }

    fn frame(&self, header: Header, link_type: LinkType, start: usize, len: usize, found: &mut Found) {
        let fraction = i64::from(header.fraction).saturating_mul(i64::from(self.unit));
        let timestamp = Timestamp::new(i64::from(header.seconds), fraction);
        let mut record = record(timestamp, link_type, 0, header.original, start, len);
        if self.record_header == 24 {
            record.annotations = match header.packet_type {
                0 => Some(Arc::clone(&self.inbound)),
                4 => Some(Arc::clone(&self.outbound)),
                _ => None,
            };
        }
        found.frame(record);
    }
}

impl Format for Pcap {
    fn name(&self) -> &'static str {
        "pcap"
    }

    fn parse(&mut self, window: Window<'_>, found: &mut Found) -> usize {
        let bytes = window.bytes;
        let offset = |at: usize| window.base.saturating_add(to_u64(at));
        let mut at = 0;
        let link_type = match self.link_type {
            Some(link_type) => link_type,
            None => {
                let Some(link_type) = self.file_header(bytes) else {
                    if window.last {
                        found.summary.truncated = true;
                        found.damage(0, "the file header is cut short", None);
                    }
                    return 0;
                };
                at = FILE_HEADER;
                *self.link_type.insert(link_type)
            }
        };
        loop {
            if let Some(lost) = self.lost {
                match self.search(window, lost, at, found) {
                    Ok(place) => at = place,
                    Err(place) => return place,
                }
            }
            let Some(header) = self.header(bytes, at) else { break };
            let start = at.saturating_add(self.record_header);
            let next = start.saturating_add(to_usize(header.captured));
            let good = self.sane(header)
                && match self.header(bytes, next) {
                    Some(follower) => {
                        self.sane(follower) && near(Some(header.seconds), Some(follower.seconds))
                    }
                    // Behind the last record there may be less than a header: that is judged when it is reached.
                    None if window.last => next <= bytes.len(),
                    None if window.growing && next <= bytes.len() => true,
                    None => return at,
                };
            let verdict = if good { Verdict::Keep { trusted: true } } else { self.judge(window, at, header) };
            match verdict {
                Verdict::Keep { trusted } => {
                    self.last_seconds = if trusted { Some(header.seconds) } else { self.last_seconds };
                    self.frame(header, link_type, start, to_usize(header.captured), found);
                    at = next;
                }
                Verdict::Resume(place) => {
                    let reason = format!("a record claims {} bytes", header.captured);
                    let len = place.saturating_sub(start);
                    // Where all of the frame was captured, its length on the link says what the record's should be.
                    if place > start && to_usize(header.original) == len {
                        found.damage(offset(at), reason, Some(0));
                        self.frame(header, link_type, start, len, found);
                    } else {
                        found.damage(offset(at), reason, Some(to_u64(place.saturating_sub(at))));
                    }
                    at = place;
                }
                Verdict::SearchFrom(place) => {
                    self.lost = Some(offset(at));
                    at = place;
                }
                Verdict::Wait => return at,
                Verdict::Cut => {
                    let reason = if header.is_blank() {
                        "zeros where a record is expected".to_owned()
                    } else {
                        found.summary.truncated = true;
                        format!("a record claims {} bytes, but the file ends before", header.captured)
                    };
                    found.damage(offset(at), reason, None);
                    return bytes.len();
                }
            }
        }
        if window.last && at < bytes.len() {
            found.summary.truncated = true;
            found.damage(offset(at), "the last record header is cut short", None);
            at = bytes.len();
        }
        at
    }
}
