//! The small headers that capturing systems put before a packet of whatever link: BSD loopback, ENC, pflog, Linux
//! cooked, FireWire.

use super::super::Skip;
use super::super::ip::is_ip;
use super::super::span::Span;
use super::super::walk::{Envelope, Walk};

/// `AF_INET`, and `AF_INET6` of NetBSD and OpenBSD, FreeBSD, Darwin, Linux.
const FAMILIES: [u32; 5] = [2, 24, 28, 30, 10];

impl Walk<'_> {
    /// LINKTYPE_NULL and LINKTYPE_LOOP: an address family, in the byte order of whichever host wrote it.
    pub(super) fn loopback(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let (family, payload) = span.header::<4>("loopback header")?;
        if FAMILIES.contains(&u32::from_le_bytes(family)) || FAMILIES.contains(&u32::from_be_bytes(family)) {
            self.ip(payload, envelope)
        } else {
            Err(Skip::NotIp("loopback frame of another family than ip"))
        }
    }

    /// LINKTYPE_ENC: family, SPI and flags of a packet that OpenBSD's IPsec unwrapped.
    pub(super) fn enc(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        self.ip(span.skip(12, "enc header")?, envelope)
    }

    /// LINKTYPE_PFLOG: a header that states its own length, to be rounded up to four.
    pub(super) fn pflog(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let ([len], _) = span.header::<1>("pflog header")?;
        self.ip(span.skip(usize::from(len).next_multiple_of(4), "pflog header")?, envelope)
    }

    /// LINKTYPE_IPNET: a header of Solaris, of which all but the length varies.
    pub(super) fn ipnet(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        self.ip(span.skip(24, "ipnet header")?, envelope)
    }

    /// LINKTYPE_APPLE_IP_OVER_IEEE1394: two long addresses, then an EtherType.
    pub(super) fn firewire(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let ([high, low], payload) = span.skip(16, "firewire header")?.header::<2>("firewire header")?;
        self.ether_type(u16::from_be_bytes([high, low]), payload, envelope)
    }

    /// LINKTYPE_LINUX_SLL: packet type, ARPHRD type, address, protocol.
    pub(super) fn sll(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let ([_, _, h1, h0, _, _, _, _, _, _, _, _, _, _, p1, p0], payload) =
            span.header::<16>("sll header")?;
        let (hardware, protocol) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([p1, p0]));
        self.cooked(hardware, protocol, payload, envelope)
    }

    /// LINKTYPE_LINUX_SLL2: protocol, interface, ARPHRD type, packet type, address.
    ///
    /// The interface tells apart a packet that crossed two of them.
    pub(super) fn sll2(&mut self, span: Span<'_>, envelope: Envelope<'_>) -> Result<(), Skip> {
        let ([p1, p0, _, _, i3, i2, i1, i0, h1, h0, _, _, _, _, _, _, _, _, _, _], payload) =
            span.header::<20>("sll2 header")?;
        self.on_interface(u32::from_be_bytes([i3, i2, i1, i0]));
        let (hardware, protocol) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([p1, p0]));
        self.cooked(hardware, protocol, payload, envelope)
    }

    fn cooked(
        &mut self,
        hardware: u16,
        protocol: u16,
        span: Span<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        match (hardware, protocol) {
            // ARPHRD_NETLINK, ARPHRD_CAN: the protocol is not an EtherType.
            (824, _) => Err(Skip::NotIp("netlink")),
            (280, _) => Err(Skip::NotIp("can")),
            (803, _) => self.radiotap(span, envelope),
            (801, _) => self.wifi(span, false, envelope),
            // ETH_P_802_3, ETH_P_802_2: Novell's, and anything with an LLC header.
            (_, 0x0001) => Err(Skip::EtherType(0x8137)),
            (_, 0x0004) => self.llc(span, envelope),
            // Modems and tunnels may leave out the protocol.
            (_, 0x0000 | 0x00f5..=0x00ff) if is_ip(span, 0..=0) => self.ip(span, envelope),
            (_, number) => self.ether_type(number, span, envelope),
        }
    }

    /// Notes that the frame crossed interface `number` of the capturing host (see [`super::super::Packet::interface`]).
    pub(super) fn on_interface(&mut self, number: u32) {
        self.interface ^= number.rotate_left(16);
    }
}
