//! MPLS label stacks (RFC 3032), over a link or in IP (RFC 4023).
//!
//! Labels do not say what they carry: IP by its version, else Ethernet, with a control word (RFC 4385) or without.

use std::hash::Hash;

use super::super::Skip;
use super::super::ip::is_ip;
use super::super::span::Span;
use super::super::walk::{Envelope, Walk};
use super::Tunnel;

/// Labels in a stack.
const MAX_LABELS: usize = 16;

impl Walk<'_> {
    /// A label stack and what is under it. Labels differ by direction, so that `ends` alone tell tunnels apart.
    pub(in super::super) fn mpls(
        &mut self,
        mut span: Span<'_>,
        envelope: Envelope<'_>,
        ends: impl Hash,
    ) -> Result<(), Skip> {
        const LAYER: &str = "mpls label stack";
        for _ in 0..MAX_LABELS {
            let ([_, _, bottom, _], below) = span.header::<4>(LAYER)?;
            span = below;
            if bottom & 1 == 1 {
                let envelope = envelope.inside(Tunnel::Mpls, ends)?;
                return match span.nibble() {
                    // A MAC address may begin like an IP packet.
                    Some(4 | 6) if is_ip(span, 46) || span.missing > 0 => self.ip(span, envelope),
                    Some(4 | 6) => {
                        let decoded = self.ip(span, envelope);
                        if decoded.is_err() { self.ethernet(span, envelope) } else { decoded }
                    }
                    Some(0) => self.ethernet(span.skip(4, LAYER)?, envelope),
                    Some(1) => Err(Skip::NotIp("mpls oam")),
                    _ => self.ethernet(span, envelope),
                };
            }
        }
        Err(Skip::Malformed(LAYER))
    }
}
