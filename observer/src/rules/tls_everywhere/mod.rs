//! CL MSS 5.1: every endpoint is reached over TLS.

mod cleartext_credentials;
mod cleartext_http;
mod cleartext_protocol;
mod cleartext_secret_in_url;
mod cleartext_unknown;
mod cleartext_websocket;
mod non_tls_encryption;
mod null_or_anonymous_cipher;

pub(super) use self::cleartext_credentials::CleartextCredentials;
pub(super) use self::cleartext_http::CleartextHttp;
pub(super) use self::cleartext_protocol::CleartextProtocol;
pub(super) use self::cleartext_secret_in_url::CleartextSecretInUrl;
pub(super) use self::cleartext_unknown::CleartextUnknown;
pub(super) use self::cleartext_websocket::CleartextWebsocket;
pub(super) use self::non_tls_encryption::NonTlsEncryption;
pub(super) use self::null_or_anonymous_cipher::NullOrAnonymousCipher;

/// What it breaks that everybody can read a flow, and what a rule adds.
macro_rules! reading_breaks {
    ($($more:literal),*) => {
        &[
            "cl-mss:5.1",
            "masvs:MSTG-NETWORK-1",
            "asvs:1.7.2",
            "asvs:1.9.1",
            "asvs:1.14.2",
            "asvs:9.2.2",
            "google:enforce-secure-communication",
            "google:network-security-measures",
            "ncsc:2.1.1",
            "ncsc:2.1.2",
            "ncsc:2.1.7",
            "niap:FTP_DIT_EXT.1.1",
            "nist:800-190-4.2.1",
            "mitre:M1009",
            "mitre:T1439",
            "mitre:T1410",
            "mitre:T1467",
            "mitre:T1465",
            "mitre:T1463",
            "mastg:MASTG-TEST-0236",
            "maswe-1:MASWE-0026",
            "cwe:319",
            $($more,)*
        ]
    };
}
use reading_breaks;
