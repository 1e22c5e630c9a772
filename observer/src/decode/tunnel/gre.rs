//! GRE: RFC 2784 with key and sequence (RFC 2890), PPTP's version 1 (RFC 2637), ERSPAN I to III.
//!
//! Source routes (RFC 1701) are not read. PPTP's call ids differ by direction and tell nothing apart.

use super::super::Skip;
use super::super::span::Span;
use super::super::walk::{Envelope, Ip, Walk};
use super::Tunnel;

const LAYER: &str = "gre header";

impl Walk<'_> {
    /// A GRE header and what it carries.
    pub(in super::super) fn gre(
        &mut self,
        ip: &Ip,
        span: Span<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        let ([f1, f0, p1, p0], mut rest) = span.header::<4>(LAYER)?;
        let (flags, protocol) = (u16::from_be_bytes([f1, f0]), u16::from_be_bytes([p1, p0]));
        let has = |flag: u16| flags & flag != 0;
        if has(0x4000) {
            return Err(Skip::Malformed(LAYER));
        }
        if flags & 7 == 1 && protocol == 0x880b {
            let ([l1, l0, _, _], after) = rest.header::<4>(LAYER)?;
            let sequence = if has(0x1000) { 4 } else { 0_usize };
            let acknowledgement = if has(0x0080) { 4 } else { 0 };
            let payload = after.skip(sequence.saturating_add(acknowledgement), LAYER)?;
            let len = usize::from(u16::from_be_bytes([l1, l0])).min(payload.wire_len());
            return self.ppp(payload.limit(len), envelope.inside(Tunnel::Gre, ip.ends())?);
        }
        if flags & 7 != 0 {
            return Err(Skip::Malformed(LAYER));
        }
        if has(0x8000) {
            rest = rest.skip(4, LAYER)?;
        }
        let mut key = None;
        if has(0x2000) {
            let (bytes, after) = rest.header::<4>(LAYER)?;
            key = Some(u32::from_be_bytes(bytes));
            rest = after;
        }
        if has(0x1000) {
            rest = rest.skip(4, LAYER)?;
        }
        // NVGRE: the low byte of the key is a flow's hash, the rest the subnet (RFC 7637 §3.2).
        let key = if protocol == 0x6558 { key.map(|key| key >> 8) } else { key };
        let inside = envelope.inside(Tunnel::Gre, (ip.ends(), key))?;
        match protocol {
            0x6558 => self.ethernet(rest, inside),
            0x88be if !has(0x1000) => self.ethernet(rest, inside),
            0x88be => {
                let ([_, _, s1, s0, _, _, _, _], frame) = rest.header::<8>("erspan header")?;
                let session = u16::from_be_bytes([s1, s0]) & 0x03ff;
                self.ethernet(frame, envelope.inside(Tunnel::Gre, (ip.ends(), session))?)
            }
            0x22eb => {
                let ([_, _, s1, s0, _, _, _, _, _, _, frame_type, options], after) =
                    rest.header::<12>("erspan header")?;
                let session = u16::from_be_bytes([s1, s0]) & 0x03ff;
                let frame = after.skip(if options & 1 == 1 { 8 } else { 0 }, "erspan header")?;
                let inside = envelope.inside(Tunnel::Gre, (ip.ends(), session))?;
                match frame_type >> 2 & 0x1f {
                    2 => self.ip(frame, inside),
                    _ => self.ethernet(frame, inside),
                }
            }
            // WCCP puts four bytes before the packet in its second version.
            0x883e if rest.nibble() != Some(4) => self.ip(rest.skip(4, LAYER)?, inside),
            0x883e => self.ip(rest, inside),
            0x8847 | 0x8848 => self.mpls(rest, envelope.inside(Tunnel::Gre, (ip.ends(), key))?, ()),
            other => self.ether_type(other, rest, inside),
        }
    }
}
