//! Classic capture files, as far as the workloads need them: Ethernet in, Ethernet out.
//!
//! The benchmark reads the project's own captures and writes large ones with none of the observer's code, so that
//! neither can hide a fault of the other.

use std::io::{self, Write};

use anyhow::{Context, bail};

/// One record of a capture file.
pub(super) struct Record {
    /// Nanoseconds since the epoch.
    pub(super) at: u64,
    /// The captured bytes, from the Ethernet header on.
    pub(super) frame: Vec<u8>,
}

/// The length of a record's header.
pub(super) const RECORD_HEADER: usize = 16;

/// The link type of Ethernet.
const ETHERNET: u32 = 1;

/// Magic numbers of microsecond and nanosecond files, as a little-endian reader sees its own.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// The records of a classic capture file of link type Ethernet.
pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Vec<Record>> {
    let magic: [u8; 4] = bytes.first_chunk().copied().context("no file header")?;
    let (big_endian, unit) = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
        (MICROSECONDS, _) => (false, 1_000),
        (NANOSECONDS, _) => (false, 1),
        (_, MICROSECONDS) => (true, 1_000),
        (_, NANOSECONDS) => (true, 1),
        _ => bail!("not a classic capture file"),
    };
    let word = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk().copied()?;
        Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let link_type = word(20).context("the file header is cut short")?;
    if link_type != ETHERNET {
        bail!("link type {link_type}, not Ethernet");
    }
    let mut records = Vec::new();
    let mut at = 24;
    while at < bytes.len() {
        let header = (word(at), word(at + 4), word(at + 8));
        let (Some(seconds), Some(fraction), Some(length)) = header else {
            bail!("record cut short at offset {at}")
        };
        let length = usize::try_from(length)?;
        let frame = bytes.get(at + RECORD_HEADER..).and_then(|rest| rest.get(..length));
        let frame = frame.with_context(|| format!("record cut short at offset {at}"))?.to_vec();
        records.push(Record { at: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit, frame });
        at += RECORD_HEADER + length;
    }
    Ok(records)
}

/// Writes a classic capture file with microseconds.
pub(super) struct Writer<W> {
    out: W,
    /// Records written so far.
    pub(super) packets: u64,
    /// Bytes written so far, headers included.
    pub(super) bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins the file.
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        let mut header = Vec::with_capacity(24);
        header.extend(MICROSECONDS.to_le_bytes());
        header.extend([2, 0, 4, 0]);
        header.extend([0; 8]);
        header.extend(262_144_u32.to_le_bytes());
        header.extend(ETHERNET.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out, packets: 0, bytes: 24 })
    }

    /// Adds one frame.
    pub(super) fn write(&mut self, at: u64, frame: &[u8]) -> io::Result<()> {
        let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let seconds = u32::try_from(at / 1_000_000_000).map_err(too_large)?;
        let micros = u32::try_from(at % 1_000_000_000 / 1_000).map_err(too_large)?;
        let length = u32::try_from(frame.len()).map_err(too_large)?;
        let mut header = [0; RECORD_HEADER];
        for (field, value) in header.chunks_exact_mut(4).zip([seconds, micros, length, length]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        self.out.write_all(&header)?;
        self.out.write_all(frame)?;
        self.packets += 1;
        self.bytes += 16 + u64::from(length);
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.write(1_700_000_000_123_456_000, b"first").unwrap();
        writer.write(1_700_000_001_000_000_999, b"").unwrap();
        assert_eq!((writer.packets, writer.bytes), (2, 24 + 16 + 5 + 16));
        let file = writer.finish().unwrap();
        let records = read(&file).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].at, records[0].frame.as_slice()), (1_700_000_000_123_456_000, &b"first"[..]));
        assert_eq!((records[1].at, records[1].frame.len()), (1_700_000_001_000_000_000, 0));
    }

    #[test]
    fn big_endian_nanoseconds_are_read() {
        let mut file = vec![0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4];
        file.extend([0; 8]);
        file.extend([0, 4, 0, 0, 0, 0, 0, 1]);
        file.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0xaa]);
        let records = read(&file).unwrap();
        assert_eq!((records[0].at, records[0].frame.as_slice()), (1_000_000_002, &[0xaa][..]));
        assert!(read(&file[..file.len() - 1]).is_err());
        file[23] = 113;
        assert!(read(&file).is_err(), "another link type");
        assert!(read(b"\x0a\x0d\x0d\x0a").is_err());
    }
}
