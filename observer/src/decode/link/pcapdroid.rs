//! PCAPdroid's trailer: 32 bytes at the end of a made-up Ethernet frame that name the app.
//!
//! ```text
//!  0       4       8                            28      32
//!  | magic |  uid  | app label, padded with zeros | CRC-32 |
//! ```
//! The magic alone proves nothing, since a payload can contain it: the checksum over the whole record does. A cut
//! record keeps its trailer at the end of what was captured; one for which the trailer was too long has neither trailer
//! nor Ethernet header. The label may be cut within a character.

use super::super::owner::Stated;
use super::super::span::Span;
use super::super::walk::Walk;
use crate::source::Dialect;

const MAGIC: [u8; 4] = 0x0107_2021_u32.to_be_bytes();

impl Walk<'_> {
    /// The frame without its trailer, if it has one; the owner it names becomes the frame's.
    pub(super) fn pcapdroid_trailer<'a>(&mut self, span: Span<'a>) -> Span<'a> {
        let Some((frame, trailer)) = span.bytes.split_last_chunk::<32>() else { return span };
        let Some((summed, sum)) = span.bytes.split_last_chunk::<4>() else { return span };
        let Some(&[m3, m2, m1, m0, u3, u2, u1, u0]) = trailer.first_chunk::<8>() else { return span };
        if [m3, m2, m1, m0] != MAGIC {
            return span;
        }
        let crc = crc32fast::hash(summed);
        if crc != u32::from_le_bytes(*sum) && crc != u32::from_be_bytes(*sum) {
            return span;
        }
        let uid = Some(u32::from_be_bytes([u3, u2, u1, u0])).filter(|uid| *uid != u32::MAX && *uid != 65_534);
        let name = trailer.get(8..28).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        let stated = Stated { dialect: Dialect::Pcapdroid, uid, gid: None, pid: None, name };
        self.owner = self.owners.intern(stated).or(self.owner.take());
        Span { bytes: frame, ..span }
    }
}
