//! CL MSS 5.4: TLS is used everywhere and switched off for no domain.

mod cleartext_first_then_redirect;
mod cleartext_on_tls_port;
mod mixed_protection_host;
mod redirect_to_cleartext;
mod tls_failure_then_cleartext;
mod version_downgrade_retry;

pub(super) use self::cleartext_first_then_redirect::CleartextFirstThenRedirect;
pub(super) use self::cleartext_on_tls_port::CleartextOnTlsPort;
pub(super) use self::mixed_protection_host::MixedProtectionHost;
pub(super) use self::redirect_to_cleartext::RedirectToCleartext;
pub(super) use self::tls_failure_then_cleartext::TlsFailureThenCleartext;
pub(super) use self::version_downgrade_retry::VersionDowngradeRetry;
