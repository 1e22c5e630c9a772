//! Which way a frame crosses the interface: libpcap does not say, the frame does.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use super::interface::Device;
use crate::source::{Annotations, LinkDirection, LinkType};

/// `PACKET_OUTGOING` of `linux/if_packet.h`.
const OUTGOING: u8 = 4;

/// Tells outbound frames of an interface from inbound ones.
pub(super) struct Outbound {
    by: By,
    inbound: Arc<Annotations>,
    outbound: Arc<Annotations>,
}

/// What tells them apart.
enum By {
    /// The cooked header's packet type, at this offset.
    PacketType(usize),
    /// The interface's own Ethernet address.
    Address([u8; 6]),
    /// The interface's own IP addresses.
    Ip(Vec<IpAddr>),
    /// Nothing: both ends are this host.
    Nothing,
}

impl Outbound {
    pub(super) fn new(device: &Device, link_type: LinkType) -> Self {
        let by = match link_type.0 {
            113 => By::PacketType(1),
            276 => By::PacketType(10),
            1 if !device.loopback => hardware_address(&device.name).map_or(By::Nothing, By::Address),
            101 => By::Ip(device.addresses.clone()),
            _ => By::Nothing,
        };
        let annotations = |direction| Arc::new(Annotations { direction: Some(direction), owner: None });
        Self {
            by,
            inbound: annotations(LinkDirection::Inbound),
            outbound: annotations(LinkDirection::Outbound),
        }
    }

    /// What is known of a frame by its bytes.
    pub(super) fn direction(&self, frame: &[u8]) -> Option<Arc<Annotations>> {
        let outbound = match &self.by {
            By::PacketType(offset) => *frame.get(*offset)? == OUTGOING,
            By::Address(address) => frame.get(6..12)? == address,
            By::Ip(addresses) => addresses.contains(&source(frame)?),
            By::Nothing => return None,
        };
        Some(Arc::clone(if outbound { &self.outbound } else { &self.inbound }))
    }
}

/// The source address of an IP packet.
fn source(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?)),
        6 => Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?)),
        _ => None,
    }
}

fn hardware_address(interface: &str) -> Option<[u8; 6]> {
    let text = fs::read_to_string(format!("/sys/class/net/{interface}/address")).ok()?;
    let bytes: Vec<u8> =
        text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(by: By) -> impl Fn(&[u8]) -> Option<LinkDirection> {
        let device = Device {
            name: "none0".into(),
            description: None,
            addresses: Vec::new(),
            up: true,
            running: true,
            loopback: false,
        };
        let outbound = Outbound { by, ..Outbound::new(&device, LinkType(0)) };
        move |frame| outbound.direction(frame)?.direction
    }

    #[test]
    fn the_frame_says_which_way_it_goes() {
        let (out, inward) = (Some(LinkDirection::Outbound), Some(LinkDirection::Inbound));
        let cooked = outbound(By::PacketType(1));
        assert_eq!((cooked(&[0, 4]), cooked(&[0, 0]), cooked(&[0])), (out, inward, None));
        let ethernet = outbound(By::Address([2, 0, 0, 0, 0, 1]));
        assert_eq!(ethernet(&[0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 8, 0]), out);
        assert_eq!(ethernet(&[2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0]), inward);
        let raw = outbound(By::Ip(vec![IpAddr::from([10, 0, 0, 1])]));
        let packet = |from: [u8; 4]| [&[0x45][..], &[0; 11], &from, &[0; 4]].concat();
        assert_eq!((raw(&packet([10, 0, 0, 1])), raw(&packet([10, 0, 0, 2]))), (out, inward));
        assert_eq!(outbound(By::Nothing)(&[0; 64]), None);
    }
}
