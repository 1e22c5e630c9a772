//! Any bytes are read without a panic, every frame lies within its buffer, and numbers grow;
//! reading the same bytes a few at a time gives the same frames. Of a damaged compressed file, one way may give more than
//! the other: decompressors do not hand out what they have when they meet damage.
#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use observer::source;

/// Hands out at most seven bytes at once.
struct Trickle(io::Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(7);
        self.0.read(&mut buffer[..len])
    }
}

fn frames(bytes: Box<dyn Read + Send>) -> Option<Vec<(u64, i64, Vec<u8>)>> {
    let mut source = source::read("input", bytes).ok()?;
    let mut frames = Vec::new();
    while let Ok(Some(batch)) = source.next_batch() {
        for frame in batch.iter() {
            assert!(frame.data.len() <= frame.original_len as usize || frame.original_len == 0);
            frames.push((frame.number, frame.timestamp.0, frame.data.to_vec()));
        }
    }
    assert!(frames.iter().map(|(number, ..)| *number).is_sorted_by(|a, b| a < b));
    assert_eq!(source.inputs().iter().map(|input| input.frames).sum::<u64>(), frames.len() as u64);
    Some(frames)
}

fuzz_target!(|data: &[u8]| {
    let whole = frames(Box::new(io::Cursor::new(data.to_vec())));
    let trickled = frames(Box::new(Trickle(io::Cursor::new(data.to_vec()))));
    if matches!(data, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x04, 0x22, 0x4d, 0x18, ..]) {
        let (whole, trickled) = (whole.unwrap_or_default(), trickled.unwrap_or_default());
        assert!(whole.iter().zip(&trickled).all(|(one, other)| one == other));
    } else {
        assert!(whole == trickled);
    }
});
