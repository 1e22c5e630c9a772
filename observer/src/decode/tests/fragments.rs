//! Datagrams put together from fragments.

use std::ops::Range;
use std::time::Duration;

use super::*;

const SECOND: i64 = 1_000_000_000;

/// A fragment of the IPv4 packet `whole`: the given bytes of its payload.
fn part(whole: &[u8], range: Range<usize>, identification: u16) -> Vec<u8> {
    let (header, payload) = whole.split_at(20);
    let mut bytes = [header, &payload[range.clone()]].concat();
    let total_len = u16::try_from(bytes.len()).unwrap();
    bytes[2..4].copy_from_slice(&total_len.to_be_bytes());
    bytes[4..6].copy_from_slice(&identification.to_be_bytes());
    let more = if range.end < payload.len() { 0x2000 } else { 0 };
    let field = u16::try_from(range.start / 8).unwrap() | more;
    bytes[6..8].copy_from_slice(&field.to_be_bytes());
    bytes
}

/// The same of an IPv6 packet.
fn part_v6(whole: &[u8], range: Range<usize>, identification: u8) -> Vec<u8> {
    let payload = &whole[40..];
    let more = u16::from(range.end < payload.len());
    let field = (u16::try_from(range.start).unwrap() | more).to_be_bytes();
    ipv6(44, &[&[17, 0], &field[..], &[0, 0, 0, identification], &payload[range]].concat())
}

fn at(data: &[u8], seconds: i64) -> Frame<'_> {
    Frame { timestamp: Timestamp(seconds * SECOND), ..frame(101, data, data.len()) }
}

fn feed(decoder: &mut Decoder, parts: &[Vec<u8>]) -> Vec<Result<Seen, Skip>> {
    parts.iter().map(|part| decode_frame(decoder, &at(part, 0))).collect()
}

fn payload() -> Vec<u8> {
    (0..100).collect()
}

#[test]
fn both_versions_in_any_order() {
    let whole = udp(1000, 53, &payload());
    let parts = |cut: fn(&[u8], Range<usize>) -> Vec<u8>, whole: &[u8]| {
        [cut(whole, 64..108), cut(whole, 0..32), cut(whole, 32..64)]
    };
    let mut decoder = Decoder::default();
    let v4 = feed(&mut decoder, &parts(|whole, range| part(whole, range, 7), &whole));
    let whole = udp_v6(CLIENT_V6, SERVER_V6, &payload());
    let v6 = feed(&mut decoder, &parts(|whole, range| part_v6(whole, range, 7), &whole));
    for (outcomes, tuple, wire_len) in [(v4, HELLO, 168), (v6, HELLO_V6, 252)] {
        assert_eq!(outcomes[..2], [Err(Skip::Fragment), Err(Skip::Fragment)]);
        let seen = outcomes[2].clone().unwrap();
        assert_eq!((seen.tuple.as_str(), seen.payload, seen.missing), (tuple, payload(), 0));
        assert_eq!((seen.reassembled, seen.wire_len), (true, wire_len));
    }
    assert_eq!(decoder.counts(), FragmentCounts { reassembled: 2, ..FragmentCounts::default() });
}

#[test]
fn interleaved_datagrams_stay_apart() {
    let (first, second) = (udp(1000, 53, &[1; 100]), udp(1000, 53, &[2; 100]));
    let mut decoder = Decoder::default();
    let outcomes = feed(
        &mut decoder,
        &[
            part(&first, 0..64, 1),
            part(&second, 0..64, 2),
            part(&first, 64..108, 1),
            part(&second, 64..108, 2),
        ],
    );
    assert_eq!(outcomes[2].clone().unwrap().payload, [1; 100]);
    assert_eq!(outcomes[3].clone().unwrap().payload, [2; 100]);
}

#[test]
fn a_cut_fragment_leaves_bytes_missing() {
    let whole = udp(1000, 53, &payload());
    let mut decoder = Decoder::default();
    let first = part(&whole, 0..64, 7);
    let cut = frame(101, &first[..50], first.len());
    assert_eq!(decode_frame(&mut decoder, &cut), Err(Skip::Fragment));
    let seen = decode_frame(&mut decoder, &at(&part(&whole, 64..108, 7), 0)).unwrap();
    assert_eq!((seen.payload.len(), seen.missing), (22, 78));
    assert_eq!(seen.payload, payload()[..22]);
}

#[test]
fn a_tunnel_in_fragments() {
    let inner = udp(1000, 53, &payload());
    let whole = ipv4(4, &inner);
    let outcomes = feed(&mut Decoder::default(), &[part(&whole, 0..64, 7), part(&whole, 64..128, 7)]);
    let seen = outcomes[1].clone().unwrap();
    assert_eq!((seen.tuple.as_str(), seen.payload), (HELLO, payload()));
    assert_eq!((&seen.tunnels[..], seen.reassembled), (&[Tunnel::IpInIp][..], true));
}

#[test]
fn in_ipv4_the_first_bytes_stand() {
    let (first, other) = (udp(1000, 53, &[1; 100]), udp(1000, 53, &[2; 100]));
    let outcomes = feed(
        &mut Decoder::default(),
        &[part(&first, 0..64, 7), part(&other, 32..96, 7), part(&first, 96..108, 7)],
    );
    let expected = [&[1; 56][..], &[2; 32], &[1; 12]].concat();
    assert_eq!(outcomes[2].clone().unwrap().payload, expected);
}

#[test]
fn in_ipv6_an_overlap_ends_the_datagram() {
    let whole = udp_v6(CLIENT_V6, SERVER_V6, &payload());
    let parts = [part_v6(&whole, 0..64, 7), part_v6(&whole, 32..96, 7), part_v6(&whole, 64..108, 7)];
    let mut decoder = Decoder::default();
    let outcomes = feed(&mut decoder, &parts);
    assert_eq!(outcomes[1..], [Err(Skip::Malformed("ip fragment")), Err(Skip::Malformed("ip fragment"))]);
    assert_eq!(
        decoder.counts(),
        FragmentCounts { contradictory: 1, lost_frames: 1, ..FragmentCounts::default() }
    );
    // The same fragment twice is none.
    let parts = [part_v6(&whole, 0..64, 8), part_v6(&whole, 0..64, 8), part_v6(&whole, 64..108, 8)];
    assert_eq!(feed(&mut decoder, &parts)[2].clone().unwrap().payload, payload());
}

#[test]
fn ends_that_differ_end_the_datagram() {
    let (long, short) = (udp(1000, 53, &[1; 100]), udp(1000, 53, &[1; 60]));
    let mut decoder = Decoder::default();
    feed(&mut decoder, &[part(&long, 64..108, 7), part(&short, 64..68, 7)]);
    assert_eq!(decoder.counts().contradictory, 1);
}

#[test]
fn impossible_fragments_are_malformed() {
    let whole = udp(1000, 53, &payload());
    let mut odd = part(&whole, 0..64, 7);
    odd.truncate(20 + 61);
    odd[3] = 81;
    let mut beyond = part(&whole, 64..108, 7);
    beyond[6..8].copy_from_slice(&[0x1f, 0xff]);
    for data in [odd, beyond] {
        assert_eq!(decode(101, &data), Err(Skip::Malformed("ip fragment")));
    }
}

#[test]
fn old_datagrams_give_way() {
    let whole = udp(1000, 53, &payload());
    let mut decoder = Decoder::default();
    let age = i64::try_from(FragmentCounts::MAX_AGE.as_secs()).unwrap();
    let (first, last) = (part(&whole, 0..64, 7), part(&whole, 64..108, 7));
    assert_eq!(decode_frame(&mut decoder, &at(&first, 0)), Err(Skip::Fragment));
    assert_eq!(decode_frame(&mut decoder, &at(&last, age + 1)), Err(Skip::Fragment));
    let counts = decoder.counts();
    assert_eq!((counts.expired, counts.waiting, counts.reassembled, counts.lost_frames), (1, 1, 0, 2));
    // Time that runs backwards ages nothing.
    assert!(decode_frame(&mut decoder, &at(&first, -1000)).is_ok());
    assert_eq!(decoder.counts().lost_frames, 1);
}

#[test]
fn too_many_datagrams_evict_the_oldest() {
    let whole = udp(1000, 53, &payload());
    let mut decoder = Decoder::default();
    let many = u16::try_from(FragmentCounts::MAX_DATAGRAMS).unwrap() + 10;
    for identification in 0..many {
        let first = part(&whole, 0..64, identification);
        assert_eq!(decode_frame(&mut decoder, &at(&first, 0)), Err(Skip::Fragment));
    }
    let counts = decoder.counts();
    assert_eq!((counts.evicted, counts.waiting), (10, FragmentCounts::MAX_DATAGRAMS as u64));
    let (oldest, newest) = (part(&whole, 64..108, 0), part(&whole, 64..108, many - 1));
    assert!(decode_frame(&mut decoder, &at(&newest, 0)).is_ok());
    assert_eq!(decode_frame(&mut decoder, &at(&oldest, 0)), Err(Skip::Fragment));
}

#[test]
fn too_many_bytes_evict_the_oldest() {
    let whole = udp(1000, 53, &vec![0; 60_000]);
    let mut decoder = Decoder::default();
    for identification in 0..200 {
        decode_frame(&mut decoder, &at(&part(&whole, 0..59_992, identification), 0)).unwrap_err();
    }
    let counts = decoder.counts();
    let most = u64::try_from(FragmentCounts::MAX_BYTES / 59_992).unwrap();
    assert!(counts.waiting <= most && counts.waiting + 1 >= most, "{counts:?}");
    assert_eq!(counts.waiting + counts.evicted, 200);
    assert_eq!(FragmentCounts::MAX_AGE, Duration::from_secs(30));
}

/// Cuts at multiples of eight in which every byte is covered, some twice, in any order.
fn cuts(len: usize) -> impl Strategy<Value = Vec<Range<usize>>> {
    let units = len.div_ceil(8);
    let bounds = prop::collection::btree_set(1..units, 1..12);
    let extra = prop::collection::vec((0..units, 1..units), 0..6);
    (bounds, extra)
        .prop_map(move |(bounds, extra)| {
            let starts = [0].into_iter().chain(bounds.iter().copied());
            let ends = bounds.iter().copied().chain([units]);
            let cover = starts.zip(ends);
            let again = extra.into_iter().map(|(start, length)| (start, (start + length).min(units)));
            cover.chain(again).map(|(start, end)| start * 8..(end * 8).min(len)).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

proptest! {
    #[test]
    fn any_cut_in_any_order_gives_the_same_datagram(
        (payload, ranges) in prop::collection::vec(any::<u8>(), 20..400)
            .prop_flat_map(|payload| { let len = payload.len() + 8; (Just(payload), cuts(len)) })
    ) {
        let whole = udp(1000, 53, &payload);
        let mut decoder = Decoder::default();
        let mut packets = Vec::new();
        for range in ranges {
            if range.len() == payload.len() + 8 {
                continue;
            }
            if let Ok(seen) = decode_frame(&mut decoder, &at(&part(&whole, range, 7), 0)) {
                packets.push(seen);
            }
        }
        for seen in &packets {
            prop_assert_eq!((seen.tuple.as_str(), &seen.payload), (HELLO, &payload));
        }
        prop_assert!(!packets.is_empty());
        prop_assert_eq!(decoder.counts().contradictory, 0);
    }
}
