//! The record layer (RFC 6347 §4.1, RFC 9147 §4, RFC 9146 §4): the records of a datagram.

use crate::bytes::{ParseError, Reader};

/// ContentTypes.
pub(super) mod content {
    pub(in super::super) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(in super::super) const ALERT: u8 = 21;
    pub(in super::super) const HANDSHAKE: u8 = 22;
    pub(in super::super) const APPLICATION_DATA: u8 = 23;
    pub(in super::super) const HEARTBEAT: u8 = 24;
    /// A record with a connection id, whose content type is encrypted.
    pub(in super::super) const TLS12_CID: u8 = 25;
    pub(in super::super) const ACK: u8 = 26;
}

/// The longest `length` that any version allows: 2^14 + 2048 (RFC 6347 §4.1).
const MAX_LENGTH: u16 = (1 << 14) + 2048;

/// The shortest record of DTLS 1.3: its encrypted sequence number is masked by 16 bytes of it (RFC 9147 §4.2.3).
const MIN_CIPHERTEXT: usize = 16;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// With a header in full.
    Full {
        /// ContentType, known.
        content: u8,
        /// `legacy_record_version`.
        version: u16,
        /// 0 in the clear.
        epoch: u16,
        /// Encrypted unless the epoch is 0.
        body: &'a [u8],
    },
    /// With a connection id (RFC 9146): its own length cannot be told from the outside, so that it holds all that is left.
    ConnectionId {
        /// `legacy_record_version`.
        version: u16,
        /// Bytes of connection id, length and ciphertext.
        len: usize,
    },
    /// With the unified header of DTLS 1.3 (RFC 9147 §4).
    Unified {
        /// The low two bits of the epoch: 2 the handshake, 3 data.
        epoch: u8,
        /// Bytes of ciphertext; `None` behind a connection id, whose length is not said.
        len: Option<usize>,
    },
}

/// Whether `first` can begin a unified header: `001CSLEE`.
pub(super) fn is_unified(first: u8) -> bool {
    first & 0b1110_0000 == 0b0010_0000
}

/// Whether `version` is one of DTLS.
pub(super) fn is_version(version: u16) -> bool {
    matches!(version, 0xfeff | 0xfefd | 0xfefc | 0x0100)
}

/// Takes the next record.
pub(super) fn next<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, ParseError> {
    let first = reader.u8("content type")?;
    if is_unified(first) {
        return unified(first, reader);
    }
    if !(content::CHANGE_CIPHER_SPEC..=content::ACK).contains(&first) {
        return Err(reader.invalid("content type"));
    }
    let version = reader.u16("record version")?;
    if !is_version(version) {
        return Err(reader.invalid("record version"));
    }
    let epoch = reader.u16("epoch")?;
    reader.take(6, "sequence_number")?;
    if first == content::TLS12_CID {
        return Ok(Record::ConnectionId { version, len: reader.rest().len() });
    }
    let len = reader.u16("record length")?;
    if len > MAX_LENGTH {
        return Err(reader.invalid("record length"));
    }
    let body = reader.take(usize::from(len), "record")?;
    Ok(Record::Full { content: first, version, epoch, body })
}

fn unified<'a>(first: u8, reader: &mut Reader<'a>) -> Result<Record<'a>, ParseError> {
    let epoch = first & 0b11;
    if first & 0b1_0000 != 0 {
        reader.rest();
        return Ok(Record::Unified { epoch, len: None });
    }
    reader.take(if first & 0b1000 != 0 { 2 } else { 1 }, "sequence_number")?;
    let len = if first & 0b100 != 0 { usize::from(reader.u16("record length")?) } else { reader.left() };
    if len < MIN_CIPHERTEXT {
        return Err(reader.invalid("record length"));
    }
    reader.take(len, "record")?;
    Ok(Record::Unified { epoch, len: Some(len) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Record<'_>>, ParseError> {
        let mut reader = Reader::new(bytes);
        let mut records = Vec::new();
        while !reader.is_empty() {
            records.push(next(&mut reader)?);
        }
        Ok(records)
    }

    #[test]
    fn a_datagram_holds_several_records() {
        let mut bytes = vec![20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 1];
        bytes.extend_from_slice(&[22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9]);
        let records = all(&bytes).unwrap();
        assert_eq!(records[0], Record::Full { content: 20, version: 0xfefd, epoch: 0, body: &[1] });
        assert_eq!(records[1], Record::Full { content: 22, version: 0xfefd, epoch: 1, body: &[9, 9] });
        bytes.pop();
        assert!(all(&bytes).is_err());
        assert!(all(&[20, 3, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 1]).is_err());
    }

    #[test]
    fn unified_headers_come_long_and_short() {
        // With a length: another record may follow.
        let mut bytes = vec![0b0010_1110, 7, 7, 0, 16];
        bytes.extend_from_slice(&[1; 16]);
        bytes.extend_from_slice(&[0b0010_0011, 7]);
        bytes.extend_from_slice(&[1; 20]);
        let found = all(&bytes).unwrap();
        assert_eq!(found[0], Record::Unified { epoch: 2, len: Some(16) });
        assert_eq!(found[1], Record::Unified { epoch: 3, len: Some(20) });
        assert!(all(&[0b0010_0011, 7, 1, 2, 3]).is_err());
        assert_eq!(all(&[0b0011_0011, 7, 1]).unwrap(), [Record::Unified { epoch: 3, len: None }]);
    }

    #[test]
    fn a_connection_id_hides_where_the_record_ends() {
        let bytes = [25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 9, 9, 0, 3, 1, 2, 3];
        assert_eq!(all(&bytes).unwrap(), [Record::ConnectionId { version: 0xfefd, len: 7 }]);
    }
}
