//! Formats by hand-made bytes, recorded captures, and properties that hold for any bytes.

use std::io::{self, Read};
use std::net::IpAddr;
use std::path::PathBuf;

use proptest::prelude::*;

use super::file::FileSource;
use super::input::Input;
use super::*;

/// A frame with everything that is said of it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    number: u64,
    timestamp: Timestamp,
    link_type: u16,
    interface: u32,
    data: Vec<u8>,
    original_len: u32,
    annotations: Option<Annotations>,
}

/// All that a source says.
#[derive(Clone, Debug, PartialEq)]
struct All {
    frames: Vec<Seen>,
    metadata: Vec<(usize, Metadata)>,
    summary: InputSummary,
}

impl All {
    fn data(&self) -> Vec<&[u8]> {
        self.frames.iter().map(|frame| frame.data.as_slice()).collect()
    }

    fn damage(&self) -> Vec<(u64, Option<u64>)> {
        self.summary.damage.iter().map(|damage| (damage.offset, damage.skipped)).collect()
    }

    fn owners(&self) -> Vec<Option<RecordedOwner>> {
        self.frames.iter().map(|frame| frame.annotations.as_ref()?.owner.as_deref().cloned()).collect()
    }
}

fn drain(source: &mut dyn Source) -> All {
    let (mut frames, mut metadata) = (Vec::new(), Vec::new());
    while let Some(batch) = source.next_batch().unwrap() {
        let before = frames.len();
        metadata.extend(batch.metadata.iter().map(|(at, known)| (at + before, known.clone())));
        frames.extend(batch.iter().map(|frame| Seen {
            number: frame.number,
            timestamp: frame.timestamp,
            link_type: frame.link_type.0,
            interface: frame.interface,
            data: frame.data.to_vec(),
            original_len: frame.original_len,
            annotations: frame.annotations.cloned(),
        }));
    }
    All { frames, metadata, summary: source.inputs().remove(0) }
}

fn source(bytes: &[u8], block: usize) -> Result<FileSource, SourceError> {
    let input = Input::new("a.pcap".into(), Box::new(io::Cursor::new(bytes.to_vec())), None, false)?;
    FileSource::with_blocks(input, block, block)
}

fn whole(bytes: &[u8]) -> All {
    drain(&mut source(bytes, 1 << 16).unwrap())
}

fn error(bytes: &[u8]) -> String {
    source(bytes, 1 << 16).err().map(|error| error.to_string()).unwrap_or_default()
}

/// A `u16` in the file's byte order.
fn u16(big: bool, value: u16) -> [u8; 2] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

/// A `u32` in the file's byte order.
fn u32(big: bool, value: u32) -> [u8; 4] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn words(big: bool, values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| u32(big, *value)).collect()
}

fn pcap_header(big: bool, magic: u32, link_type: u32) -> Vec<u8> {
    let mut bytes = words(big, &[magic]);
    bytes.extend(u16(big, 2));
    bytes.extend(u16(big, 4));
    bytes.extend(words(big, &[0, 0, 65_535, link_type]));
    bytes
}

fn pcap_record(seconds: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    let mut bytes = words(false, &[seconds, 500, len, len]);
    bytes.extend(data);
    bytes
}

/// `count` records a second apart, with bytes that look like nothing else, and the file header before them.
fn pcap(count: u8) -> Vec<u8> {
    let mut bytes = pcap_header(false, 0xa1b2_c3d4, 1);
    for index in 0..count {
        bytes.extend(pcap_record(1_700_000_000 + u32::from(index), &[0xe0 + index; 60]));
    }
    bytes
}

const RECORD: usize = 76;

#[test]
fn pcap_in_both_byte_orders_and_all_resolutions() {
    for big in [false, true] {
        for (magic, fraction, nanoseconds) in
            [(0xa1b2_c3d4, 123_456, 123_456_000), (0xa1b2_3c4d, 123_456, 123_456), (0xa1b2_cd34, 7, 7_000)]
        {
            // Above the link type stand bits about frame check sequences.
            let mut bytes = pcap_header(big, magic, 0x4400_0071);
            bytes.extend(words(big, &[1_700_000_000, fraction, 3, 9]));
            if magic == 0xa1b2_cd34 {
                bytes.extend([0, 0, 0, 2, 8, 0, 4, 0]);
            }
            bytes.extend(b"abc");
            let all = whole(&bytes);
            assert_eq!(all.frames.len(), 1);
            let frame = &all.frames[0];
            assert_eq!(frame.timestamp, Timestamp::new(1_700_000_000, nanoseconds));
            assert_eq!(
                (frame.link_type, frame.original_len, frame.data.as_slice()),
                (113, 9, b"abc".as_slice())
            );
            let outbound = frame.annotations.as_ref().and_then(|annotations| annotations.direction);
            assert_eq!(outbound, (magic == 0xa1b2_cd34).then_some(LinkDirection::Outbound));
            assert_eq!((all.summary.format.as_str(), all.summary.damages), ("pcap", 0));
            assert_eq!(all.summary.link_types, [LinkType(113)]);
        }
    }
}

#[test]
fn a_truncated_pcap_yields_what_precedes() {
    let bytes = pcap(3);
    for cut in 1..RECORD {
        let all = whole(&bytes[..bytes.len() - cut]);
        assert_eq!(all.frames.len(), 2, "cut {cut}");
        assert!(all.summary.truncated);
        assert_eq!(all.damage(), [(24 + 2 * RECORD as u64, None)]);
    }
    assert_eq!(error(&bytes[..20]), "a.pcap cannot be read: the file header is cut short at offset 0");
    assert!(error(&bytes[..50]).contains("claims 60 bytes, but the file ends before at offset 24"));
    assert_eq!(whole(&bytes[..24]).frames.len(), 0);
}

#[test]
fn a_corrupt_length_does_not_lose_the_rest() {
    for wrong in [0_u32, 5, 59, 61, 70, 1_000, 300_000, 0x00ff_ffff, 0x0fff_ffff, u32::MAX] {
        let mut bytes = pcap(12);
        let at = 24 + 3 * RECORD;
        bytes[at + 8..at + 12].copy_from_slice(&wrong.to_le_bytes());
        let all = whole(&bytes);
        // The length on the link says how long the record must be.
        let expected = pcap(12);
        assert_eq!(all.data(), whole(&expected).data(), "{wrong}");
        assert_eq!(all.damage(), [(at as u64, Some(0))], "{wrong}");
    }
}

#[test]
fn a_record_that_cannot_be_mended_is_passed_over() {
    for wrong in [0_u32, 70, 1_000, u32::MAX] {
        let mut bytes = pcap(12);
        let at = 24 + 3 * RECORD;
        bytes[at + 8..at + 12].copy_from_slice(&wrong.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&u32::MAX.to_le_bytes());
        let all = whole(&bytes);
        let good = whole(&pcap(12));
        let mut expected = good.data();
        expected.remove(3);
        let kept: Vec<_> = all.data().into_iter().filter(|data| data.len() == 60).collect();
        assert_eq!(kept, expected, "{wrong}");
        assert_eq!(all.summary.damages, 1, "{wrong}");
    }
}

#[test]
fn a_hole_in_a_pcap_is_passed_over() {
    for hole in [vec![0; 5_000], vec![0xff; 5_000], b"GET / HTTP/1.1\r\n".repeat(300)] {
        let mut bytes = pcap(12);
        let at = 24 + 3 * RECORD;
        let len = hole.len() as u64;
        bytes.splice(at..at, hole);
        let all = whole(&bytes);
        assert_eq!(all.data(), whole(&pcap(12)).data());
        assert_eq!(all.damage(), [(at as u64, Some(len))]);
    }
}

#[test]
fn odd_records_are_kept() {
    let mut bytes = pcap_header(false, 0xa1b2_c3d4, 1);
    for index in 0..4 {
        // A captured length above the one on the link, a fraction above a second, a gap of years, an empty frame.
        bytes.extend(words(false, &[1_000_000_000 * (index % 3), 2_000_000, 4, 2]));
        bytes.extend([7; 4]);
        bytes.extend(words(false, &[1_700_000_000, 0, 0, 0]));
    }
    let all = whole(&bytes);
    assert_eq!((all.frames.len(), all.summary.damages), (8, 0));
    assert_eq!(all.frames[0].original_len, 4);
}

#[test]
fn a_packet_of_half_a_megabyte() {
    let mut bytes = pcap(1);
    bytes.extend(pcap_record(1_700_000_001, &vec![9; 520_000]));
    bytes.extend(pcap_record(1_700_000_002, &[3; 60]));
    for block in [4_096, 1 << 20] {
        let all = drain(&mut source(&bytes, block).unwrap());
        let lengths: Vec<_> = all.frames.iter().map(|frame| frame.data.len()).collect();
        assert_eq!((lengths, all.summary.damages), (vec![60, 520_000, 60], 0));
    }
}

/// Builds pcapng, block by block.
struct Pcapng {
    big: bool,
    bytes: Vec<u8>,
}

impl Pcapng {
    fn new(big: bool) -> Self {
        Self { big, bytes: Vec::new() }.section(big)
    }

    fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let padded = body.len().next_multiple_of(4);
        let len = u32::try_from(padded + 12).unwrap();
        self.bytes.extend(words(self.big, &[kind, len]));
        self.bytes.extend(body);
        self.bytes.extend(vec![0; padded - body.len()]);
        self.bytes.extend(u32(self.big, len));
        self
    }

    fn section(mut self, big: bool) -> Self {
        self.big = big;
        let mut body = words(big, &[0x1a2b_3c4d]);
        body.extend(u16(big, 1));
        body.extend(u16(big, 0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    fn options(&self, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (code, value) in options {
            bytes.extend(u16(self.big, *code));
            bytes.extend(u16(self.big, u16::try_from(value.len()).unwrap()));
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes.extend(if options.is_empty() { vec![] } else { vec![0; 4] });
        bytes
    }

    fn interface(self, link_type: u16, snaplen: u32, options: &[(u16, &[u8])]) -> Self {
        let mut body = u16(self.big, link_type).to_vec();
        body.extend([0, 0]);
        body.extend(u32(self.big, snaplen));
        body.extend(self.options(options));
        self.block(1, &body)
    }

    fn packet(self, interface: u32, units: u64, data: &[u8], options: &[(u16, &[u8])]) -> Self {
        let len = u32::try_from(data.len()).unwrap();
        let (high, low) = (u32::try_from(units >> 32).unwrap(), (units & 0xffff_ffff) as u32);
        let mut body = words(self.big, &[interface, high, low, len, len + 1]);
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(self.options(options));
        self.block(6, &body)
    }
}

#[test]
fn pcapng_of_two_sections_and_three_interfaces() {
    let offset = 1_000_i64;
    let bytes = Pcapng::new(false)
        .interface(1, 0, &[])
        .interface(101, 0, &[(9, &[9]), (14, &offset.to_le_bytes())])
        .packet(0, 1_700_000_000_000_001, b"first", &[])
        .packet(1, 5, b"second", &[(2, &2_u32.to_le_bytes())])
        .section(true)
        .interface(113, 4, &[(9, &[0x80 | 10])])
        .packet(0, 1536, b"third!", &[(2, &1_u32.to_be_bytes())])
        .block(3, &[&12_u32.to_be_bytes()[..], b"four"].concat())
        .bytes;
    let all = whole(&bytes);
    assert_eq!(all.data(), [b"first".as_slice(), b"second", b"third!", b"four"]);
    let stamps: Vec<_> = all.frames.iter().map(|frame| frame.timestamp).collect();
    let third = Timestamp::new(1, 500_000_000);
    assert_eq!(stamps, [Timestamp::new(1_700_000_000, 1_000), Timestamp::new(1_000, 5), third, third]);
    let places: Vec<_> = all.frames.iter().map(|frame| (frame.link_type, frame.interface)).collect();
    assert_eq!(places, [(1, 0), (101, 1), (113, 2), (113, 2)]);
    assert_eq!((all.frames[0].original_len, all.frames[3].original_len), (6, 12));
    let directions: Vec<_> =
        all.frames.iter().map(|frame| frame.annotations.as_ref().and_then(|known| known.direction)).collect();
    assert_eq!(directions, [None, Some(LinkDirection::Outbound), Some(LinkDirection::Inbound), None]);
    assert_eq!((all.summary.format.as_str(), all.summary.damages), ("pcapng", 0));
    assert_eq!(all.summary.link_types, [LinkType(1), LinkType(101), LinkType(113)]);
}

#[test]
fn obsolete_packets_and_what_was_lost() {
    for big in [false, true] {
        let count = |value: u64| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut obsolete = [u16(big, 0), u16(big, 3)].concat();
        obsolete.extend(words(big, &[0, 7_000_000, 4, 4]));
        obsolete.extend(b"data");
        let mut statistics = words(big, &[0, 0, 0]);
        let file = Pcapng::new(big).interface(1, 0, &[]);
        statistics.extend(file.options(&[(5, &count(1)), (7, &count(4))]));
        let file = file.block(2, &obsolete);
        assert_eq!(whole(&file.bytes).summary.dropped, Some(3));
        let file = file.packet(0, 8_000_000, b"more", &[(4, &count(1))]).block(5, &statistics);
        let all = whole(&file.bytes);
        assert_eq!(all.data(), [b"data", b"more"]);
        assert_eq!(all.frames[0].timestamp, Timestamp::new(7, 0));
        // The packets say 3 + 1, the statistics say 5: they speak of the same losses.
        assert_eq!(all.summary.dropped, Some(5));
    }
}

#[test]
fn names_and_uid_maps_are_metadata_in_their_place() {
    for big in [false, true] {
        let mut names = [u16(big, 1), u16(big, 13)].concat();
        names.extend(b"\xc0\x00\x02\x01shop.tst\0\0\0\0");
        names.extend([u16(big, 2), u16(big, 22)].concat());
        names.extend([&[0x20; 16][..], b"a.tst\0\0\0", &[0; 4]].concat());
        let mut map = u32(big, 62_652).to_vec();
        map.extend(u16(big, 1));
        map.extend([1, 0]);
        map.extend(u32(big, 10_123));
        map.extend([8, 4]);
        map.extend(b"com.shopShop");
        let bytes = Pcapng::new(big)
            .interface(101, 0, &[])
            .block(4, &names)
            .packet(0, 1, b"one", &[])
            .block(0x0bad, &map)
            .block(0x0bad, &u32(big, 1))
            .packet(0, 2, b"two", &[])
            .bytes;
        let all = whole(&bytes);
        let name = |address: &str, name: &str| Metadata::Name {
            address: address.parse::<IpAddr>().unwrap(),
            name: name.to_owned(),
        };
        let app = Metadata::App { uid: 10_123, package: "com.shop".into(), label: "Shop".into() };
        let v6 = "2020:2020:2020:2020:2020:2020:2020:2020";
        assert_eq!(all.metadata, [(0, name("192.0.2.1", "shop.tst")), (0, name(v6, "a.tst")), (1, app)]);
        assert_eq!((all.frames.len(), all.summary.damages), (2, 0));
    }
}

#[test]
fn owners_in_options_of_every_dialect() {
    for big in [false, true] {
        let word = |value| u32(big, value);
        let process = |pid: u32, name: &[u8]| {
            let mut body = word(pid).to_vec();
            body.extend(u16(big, 2));
            body.extend(u16(big, u16::try_from(name.len()).unwrap()));
            body.extend(name);
            body
        };
        let ids = [word(77), word(78)].concat();
        let bytes = Pcapng::new(big)
            .interface(101, 0, &[])
            .block(0x8000_0001, &process(501, b"Shop\0"))
            .block(0x8000_0001, &process(502, b"nsurlsessiond\0"))
            .packet(0, 1, b"1", &[(1, b"u-10123")])
            .packet(0, 2, b"2", &[(8, &ids)])
            .packet(0, 3, b"3", &[(0x8001, &word(1)), (0x8003, &word(0))])
            .packet(0, 4, b"4", &[(0x8001, &word(1))])
            .packet(0, 5, b"5", &[(1, b"u-10123"), (8, &ids)])
            .packet(0, 6, b"6", &[(1, b"PID: 9\nCmd: /bin/nc"), (1, b"UserId: 1000")])
            .packet(0, 7, b"7", &[(1, b"rustnet pid=4 process=nc")])
            .packet(0, 8, b"8", &[(1, b"PID=5 TID=6")])
            .packet(0, 9, b"9", &[(1, b"u--1"), (8, &[0; 8])])
            .packet(0, 10, b"10", &[(0x8001, &word(2))])
            .packet(0, 11, b"11", &[(1, b"u-10123")])
            .bytes;
        let all = whole(&bytes);
        let said: Vec<_> = all
            .owners()
            .into_iter()
            .map(|owner| owner.map(|owner| (owner.dialect, owner.uid, owner.pid, owner.process)))
            .collect();
        let some =
            |dialect, uid, pid, process: Option<&str>| Some((dialect, uid, pid, process.map(str::to_owned)));
        assert_eq!(
            said,
            [
                some(Dialect::Pcapdroid, Some(10_123), None, None),
                some(Dialect::ProcessIdOption, None, Some(77), None),
                some(Dialect::Darwin, None, Some(501), Some("Shop")),
                some(Dialect::Darwin, None, Some(502), Some("nsurlsessiond")),
                some(Dialect::Pcapdroid, Some(10_123), Some(77), None),
                some(Dialect::Ptcpdump, Some(1000), Some(9), Some("/bin/nc")),
                some(Dialect::Rustnet, None, Some(4), Some("nc")),
                some(Dialect::Etl2pcapng, None, Some(5), None),
                None,
                None,
                some(Dialect::Pcapdroid, Some(10_123), None, None),
            ]
        );
    }
}

#[test]
fn equal_options_share_one_owner() {
    let file = Pcapng::new(false).interface(101, 0, &[]);
    let bytes = file.packet(0, 1, b"1", &[(1, b"u-10123")]).packet(0, 2, b"2", &[(1, b"u-10123")]).bytes;
    let batch = source(&bytes, 1 << 16).unwrap().next_batch().unwrap().unwrap();
    let [one, other] = batch.frames.as_slice() else { panic!("two frames") };
    assert!(Arc::ptr_eq(one.annotations.as_ref().unwrap(), other.annotations.as_ref().unwrap()));
}

/// Five packets between a custom block and a decryption secrets block, and where each block begins.
fn pcapng() -> (Vec<u8>, Vec<usize>) {
    let mut file = Pcapng::new(false).interface(1, 0, &[]).block(0x0bad, &[1; 90]);
    let mut starts = Vec::new();
    for index in 0..5_u8 {
        starts.push(file.bytes.len());
        file = file.packet(0, 1_700_000_000_000_000 + u64::from(index), &[0xe0 + index; 33], &[]);
    }
    (file.block(10, &[2; 70]).bytes, starts)
}

#[test]
fn a_corrupt_block_does_not_lose_the_rest() {
    let (bytes, starts) = pcapng();
    let good = whole(&bytes);
    assert_eq!((good.frames.len(), good.summary.damages), (5, 0));
    let at = starts[2];
    for wrong in [0_u32, 8, 12, 30, 64, 100, 144, 0x00ff_fff0, 0xffff_fff0] {
        let mut bytes = bytes.clone();
        bytes[at + 4..at + 8].copy_from_slice(&wrong.to_le_bytes());
        let all = whole(&bytes);
        let mut expected = good.data();
        expected.remove(2);
        assert_eq!(all.data(), expected, "{wrong}");
        assert_eq!(all.damage(), [(at as u64, Some((starts[3] - at) as u64))], "{wrong}");
    }
    // Where the length at the end is wrong, or the captured length, nothing else is lost.
    let mut wrong_end = bytes.clone();
    wrong_end[starts[3] - 4] ^= 1;
    assert_eq!(
        (whole(&wrong_end).data(), whole(&wrong_end).damage()),
        (good.data(), vec![(at as u64, Some(0))])
    );
    let mut wrong_captured = bytes.clone();
    wrong_captured[at + 20] = 200;
    assert_eq!(whole(&wrong_captured).frames.len(), 4);
    let mut wrong_interface = bytes;
    wrong_interface[at + 8] = 1;
    assert_eq!(whole(&wrong_interface).frames.len(), 4);
}

#[test]
fn a_truncated_pcapng_yields_what_precedes() {
    let (bytes, starts) = pcapng();
    for end in starts[4] + 1..bytes.len() - 84 {
        let all = whole(&bytes[..end]);
        assert_eq!((all.frames.len(), all.summary.truncated), (4, true), "{end}");
        assert_eq!(all.damage(), [(starts[4] as u64, None)]);
    }
    assert_eq!(error(&bytes[..20]), "a.pcap cannot be read: the last block is cut short at offset 0");
    let mut magic = bytes;
    magic[8] = 0;
    let message = error(&magic[..starts[0]]);
    assert!(message.contains("a section header has no byte-order magic at offset 0"), "{message}");
}

#[test]
fn long_blocks_are_passed_over_without_being_held() {
    let secrets = vec![7; 30 << 20];
    let file = Pcapng::new(false).interface(1, 0, &[]).block(10, &secrets).packet(0, 1, b"behind", &[]);
    let all = whole(&file.bytes);
    assert_eq!((all.data(), all.summary.damages), (vec![b"behind".as_slice()], 0));
}

#[test]
fn compressions_are_told_by_magic() {
    let plain = pcap(9);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
        let mut compressed = Vec::new();
        encoder.read_to_end(&mut compressed).unwrap();
        compressed
    };
    let lz4 = |bytes: &[u8]| {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let (one, two) = plain.split_at(300);
    for (name, compressed) in [
        ("pcap+gzip", [gzip(one), gzip(two)].concat()),
        ("pcap+lz4", [lz4(one), lz4(two)].concat()),
        ("pcap+zstd", [zstd(one), zstd(two)].concat()),
    ] {
        let all = whole(&compressed);
        assert_eq!((all.data(), all.summary.format.as_str()), (whole(&plain).data(), name));
        let cut = whole(&compressed[..compressed.len() * 3 / 4]);
        assert!(cut.frames.len() < 9, "{name}");
        assert!(cut.summary.truncated, "{name}");
        assert!(cut.summary.damage[0].reason.starts_with(&name[5..]), "{name}");
    }
    assert!(error(&gzip(b"some text")).contains("is not a capture file: it begins with 736f6d65"));
}

#[test]
fn what_cannot_be_read_is_named() {
    assert_eq!(error(b""), "a.pcap is empty");
    assert!(
        error(b"hello world, this is text")
            .contains("begins with 68656c6c, which is neither pcap nor pcapng")
    );
    assert!(error(b"\xa1").contains("begins with a1"));
    let open = |path: &str| open(&[PathBuf::from(path)]).err().map(|error| error.to_string()).unwrap();
    assert_eq!(open("/"), "/ is a directory, not a capture file");
    assert_eq!(open("/nowhere/a.pcap"), "cannot read /nowhere/a.pcap");
}

#[test]
fn several_files_are_one_timeline() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, seconds: &[u32]| {
        let mut bytes = pcap_header(false, 0xa1b2_c3d4, 1);
        for second in seconds {
            bytes.extend(pcap_record(*second, format!("{name}{second}").as_bytes()));
        }
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    // The second is later as a whole; the third lies between; the fourth's clock was set back; the fifth is empty.
    let paths = [
        write("a", &[10, 20, 30]),
        write("b", &[90, 91]),
        write("c", &[10, 25, 95]),
        write("d", &[50, 5, 60]),
        write("e", &[]),
    ];
    let mut timeline = open(&paths).unwrap();
    let all = drain(timeline.as_mut());
    let order: Vec<_> = all.data().iter().map(|data| String::from_utf8_lossy(data).into_owned()).collect();
    assert_eq!(order, ["a10", "c10", "a20", "c25", "a30", "d50", "d5", "d60", "b90", "b91", "c95"]);
    let numbers: Vec<_> = all.frames.iter().map(|frame| frame.number).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
    let interfaces: Vec<_> = all.frames.iter().map(|frame| frame.interface).collect();
    assert_eq!(interfaces, [0, 1, 0, 1, 0, 2, 2, 2, 3, 3, 1]);
    let frames: Vec<_> = timeline.inputs().iter().map(|input| input.frames).collect();
    assert_eq!(frames, [3, 2, 3, 3, 0]);
    let (read, total) = timeline.progress();
    assert_eq!(Some(read), total);
}

#[test]
fn recorded_captures_have_the_frames_that_their_manifest_says() {
    for capture in observer_captures::all() {
        match open(&[capture.path()]) {
            Ok(mut source) => {
                let all = drain(source.as_mut());
                let (frames, listed) = (all.frames.len() as u64, u64::from(capture.frames));
                // The manifest counts up to the first damage; reading goes on behind it.
                let fits = if all.summary.damages == 0 { frames == listed } else { frames >= listed };
                assert!(fits, "{}: {frames} frames, not {listed}", capture.name);
            }
            Err(error) => assert_eq!(capture.frames, 0, "{}: {error}", capture.name),
        }
    }
}

#[cfg(feature = "live")]
#[test]
fn a_filter_keeps_the_numbers_that_frames_have_in_the_file() {
    let path = observer_captures::path("http/basic-auth.pcap");
    let paths = [path];
    let everything = drain(open(&paths).unwrap().as_mut());
    let mut source = open_filtered(&paths, Some(" tcp[tcpflags] & tcp-syn != 0 ")).unwrap();
    let some = drain(source.as_mut());
    assert!(!some.frames.is_empty() && some.frames.len() < everything.frames.len());
    for frame in &some.frames {
        assert_eq!(Some(frame), everything.frames.iter().find(|known| known.number == frame.number));
    }
    assert_eq!(source.filtered(), (everything.frames.len() - some.frames.len()) as u64);
    assert_eq!(some.summary.frames, everything.frames.len() as u64);
    let error = open_filtered(&paths, Some("tcp and and")).err().unwrap().to_string();
    assert!(error.starts_with("bad filter expression \"tcp and and\": "), "{error}");
    assert_eq!(drain(open_filtered(&paths, Some(" ")).unwrap().as_mut()), everything);
}

/// Bytes of a capture file, damaged in some places.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let files = prop_oneof![Just(pcap(12)), Just(pcapng().0), Just(pcap(0))];
    let wounds = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..6);
    (files, wounds, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(mut bytes, wounds, tail)| {
        bytes.extend(tail);
        for (place, value, kind) in wounds {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes.truncate(at.max(24)),
                2 => drop(bytes.splice(at..at, vec![value; usize::from(value)])),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same(bytes in damaged(), block in 24_usize..300) {
        match (source(&bytes, 1 << 16), source(&bytes, block)) {
            (Ok(mut whole), Ok(mut split)) => {
                let (whole, split) = (drain(&mut whole), drain(&mut split));
                prop_assert_eq!(whole.frames, split.frames);
                prop_assert_eq!(whole.metadata, split.metadata);
                prop_assert_eq!(whole.summary, split.summary);
            }
            (Err(whole), Err(split)) => prop_assert_eq!(whole.to_string(), split.to_string()),
            (whole, split) => prop_assert!(false, "{:?} {:?}", whole.err(), split.err()),
        }
    }

    #[test]
    fn any_bytes_behind_a_magic_are_read_without_a_panic(
        magic in prop::sample::select(vec![0xa1b2_c3d4_u32, 0xd4c3_b2a1, 0xa1b2_cd34, 0x0a0d_0d0a]),
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let bytes = [magic.to_be_bytes().as_slice(), &bytes].concat();
        if let Ok(mut source) = source(&bytes, 64) {
            let all = drain(&mut source);
            prop_assert_eq!(all.summary.frames, all.frames.len() as u64);
        }
    }
}
