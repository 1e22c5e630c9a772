//! The digest that players put into their first packet, so that servers know them: HMAC-SHA-256 over all other bytes, under a
//! key that everybody knows, at a place that the packet itself says.

use ring::hmac;

use super::PACKET;

/// What players sign with.
const KEY: &[u8] = b"Genuine Adobe Flash Player 001";
/// Bytes of a digest.
const DIGEST: usize = 32;
/// Where the four bytes are whose sum says where the digest is, in either of two arrangements.
const OFFSETS: [usize; 2] = [8, 772];
/// Places that a digest can have.
const PLACES: usize = 728;

/// Whether a player's first packet holds its digest.
pub(super) fn is_right(packet: &[u8]) -> bool {
    OFFSETS.iter().any(|offset| is_right_at(packet, *offset) == Some(true))
}

fn is_right_at(packet: &[u8], offset: usize) -> Option<bool> {
    let packet = packet.get(..PACKET)?;
    let numbers = packet.get(offset..)?.first_chunk::<4>()?;
    let sum: usize = numbers.iter().map(|number| usize::from(*number)).sum();
    let at = sum.checked_rem(PLACES)?.checked_add(offset)?.checked_add(4)?;
    let (before, rest) = packet.split_at_checked(at)?;
    let (digest, behind) = rest.split_at_checked(DIGEST)?;
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, KEY));
    context.update(before);
    context.update(behind);
    Some(context.sign().as_ref() == digest)
}

/// For tests: a player's first packet, in the arrangement of this number.
#[cfg(test)]
pub(super) fn signed(arrangement: usize, version: [u8; 4], mut random: Vec<u8>) -> Vec<u8> {
    let offset = OFFSETS[arrangement];
    random.splice(4..8, version);
    let sum: usize = random[offset..offset + 4].iter().map(|number| usize::from(*number)).sum();
    let at = sum % PLACES + offset + 4;
    let others = [&random[..at], &random[at + DIGEST..]].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    random.splice(at..at + DIGEST, hmac::sign(&key, &others).as_ref().iter().copied());
    random
}
