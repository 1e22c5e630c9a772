//! The keys of packets: those of Initial packets, which everybody can derive (RFC 9001 §5.2), those that follow from a
//! secret of the key log, and the tag of Retry packets.
//!
//! Key derivation, AEAD and header protection are ring's.

use std::ops::Range;

use ring::aead::quic::HeaderProtectionKey;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Okm, Prk, Salt};

use super::packet::{LONG_HEADER, Numbered};
use super::version::{Labels, Scheme};
use crate::protocol::tls::{PacketProtection, Role, Secret};

/// Bytes of an IV.
const IV: usize = 12;

/// Bytes from the start of the packet number to the sample of header protection (RFC 9001 §5.4.2).
const SAMPLE_AT: usize = 4;

/// Bytes of a sample.
const SAMPLE: usize = 16;

/// The bits of the first byte that are protected, of long and short headers (RFC 9001 §5.4.1).
const LONG_BITS: u8 = 0x0f;
const SHORT_BITS: u8 = 0x1f;

/// The bit of short headers that changes with every key update (RFC 9001 §6).
const KEY_PHASE: u8 = 0x04;

/// The keys of both sides' Initial packets.
pub(super) struct Keys {
    /// What they were made from.
    pub(super) scheme: &'static Scheme,
    sides: [LongKeys; 2],
}

/// The keys of one side's packets with long headers, of one type.
pub(super) struct LongKeys {
    header: HeaderProtectionKey,
    packet: PacketKey,
    /// The highest packet number so far.
    highest: Option<u64>,
}

/// The keys of one side's packets with short headers, which change while the connection lasts.
pub(super) struct ShortKeys {
    protection: PacketProtection,
    labels: &'static Labels,
    header: HeaderProtectionKey,
    /// What the keys after the current ones follow from.
    secret: Prk,
    current: PacketKey,
    /// Of packets that come late.
    previous: Option<PacketKey>,
    phase: bool,
    /// The lowest packet number under the current keys.
    first: Option<u64>,
    /// The highest packet number so far.
    highest: Option<u64>,
}

/// What protects the payload.
struct PacketKey {
    key: LessSafeKey,
    iv: [u8; IV],
}

/// What header protection hid.
struct Unprotected {
    first: u8,
    /// The last bytes of the packet number.
    truncated: u64,
    /// How many.
    len: usize,
    /// Where the payload begins.
    start: usize,
}

/// A length in bytes.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl Keys {
    /// The keys of a connection whose client first wrote to `destination`; `None` where the library refuses, which it
    /// does not for such lengths.
    pub(super) fn derive(scheme: &'static Scheme, destination: &[u8]) -> Option<Self> {
        let initial = Salt::new(HKDF_SHA256, &scheme.salt).extract(destination);
        let side = |label| {
            let secret = expand(&initial, label, HKDF_SHA256, |okm| Some(Prk::from(okm)))?;
            LongKeys::derive(PacketProtection::INITIAL, &secret, scheme.labels)
        };
        Some(Self { scheme, sides: [side(b"client in")?, side(b"server in")?] })
    }

    /// Opens a packet that `from` sent: where its frames lie in `buffer`; `None` where the tag does not match.
    pub(super) fn open(
        &mut self,
        from: Role,
        packet: &Numbered<'_>,
        buffer: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let [client, server] = &mut self.sides;
        match from {
            Role::Client => client.open(packet.whole, packet.number_at, buffer),
            Role::Server => server.open(packet.whole, packet.number_at, buffer),
        }
    }
}

impl LongKeys {
    /// Those of a secret; `None` where its length is not that of the hash.
    pub(super) fn new(
        protection: PacketProtection,
        secret: &Secret,
        labels: &'static Labels,
    ) -> Option<Self> {
        Self::derive(protection, &protection.prk(secret)?, labels)
    }

    fn derive(protection: PacketProtection, secret: &Prk, labels: &'static Labels) -> Option<Self> {
        let header = header_key(protection, secret, labels)?;
        Some(Self { header, packet: PacketKey::derive(protection, secret, labels)?, highest: None })
    }

    /// Opens a packet whose number begins at `number_at`: where its frames lie in `buffer`; `None` where the tag does
    /// not match.
    pub(super) fn open(
        &mut self,
        packet: &[u8],
        number_at: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let plain = unprotect(&self.header, packet, number_at, buffer)?;
        let number = full_number(self.highest, plain.truncated, plain.len);
        let payload = self.packet.open(number, plain.start, packet, buffer)?;
        self.highest = self.highest.max(Some(number));
        Some(payload)
    }
}

impl ShortKeys {
    /// Those of a secret; `None` where its length is not that of the hash.
    pub(super) fn new(
        protection: PacketProtection,
        secret: &Secret,
        labels: &'static Labels,
    ) -> Option<Self> {
        let secret = protection.prk(secret)?;
        Some(Self {
            protection,
            labels,
            header: header_key(protection, &secret, labels)?,
            current: PacketKey::derive(protection, &secret, labels)?,
            secret,
            previous: None,
            phase: false,
            first: None,
            highest: None,
        })
    }

    /// Opens a packet whose number begins at `number_at`: where its frames lie in `buffer`; `None` where the tag does
    /// not match. A packet of the other phase is one of the keys before, or the first of those after (RFC 9001 §6.3,
    /// §6.5).
    pub(super) fn open(
        &mut self,
        packet: &[u8],
        number_at: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let plain = unprotect(&self.header, packet, number_at, buffer)?;
        let number = full_number(self.highest, plain.truncated, plain.len);
        let payload = if (plain.first & KEY_PHASE != 0) == self.phase {
            let payload = self.current.open(number, plain.start, packet, buffer)?;
            self.first = Some(self.first.map_or(number, |first| first.min(number)));
            payload
        } else if let Some(previous) =
            self.previous.as_ref().filter(|_| self.first.is_some_and(|first| number < first))
        {
            previous.open(number, plain.start, packet, buffer)?
        } else {
            let after = self.protection.hash();
            let secret = expand(&self.secret, self.labels.update, after, |okm| Some(Prk::from(okm)))?;
            let next = PacketKey::derive(self.protection, &secret, self.labels)?;
            let payload = next.open(number, plain.start, packet, buffer)?;
            self.secret = secret;
            self.previous = Some(std::mem::replace(&mut self.current, next));
            self.phase = !self.phase;
            self.first = Some(number);
            payload
        };
        self.highest = self.highest.max(Some(number));
        Some(payload)
    }
}

impl PacketKey {
    fn derive(protection: PacketProtection, secret: &Prk, labels: &Labels) -> Option<Self> {
        let key = expand(secret, labels.key, protection.cipher(), |okm| {
            Some(LessSafeKey::new(UnboundKey::from(okm)))
        })?;
        let iv = expand(secret, labels.iv, Bytes(IV), |okm| {
            let mut bytes = [0; IV];
            okm.fill(&mut bytes).is_ok().then_some(bytes)
        })?;
        Some(Self { key, iv })
    }

    /// Opens the payload behind a header that lies unprotected in `buffer` and ends at `start`.
    fn open(&self, number: u64, start: usize, packet: &[u8], buffer: &mut Vec<u8>) -> Option<Range<usize>> {
        buffer.truncate(start);
        buffer.extend_from_slice(packet.get(start..)?);
        let (header, payload) = buffer.split_at_mut_checked(start)?;
        let opened = self.key.open_in_place(self.nonce(number), Aad::from(&*header), payload).ok()?;
        Some(start..start.saturating_add(opened.len()))
    }

    /// The IV and the packet number (RFC 9001 §5.3).
    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().skip(IV - 8).zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

fn header_key(protection: PacketProtection, secret: &Prk, labels: &Labels) -> Option<HeaderProtectionKey> {
    expand(secret, labels.header, protection.header(), |okm| Some(HeaderProtectionKey::from(okm)))
}

/// Takes header protection off (RFC 9001 §5.4.1): the header lies in `buffer` then.
fn unprotect(
    key: &HeaderProtectionKey,
    packet: &[u8],
    number_at: usize,
    buffer: &mut Vec<u8>,
) -> Option<Unprotected> {
    let at = number_at.checked_add(SAMPLE_AT)?;
    let sample = packet.get(at..at.checked_add(SAMPLE)?)?;
    let [first_mask, number_mask @ ..] = key.new_mask(sample).ok()?;
    buffer.clear();
    buffer.extend_from_slice(packet.get(..at)?);
    let first = buffer.first_mut()?;
    *first ^= first_mask & if *first & LONG_HEADER == 0 { SHORT_BITS } else { LONG_BITS };
    let first = *first;
    let len = usize::from(first & 3).saturating_add(1);
    let start = number_at.saturating_add(len);
    let mut truncated = 0_u64;
    for (byte, mask) in buffer.get_mut(number_at..start)?.iter_mut().zip(number_mask) {
        *byte ^= mask;
        truncated = truncated << 8 | u64::from(*byte);
    }
    Some(Unprotected { first, truncated, len, start })
}

/// HKDF-Expand-Label with an empty context (RFC 9846 §7.1).
fn expand<L: KeyType, T>(
    secret: &Prk,
    label: &[u8],
    len: L,
    make: impl FnOnce(Okm<'_, L>) -> Option<T>,
) -> Option<T> {
    const PREFIX: &[u8] = b"tls13 ";
    let out = u16::try_from(len.len()).ok()?.to_be_bytes();
    let label_len = [u8::try_from(PREFIX.len().saturating_add(label.len())).ok()?];
    make(secret.expand(&[&out, &label_len, PREFIX, label, &[0]], len).ok()?)
}

/// The packet number whose last bytes are `truncated`, next to the one that is expected (RFC 9000 Appendix A.3).
fn full_number(highest: Option<u64>, truncated: u64, bytes: usize) -> u64 {
    let expected = highest.map_or(0, |highest| highest.saturating_add(1));
    let window = 1_u64 << bytes.saturating_mul(8).min(32);
    let candidate = expected & !(window.saturating_sub(1)) | truncated;
    let half = window / 2;
    if candidate.saturating_add(half) <= expected {
        candidate.saturating_add(window)
    } else if candidate > expected.saturating_add(half) && candidate >= window {
        candidate.saturating_sub(window)
    } else {
        candidate
    }
}

/// Whether a Retry packet is an answer to the client that first wrote to `destination` (RFC 9001 §5.8); `None` where
/// the version has no tag.
pub(super) fn retry_is_valid(scheme: &Scheme, destination: &[u8], packet: &[u8]) -> Option<bool> {
    let (key, nonce) = scheme.retry?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    let (body, tag) = packet.split_last_chunk::<16>()?;
    let pseudo = [&[u8::try_from(destination.len()).ok()?], destination, body].concat();
    let nonce = Nonce::assume_unique_for_key(nonce);
    Some(key.open_in_place(nonce, Aad::from(pseudo), &mut tag.to_vec()).is_ok())
}

#[cfg(test)]
impl Keys {
    /// A packet of `from`, protected, for tests: `header` ends with a packet number of four bytes.
    pub(super) fn seal(&self, from: Role, header: &[u8], frames: &[u8]) -> Vec<u8> {
        let [client, server] = &self.sides;
        let side = if from == Role::Client { client } else { server };
        seal(&side.header, &side.packet, header, frames)
    }
}

#[cfg(test)]
impl ShortKeys {
    /// As [`Keys::seal`], in the phase of the current keys.
    pub(super) fn seal(&self, header: &[u8], frames: &[u8]) -> Vec<u8> {
        let mut header = header.to_vec();
        header[0] = header[0] & !KEY_PHASE | if self.phase { KEY_PHASE } else { 0 };
        seal(&self.header, &self.current, &header, frames)
    }

    /// Goes on to the next keys, for tests.
    pub(super) fn update(&mut self) {
        let hash = self.protection.hash();
        self.secret = expand(&self.secret, self.labels.update, hash, |okm| Some(Prk::from(okm))).unwrap();
        self.current = PacketKey::derive(self.protection, &self.secret, self.labels).unwrap();
        self.phase = !self.phase;
    }
}

#[cfg(test)]
fn seal(key: &HeaderProtectionKey, packet: &PacketKey, header: &[u8], frames: &[u8]) -> Vec<u8> {
    let number_at = header.len() - 4;
    let number = u32::from_be_bytes(header[number_at..].try_into().unwrap());
    let mut sealed = frames.to_vec();
    let nonce = packet.nonce(u64::from(number));
    packet.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed).unwrap();
    let mut packet = [header, &sealed].concat();
    let sample = &packet[number_at + SAMPLE_AT..number_at + SAMPLE_AT + SAMPLE];
    let [first, number @ ..] = key.new_mask(sample).unwrap();
    packet[0] ^= first & if packet[0] & LONG_HEADER == 0 { SHORT_BITS } else { LONG_BITS };
    for (byte, mask) in packet[number_at..].iter_mut().zip(number) {
        *byte ^= mask;
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::super::packet::{Packet, next};
    use super::super::version::Version;
    use super::*;
    use crate::protocol::tls::CipherSuite;

    fn unhex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.replace([' ', '\n'], "").as_bytes()).unwrap()
    }

    /// RFC 9001 Appendix A.3 and RFC 9369 Appendix A.3: the server's Initial in answer to 0x8394c8f03e515708.
    #[test]
    fn opens_the_server_s_packets_of_the_rfcs() {
        let cid = unhex("8394c8f03e515708");
        for (version, packet) in [
            (
                Version::V1,
                "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb3
                 8cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84
                 022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee",
            ),
            (
                Version::V2,
                "dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b91eb761d9b89237bbf872630
                 17915358230035f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2
                 c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140",
            ),
        ] {
            let bytes = unhex(packet);
            let Ok(Some(Packet::Numbered(packet))) = next(&mut bytes.as_slice()) else { panic!("no packet") };
            let mut keys = Keys::derive(version.scheme().unwrap(), &cid).unwrap();
            let mut buffer = Vec::new();
            let frames = keys.open(Role::Server, &packet, &mut buffer).unwrap();
            assert!(buffer[frames].starts_with(&unhex("02000000000600405a020000560303")), "{version}");
            assert!(keys.open(Role::Client, &packet, &mut buffer).is_none());
            let mut other = Keys::derive(version.scheme().unwrap(), b"another").unwrap();
            assert!(other.open(Role::Server, &packet, &mut buffer).is_none());
        }
    }

    /// RFC 9001 Appendix A.4 and RFC 9369 Appendix A.4.
    #[test]
    fn knows_the_retries_of_the_rfcs() {
        let cid = unhex("8394c8f03e515708");
        for (version, packet) in [
            (Version::V1, "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba"),
            (Version::V2, "cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6"),
        ] {
            let mut packet = unhex(packet);
            let scheme = version.scheme().unwrap();
            assert_eq!(retry_is_valid(scheme, &cid, &packet), Some(true), "{version}");
            assert_eq!(retry_is_valid(scheme, b"another", &packet), Some(false));
            packet[20] ^= 1;
            assert_eq!(retry_is_valid(scheme, &cid, &packet), Some(false));
        }
        assert_eq!(retry_is_valid(Version(0xff00_0018).scheme().unwrap(), &cid, &[0; 40]), None);
    }

    /// RFC 9001 Appendix A.5: a packet with a short header, and the secret after it.
    #[test]
    fn opens_the_short_packet_of_the_rfc() {
        let secret =
            Secret::new(&unhex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")).unwrap();
        let protection = PacketProtection::of(CipherSuite(0x1303)).unwrap();
        let mut keys = ShortKeys::new(protection, &secret, Version::V1.scheme().unwrap().labels).unwrap();
        keys.highest = Some(654_360_563);
        let packet = unhex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb");
        let mut buffer = Vec::new();
        let frames = keys.open(&packet, 1, &mut buffer).unwrap();
        assert_eq!((&buffer[frames], keys.highest), (&[1][..], Some(654_360_564)));
        assert!(keys.open(&packet[..20], 1, &mut buffer).is_none());
    }

    #[test]
    fn keys_change_with_the_phase_and_those_before_are_kept() {
        let secret = Secret::new(&[7; 48]).unwrap();
        let protection = PacketProtection::of(CipherSuite(0x1302)).unwrap();
        for version in [Version::V1, Version::V2] {
            let labels = version.scheme().unwrap().labels;
            let make = || ShortKeys::new(protection, &secret, labels).unwrap();
            let (mut sender, mut keys) = (make(), make());
            let mut buffer = Vec::new();
            let packet =
                |keys: &ShortKeys, number: u8| keys.seal(&[0x43, 9, 9, 0, 0, 0, number], &[number; 20]);
            let late = packet(&sender, 2);
            let first = packet(&sender, 1);
            assert!(keys.open(&first, 3, &mut buffer).is_some());
            sender.update();
            for number in [4, 3, 5] {
                let frames = keys.open(&packet(&sender, number), 3, &mut buffer).unwrap();
                assert_eq!(buffer[frames], [number; 20], "{version}");
            }
            let frames = keys.open(&late, 3, &mut buffer).unwrap();
            assert_eq!(buffer[frames], [2; 20]);
            sender.update();
            assert!(keys.open(&packet(&sender, 6), 3, &mut buffer).is_some());
            // The keys between were in no packet.
            sender.update();
            sender.update();
            assert!(keys.open(&packet(&sender, 7), 3, &mut buffer).is_none());
        }
        assert!(
            ShortKeys::new(protection, &Secret::new(&[7; 32]).unwrap(), Version::V1.scheme().unwrap().labels)
                .is_none()
        );
    }

    #[test]
    fn packet_numbers_are_next_to_the_expected() {
        assert_eq!(full_number(Some(0xa82f_30ea), 0x9b32, 2), 0xa82f_9b32);
        assert_eq!(full_number(None, 0xffff_fff0, 4), 0xffff_fff0);
        assert_eq!(full_number(Some(255), 0, 1), 256);
        assert_eq!(full_number(Some(256), 255, 1), 255);
    }
}
