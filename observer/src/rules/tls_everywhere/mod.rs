//! CL MSS 5.1: every endpoint is reached over TLS.

mod cleartext_credentials;
mod cleartext_http;
mod cleartext_secret_in_url;
mod cleartext_unknown;
mod cleartext_websocket;
mod non_tls_encryption;
mod null_or_anonymous_cipher;

pub(super) use self::cleartext_credentials::CleartextCredentials;
pub(super) use self::cleartext_http::CleartextHttp;
pub(super) use self::cleartext_secret_in_url::CleartextSecretInUrl;
pub(super) use self::cleartext_unknown::CleartextUnknown;
pub(super) use self::cleartext_websocket::CleartextWebsocket;
pub(super) use self::non_tls_encryption::NonTlsEncryption;
pub(super) use self::null_or_anonymous_cipher::NullOrAnonymousCipher;
