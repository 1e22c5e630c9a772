//! CL MSS 5.2: the TLS settings are in line with current best practices.

mod insecure_renegotiation;
mod missing_sni;
mod no_extended_master_secret;
mod tls_compression;
mod tls_version_negotiated;
mod tls_version_offered;
mod weak_cipher_negotiated;
mod weak_cipher_offered;
mod weak_group;
mod weak_signature;
mod weaker_than_platform;

pub(super) use self::insecure_renegotiation::InsecureRenegotiation;
pub(super) use self::missing_sni::MissingSni;
pub(super) use self::no_extended_master_secret::NoExtendedMasterSecret;
pub(super) use self::tls_compression::TlsCompression;
pub(super) use self::tls_version_negotiated::TlsVersionNegotiated;
pub(super) use self::tls_version_offered::TlsVersionOffered;
pub(super) use self::weak_cipher_negotiated::WeakCipherNegotiated;
pub(super) use self::weak_cipher_offered::WeakCipherOffered;
pub(super) use self::weak_group::WeakGroup;
pub(super) use self::weak_signature::WeakSignature;
pub(super) use self::weaker_than_platform::WeakerThanPlatform;
