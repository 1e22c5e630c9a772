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

/// Bytes that Ethernet may pad a packet with.
const MAX_PADDING: usize = 46;

const LAYER: &str = "mpls label stack";

/// What may lie under a label stack.
#[derive(Clone, Copy)]
enum Inner {
    ControlWord,
    Ethernet,
    Ip,
}

impl Walk<'_> {
    /// A label stack and what is under it. Labels differ by direction, so that `ends` alone tell tunnels apart.
    pub(in super::super) fn mpls(
        &mut self,
        mut span: Span<'_>,
        envelope: Envelope<'_>,
        ends: impl Hash,
    ) -> Result<(), Skip> {
        for _ in 0..MAX_LABELS {
            let ([_, _, bottom, _], below) = span.header::<4>(LAYER)?;
            span = below;
            if bottom & 1 == 1 {
                let envelope = envelope.inside(Tunnel::Mpls, ends)?;
                return self.under_labels(span, envelope);
            }
        }
        Err(Skip::Malformed(LAYER))
    }

    /// What labels cover. A MAC address may begin like an IP packet or a control word, so that there is a second guess.
    fn under_labels(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let guesses = match span.nibble() {
            Some(4 | 6) if is_ip(span, 0..=MAX_PADDING) => [Inner::Ip, Inner::Ethernet],
            Some(4 | 6) => [Inner::Ethernet, Inner::Ip],
            Some(0) => [Inner::ControlWord, Inner::Ethernet],
            Some(1) => return Err(Skip::NotIp("mpls oam")),
            _ => return self.ethernet(span, envelope),
        };
        let mut outcome = Err(Skip::Malformed(LAYER));
        for guess in guesses {
            let decoded = match guess {
                Inner::Ip => self.ip(span, envelope),
                Inner::Ethernet => self.ethernet(span, envelope),
                Inner::ControlWord => span.skip(4, LAYER).and_then(|frame| self.ethernet(frame, envelope)),
            };
            match decoded {
                Ok(()) | Err(Skip::Fragment) => return decoded,
                Err(skip) if !outcome.as_ref().is_err_and(Skip::is_certain) => outcome = Err(skip),
                Err(_less_certain) => {}
            }
        }
        outcome
    }
}
