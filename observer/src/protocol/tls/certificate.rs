//! Certificates as facts, parsed once however often they are sent. How they are read: see `x509`.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::x509;
use crate::time::Timestamp;

/// A public key's kind and size.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PublicKey {
    /// `RSA`, `EC`, `Ed25519` …; the object identifier where it is none of the known ones.
    pub algorithm: String,
    /// Bits of the modulus or of the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// The curve of an elliptic key, e.g. `secp256r1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<String>,
}

/// A certificate as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The whole, in DER.
    pub der: Vec<u8>,
    /// SHA-256 of the whole.
    pub sha256: [u8; 32],
    /// What could be read; `None` for bytes that are no certificate.
    pub parsed: Option<ParsedCertificate>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedCertificate {
    /// The subject's distinguished name, RFC 4514.
    pub subject: String,
    /// The issuer's distinguished name, RFC 4514.
    pub issuer: String,
    /// The serial number, lower-case hex without leading zeros.
    pub serial: String,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// Subject alternative names: DNS names and addresses; at most 256 are kept.
    pub san: Vec<String>,
    /// SHA-256 of the SubjectPublicKeyInfo: what pins name.
    pub spki_sha256: [u8; 32],
    /// The subject's key.
    pub public_key: PublicKey,
    /// The issuer's signature algorithm, e.g. `sha256WithRSAEncryption`, or its object identifier.
    pub signature_algorithm: String,
    /// Basic constraints: may issue.
    pub is_ca: bool,
    /// Subject and issuer are the same name.
    pub self_issued: bool,
}

/// Parsed certificates by their bytes: servers send the same ones thousands of times.
///
/// Two generations: what is asked for moves to the younger one, and when that is full the older one goes. Both
/// together hold at most twice [`CertificateCache::GENERATION`] certificates and [`CertificateCache::BYTES`] of DER.
#[derive(Debug, Default)]
pub struct CertificateCache {
    young: HashSet<ByBytes, foldhash::fast::RandomState>,
    old: HashSet<ByBytes, foldhash::fast::RandomState>,
    bytes: usize,
}

/// A certificate that is found by its DER. The bytes are compared, so that the hash need not be a strong one.
#[derive(Debug)]
struct ByBytes(Arc<Certificate>);

impl Borrow<[u8]> for ByBytes {
    fn borrow(&self) -> &[u8] {
        &self.0.der
    }
}

impl PartialEq for ByBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for ByBytes {}

impl Hash for ByBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.der.as_slice().hash(state);
    }
}

impl CertificateCache {
    /// Certificates of a generation.
    pub const GENERATION: usize = 2048;
    /// Bytes of DER of a generation.
    pub const BYTES: usize = 4 << 20;

    /// The certificate with these bytes.
    pub fn parse(&mut self, der: &[u8]) -> Arc<Certificate> {
        if let Some(ByBytes(known)) = self.young.get(der) {
            return Arc::clone(known);
        }
        let ByBytes(certificate) = self.old.take(der).unwrap_or_else(|| {
            let sha256 = Sha256::digest(der).into();
            ByBytes(Arc::new(Certificate { der: der.to_vec(), sha256, parsed: x509::parse(der) }))
        });
        if self.young.len() >= Self::GENERATION || self.bytes.saturating_add(der.len()) > Self::BYTES {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(der.len());
        self.young.insert(ByBytes(Arc::clone(&certificate)));
        certificate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_parsed_once() {
        let mut cache = CertificateCache::default();
        let first = cache.parse(b"no certificate");
        assert!(Arc::ptr_eq(&first, &cache.parse(b"no certificate")));
        assert_eq!(first.parsed, None);
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_in_use() {
        let mut cache = CertificateCache::default();
        let kept = cache.parse(b"kept");
        for number in 0..u32::try_from(3 * CertificateCache::GENERATION).unwrap() {
            cache.parse(&number.to_be_bytes());
            assert!(Arc::ptr_eq(&kept, &cache.parse(b"kept")), "{number}");
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * CertificateCache::GENERATION);
        let large = vec![0; CertificateCache::BYTES];
        cache.parse(&large);
        cache.parse(&[&large[1..], &[1]].concat());
        assert!(cache.young.len() == 1 && cache.old.len() == 1);
    }
}
