//! Frames built by hand, one property a test.

use proptest::prelude::*;

use super::*;
use crate::bytes::range_in;
use crate::source::LinkType;
use crate::time::Timestamp;

/// Every link type that is decoded, and one that is not.
const LINK_TYPES: [u16; 29] = [
    0, 1, 9, 12, 14, 50, 51, 100, 101, 104, 105, 108, 109, 113, 117, 119, 127, 138, 149, 166, 192, 201, 204,
    219, 228, 229, 239, 258, 276,
];

pub(super) fn frame(link_type: u16, data: &[u8], original_len: usize) -> Frame<'_> {
    Frame {
        number: 1,
        timestamp: Timestamp(0),
        link_type: LinkType(link_type),
        interface: 0,
        data,
        original_len: u32::try_from(original_len).unwrap(),
        annotations: None,
    }
}

fn lies_within(frame: &Frame<'_>, packet: &Packet<'_>, backing: Backing<'_>) -> bool {
    let payload = match packet.segment {
        Segment::Tcp { payload, .. } | Segment::Udp { payload, .. } => payload,
        Segment::Other => &[],
    };
    match backing {
        Backing::Frame => payload.is_empty() || range_in(frame.data, payload).is_some(),
        Backing::Reassembled(datagram) => payload.is_empty() || range_in(datagram, payload).is_some(),
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_payloads_lie_within(
        frames in prop::collection::vec((prop::sample::select(&LINK_TYPES[..]), prop::collection::vec(any::<u8>(), 0..200), 0_usize..2000), 1..20)
    ) {
        let mut decoder = Decoder::default();
        for (link_type, data, more) in &frames {
            let frame = frame(*link_type, data, data.len() + more);
            let mut within = true;
            let decoded = decoder.decode(&frame, |packet, backing| within &= lies_within(&frame, packet, backing));
            prop_assert!(within);
            if let Err(skip) = decoded {
                prop_assert!(!skip.to_string().is_empty());
            }
        }
    }
}
