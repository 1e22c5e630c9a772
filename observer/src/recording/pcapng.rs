//! Blocks of pcapng (draft-ietf-opsawg-pcapng), little-endian, one section.
//!
//! Each block is put together in memory and handed over in one write, so that what lies below can tell where blocks end.
//! It knows no owners and keeps no books: which interfaces and names a file has been told is its caller's affair.

use std::io::{self, Write};

use super::Precision;
use crate::source::LinkDirection;
use crate::time::Timestamp;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const CUSTOM: u32 = 0x0bad;
/// PCAPdroid's Private Enterprise Number.
const PCAPDROID: u32 = 62_652;

const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;

/// Bytes of an option's value at most: its length has 16 bits.
const MAX_VALUE: usize = 65_535;
/// Bytes of a name in a UID map at most: its length has 8 bits. PCAPdroid itself writes 63 and reads them all.
const MAX_NAME: usize = 255;

/// What the head of a file says of the capturing system. What is `None` is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SectionHeader {
    /// The hardware (`shb_hardware`).
    pub hardware: Option<String>,
    /// The operating system (`shb_os`).
    pub system: Option<String>,
    /// The program that writes (`shb_userappl`).
    pub application: Option<String>,
    /// Anything for people (`opt_comment`).
    pub comment: Option<String>,
}

/// An interface that frames are captured on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InterfaceBlock<'a> {
    pub(super) link_type: u16,
    /// Bytes captured of a frame at most; 0 is no limit.
    pub(super) snaplen: u32,
    pub(super) name: Option<&'a str>,
    /// The filter expression that frames passed.
    pub(super) filter: Option<&'a str>,
}

/// A frame and what is said of it.
#[derive(Clone, Debug)]
pub(super) struct PacketBlock<'a> {
    /// As [`BlockWriter::interface`] numbered it.
    pub(super) interface: u32,
    pub(super) timestamp: Timestamp,
    pub(super) original_len: u32,
    pub(super) data: &'a [u8],
    pub(super) direction: Option<LinkDirection>,
    /// Frames of this interface that were lost since the last one (`epb_dropcount`).
    pub(super) dropped: u64,
    /// The frame's number (`epb_packetid`).
    pub(super) number: u64,
    pub(super) pid: Option<u32>,
    /// PCAPdroid's reader looks at the first one.
    pub(super) comments: &'a [String],
}

/// What became of an interface's frames.
#[derive(Clone, Debug, Default)]
pub(super) struct StatisticsBlock<'a> {
    /// As [`BlockWriter::interface`] numbered it.
    pub(super) interface: u32,
    pub(super) timestamp: Timestamp,
    /// Frames received and lost, where known.
    pub(super) counts: Option<(u64, u64)>,
    pub(super) comments: &'a [String],
}

/// Writes blocks.
#[derive(Debug)]
pub(super) struct BlockWriter<W> {
    out: W,
    precision: Precision,
    block: Vec<u8>,
    written: u64,
    interfaces: u32,
}

impl<W: Write> BlockWriter<W> {
    /// Begins a file.
    pub(super) fn new(out: W, header: &SectionHeader, precision: Precision) -> io::Result<Self> {
        let mut writer = Self { out, precision, block: Vec::new(), written: 0, interfaces: 0 };
        writer.begin(SECTION_HEADER);
        writer.word(BYTE_ORDER_MAGIC);
        // Version 1.0, and a length that is not known.
        writer.block.extend([1, 0, 0, 0]);
        writer.block.extend([0xff; 8]);
        let texts = [
            (COMMENT, &header.comment),
            (2, &header.hardware),
            (3, &header.system),
            (4, &header.application),
        ];
        let start = writer.block.len();
        for (code, text) in texts {
            if let Some(text) = text {
                writer.text(code, text);
            }
        }
        writer.end_options(start);
        writer.end()?;
        Ok(writer)
    }

    /// Bytes written so far, those included that wait in buffers below.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// What lies below.
    pub(super) fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Interface Description Block; the number under which packets name the interface.
    pub(super) fn interface(&mut self, interface: &InterfaceBlock<'_>) -> io::Result<u32> {
        const NAME: u16 = 2;
        const RESOLUTION: u16 = 9;
        const FILTER: u16 = 11;
        self.begin(INTERFACE);
        self.block.extend(interface.link_type.to_le_bytes());
        self.block.extend([0, 0]);
        self.word(interface.snaplen);
        let start = self.block.len();
        if let Some(name) = interface.name {
            self.text(NAME, name);
        }
        match self.precision {
            // What readers assume that know no other.
            Precision::Micro => {}
            Precision::Nano => self.option(RESOLUTION, &[9]),
        }
        if let Some(filter) = interface.filter {
            // Its first byte says that it is an expression of libpcap.
            self.text(FILTER, &format!("\0{filter}"));
        }
        self.end_options(start);
        self.end()?;
        let number = self.interfaces;
        self.interfaces = self.interfaces.saturating_add(1);
        Ok(number)
    }

    /// Enhanced Packet Block.
    pub(super) fn packet(&mut self, packet: &PacketBlock<'_>) -> io::Result<()> {
        const FLAGS: u16 = 2;
        const DROP_COUNT: u16 = 4;
        const PACKET_ID: u16 = 5;
        const PROCESS_AND_THREAD: u16 = 8;
        self.begin(PACKET);
        self.word(packet.interface);
        self.time(packet.timestamp);
        let captured = u32::try_from(packet.data.len())
            .map_err(|_too_long| io::Error::new(io::ErrorKind::InvalidInput, "a frame of more than 4 GiB"))?;
        self.word(captured);
        self.word(packet.original_len.max(captured));
        self.block.extend(packet.data);
        self.pad();
        let start = self.block.len();
        if let Some(direction) = packet.direction {
            let flags: u32 = match direction {
                LinkDirection::Inbound => 1,
                LinkDirection::Outbound => 2,
            };
            self.option(FLAGS, &flags.to_le_bytes());
        }
        for comment in packet.comments {
            self.text(COMMENT, comment);
        }
        if packet.dropped > 0 {
            self.option(DROP_COUNT, &packet.dropped.to_le_bytes());
        }
        if packet.number > 0 {
            self.option(PACKET_ID, &packet.number.to_le_bytes());
        }
        if let Some(pid) = packet.pid {
            let [a, b, c, d] = pid.to_le_bytes();
            // The thread is not known.
            self.option(PROCESS_AND_THREAD, &[a, b, c, d, 0, 0, 0, 0]);
        }
        self.end_options(start);
        self.end()
    }

    /// PCAPdroid's UID map: a Custom Block that names the app behind a uid.
    ///
    /// ```text
    /// PEN u32 | version u16 = 1 | type u8 = 1 | pad u8 | uid i32 | package length u8 | label length u8 | package, label
    /// ```
    ///
    /// PCAPdroid stops reading where a name is empty, so that an unknown package is a single NUL, and an unknown label
    /// the package's name.
    pub(super) fn app(&mut self, uid: u32, package: &str, label: &str) -> io::Result<()> {
        let package = cut(if package.is_empty() { "\0" } else { package }, MAX_NAME);
        let label = cut(if label.is_empty() { package } else { label }, MAX_NAME);
        let len = |name: &str| u8::try_from(name.len()).unwrap_or(u8::MAX);
        self.begin(CUSTOM);
        self.word(PCAPDROID);
        self.block.extend([1, 0, 1, 0]);
        self.word(uid);
        self.block.extend([len(package), len(label)]);
        self.block.extend(package.as_bytes());
        self.block.extend(label.as_bytes());
        self.pad();
        self.end()
    }

    /// Interface Statistics Block.
    pub(super) fn statistics(&mut self, statistics: &StatisticsBlock<'_>) -> io::Result<()> {
        const RECEIVED: u16 = 4;
        // What the kernel drops for want of room stands here with dumpcap, and Wireshark shows only this count.
        const DROPPED: u16 = 5;
        self.begin(STATISTICS);
        self.word(statistics.interface);
        self.time(statistics.timestamp);
        let start = self.block.len();
        for comment in statistics.comments {
            self.text(COMMENT, comment);
        }
        if let Some((received, dropped)) = statistics.counts {
            self.option(RECEIVED, &received.to_le_bytes());
            self.option(DROPPED, &dropped.to_le_bytes());
        }
        self.end_options(start);
        self.end()
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.word(kind);
        // The length, once it is known.
        self.word(0);
    }

    fn end(&mut self) -> io::Result<()> {
        let whole = self.block.len().saturating_add(4);
        let len = u32::try_from(whole)
            .map_err(|_too_long| io::Error::new(io::ErrorKind::InvalidInput, "a block of more than 4 GiB"))?;
        if let Some(field) = self.block.get_mut(4..8) {
            field.copy_from_slice(&len.to_le_bytes());
        }
        self.word(len);
        self.out.write_all(&self.block)?;
        self.written = self.written.saturating_add(u64::from(len));
        Ok(())
    }

    fn word(&mut self, value: u32) {
        self.block.extend(value.to_le_bytes());
    }

    /// The two halves of a timestamp, the high one first. There are none before 1970.
    fn time(&mut self, timestamp: Timestamp) {
        let nanoseconds = u64::try_from(timestamp.0).unwrap_or(0);
        let units = match self.precision {
            Precision::Micro => nanoseconds / 1_000,
            Precision::Nano => nanoseconds,
        };
        let [a, b, c, d, e, f, g, h] = units.to_le_bytes();
        self.block.extend([e, f, g, h, a, b, c, d]);
    }

    fn text(&mut self, code: u16, text: &str) {
        self.option(code, cut(text, MAX_VALUE).as_bytes());
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.block.extend(code.to_le_bytes());
        self.block.extend(len.to_le_bytes());
        self.block.extend(value.iter().take(usize::from(len)));
        self.pad();
    }

    /// Ends the options that began at `start`, if there are any.
    fn end_options(&mut self, start: usize) {
        if self.block.len() > start {
            self.option(END_OF_OPTIONS, &[]);
        }
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }
}

/// At most `limit` bytes of `text`, whole characters.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(cut("schön", 4), "sch");
        assert_eq!(cut("schön", 5), "schö");
        assert_eq!(cut("schön", 63), "schön");
    }

    #[test]
    fn blocks_are_whole_and_padded() {
        let header = SectionHeader { application: Some("a".into()), ..SectionHeader::default() };
        let mut writer = BlockWriter::new(Vec::new(), &header, Precision::Micro).unwrap();
        let interface = InterfaceBlock { link_type: 101, name: Some("lo"), ..InterfaceBlock::default() };
        assert_eq!(writer.interface(&interface).unwrap(), 0);
        let before = writer.out.len();
        let comments = ["u-10123".to_owned()];
        let nanoseconds = 1_700_000_000_123_456_789_u64;
        let packet = PacketBlock {
            interface: 0,
            timestamp: Timestamp(nanoseconds.cast_signed()),
            original_len: 3,
            data: b"abc",
            direction: Some(LinkDirection::Outbound),
            dropped: 0,
            number: 0,
            pid: Some(7),
            comments: &comments,
        };
        writer.packet(&packet).unwrap();
        let expected = [
            [6, 0, 0, 0, 72, 0, 0, 0, 0, 0, 0, 0].as_slice(),
            &((nanoseconds / 1000) >> 32).to_le_bytes()[..4],
            &(nanoseconds / 1000).to_le_bytes()[..4],
            &[3, 0, 0, 0, 3, 0, 0, 0],
            b"abc\0",
            &[2, 0, 4, 0, 2, 0, 0, 0],
            b"\x01\0\x07\0u-10123\0",
            &[8, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0],
            &[0; 4],
            &[72, 0, 0, 0],
        ]
        .concat();
        assert_eq!(writer.out[before..], expected);
        assert_eq!(writer.written(), writer.out.len() as u64);
    }
}
