//! Why a frame yields no packet, in words for people.

use std::fmt;

/// Why a frame yields no packet. Counted by kind and shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// A link type that is not decoded.
    LinkType(u16),
    /// Not IP: the EtherType, e.g. 0x0806 ARP.
    EtherType(u16),
    /// Not IP: the PPP protocol, e.g. 0xc021 LCP.
    Ppp(u16),
    /// Not IP: the LLC service access point, e.g. 0x42 spanning tree.
    Llc(u8),
    /// Carries no IP packet that can be read, by its name: `802.11 management`.
    NotIp(&'static str),
    /// A part of a datagram that is not complete yet. A loss only if it never is: see
    /// [`FragmentCounts::lost_frames`](super::FragmentCounts::lost_frames).
    Fragment,
    /// A header that is cut off by the capture's snaplen.
    Truncated(&'static str),
    /// A header that contradicts itself.
    Malformed(&'static str),
    /// More layers in one another than are decoded.
    TooDeep,
}

impl Skip {
    /// Whether the bytes are known to be what the reason says, so that nothing else need be tried on them.
    pub(super) fn is_certain(&self) -> bool {
        match self {
            Self::EtherType(number) => ether_type_name(*number).is_some(),
            Self::Ppp(number) => ppp_name(*number).is_some(),
            Self::Llc(number) => llc_name(*number).is_some(),
            Self::NotIp(_) | Self::Fragment => true,
            Self::LinkType(_) | Self::Truncated(_) | Self::Malformed(_) | Self::TooDeep => false,
        }
    }
}

/// As it is shown: `arp`, `link type 201 (Bluetooth HCI H4)`, `ethertype 0x1234`, `truncated tcp header`.
impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkType(number) => match link_type_name(*number) {
                Some(name) => write!(f, "link type {number} ({name})"),
                None => write!(f, "link type {number}"),
            },
            Self::EtherType(number) => match ether_type_name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "ethertype {number:#06x}"),
            },
            Self::Ppp(number) => match ppp_name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "ppp protocol {number:#06x}"),
            },
            Self::Llc(number) => match llc_name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "llc {number:#04x}"),
            },
            Self::NotIp(name) => f.write_str(name),
            Self::Fragment => f.write_str("ip fragment without the rest"),
            Self::Truncated(layer) => write!(f, "truncated {layer}"),
            Self::Malformed(layer) => write!(f, "malformed {layer}"),
            Self::TooDeep => f.write_str("layers nested too deep"),
        }
    }
}

/// <https://www.tcpdump.org/linktypes.html>
fn link_type_name(number: u16) -> Option<&'static str> {
    Some(match number {
        3 => "AX.25",
        6 => "Token Ring",
        7 => "ARCNET",
        8 => "SLIP",
        10 => "FDDI",
        123 => "SunATM",
        130..=137 | 164 | 167 | 168 | 174 | 178..=181 | 238 => "Juniper",
        147..=162 => "private use",
        165 => "BACnet MS/TP",
        177 => "Linux LAPD",
        182 => "Frame Relay multilink",
        186 => "USB, FreeBSD",
        187 => "Bluetooth HCI H4",
        189 | 220 => "USB, Linux",
        190 | 227 => "CAN",
        195 | 215 | 230 | 283 => "IEEE 802.15.4",
        199 => "IPMB",
        201 => "Bluetooth HCI H4",
        203 => "LAPD",
        212 => "LIN",
        224 => "Fibre Channel",
        231 => "D-Bus",
        242 => "InfiniBand",
        247 => "InfiniBand",
        248 => "SCTP",
        249 => "USB, Windows",
        251 | 256 | 272 => "Bluetooth LE",
        252 => "Wireshark upper PDU",
        253 => "Linux netlink",
        254 | 255 => "Bluetooth",
        264 | 265 => "NFC",
        270 => "Z-Wave",
        274 => "Ethernet preemption",
        289 => "systemd journal",
        _ => return None,
    })
}

/// <https://www.iana.org/assignments/ieee-802-numbers>
fn ether_type_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0x0806 => "arp",
        0x0842 => "wake-on-lan",
        0x2000 => "cdp",
        0x22ea => "srp",
        0x22f0 => "avtp",
        0x22f3 => "trill",
        0x6002 => "dec mop",
        0x6003 => "decnet",
        0x8035 => "rarp",
        0x809b => "appletalk",
        0x80f3 => "appletalk arp",
        0x8137 | 0x8138 => "ipx",
        0x8204 => "qnx qnet",
        0x8808 => "ethernet flow control",
        0x8809 => "slow protocols (lacp)",
        0x8863 => "pppoe discovery",
        0x886f => "microsoft nlb",
        0x8874 | 0x8899 => "realtek remote control",
        0x887b => "homeplug",
        0x888e => "eapol",
        0x8892 => "profinet",
        0x889a => "hyperscsi",
        0x88a2 => "ata over ethernet",
        0x88a4 => "ethercat",
        0x88b5 | 0x88b6 => "local experimental ethernet",
        0x88b8..=0x88ba => "iec 61850",
        0x88c7 => "802.11 pre-authentication",
        0x88cc => "lldp",
        0x88e1 => "homeplug av",
        0x88e3 => "media redundancy protocol",
        0x88e5 => "encrypted ethernet (macsec)",
        0x88f5 => "mvrp",
        0x88f7 => "ptp",
        0x88f8 => "ncsi",
        0x8902 => "connectivity fault management",
        0x8906 => "fibre channel over ethernet",
        0x8914 => "fcoe initialization",
        0x890d => "tdls",
        0x892f => "hsr",
        0x88fb => "prp",
        0x9000 => "ethernet loopback test",
        0x9003 => "broadcom switch tag",
        _ => return None,
    })
}

/// <https://www.iana.org/assignments/ppp-numbers>
fn ppp_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0x003d => "ppp multilink",
        0x0053 => "encrypted ppp",
        0x00fb | 0x00fd => "compressed ppp",
        0x002d | 0x002f => "ppp with compressed tcp headers",
        0x8021 => "ppp ipcp",
        0x8053 => "ppp ecp",
        0x8057 => "ppp ipv6cp",
        0x80fd => "ppp ccp",
        0x8281 => "ppp mplscp",
        0xc021 => "ppp lcp",
        0xc023 => "ppp pap",
        0xc025 => "ppp link quality report",
        0xc029 => "ppp cbcp",
        0xc223 => "ppp chap",
        0xc227 => "ppp eap",
        _ => return None,
    })
}

fn llc_name(sap: u8) -> Option<&'static str> {
    Some(match sap {
        0x00 => "llc null",
        0x42 => "spanning tree",
        0x7e => "x.25",
        0xe0 => "ipx",
        0xf0 => "netbios frames",
        0xf4 | 0xf5 => "lan management",
        0xfe => "iso (clnp, is-is)",
        0xff => "ipx",
        _ => return None,
    })
}
