//! LINKTYPE_NFLOG: packets that a netfilter rule logged, with the socket's user.
//!
//! The numbers in front of each attribute are in the byte order of the capturing host, which nothing states: the order
//! is the one in which the first attribute makes sense.

use super::super::Skip;
use super::super::owner::Stated;
use super::super::span::Span;
use super::super::walk::{Envelope, Walk};
use crate::source::Dialect;

/// Linux's `overflowuid`: stands for no user.
const NOBODY: u32 = 65_534;

const LAYER: &str = "nflog attribute";

impl Walk<'_> {
    /// Family, version, resource id, then attributes.
    pub(super) fn nflog(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let ([family, version, _, _], mut rest) = span.header::<4>("nflog header")?;
        if version != 0 {
            return Err(Skip::Malformed("nflog header"));
        }
        let swapped = rest.bytes.first_chunk::<4>().is_some_and(is_big_endian);
        let u16_at =
            |pair: [u8; 2]| if swapped { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        let mut stated = Stated { dialect: Dialect::Nflog, uid: None, gid: None, pid: None, name: [0; 20] };
        let (mut protocol, mut payload) = (None, None);
        while !rest.bytes.is_empty() {
            let Ok(([l0, l1, t0, t1], value)) = rest.header::<4>(LAYER) else { break };
            let len = usize::from(u16_at([l0, l1]));
            let Some(value_len) = len.checked_sub(4) else { return Err(Skip::Malformed(LAYER)) };
            let captured = value.limit(value_len);
            match (u16_at([t0, t1]) & 0x7fff, captured.bytes) {
                (1, &[high, low, ..]) => protocol = Some(u16::from_be_bytes([high, low])),
                (9, _) => payload = Some(captured),
                (11, &[a, b, c, d]) => stated.uid = known(u32::from_be_bytes([a, b, c, d])),
                (14, &[a, b, c, d]) => stated.gid = known(u32::from_be_bytes([a, b, c, d])),
                _ => {}
            }
            match value.skip(value_len.next_multiple_of(4), LAYER) {
                Ok(next) => rest = next,
                Err(_last) => break,
            }
        }
        let payload = payload.ok_or_else(|| rest.short("nflog without packet"))?;
        self.owner = self.owners.intern(stated).or(self.owner.take());
        match (family, protocol) {
            (2 | 10, _) | (_, None) => self.ip(payload, envelope),
            (_, Some(protocol)) => self.ether_type(protocol, payload, envelope),
        }
    }
}

fn known(id: u32) -> Option<u32> {
    (id != NOBODY && id != u32::MAX).then_some(id)
}

/// Whether the first attribute's numbers are big-endian: no type is as high as 256.
fn is_big_endian(&[_, _, t0, t1]: &[u8; 4]) -> bool {
    u16::from_le_bytes([t0, t1]) & 0x7fff >= 256
}
