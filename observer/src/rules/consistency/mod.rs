//! CL MSS 5.4: TLS is used everywhere and switched off for no domain.

mod cleartext_first_then_redirect;
mod cleartext_on_tls_port;
mod mixed_protection_domain;
mod mixed_protection_host;
mod redirect_to_cleartext;
mod starttls_not_used;
mod starttls_stripped;
mod tls_failure_then_cleartext;
mod version_downgrade_retry;

pub(super) use self::cleartext_first_then_redirect::CleartextFirstThenRedirect;
pub(super) use self::cleartext_on_tls_port::CleartextOnTlsPort;
pub(super) use self::mixed_protection_domain::MixedProtectionDomain;
pub(super) use self::mixed_protection_host::MixedProtectionHost;
pub(super) use self::redirect_to_cleartext::RedirectToCleartext;
pub(super) use self::starttls_not_used::StarttlsNotUsed;
pub(super) use self::starttls_stripped::StarttlsStripped;
pub(super) use self::tls_failure_then_cleartext::TlsFailureThenCleartext;
pub(super) use self::version_downgrade_retry::VersionDowngradeRetry;

/// What it breaks to use TLS for one flow and not for another, and what a rule adds.
macro_rules! inconsistency_breaks {
    ($($more:literal),*) => {
        &[
            "cl-mss:5.4",
            "cl-mss:5.1",
            "masvs:MSTG-NETWORK-1",
            "asvs:9.2.2",
            "google:network-security-measures",
            "ncsc:2.1.1",
            "niap:FTP_DIT_EXT.1.1",
            "mitre:M1009",
            "mitre:T1466",
            "maswe-1:MASWE-0026",
            "cwe:319",
            $($more,)*
        ]
    };
}
use inconsistency_breaks;
