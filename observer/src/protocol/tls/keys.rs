//! Keys of records: from a secret to bytes that can be read.
//!
//! The ciphers are those of others: AES-GCM, ChaCha20-Poly1305 and HKDF of ring, AES-CCM of RustCrypto, the PRF of
//! TLS 1.2 of rustls. Here are only the layouts that TLS gives them: labels, nonces, additional data and where the key
//! block is cut. Suites that are not AEAD (CBC, RC4, NULL) have no keys.

use aes::{Aes128, Aes256};
use ccm::aead::{AeadInOut as _, KeyInit as _};
use ccm::consts::{U8, U12, U16};
use ring::{aead, hkdf};
use rustls::crypto::cipher::{Iv, Nonce, make_tls12_aad};
use rustls::crypto::ring::cipher_suite;
use rustls::crypto::tls12::Prf;

use super::CipherSuite;
use super::keylog::{Random, Secret};
use super::record::RecordHeader;

/// Bytes of a nonce of every AEAD of TLS.
const NONCE: usize = 12;

/// Bytes of the nonce that a record of TLS 1.2 carries with AES-GCM and AES-CCM (RFC 5288 §3, RFC 6655 §3).
const EXPLICIT_NONCE: usize = 8;

/// Bytes of the longest key block: two keys of 32 bytes and two IVs of 12.
const KEY_BLOCK: usize = 88;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    Aes128Ccm,
    Aes128Ccm8,
    Aes256Ccm,
    Aes256Ccm8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
}

/// The part of a cipher suite that protects records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protection {
    cipher: Cipher,
    hash: Hash,
}

impl Protection {
    /// That of `suite`; `None` where it is none that can be read here.
    pub(super) fn of(suite: CipherSuite) -> Option<Self> {
        let name = suite.name()?;
        // `TLS_<key exchange>_WITH_` up to TLS 1.2, `TLS_` in TLS 1.3.
        let name = name.split_once("_WITH_").map_or(name.strip_prefix("TLS_")?, |(_, name)| name);
        let (cipher, hash) = match name {
            "AES_128_GCM_SHA256" => (Cipher::Aes128Gcm, Hash::Sha256),
            "AES_256_GCM_SHA384" => (Cipher::Aes256Gcm, Hash::Sha384),
            "CHACHA20_POLY1305_SHA256" => (Cipher::ChaCha20Poly1305, Hash::Sha256),
            "AES_128_CCM_SHA256" | "AES_128_CCM" => (Cipher::Aes128Ccm, Hash::Sha256),
            "AES_128_CCM_8_SHA256" | "AES_128_CCM_8" => (Cipher::Aes128Ccm8, Hash::Sha256),
            "AES_256_CCM" => (Cipher::Aes256Ccm, Hash::Sha256),
            "AES_256_CCM_8" => (Cipher::Aes256Ccm8, Hash::Sha256),
            _ => return None,
        };
        Some(Self { cipher, hash })
    }

    fn key_len(self) -> usize {
        match self.cipher {
            Cipher::Aes128Gcm | Cipher::Aes128Ccm | Cipher::Aes128Ccm8 => 16,
            Cipher::Aes256Gcm | Cipher::ChaCha20Poly1305 | Cipher::Aes256Ccm | Cipher::Aes256Ccm8 => 32,
        }
    }

    /// Bytes of the nonce that records of TLS 1.2 carry.
    fn explicit_nonce(self) -> usize {
        if self.cipher == Cipher::ChaCha20Poly1305 { 0 } else { EXPLICIT_NONCE }
    }

    /// The keys of a side of TLS 1.3 (RFC 9846 §7.3).
    pub(super) fn tls13(self, secret: &Secret) -> Option<RecordKeys> {
        let mut key = [0; 32];
        let key = key.get_mut(..self.key_len())?;
        self.expand_label(secret, b"key", key)?;
        let mut iv = [0; NONCE];
        self.expand_label(secret, b"iv", &mut iv)?;
        Some(RecordKeys { opener: self.opener(key)?, iv, tls12: None })
    }

    /// The secret after a KeyUpdate (RFC 9846 §7.2).
    pub(super) fn next_secret(self, secret: &Secret) -> Option<Secret> {
        let mut next = [0; 48];
        let next = next.get_mut(..self.hash_len())?;
        self.expand_label(secret, b"traffic upd", next)?;
        Secret::new(next)
    }

    fn hash_len(self) -> usize {
        match self.hash {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
        }
    }

    /// `HKDF-Expand-Label` with an empty context (RFC 9846 §7.1) into all of `out`.
    fn expand_label(self, secret: &Secret, label: &[u8], out: &mut [u8]) -> Option<()> {
        const PREFIX: &[u8] = b"tls13 ";
        if secret.bytes().len() != self.hash_len() {
            return None;
        }
        let algorithm = match self.hash {
            Hash::Sha256 => hkdf::HKDF_SHA256,
            Hash::Sha384 => hkdf::HKDF_SHA384,
        };
        let len = u16::try_from(out.len()).ok()?.to_be_bytes();
        let label_len = [u8::try_from(PREFIX.len().checked_add(label.len())?).ok()?];
        let info: [&[u8]; 5] = [&len, &label_len, PREFIX, label, &[0]];
        let secret = hkdf::Prk::new_less_safe(algorithm, secret.bytes());
        secret.expand(&info, Len(out.len())).ok()?.fill(out).ok()
    }

    /// The keys of TLS 1.2 (RFC 5246 §6.3), the client's first. AEADs have no MAC keys.
    pub(super) fn tls12(self, master: &Secret, client: &Random, server: &Random) -> Option<[RecordKeys; 2]> {
        let iv_len = NONCE.checked_sub(self.explicit_nonce())?;
        let key_len = self.key_len();
        let mut block = [0; KEY_BLOCK];
        let block = block.get_mut(..key_len.checked_add(iv_len)?.checked_mul(2)?)?;
        let seed = [server.as_slice(), client].concat();
        self.prf()?.for_secret(block, master.bytes(), b"key expansion", &seed);
        let (keys, ivs) = block.split_at_checked(key_len.checked_mul(2)?)?;
        let (client_key, server_key) = keys.split_at_checked(key_len)?;
        let (client_iv, server_iv) = ivs.split_at_checked(iv_len)?;
        Some([self.tls12_side(client_key, client_iv)?, self.tls12_side(server_key, server_iv)?])
    }

    fn tls12_side(self, key: &[u8], fixed: &[u8]) -> Option<RecordKeys> {
        let mut iv = [0; NONCE];
        iv.get_mut(..fixed.len())?.copy_from_slice(fixed);
        Some(RecordKeys { opener: self.opener(key)?, iv, tls12: Some(self.explicit_nonce()) })
    }

    fn prf(self) -> Option<&'static dyn Prf> {
        let suite = match self.hash {
            Hash::Sha256 => cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            Hash::Sha384 => cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        };
        match suite {
            rustls::SupportedCipherSuite::Tls12(suite) => Some(suite.prf_provider),
            rustls::SupportedCipherSuite::Tls13(_) => None,
        }
    }

    fn opener(self, key: &[u8]) -> Option<Opener> {
        let ring = |algorithm| {
            let key = aead::UnboundKey::new(algorithm, key).ok()?;
            Some(Opener::Ring(Box::new(aead::LessSafeKey::new(key))))
        };
        match self.cipher {
            Cipher::Aes128Gcm => ring(&aead::AES_128_GCM),
            Cipher::Aes256Gcm => ring(&aead::AES_256_GCM),
            Cipher::ChaCha20Poly1305 => ring(&aead::CHACHA20_POLY1305),
            Cipher::Aes128Ccm => Some(Opener::Aes128Ccm(Box::new(ccm::Ccm::new_from_slice(key).ok()?))),
            Cipher::Aes128Ccm8 => Some(Opener::Aes128Ccm8(Box::new(ccm::Ccm::new_from_slice(key).ok()?))),
            Cipher::Aes256Ccm => Some(Opener::Aes256Ccm(Box::new(ccm::Ccm::new_from_slice(key).ok()?))),
            Cipher::Aes256Ccm8 => Some(Opener::Aes256Ccm8(Box::new(ccm::Ccm::new_from_slice(key).ok()?))),
        }
    }
}

/// How packets of QUIC are protected under a cipher suite (RFC 9001 §5.3, §5.4): what ring calls it.
#[derive(Clone, Copy)]
pub(in crate::protocol) struct PacketProtection {
    cipher: &'static aead::Algorithm,
    header: &'static aead::quic::Algorithm,
    hash: hkdf::Algorithm,
}

impl PacketProtection {
    /// That of Initial packets (RFC 9001 §5.2).
    pub(in crate::protocol) const INITIAL: Self =
        Self { cipher: &aead::AES_128_GCM, header: &aead::quic::AES_128, hash: hkdf::HKDF_SHA256 };

    /// That of a cipher suite; `None` for CCM, which no stack of QUIC has, and CCM_8, which none may have (RFC 9001 §5.3).
    pub(in crate::protocol) fn of(suite: CipherSuite) -> Option<Self> {
        let Protection { cipher, hash } = Protection::of(suite)?;
        let (cipher, header) = match cipher {
            Cipher::Aes128Gcm => (&aead::AES_128_GCM, &aead::quic::AES_128),
            Cipher::Aes256Gcm => (&aead::AES_256_GCM, &aead::quic::AES_256),
            Cipher::ChaCha20Poly1305 => (&aead::CHACHA20_POLY1305, &aead::quic::CHACHA20),
            Cipher::Aes128Ccm | Cipher::Aes128Ccm8 | Cipher::Aes256Ccm | Cipher::Aes256Ccm8 => return None,
        };
        let hash = match hash {
            Hash::Sha256 => hkdf::HKDF_SHA256,
            Hash::Sha384 => hkdf::HKDF_SHA384,
        };
        Some(Self { cipher, header, hash })
    }

    /// The AEAD.
    pub(in crate::protocol) fn cipher(self) -> &'static aead::Algorithm {
        self.cipher
    }

    /// The cipher of header protection.
    pub(in crate::protocol) fn header(self) -> &'static aead::quic::Algorithm {
        self.header
    }

    /// The hash of HKDF.
    pub(in crate::protocol) fn hash(self) -> hkdf::Algorithm {
        self.hash
    }

    /// A secret in ring's form; `None` where it is not as long as the hash.
    pub(in crate::protocol) fn prk(self, secret: &Secret) -> Option<hkdf::Prk> {
        let fits = secret.bytes().len() == self.hash.hmac_algorithm().digest_algorithm().output_len();
        fits.then(|| hkdf::Prk::new_less_safe(self.hash, secret.bytes()))
    }
}

/// A length that HKDF is asked for.
struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

enum Opener {
    Ring(Box<aead::LessSafeKey>),
    Aes128Ccm(Box<ccm::Ccm<Aes128, U16, U12>>),
    Aes128Ccm8(Box<ccm::Ccm<Aes128, U8, U12>>),
    Aes256Ccm(Box<ccm::Ccm<Aes256, U16, U12>>),
    Aes256Ccm8(Box<ccm::Ccm<Aes256, U8, U12>>),
}

impl Opener {
    fn tag_len(&self) -> usize {
        match self {
            Self::Ring(_) | Self::Aes128Ccm(_) | Self::Aes256Ccm(_) => 16,
            Self::Aes128Ccm8(_) | Self::Aes256Ccm8(_) => 8,
        }
    }

    /// Decrypts the ciphertext and tag in `sealed`; `None` where the tag does not fit.
    fn open(&self, nonce: [u8; NONCE], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = sealed.to_vec();
        match self {
            Self::Ring(key) => {
                let nonce = aead::Nonce::assume_unique_for_key(nonce);
                let len = key.open_in_place(nonce, aead::Aad::from(aad), &mut bytes).ok()?.len();
                bytes.truncate(len);
            }
            Self::Aes128Ccm(key) => key.decrypt_in_place(&nonce.into(), aad, &mut bytes).ok()?,
            Self::Aes128Ccm8(key) => key.decrypt_in_place(&nonce.into(), aad, &mut bytes).ok()?,
            Self::Aes256Ccm(key) => key.decrypt_in_place(&nonce.into(), aad, &mut bytes).ok()?,
            Self::Aes256Ccm8(key) => key.decrypt_in_place(&nonce.into(), aad, &mut bytes).ok()?,
        }
        Some(bytes)
    }
}

/// The keys of one side's records.
pub(super) struct RecordKeys {
    opener: Opener,
    iv: [u8; NONCE],
    /// Of TLS 1.2: the bytes of the nonce that a record carries.
    tls12: Option<usize>,
}

impl RecordKeys {
    /// What the record with this header, body and sequence number holds: ContentType and content; `None` where the
    /// keys do not fit.
    pub(super) fn open(&self, header: RecordHeader, body: &[u8], sequence: u64) -> Option<(u8, Vec<u8>)> {
        match self.tls12 {
            Some(explicit) => self.open_tls12(header, body, sequence, explicit),
            None => self.open_tls13(header, body, sequence),
        }
    }

    /// RFC 9846 §5.2: the content type comes last, before padding of zeros.
    fn open_tls13(&self, header: RecordHeader, body: &[u8], sequence: u64) -> Option<(u8, Vec<u8>)> {
        let mut aad = [header.content, 0, 0, 0, 0];
        let [_, major, minor, high, low] = &mut aad;
        [*major, *minor] = header.version.to_be_bytes();
        [*high, *low] = header.len.to_be_bytes();
        let nonce = Nonce::new(&Iv::from(self.iv), sequence).0;
        let mut content = self.opener.open(nonce, &aad, body)?;
        let padded = content.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        content.truncate(padded.saturating_add(1));
        // Zeros alone are against the rules: a record without a type.
        let kind = content.pop().unwrap_or(0);
        Some((kind, content))
    }

    /// RFC 5246 §6.2.3.3 and, for ChaCha20-Poly1305, RFC 7905 §2.
    fn open_tls12(
        &self,
        header: RecordHeader,
        body: &[u8],
        sequence: u64,
        explicit: usize,
    ) -> Option<(u8, Vec<u8>)> {
        let (carried, sealed) = body.split_at_checked(explicit)?;
        let len = sealed.len().checked_sub(self.opener.tag_len())?;
        let aad = make_tls12_aad(sequence, header.content.into(), header.version.into(), len);
        let nonce = if explicit == 0 {
            Nonce::new(&Iv::from(self.iv), sequence).0
        } else {
            let mut nonce = self.iv;
            nonce.last_chunk_mut::<EXPLICIT_NONCE>()?.copy_from_slice(carried);
            nonce
        };
        Some((header.content, self.opener.open(nonce, &aad, sealed)?))
    }
}
