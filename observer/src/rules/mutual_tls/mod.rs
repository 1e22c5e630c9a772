//! CL MSS 5.9: client and server identify each other.

mod client_certificate_cleartext_only;
mod client_certificate_declined;
mod client_certificate_missing;

pub(super) use self::client_certificate_cleartext_only::ClientCertificateCleartextOnly;
pub(super) use self::client_certificate_declined::ClientCertificateDeclined;
pub(super) use self::client_certificate_missing::ClientCertificateMissing;
