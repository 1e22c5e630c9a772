//! QUIC's packets as far as they are not encrypted: long headers, one after the other in a datagram (RFC 8999,
//! RFC 9000 §17.2, RFC 9369 §3.2).

use super::version::Version;
use crate::bytes::{ParseError, Reader};

/// The longest connection id of the versions that are known (RFC 9000 §17.2).
pub(super) const MAX_CID: usize = 20;

/// Bytes of the tag of a Retry packet.
const RETRY_TAG: usize = 16;

/// The bit that is set in packets of all known versions unless the peers agreed otherwise (RFC 9000 §17.2).
pub(super) const FIXED_BIT: u8 = 0x40;

/// The bit of long headers.
pub(super) const LONG_HEADER: u8 = 0x80;

/// A long header (RFC 8999 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    /// The first byte.
    pub(super) first: u8,
    /// The version.
    pub(super) version: Version,
    /// The destination's connection id.
    pub(super) destination: &'a [u8],
    /// The source's connection id.
    pub(super) source: &'a [u8],
}

/// The types of packets with a number and a long header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
}

/// A packet with a long header and a packet number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbered<'a> {
    pub(super) kind: Kind,
    pub(super) header: Header<'a>,
    /// The token of an Initial packet.
    pub(super) token: &'a [u8],
    /// The packet from its first byte to its last.
    pub(super) whole: &'a [u8],
    /// Where in `whole` the packet number begins.
    pub(super) number_at: usize,
}

impl Numbered<'_> {
    /// Bytes of packet number and protected payload.
    pub(super) fn payload_len(&self) -> usize {
        self.whole.len().saturating_sub(self.number_at)
    }
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// Version Negotiation (RFC 9000 §17.2.1); the versions are four bytes each.
    VersionNegotiation { versions: &'a [u8] },
    /// Retry.
    Retry { header: Header<'a>, whole: &'a [u8] },
    /// Initial, 0-RTT, Handshake.
    Numbered(Numbered<'a>),
    /// A short header, and what is behind it to the end of the datagram.
    Short { bytes: &'a [u8] },
}

/// A connection id: 0 to 20 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cid {
    bytes: [u8; MAX_CID],
    pub(super) len: u8,
}

impl Cid {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut cid = Self::default();
        for (slot, byte) in cid.bytes.iter_mut().zip(bytes) {
            *slot = *byte;
            cid.len = cid.len.saturating_add(1);
        }
        cid
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// The next packet of a datagram, from which it is taken; `None` at the end.
///
/// Where the version is not known, the layout of version 1 is tried. The fixed bit is not looked at: peers that agreed
/// on it clear it at random (RFC 9287).
pub(super) fn next<'a>(datagram: &mut &'a [u8]) -> Result<Option<Packet<'a>>, ParseError> {
    let bytes = *datagram;
    let Some(first) = bytes.first().copied() else { return Ok(None) };
    *datagram = &[];
    if first & LONG_HEADER == 0 {
        return Ok(Some(Packet::Short { bytes }));
    }
    let mut reader = Reader::new(bytes);
    let header = header(&mut reader)?;
    if header.version == Version::NEGOTIATION {
        return Ok(Some(Packet::VersionNegotiation { versions: reader.rest() }));
    }
    if header.destination.len().max(header.source.len()) > MAX_CID {
        return Err(ParseError::invalid("connection id length", 5));
    }
    let bits = first >> 4 & 3;
    let kind = match if header.version.has_types_of_v2() { bits.wrapping_sub(1) & 3 } else { bits } {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => {
            // Before draft 25 there is no tag; the original connection id and the token are no shorter.
            return match reader.left() > RETRY_TAG {
                true => Ok(Some(Packet::Retry { header, whole: bytes })),
                false => Err(reader.invalid("Retry token")),
            };
        }
    };
    let mut token = &[][..];
    if kind == Kind::Initial {
        let len = varint(&mut reader, "token length")?;
        token = reader.take(length(len), "token")?;
    }
    let len = length(varint(&mut reader, "length")?);
    let number_at = reader.position();
    reader.take(len, "payload")?;
    let (whole, rest) = bytes.split_at_checked(reader.position()).unwrap_or((bytes, &[]));
    *datagram = rest;
    Ok(Some(Packet::Numbered(Numbered { kind, header, token, whole, number_at })))
}

/// Reads a long header.
fn header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, ParseError> {
    let first = reader.u8("first byte")?;
    let version = Version(reader.u32("version")?);
    let len = usize::from(reader.u8("destination connection id length")?);
    let destination = reader.take(len, "destination connection id")?;
    let len = usize::from(reader.u8("source connection id length")?);
    let source = reader.take(len, "source connection id")?;
    Ok(Header { first, version, destination, source })
}

/// A variable-length integer (RFC 9000 §16).
pub(super) fn varint(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, ParseError> {
    let first = reader.peek().first().copied().unwrap_or(0);
    Ok(match first >> 6 {
        0 => u64::from(reader.u8(field)?),
        1 => u64::from(reader.u16(field)? & 0x3fff),
        2 => u64::from(reader.u32(field)? & 0x3fff_ffff),
        _ => reader.u64(field)? & 0x3fff_ffff_ffff_ffff,
    })
}

/// A length in memory; what is too long for that is too long for any input.
pub(super) fn length(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of a version, with a first byte, an empty token where it is an Initial, and `len` bytes.
    fn long(first: u8, version: u32, token: &[u8], len: u8) -> Vec<u8> {
        let mut bytes = vec![first];
        bytes.extend(version.to_be_bytes());
        bytes.extend([8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 9]);
        bytes.extend(token);
        bytes.push(len);
        bytes.extend(vec![7; usize::from(len)]);
        bytes
    }

    fn kinds(datagram: &[u8]) -> Vec<String> {
        let mut rest = datagram;
        let mut kinds = Vec::new();
        loop {
            match next(&mut rest) {
                Ok(None) => return kinds,
                Ok(Some(Packet::Numbered(packet))) => {
                    kinds.push(format!("{:?} {}", packet.kind, packet.payload_len()));
                }
                Ok(Some(Packet::Retry { .. })) => kinds.push("Retry".to_owned()),
                Ok(Some(Packet::Short { bytes })) => kinds.push(format!("Short {}", bytes.len())),
                Ok(Some(Packet::VersionNegotiation { versions })) => {
                    kinds.push(format!("Negotiation {}", versions.len()));
                }
                Err(error) => {
                    kinds.push(error.field().to_owned());
                    return kinds;
                }
            }
        }
    }

    #[test]
    fn packets_share_a_datagram() {
        let all =
            [long(0xc0, 1, &[2, 5, 5], 30), long(0xd0, 1, &[], 25), long(0xe0, 1, &[], 20), vec![0x41, 2, 3]]
                .concat();
        assert_eq!(kinds(&all), ["Initial 30", "ZeroRtt 25", "Handshake 20", "Short 3"]);
    }

    #[test]
    fn version_2_has_types_of_its_own() {
        assert_eq!(kinds(&long(0xd0, 0x6b33_43cf, &[0], 30)), ["Initial 30"]);
        assert_eq!(kinds(&long(0xe0, 0x6b33_43cf, &[], 30)), ["ZeroRtt 30"]);
        assert_eq!(kinds(&long(0xf0, 0x6b33_43cf, &[], 30)), ["Handshake 30"]);
        assert_eq!(kinds(&long(0xc0, 0x6b33_43cf, &[], 30)), ["Retry"]);
        assert_eq!(kinds(&long(0xf0, 1, &[], 30)), ["Retry"]);
    }

    #[test]
    fn what_cannot_be_is_told() {
        assert_eq!(kinds(&long(0xc0, 1, &[0], 30)[..40]), ["payload"]);
        assert_eq!(kinds(&long(0x80, 0, &[], 4)), ["Negotiation 5"]);
        assert_eq!(kinds(&[]), [] as [&str; 0]);
        assert_eq!(kinds(&[0xc0, 0, 0, 0, 1, 21]), ["destination connection id"]);
    }

    #[test]
    fn integers_have_four_lengths() {
        for (bytes, expected) in [
            (&[0x25][..], 37),
            (&[0x40, 0x25], 37),
            (&[0x7b, 0xbd], 15_293),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
        ] {
            assert_eq!(varint(&mut Reader::new(bytes), "x"), Ok(expected));
        }
        assert!(varint(&mut Reader::new(&[]), "x").is_err());
    }
}
