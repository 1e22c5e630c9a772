//! What holds for any bytes.

use proptest::prelude::*;

use super::blocks::pcapng;
use super::classic::pcap;
use super::*;

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
