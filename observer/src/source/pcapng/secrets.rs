//! Decryption Secrets Blocks: what they hold, and a way to find them without reading the packets between.

use std::io::{BufReader, Read, Seek};

use super::{FRAME, MAX_BLOCK, SECRETS, section_order};
use crate::source::order::{ByteOrder, to_usize};

/// TLS key log, the only kind of secrets that is used.
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// Bytes of secrets that are kept of a file: the sessions of a day.
const MAX_SECRETS: usize = 64 << 20;

/// The key log lines of a block's body; `None` for secrets of another kind.
pub(super) fn tls_secrets(order: ByteOrder, body: &[u8]) -> Option<&[u8]> {
    let len = to_usize(order.u32(body, 4)?);
    let text = body.get(8..)?.get(..len)?;
    (order.u32(body, 0) == Some(TLS_KEY_LOG)).then_some(text)
}

/// Looks through a file for secrets.
#[derive(Default)]
pub(in crate::source) struct SecretsScan {
    /// The lines of each block.
    pub(in crate::source) found: Vec<Vec<u8>>,
    size: usize,
}

impl SecretsScan {
    /// Goes from block to block; whether it came to the end. What is no pcapng file has no secrets, and is at its end at once.
    pub(in crate::source) fn run<R: Read + Seek>(&mut self, input: &mut BufReader<R>) -> bool {
        let mut order = None;
        loop {
            let mut head = [0; FRAME];
            let Some(have) = fill(input, &mut head) else { return false };
            if have == 0 {
                return true;
            }
            match section_order(&head) {
                Some(Ok(found)) => order = Some(found),
                Some(Err(_)) => return false,
                None if order.is_none() => return !is_compressed(&head),
                None => {}
            }
            let Some(order) = order.filter(|_| have == FRAME) else { return false };
            let (Some(kind), Some(len)) = (order.u32(&head, 0), order.u32(&head, 4)) else { return false };
            let Some(rest) = to_usize(len).checked_sub(FRAME).filter(|_| len.is_multiple_of(4)) else {
                return false;
            };
            if kind == SECRETS && rest <= MAX_BLOCK {
                // The first word of the body came with the head.
                let mut body = vec![0; rest.saturating_add(4)];
                let Some((first, others)) = body.split_at_mut_checked(4) else { return false };
                first.copy_from_slice(head.last_chunk::<4>().unwrap_or(&[0; 4]));
                if fill(input, others) != Some(rest) {
                    return false;
                }
                self.take(order, &body);
            } else if input.seek_relative(i64::try_from(rest).unwrap_or(i64::MAX)).is_err() {
                return false;
            }
        }
    }

    fn take(&mut self, order: ByteOrder, body: &[u8]) {
        if let Some(text) = tls_secrets(order, body)
            && self.size.saturating_add(text.len()) <= MAX_SECRETS
        {
            self.size = self.size.saturating_add(text.len());
            self.found.push(text.to_vec());
        }
    }
}

/// Reads as many bytes as there are, at most all of `buffer`; `None` on an error.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Option<usize> {
    let mut have = 0;
    while let Some(room) = buffer.get_mut(have..).filter(|room| !room.is_empty()) {
        match input.read(room) {
            Ok(0) => break,
            Ok(read) => have = have.saturating_add(read),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(have)
}

/// Whether a file begins like something that has to be unpacked: pcapng may be within.
fn is_compressed(head: &[u8; FRAME]) -> bool {
    matches!(head, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
        || matches!(head, [0x04, 0x22, 0x4d, 0x18, ..])
}
