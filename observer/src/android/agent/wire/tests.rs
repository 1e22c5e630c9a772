//! Messages there and back, and streams that are damaged, foreign or hostile.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::attribution::{Confidence, Method, Sighting, SocketOwner};
use crate::decode::{Endpoint, FiveTuple, Transport};
use crate::time::Timestamp;

fn written(message: &impl Serialize, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_encoded(&mut bytes, sequence, &encode(message).unwrap(), body).unwrap();
    bytes
}

fn read_all(bytes: &[u8]) -> Result<Vec<Message<DeviceMessage>>, WireError> {
    let mut reader = Cursor::new(bytes);
    let mut messages = Vec::new();
    while let Some(message) = read_message(&mut reader)? {
        messages.push(message);
    }
    Ok(messages)
}

fn frames() -> DeviceMessage {
    DeviceMessage::Frames(FramesHeader {
        interface: 1,
        base: 1_700_000_000_000_000_000,
        frames: vec![
            WireFrame { after_base: 0, len: 2, original_len: 60, outbound: Some(true) },
            WireFrame { after_base: -5, len: 1, original_len: 1, outbound: None },
        ],
    })
}

#[test]
fn the_bytes_of_version_1_stay_what_they_are() {
    assert_eq!(preamble(), b"OBSERVER\x01\x00\x00\x00\x00\x00");
    let expected = [
        &[21, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0][..],
        // Frames, interface 1, the base as a zigzag varint, two frames.
        &[3, 1, 0x80, 0x80, 0xd0, 0xe2, 0xc6, 0xbf, 0xce, 0x97, 0x2f, 2],
        &[0, 2, 60, 1, 1, 9, 1, 1, 0],
        b"abc",
    ]
    .concat();
    let bytes = written(&frames(), 7, b"abc");
    assert_eq!(bytes, expected);
    let ack = written(&HostMessage::Ack { sequence: 300 }, 0, &[]);
    assert_eq!(ack, [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xac, 0x02]);
}

#[test]
fn what_is_no_agent_is_quoted() {
    let read = |bytes: &[u8]| read_preamble(&mut Cursor::new(bytes)).unwrap_err().to_string();
    assert_eq!(
        read(b"/system/bin/sh: /data/local/tmp/observer: not found\n"),
        "no agent answered; it says \"/system/bin/sh: /data/local/tmp/observer: not found\""
    );
    assert_eq!(read(b"no"), "no agent answered; it says \"no\"");
    assert_eq!(read(b""), "the link ended before the agent answered");
    assert_eq!(read(b"OBSERVER\x01"), "the link ended inside the preamble");
    assert_eq!(
        read(b"OBSERVER\x02\x00\x00\x00\x00\x00"),
        "the agent speaks version 2 of the protocol, this host version 1"
    );
    let long = [b'x'; 5000];
    assert_eq!(read(&long).len(), SHOWN + "no agent answered; it says \"\"".len());
    assert_eq!(read_preamble(&mut Cursor::new(preamble())).unwrap(), CAPABILITIES);
}

#[test]
fn lengths_are_checked_before_anything_is_read() {
    let huge = [0xff; PREFIX];
    let error = read_all(&huge).unwrap_err().to_string();
    assert_eq!(error, "a message has a header of 4294967295 bytes; at most 1048576 are allowed");
    let mut long = written(&frames(), 1, b"abc");
    long[4..8].copy_from_slice(&u32::try_from(MAX_BODY + 1).unwrap().to_le_bytes());
    let error = read_all(&long).unwrap_err().to_string();
    assert_eq!(error, "a message has a body of 2097153 bytes; at most 2097152 are allowed");
}

#[test]
fn a_header_with_more_than_a_message_is_none() {
    let mut header = encode(&DeviceMessage::Until(1)).unwrap();
    header.push(0);
    let mut bytes = Vec::new();
    write_encoded(&mut bytes, 1, &header, &[]).unwrap();
    assert!(read_all(&bytes).unwrap_err().to_string().contains("1 bytes are left over"));
}

#[test]
fn frames_are_as_long_as_their_body() {
    let DeviceMessage::Frames(header) = frames() else { panic!() };
    assert!(header.check(3).is_ok());
    for body in [0, 2, 4] {
        assert!(header.check(body).is_err(), "{body}");
    }
    let frame = WireFrame { after_base: 0, len: u32::MAX, original_len: 0, outbound: None };
    assert!(FramesHeader { interface: 0, base: 0, frames: vec![frame; 3] }.check(2).is_err());
    let none = WireFrame { len: 0, ..frame };
    assert!(FramesHeader { interface: 0, base: 0, frames: vec![none; MAX_FRAMES + 1] }.check(0).is_err());
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(cut("short".to_owned()), "short");
    let text = cut("ä".repeat(MAX_TEXT));
    assert_eq!(text.len(), MAX_TEXT);
    assert_eq!(cut(format!("x{text}")).len(), MAX_TEXT - 1);
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(|(ip, port)| Endpoint { ip, port })
}

fn any_transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        Just(Transport::Tcp),
        Just(Transport::Udp),
        Just(Transport::Icmp),
        Just(Transport::IcmpEcho),
        any::<u8>().prop_map(Transport::Other),
    ]
}

prop_compose! {
    fn any_sighting()(
        transport in any_transport(),
        local in any_endpoint(),
        remote in prop::option::of(any_endpoint()),
        listening in any::<bool>(),
        times in (any::<i64>(), any::<i64>()),
        ids in any::<(Option<u32>, Option<u32>, Option<u64>)>(),
        texts in any::<(Option<String>, Option<String>, Option<String>)>(),
        method in prop::sample::select(vec![Method::Ebpf, Method::Recorded, Method::SockDiag, Method::Procfs]),
        confidence in prop::sample::select(vec![Confidence::Exact, Confidence::Polled, Confidence::Inferred]),
    ) -> Sighting {
        Sighting {
            transport,
            local,
            remote,
            listening,
            first: Timestamp(times.0.min(times.1)),
            last: Timestamp(times.0.max(times.1)),
            socket: ids.2,
            owner: SocketOwner {
                uid: ids.0,
                user: texts.0,
                pid: ids.1,
                process: texts.1,
                unit: texts.2,
                cgroup: ids.2,
                method,
                confidence,
            },
        }
    }
}

proptest! {
    #[test]
    fn sockets_arrive_as_they_were_seen(sightings in prop::collection::vec(any_sighting(), 0..20)) {
        let message = DeviceMessage::Sightings(sightings.iter().cloned().map(Into::into).collect());
        let read = read_all(&written(&message, 9, &[])).unwrap();
        let DeviceMessage::Sightings(read) = read[0].header.clone() else { panic!() };
        prop_assert_eq!(read.into_iter().map(Sighting::from).collect::<Vec<_>>(), sightings);
    }

    #[test]
    fn flows_arrive_as_they_began(transport in any_transport(), source in any_endpoint(), destination in any_endpoint()) {
        let flow = FiveTuple { transport, source, destination };
        prop_assert_eq!(FiveTuple::from(FlowRecord::from(flow)), flow);
    }

    #[test]
    fn frames_arrive_with_their_bytes(lengths in prop::collection::vec((any::<i64>(), 0_u32..100, any::<Option<bool>>()), 0..50)) {
        let frames: Vec<_> = lengths
            .iter()
            .map(|(after_base, len, outbound)| WireFrame { after_base: *after_base, len: *len, original_len: *len, outbound: *outbound })
            .collect();
        let body: Vec<u8> = lengths.iter().flat_map(|(_, len, _)| vec![7; usize::try_from(*len).unwrap()]).collect();
        let header = FramesHeader { interface: 3, base: -1, frames };
        prop_assert!(header.check(body.len()).is_ok());
        let message = DeviceMessage::Frames(header);
        let read = read_all(&written(&message, u64::MAX, &body)).unwrap();
        prop_assert_eq!(&read, &[Message { sequence: u64::MAX, header: message, body }]);
    }

    /// Cut anywhere, a stream gives the whole messages before, and then an error; never another message.
    #[test]
    fn a_stream_may_end_anywhere(cut in 0_usize..200) {
        let mut bytes = written(&DeviceMessage::Note("a word".to_owned()), 1, &[]);
        let first = bytes.len();
        bytes.extend(written(&frames(), 2, b"abc"));
        let cut = cut.min(bytes.len());
        let mut reader = Cursor::new(&bytes[..cut]);
        let mut whole = 0;
        let outcome = loop {
            match read_message::<DeviceMessage>(&mut reader) {
                Ok(Some(_)) => whole += 1,
                other => break other,
            }
        };
        prop_assert_eq!(whole, usize::from(cut >= first) + usize::from(cut == bytes.len()));
        prop_assert_eq!(outcome.is_ok(), cut == 0 || cut == first || cut == bytes.len());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_all(&bytes);
        let _ = read_preamble(&mut Cursor::new(&bytes));
        // With lengths that hold, so that headers are reached.
        let mut framed = Vec::new();
        write_encoded(&mut framed, 1, &bytes, &bytes).unwrap();
        let _ = read_all(&framed);
        let _ = read_message::<HostMessage>(&mut Cursor::new(&framed));
    }
}
