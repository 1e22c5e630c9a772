//! Owners that link layers state.

use super::*;
use crate::source::{Annotations, Dialect};

fn owner(dialect: Dialect) -> RecordedOwner {
    RecordedOwner::new(dialect)
}

/// A record as PCAPdroid writes it: made-up Ethernet, packet, padding, trailer with a checksum.
fn pcapdroid(packet: &[u8], uid: i32, label: &[u8]) -> Vec<u8> {
    let mut record = [&[0; 12][..], &[8, 0], packet].concat();
    record.resize(record.len().next_multiple_of(4), 0);
    record.extend([1, 7, 0x20, 0x21]);
    record.extend(uid.to_be_bytes());
    let mut name = label.to_vec();
    name.resize(20, 0);
    record.extend(name);
    record.extend(crc32fast::hash(&record).to_le_bytes());
    record
}

#[test]
fn pcapdroid_trailer() {
    let seen = decode(1, &pcapdroid(&hello(), 10_123, b"Shop")).unwrap();
    assert_eq!((seen.tuple.as_str(), &seen.payload[..]), (HELLO, &b"hello"[..]));
    let expected =
        RecordedOwner { uid: Some(10_123), label: Some("Shop".into()), ..owner(Dialect::Pcapdroid) };
    assert_eq!(seen.owner.as_deref(), Some(&expected));
}

#[test]
fn pcapdroid_label_cut_within_a_character() {
    let mut label = b"a label of 19 bytes".to_vec();
    label.push(0xc3);
    let seen = decode(1, &pcapdroid(&hello(), 10_123, &label)).unwrap();
    assert_eq!(seen.owner.unwrap().label.as_deref(), Some("a label of 19 bytes"));
}

#[test]
fn pcapdroid_unknown_owner_is_none() {
    let seen = decode(1, &pcapdroid(&hello(), -1, b"")).unwrap();
    assert_eq!((seen.tuple.as_str(), seen.owner), (HELLO, None));
    let root = decode(1, &pcapdroid(&hello(), 0, b"")).unwrap();
    assert_eq!(root.owner.unwrap().uid, Some(0));
}

#[test]
fn pcapdroid_magic_without_its_checksum_is_payload() {
    let mut record = pcapdroid(&hello(), 10_123, b"Shop");
    *record.last_mut().unwrap() ^= 1;
    let seen = decode(1, &record).unwrap();
    assert_eq!((seen.tuple.as_str(), seen.owner), (HELLO, None));
}

#[test]
fn pcapdroid_cut_record_keeps_its_trailer() {
    let packet = udp(1000, 53, &[7; 600]);
    let record = pcapdroid(&packet[..200], 10_123, b"Shop");
    let original_len = record.len() + packet.len() - 200;
    let seen = decode_frame(&mut Decoder::default(), &frame(1, &record, original_len)).unwrap();
    // Bytes of padding before the trailer cannot be told from payload: at most three.
    assert_eq!(seen.payload.len() + seen.missing as usize, 600);
    assert!((172..=175).contains(&seen.payload.len()));
    assert_eq!(seen.owner.unwrap().uid, Some(10_123));
}

#[test]
fn pcapdroid_bare_packets_under_ethernet() {
    assert_eq!(decode(1, &hello()).unwrap().tuple, HELLO);
    assert_eq!(decode(1, &hello_v6()).unwrap().tuple, HELLO_V6);
    let overhead = frame(1, &hello(), hello().len() + 49).original_len;
    let packet = hello();
    let seen = decode_frame(&mut Decoder::default(), &frame(1, &packet, overhead as usize)).unwrap();
    assert_eq!(seen.tuple, HELLO);
}

#[test]
fn an_address_that_begins_like_ip_is_an_address() {
    for first in [0x45, 0x60] {
        let mut frame = ethernet(0x0806, &[0; 46]);
        frame[..6].copy_from_slice(&[first, 0, 0, 60, 0, 10]);
        assert_eq!(decode(1, &frame).unwrap_err().to_string(), "arp");
    }
}

#[test]
fn equal_trailers_share_one_owner() {
    let mut decoder = Decoder::default();
    let record = pcapdroid(&hello(), 10_123, b"Shop");
    let mut owner = || decode_frame(&mut decoder, &frame(1, &record, record.len())).unwrap().owner.unwrap();
    assert!(Arc::ptr_eq(&owner(), &owner()));
}

/// An NFLOG frame with numbers in the byte order that `number` makes.
fn nflog(number: fn(u16) -> [u8; 2], family: u8) -> Vec<u8> {
    let attribute = |kind: u16, value: &[u8]| {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [&number(length)[..], &number(kind), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    [
        &[family, 0, 0, 42][..],
        &attribute(1, &[8, 0, 3, 0]),
        &attribute(10, b"prefix\0"),
        &attribute(11, &10_123_u32.to_be_bytes()),
        &attribute(14, &10_124_u32.to_be_bytes()),
        &attribute(9, &hello()),
    ]
    .concat()
}

#[test]
fn nflog_of_either_byte_order() {
    for number in [u16::to_le_bytes, u16::to_be_bytes] {
        for family in [2, 7] {
            let seen = decode(239, &nflog(number, family)).unwrap();
            let expected = RecordedOwner { uid: Some(10_123), gid: Some(10_124), ..owner(Dialect::Nflog) };
            assert_eq!((seen.tuple.as_str(), &seen.payload[..]), (HELLO, &b"hello"[..]));
            assert_eq!(seen.owner.as_deref(), Some(&expected));
        }
    }
}

#[test]
fn nflog_cut_in_its_packet() {
    let data = nflog(u16::to_le_bytes, 2);
    let seen =
        decode_frame(&mut Decoder::default(), &frame(239, &data[..data.len() - 5], data.len())).unwrap();
    assert_eq!((seen.payload.len() + seen.missing as usize, seen.owner.unwrap().uid), (5, Some(10_123)));
}

/// A PKTAP header of the first layout.
fn pktap_v1(flags: u32, pid: u32, delegate: u32) -> Vec<u8> {
    let word = u32::to_le_bytes;
    let text = |text: &[u8], len| {
        let mut field = text.to_vec();
        field.resize(len, 0);
        field
    };
    let mut header =
        [&word(108)[..], &word(1), &word(12), &text(b"en0", 24), &word(flags), &[0; 12]].concat();
    header.extend([&word(pid)[..], &text(b"Safari", 20), &[0; 8], &word(delegate)].concat());
    header.extend(text(b"Mail", 20));
    header
}

#[test]
fn pktap_names_the_process_or_whom_it_acts_for() {
    let expect = |header: &[u8], pid, process: &str| {
        let seen = decode(258, &[header, &hello()].concat()).unwrap();
        let expected =
            RecordedOwner { pid: Some(pid), process: Some(process.into()), ..owner(Dialect::Pktap) };
        assert_eq!((seen.tuple.as_str(), seen.owner.as_deref()), (HELLO, Some(&expected)));
    };
    expect(&pktap_v1(2, 501, 0), 501, "Safari");
    expect(&pktap_v1(2 | 4, 501, 502), 502, "Mail");
    let word = u32::to_le_bytes;
    let v2 = |flags: u32| {
        let fixed = [56, 0, 0, 40, 44, 51, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        [&fixed[..], &word(501), &word(502), &word(0x8_0000 | flags), b"en0\0Safari\0Mail\0"].concat()
    };
    expect(&v2(0), 501, "Safari");
    expect(&v2(4), 502, "Mail");
    assert_eq!(decode(149, &[&pktap_v1(2, 501, 0)[..], &hello()].concat()).unwrap().tuple, HELLO);
    assert_eq!(decode(149, &[0; 120]), Err(Skip::LinkType(149)));
}

#[test]
fn the_frame_speaks_before_the_file() {
    let recorded = RecordedOwner { pid: Some(7), ..owner(Dialect::Ptcpdump) };
    let annotations = Annotations { owner: Some(Arc::new(recorded)), ..Annotations::default() };
    let pid_of = |data: &[u8]| {
        let frame = Frame { annotations: Some(&annotations), ..frame(1, data, data.len()) };
        decode_frame(&mut Decoder::default(), &frame).unwrap().owner.unwrap().pid
    };
    assert_eq!(pid_of(&ethernet(0x0800, &hello())), Some(7));
    assert_eq!(pid_of(&pcapdroid(&hello(), 10_123, b"Shop")), None);
    assert_eq!(pid_of(&pcapdroid(&hello(), -1, b"")), Some(7));
}
