//! STUN messages and TURN's ChannelData (RFC 8489 §5, RFC 8656 §12.4, RFC 3489 §11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bytes::Reader;

/// Bytes of a message's header.
pub(super) const HEADER: usize = 20;

/// Bytes before an attribute's value.
const ATTRIBUTE_HEADER: usize = 4;

/// What tells STUN from its forerunner (RFC 8489 §5).
const MAGIC_COOKIE: u32 = 0x2112_a442;

/// The attribute in which [MS-TURN] puts a cookie of its own, and that cookie.
const MS_MAGIC_COOKIE: (u16, [u8; 4]) = (0x000f, [0x72, 0xc6, 0x4b, 0xc6]);

/// Attributes that a message may have; more than any has.
const MAX_ATTRIBUTES: usize = 64;

/// Attribute types.
pub(super) mod attribute {
    pub(in super::super) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(in super::super) const USERNAME: u16 = 0x0006;
    pub(in super::super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(in super::super) const ERROR_CODE: u16 = 0x0009;
    pub(in super::super) const CHANNEL_NUMBER: u16 = 0x000c;
    pub(in super::super) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(in super::super) const DATA: u16 = 0x0013;
    pub(in super::super) const REALM: u16 = 0x0014;
    pub(in super::super) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(in super::super) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub(in super::super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// The same in drafts.
    pub(in super::super) const OLD_XOR_MAPPED_ADDRESS: u16 = 0x8020;
    pub(in super::super) const SOFTWARE: u16 = 0x8022;
}

/// Methods.
pub(super) mod method {
    pub(in super::super) const BINDING: u16 = 0x001;
    pub(in super::super) const ALLOCATE: u16 = 0x003;
    pub(in super::super) const SEND: u16 = 0x006;
    pub(in super::super) const DATA: u16 = 0x007;
    pub(in super::super) const CHANNEL_BIND: u16 = 0x009;
    pub(in super::super) const CONNECTION_BIND: u16 = 0x00b;
}

/// The two bits of a message's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// A message whose lengths add up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// Its class.
    pub(super) class: Class,
    /// Its method.
    pub(super) method: u16,
    /// Magic cookie and transaction id: what addresses are hidden with.
    mask: [u8; 16],
    attributes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message that `bytes` are, all of them.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u16("message type").ok()?;
        let len = usize::from(reader.u16("message length").ok()?);
        if kind & 0xc000 != 0 || len % 4 != 0 || bytes.len() != HEADER.checked_add(len)? {
            return None;
        }
        let mask: [u8; 16] = reader.array("transaction id").ok()?;
        let (low, middle, high) = (kind & 0xf, kind >> 1 & 0x70, kind >> 2 & 0xf80);
        let message = Self {
            class: match kind & 0x110 {
                0 => Class::Request,
                0x010 => Class::Indication,
                0x100 => Class::Success,
                _ => Class::Error,
            },
            method: low | middle | high,
            mask,
            attributes: reader.rest(),
        };
        let count = message.count()?;
        let known = mask.starts_with(&MAGIC_COOKIE.to_be_bytes()) || message.is_classic(count);
        known.then_some(message)
    }

    /// The value of the first attribute of this type.
    pub(super) fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The value as text.
    pub(super) fn text(&self, kind: u16) -> Option<String> {
        let text = String::from_utf8_lossy(self.attribute(kind)?);
        // Long ago the padding was part of the value.
        let text = text.trim_end_matches(['\0', ' ']);
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The number of an error, and its words.
    pub(super) fn error(&self) -> Option<String> {
        let mut reader = Reader::new(self.attribute(attribute::ERROR_CODE)?);
        reader.u16("reserved").ok()?;
        let (class, number) = (reader.u8("class").ok()? & 7, reader.u8("number").ok()?);
        let code = u32::from(class).saturating_mul(100).saturating_add(u32::from(number));
        let reason = String::from_utf8_lossy(reader.rest());
        Some(format!("{code} {}", reason.trim_end_matches(['\0', ' '])).trim_end().to_owned())
    }

    /// An address in the clear, or hidden by the transaction id (RFC 8489 §14.2).
    pub(super) fn address(&self, kind: u16) -> Option<SocketAddr> {
        let hidden = kind != attribute::MAPPED_ADDRESS;
        let mask = if hidden { self.mask } else { [0; 16] };
        let mut reader = Reader::new(self.attribute(kind)?);
        reader.u8("reserved").ok()?;
        let family = reader.u8("family").ok()?;
        let [first, second, ..] = mask;
        let port = reader.u16("port").ok()? ^ u16::from_be_bytes([first, second]);
        let unmask = |bytes: &mut [u8]| bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        let ip = match family {
            1 => {
                let mut bytes: [u8; 4] = reader.array("address").ok()?;
                unmask(&mut bytes);
                IpAddr::from(Ipv4Addr::from(bytes))
            }
            2 => {
                let mut bytes: [u8; 16] = reader.array("address").ok()?;
                unmask(&mut bytes);
                IpAddr::from(Ipv6Addr::from(bytes))
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.attributes);
        std::iter::from_fn(move || {
            let kind = reader.u16("attribute type").ok()?;
            let len = usize::from(reader.u16("attribute length").ok()?);
            let value = reader.take(len, "attribute").ok()?;
            reader.take(padding(len), "padding").ok()?;
            Some((kind, value))
        })
        .take(MAX_ATTRIBUTES)
    }

    /// How many attributes there are, where they fill the message.
    fn count(&self) -> Option<usize> {
        let (mut used, mut count) = (0_usize, 0_usize);
        for (_, value) in self.attributes() {
            let len = value.len().saturating_add(padding(value.len())).saturating_add(ATTRIBUTE_HEADER);
            used = used.saturating_add(len);
            count = count.saturating_add(1);
        }
        (used == self.attributes.len()).then_some(count)
    }

    /// Whether a message without the cookie is one of RFC 3489, or of [MS-TURN]: with attributes of that time alone.
    fn is_classic(&self, count: usize) -> bool {
        let (kind, cookie) = MS_MAGIC_COOKIE;
        if self.attribute(kind) == Some(&cookie) {
            return true;
        }
        let binding = self.method == method::BINDING && self.class != Class::Indication;
        binding && count > 0 && self.attributes().all(|(kind, value)| is_classic(kind, value))
    }
}

/// Whether an attribute of RFC 3489 has the length and shape that it must have.
fn is_classic(kind: u16, value: &[u8]) -> bool {
    match kind {
        // Addresses: IPv4 alone, and a port.
        0x0001 | 0x0002 | 0x0004 | 0x0005 | 0x000b => matches!(value, [0, 1, _, _, _, _, _, _]),
        // CHANGE-REQUEST: two flags.
        0x0003 => matches!(value, [0, 0, 0, flags] if flags & !6 == 0),
        // ERROR-CODE.
        0x0009 => matches!(value, [0, 0, 1..=6, 0..=99, ..]),
        // USERNAME, PASSWORD and MESSAGE-INTEGRITY.
        0x0006 | 0x0007 => !value.is_empty() && value.len().is_multiple_of(4),
        0x0008 => value.len() == 20,
        // UNKNOWN-ATTRIBUTES, and names of servers.
        0x000a => !value.is_empty() && value.len().is_multiple_of(4),
        0x8020 | 0x8022 => !value.is_empty(),
        _ => false,
    }
}

/// Bytes between an attribute and the next.
fn padding(len: usize) -> usize {
    len.next_multiple_of(4).saturating_sub(len)
}

/// What TURN relays without the header of a message (RFC 8656 §12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChannelData<'a> {
    /// 0x4000 to 0x4fff.
    pub(super) channel: u16,
    /// The peer's datagram.
    pub(super) data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// The message that `bytes` are, but for padding.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let channel = reader.u16("channel number").ok()?;
        let len = usize::from(reader.u16("length").ok()?);
        let data = reader.take(len, "data").ok()?;
        ((0x4000..=0x4fff).contains(&channel) && reader.left() < 4).then_some(Self { channel, data })
    }
}
