//! PPP (RFC 1661), bare or in HDLC-like framing (RFC 1662), and Cisco HDLC.

use super::super::Skip;
use super::super::span::Span;
use super::super::walk::{Envelope, Walk};

impl Walk<'_> {
    /// A PPP frame; address and control may be there or not, the protocol may be compressed to one byte.
    pub(in super::super) fn ppp(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        const LAYER: &str = "ppp header";
        let span = match span.bytes {
            [0xff, 0x03, ..] => span.skip(2, LAYER)?,
            // Cisco's HDLC under PPP's link type.
            [0x0f | 0x8f, 0x00, ..] => return self.cisco_hdlc(span, envelope),
            _ => span,
        };
        let (number, payload) = match span.bytes {
            [byte, ..] if byte & 1 == 1 => (u16::from(*byte), span.skip(1, LAYER)?),
            _ => {
                let (number, payload) = span.header::<2>(LAYER)?;
                (u16::from_be_bytes(number), payload)
            }
        };
        match number {
            0x0021 | 0x0057 => self.ip(payload, envelope),
            0x0031 => self.bridged_ppp(payload, envelope),
            0x0281 | 0x0283 => self.mpls(payload, envelope, ()),
            other => Err(Skip::Ppp(other)),
        }
    }

    /// A PPP frame after a byte that tells its direction.
    pub(super) fn ppp_with_direction(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let span = span.skip(1, "ppp direction")?;
        match span.bytes {
            // pppd's byte stands in the place of the address: the control byte follows.
            [0x03, ..] => self.ppp(span.skip(1, "ppp header")?, envelope),
            _ => self.ppp(span, envelope),
        }
    }

    /// An Ethernet frame in PPP (RFC 3518 §4.2).
    fn bridged_ppp(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let ([_, mac_type], payload) = span.header::<2>("bridged ppp header")?;
        match mac_type {
            1 => self.ethernet(payload, envelope.on_link()?),
            _ => Err(Skip::Ppp(0x0031)),
        }
    }

    /// Cisco's HDLC: address, control, EtherType.
    pub(super) fn cisco_hdlc(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let ([address, _, high, low], payload) = span.header::<4>("hdlc header")?;
        match (address, u16::from_be_bytes([high, low])) {
            (0xff, _) => self.ppp(span, envelope),
            (_, 0x8035) => Err(Skip::NotIp("cisco slarp")),
            (_, number) => self.ether_type(number, payload, envelope),
        }
    }
}
