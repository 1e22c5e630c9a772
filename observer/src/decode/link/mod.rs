//! Link layers by the numbers of <https://www.tcpdump.org/linktypes.html>.
//!
//! A link layer is taken off and says what it carries, mostly by an EtherType. Owners that it states (PCAPdroid's
//! trailer, NFLOG, PKTAP) become the frame's.

mod cooked;
mod ethernet;
mod nflog;
mod pcapdroid;
mod pktap;
mod ppp;
mod wifi;

use super::Skip;
use super::span::Span;
use super::walk::{Envelope, Walk};
use crate::source::LinkType;

impl Walk<'_> {
    /// A frame of `link_type`.
    pub(super) fn link(
        &mut self,
        link_type: LinkType,
        span: Span<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        if span.bytes.is_empty() {
            return Err(span.short("frame without bytes"));
        }
        let envelope = envelope.on_link()?;
        match link_type.0 {
            1 => self.ethernet_outermost(span, envelope),
            12 | 14 | 101 | 228 | 229 => self.ip(span, envelope),
            0 | 108 => self.loopback(span, envelope),
            9 | 50 => self.ppp(span, envelope),
            51 => self.pppoe(span, envelope),
            11 | 100 => self.llc(span, envelope),
            104 => self.cisco_hdlc(span, envelope),
            105 => self.wifi(span, false, envelope),
            109 => self.enc(span, envelope),
            113 => self.sll(span, envelope),
            117 => self.pflog(span, envelope),
            119 => self.prism(span, envelope),
            127 => self.radiotap(span, envelope),
            138 => self.firewire(span, envelope),
            149 | 258 => self.pktap(link_type, span, envelope),
            166 | 204 => self.ppp_with_direction(span, envelope),
            192 => self.ppi(span, envelope),
            219 => self.mpls(span, envelope, ()),
            226 => self.ipnet(span, envelope),
            239 => self.nflog(span, envelope),
            276 => self.sll2(span, envelope),
            281 | 284 => self.switch_tagged(4, span, envelope),
            285 => self.switch_tagged(8, span, envelope),
            other => Err(Skip::LinkType(other)),
        }
    }
}
