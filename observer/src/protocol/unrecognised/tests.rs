//! What is told from ciphertext, and how often by mistake.

use super::*;

fn judge(bytes: &[u8]) -> Fact {
    Sample { parts: [bytes, &[]] }.judge()
}

#[test]
fn text_of_any_script_is_text() {
    assert_eq!(judge(b"220 mail.example ESMTP\r\n").likeness, Likeness::Text);
    assert_eq!(judge("Grüße aus Köln, 你好\n".as_bytes()).likeness, Likeness::Text);
}

#[test]
fn compressed_or_encrypted_bytes_are_opaque_and_entropy_does_not_decide() {
    let all: Vec<u8> = (0..=255).collect();
    let fact = judge(&all);
    assert_eq!((fact.likeness, fact.sampled), (Likeness::Opaque, 256));
    assert!((fact.entropy - 8.0).abs() < 1e-9);
    let zeros = judge(&[0; 64]);
    assert_eq!((zeros.likeness, zeros.entropy), (Likeness::Opaque, 0.0));
}

#[test]
fn a_short_sample_is_opaque_whatever_it_holds() {
    let fact = judge(b"HELO");
    assert_eq!((fact.likeness, fact.sampled, fact.printable), (Likeness::Opaque, 4, 1.0));
}

#[test]
fn both_directions_count() {
    let sample = Sample { parts: [b"USER bob\r\n", &[0xff; 10]] };
    assert_eq!(sample.judge().printable, 0.5);
}

#[test]
fn known_formats_are_told_by_evidence() {
    for (kind, bytes) in samples::SAMPLES {
        let fact = judge(bytes);
        assert_eq!(fact.kind, Some(*kind), "{fact:?}");
        assert!(fact.evidence.is_some_and(|evidence| evidence.bits >= evidence::ENOUGH), "{fact:?}");
        assert_ne!(fact.likeness, Likeness::Opaque);
    }
}

#[test]
fn messages_behind_their_lengths_are_told_too() {
    for (kind, bytes) in samples::SAMPLES.iter().filter(|(kind, _)| judge_kind(kind) == Likeness::Serialised)
    {
        let len = u32::try_from(bytes.len()).unwrap();
        for prefix in [len.to_be_bytes(), len.to_le_bytes()] {
            let twice = [&prefix, *bytes, &prefix, *bytes].concat();
            assert_eq!(judge(&twice).kind, Some(*kind));
        }
        // And where the sample ends within the second one.
        let cut = [&len.to_be_bytes(), *bytes, &len.to_be_bytes(), &bytes[..bytes.len() / 2]].concat();
        assert_eq!(judge(&cut).kind, Some(*kind));
    }
}

fn judge_kind(kind: &str) -> Likeness {
    samples::SAMPLES.iter().find(|(name, _)| *name == kind).map(|(_, bytes)| judge(bytes).likeness).unwrap()
}

#[test]
fn media_and_documents_are_told_by_how_they_begin() {
    let png = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &[0x80; 40]].concat();
    assert_eq!((judge(&png).likeness, judge(&png).kind), (Likeness::Media, Some("png")));
    let jpeg = [&b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01"[..], &[0x80; 40]].concat();
    assert_eq!(judge(&jpeg).kind, Some("jpeg"));
    let mp4 = [&b"\0\0\0\x20ftypisom\0\0\x02\0"[..], &[0x80; 40]].concat();
    assert_eq!(judge(&mp4).kind, Some("mp4"));
}

#[test]
fn texts_have_forms() {
    assert_eq!(judge(b"{\"device\": \"a1b2\"}").kind, Some("json"));
    assert_eq!(judge(b"<?xml version='1.0'?><event/>").kind, Some("xml"));
    assert_eq!(judge(b"HI 3 user=alice device=phone\n").kind, None);
}

/// Bytes as random as a cipher's (xorshift64*, of a fixed seed).
struct Random(u64);

impl Random {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            bytes.extend(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// How many of `count` samples are called anything but opaque, and the most bits that one had.
fn mistakes(count: usize, prefixes: &[&[u8]]) -> (usize, u32) {
    let mut random = Random(0x0bad_5eed_cafe_f00d);
    let (mut mistaken, mut most) = (0, 0);
    for number in 0..count {
        let len = [24, 64, 256, 1024][number % 4];
        let bytes = random.bytes(len);
        let prefix = prefixes[number % prefixes.len()];
        let part = [prefix, &bytes].concat();
        let best = [signature::find(&part), serialised::find(&part)].into_iter().flatten();
        most = best.map(|named| named.evidence.bits).fold(most, u32::max);
        mistaken += usize::from(judge(&part).likeness != Likeness::Opaque);
    }
    (mistaken, most)
}

/// Of a million samples none was mistaken, and the most bits that one had were 26 (`COUNT=1000000 cargo test -p observer
/// --lib ciphertext_is_not_mistaken -- --nocapture`).
#[test]
fn ciphertext_is_not_mistaken() {
    let count = std::env::var("COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let (mistaken, most) = mistakes(count, &[b""]);
    eprintln!("{count} samples, {mistaken} mistaken, at most {most} bits");
    assert_eq!(mistaken, 0);
    assert!(most < evidence::ENOUGH);
}

/// Ciphertext that happens to begin as something: only what follows can tell.
#[test]
fn a_beginning_alone_does_not_convince() {
    let beginnings: &[&[u8]] =
        &[b"\x78\x9c", b"\x78\xda", b"\x1f\x8b\x08", b"\xff\xd8\xff", b"\x30\x82", b"\x0a", b"\x82"];
    let (mistaken, most) = mistakes(20_000, beginnings);
    assert!(most < evidence::ENOUGH);
    assert_eq!(mistaken, 0);
}

/// What a game sends: a head that no format has, and text to the end of the sample.
#[test]
fn text_behind_chance_bytes_is_no_format() {
    let game = b"\xb3\xaf\x8d\xe8\xff\x00\x72W5\\\\nfcqjI/TZGcvttESZib+WzTqqYdk0BC";
    assert_eq!((judge(game).likeness, judge(game).kind), (Likeness::Opaque, None));
    // Text is read by formats that have few other constraints, now and then; BSON has enough.
    let mut random = Random(0x0bad_5eed_cafe_f00d);
    let (mut named, mut bson) = (0, 0);
    for number in 0..20_000_usize {
        let mut bytes = random.bytes(4 + number % 8);
        // Lengths and types of any format are small numbers.
        for byte in bytes.iter_mut().skip(number % 3) {
            *byte >>= number % 7;
        }
        if number % 2 == 0 {
            bytes.splice(0..0, [0x20 + u8::try_from(number % 64).unwrap(), 0, 0, 0]);
        }
        bytes.extend(random.bytes(40).iter().map(|byte| b' ' + byte % 95));
        let kind = judge(&bytes).kind;
        named += usize::from(kind.is_some());
        bson += usize::from(kind == Some("bson"));
    }
    assert_eq!(bson, 0);
    assert!(named <= 100, "{named} of 20000");
}

/// A document is as long as it says, and its fields are of types that there are.
#[test]
fn bson_must_fit_what_was_seen() {
    let (_, sample) = samples::SAMPLES.iter().find(|(kind, _)| *kind == "bson").unwrap();
    let mut other = sample.to_vec();
    other[4] = 0x72;
    assert_eq!(judge(&other).kind, None);
    other[4] = sample[4];
    other[0] -= 1;
    assert_eq!(judge(&other).kind, None);
    let unended = [&[0x7f, 0, 0, 0, 2][..], &[b'n'; 60]].concat();
    assert_eq!(serialised::find(&unended).map_or(0, |named| named.evidence.bits) / 10, 0);
}

#[test]
fn a_window_that_no_decoder_has_to_grant_is_not_allocated() {
    // A frame of one raw block of a byte; the window's size is 2 to the power of 10 and the upper five bits of a byte.
    let frame = |exponent: u8| [b"\x28\xb5\x2f\xfd\0".as_slice(), &[exponent << 3], b"\x09\0\0a"].concat();
    assert_eq!(signature::find(&frame(13)).map(|named| named.kind), Some("zstd"));
    assert_eq!(signature::find(&frame(17)), None);
}
