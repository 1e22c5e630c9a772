//! pcapng by hand-made bytes.

use std::net::IpAddr;

use super::*;

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
pub(super) fn pcapng() -> (Vec<u8>, Vec<usize>) {
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
