//! Any frame of any link type is decoded without a panic, and the payload of its packet lies within the frame or the
//! reassembled datagram.
#![no_main]

use libfuzzer_sys::fuzz_target;
use observer::decode::{Backing, Decoder, PacketRecord};
use observer::source::{Frame, LinkType};
use observer::time::Timestamp;

const LINK_TYPES: [u16; 33] = [
    0, 1, 9, 11, 12, 14, 50, 51, 100, 101, 104, 105, 108, 109, 113, 117, 119, 127, 138, 149, 166, 192, 204, 219, 226,
    228, 229, 239, 258, 276, 281, 284, 285,
];

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::default();
    let mut rest = data;
    let mut number = 0;
    // Frames as: link type, length, bytes.
    while let [link_type, high, low, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (bytes, after) = tail.split_at(len);
        rest = after;
        number += 1;
        let frame = Frame {
            number,
            timestamp: Timestamp::new(i64::try_from(number).unwrap_or(0), 0),
            link_type: LinkType(LINK_TYPES[usize::from(*link_type) % LINK_TYPES.len()]),
            interface: 0,
            data: bytes,
            original_len: u32::try_from(len).unwrap_or(u32::MAX).saturating_add(u32::from(link_type >> 6)),
            annotations: None,
        };
        let _ = decoder.decode(&frame, |packet, backing| {
            let whole = match backing {
                Backing::Frame => bytes,
                Backing::Reassembled(datagram) => datagram.as_slice(),
            };
            assert!(PacketRecord::new(packet, whole, 0, 0).is_some());
        });
    }
});
