//! Classic pcap by hand-made bytes.

use super::*;

pub(super) fn pcap_header(big: bool, magic: u32, link_type: u32) -> Vec<u8> {
    let mut bytes = words(big, &[magic]);
    bytes.extend(u16(big, 2));
    bytes.extend(u16(big, 4));
    bytes.extend(words(big, &[0, 0, 65_535, link_type]));
    bytes
}

pub(super) fn pcap_record(seconds: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    let mut bytes = words(false, &[seconds, 500, len, len]);
    bytes.extend(data);
    bytes
}

/// `count` records a second apart, with bytes that look like nothing else, and the file header before them.
pub(super) fn pcap(count: u8) -> Vec<u8> {
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
fn doubtful_records_in_a_row_are_not_searched_one_by_one() {
    // Each of these is believable by itself and followed by another that is odder still; good records come late. A
    // search for each of them looks at 16 G places.
    let mut bytes = pcap(0);
    for _ in 0..60_000 {
        bytes.extend(words(false, &[1_700_000_000, 0, 0, u32::MAX]));
    }
    bytes.extend(&pcap(5)[24..]);
    let all = whole(&bytes);
    assert_eq!(all.data().iter().filter(|data| data.len() == 60).count(), 5);
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
