//! CL MSS 5.2: the TLS settings are in line with current best practices.

mod tls_version_negotiated;

pub(super) use self::tls_version_negotiated::TlsVersionNegotiated;
