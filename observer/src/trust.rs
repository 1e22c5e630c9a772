//! Is a server's chain valid: path, dates, name and strength, each for itself.
//!
//! Paths are built by rustls-webpki against Mozilla's roots and those that the tester adds, at the time of the capture
//! and not of today. Revocation is not checked: a capture seldom holds the proof. No opinion is formed here: whether a
//! client that went on did wrong is for the rules to say.

mod ocsp;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::policy::TlsPolicy;
use crate::protocol::tls::{Certificate, ParsedCertificate};
use crate::time::Timestamp;

pub(crate) use self::ocsp::is_ocsp_request;

/// Why an authority cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The operating system refused.
    #[error("cannot read authorities {path}")]
    Io {
        /// The file.
        path: String,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// It holds no certificate in PEM.
    #[error("{path} holds no PEM certificate")]
    Empty {
        /// The file.
        path: String,
    },
    /// A certificate in it cannot be read.
    #[error("{path}: certificate {number} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Its place in the file, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The authorities that a chain may lead to.
#[derive(Clone, Debug)]
pub struct TrustStore {
    anchors: Vec<TrustAnchor<'static>>,
    /// The tester's own authorities, which a chain is compared with and does not become valid by.
    test: Vec<TrustAnchor<'static>>,
}

impl Default for TrustStore {
    /// Mozilla's roots, as the crate `webpki-roots` carries them.
    fn default() -> Self {
        Self { anchors: webpki_roots::TLS_SERVER_ROOTS.to_vec(), test: Vec::new() }
    }
}

impl TrustStore {
    /// Trusts the certificates of a PEM file, too.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn add_file(&mut self, path: &Path) -> Result<(), TrustError> {
        self.anchors.extend(authorities(path)?);
        Ok(())
    }

    /// Whether the tester named an authority of their own.
    #[must_use]
    pub fn has_test_authority(&self) -> bool {
        !self.test.is_empty()
    }

    /// Knows the certificates of a PEM file as the tester's own: see [`ChainStatus::under_test_ca`].
    ///
    /// # Errors
    /// As [`Self::add_file`].
    pub fn add_test_file(&mut self, path: &Path) -> Result<(), TrustError> {
        self.test.extend(authorities(path)?);
        Ok(())
    }

    /// Judges a chain, leaf first, that was sent at `at` to a client that asked for `host`.
    ///
    /// `None` for a chain without a leaf that can be read at all.
    #[must_use]
    pub fn check(
        &self,
        chain: &[Arc<Certificate>],
        host: Option<&str>,
        at: Timestamp,
        policy: &TlsPolicy,
    ) -> Option<ChainStatus> {
        let leaf = chain.first()?;
        let parsed = leaf.parsed.as_ref()?;
        let (path, followed) = self.path(chain, parsed, at);
        // What is on no path was sent in vain: a cross-signed root, for example.
        let all: Vec<usize> = (0..chain.len()).collect();
        let weak = weaknesses(chain, followed.as_ref().map_or(&all, |followed| &followed.used), policy);
        let path_dates = followed.and_then(|followed| followed.dates);
        let dates = Dates::of(parsed, at).or(path_dates).filter(|_| is_credible(at, chain));
        let under_test_ca = !self.test.is_empty() && verify(&self.test, chain, at).is_ok();
        Some(ChainStatus { path, dates, under_test_ca, name: name_matches(leaf, parsed, host), weak })
    }

    /// Where the chain leads, whatever the dates, and what was followed to a trusted root.
    fn path(
        &self,
        chain: &[Arc<Certificate>],
        leaf: &ParsedCertificate,
        at: Timestamp,
    ) -> (PathStatus, Option<Followed>) {
        let failure = match verify(&self.anchors, chain, at) {
            Ok(used) => return (PathStatus::Trusted, Some(Followed { used, dates: None })),
            Err(error) => error,
        };
        let failure = if is_about_dates(&failure) {
            // The dates are a fact of their own: is the path sound at a time that they allow?
            let parsed = chain.iter().filter_map(|certificate| certificate.parsed.as_ref());
            let times = parsed.flat_map(|parsed| [parsed.not_before, parsed.not_after]);
            let mut other = None;
            for time in times.take(MAX_RETRIES) {
                match verify(&self.anchors, chain, time) {
                    Ok(used) => {
                        let dates = used
                            .iter()
                            .filter(|index| **index > 0)
                            .find_map(|index| Dates::of(chain.get(*index)?.parsed.as_ref()?, at));
                        return (PathStatus::Trusted, Some(Followed { used, dates }));
                    }
                    Err(error) if !is_about_dates(&error) => other = Some(error),
                    Err(_) => {}
                }
            }
            other
        } else {
            Some(failure)
        };
        let status = match failure {
            _ if leaf.self_issued => PathStatus::SelfSigned,
            Some(Error::UnknownIssuer) => by_name(chain),
            // A form that no current client follows says nothing of who issued it.
            Some(failure) => PathStatus::Unknown { reason: words(&failure) },
            None => PathStatus::Unknown {
                reason: "at no time are all certificates of the chain valid".to_owned(),
            },
        };
        (status, None)
    }
}

/// Builds a path at a time; says which certificates of the chain are on it.
fn verify(
    anchors: &[TrustAnchor<'static>],
    chain: &[Arc<Certificate>],
    at: Timestamp,
) -> Result<Vec<usize>, Error> {
    let mut certificates = chain.iter().map(|certificate| CertificateDer::from(certificate.der.as_slice()));
    let leaf = certificates.next().ok_or(Error::UnknownIssuer)?;
    let intermediates: Vec<CertificateDer<'_>> = certificates.collect();
    let leaf = EndEntityCert::try_from(&leaf)?;
    let seconds = u64::try_from(at.seconds()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        anchors,
        &intermediates,
        time,
        KeyUsage::server_auth(),
        None,
        None,
    )
    .map(|path| {
        let used: Vec<CertificateDer<'_>> =
            path.intermediate_certificates().map(|certificate| certificate.der()).collect();
        let on_path = |(index, certificate): (usize, &Arc<Certificate>)| {
            let der = certificate.der.as_slice();
            (index == 0 || used.iter().any(|used| used.as_ref() == der)).then_some(index)
        };
        chain.iter().enumerate().filter_map(on_path).collect()
    })
}

/// The certificates of a PEM file, as authorities.
fn authorities(path: &Path) -> Result<Vec<TrustAnchor<'static>>, TrustError> {
    let name = path.display().to_string();
    let pem = std::fs::read(path).map_err(|source| TrustError::Io { path: name.clone(), source })?;
    let mut anchors = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let unreadable = |reason: String| TrustError::Unreadable {
            path: name.clone(),
            number: index.saturating_add(1),
            reason,
        };
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        let anchor =
            webpki::anchor_from_trusted_cert(&certificate).map_err(|error| unreadable(error.to_string()))?;
        anchors.push(anchor.to_owned());
    }
    if anchors.is_empty() {
        return Err(TrustError::Empty { path: name });
    }
    Ok(anchors)
}

/// What was followed to a trusted root.
struct Followed {
    /// Places in the chain, the leaf's first.
    used: Vec<usize>,
    /// What is wrong with the dates of an intermediate.
    dates: Option<Dates>,
}

/// Capture clocks before this time (the year 2000) were never set: they say nothing of dates.
const CREDIBLE: Timestamp = Timestamp(946_684_800_000_000_000);
/// Seconds by which a whole chain lies ahead of a clock that was never set: a year.
const AHEAD: i64 = 365 * 86_400;

/// Whether the capture's clock may be held against a chain. One that starts at some past day, as devices do without a
/// battery, precedes the authorities, too; of a server's mistake the leaf alone is in the future.
fn is_credible(at: Timestamp, chain: &[Arc<Certificate>]) -> bool {
    let ahead = |certificate: &ParsedCertificate| {
        certificate.not_before.seconds().saturating_sub(at.seconds()) > AHEAD
    };
    let mut parsed = chain.iter().map(|certificate| certificate.parsed.as_ref());
    let precedes_all = chain.len() > 1 && parsed.all(|parsed| parsed.is_some_and(ahead));
    at >= CREDIBLE && !precedes_all
}

fn is_about_dates(error: &Error) -> bool {
    matches!(error, Error::CertExpired { .. } | Error::CertNotValidYet { .. })
}

/// Where a chain without a valid path ends: at an unknown root, or too early.
fn by_name(chain: &[Arc<Certificate>]) -> PathStatus {
    let last = chain.iter().rev().find_map(|certificate| certificate.parsed.as_ref());
    let issuer = last.map(|parsed| parsed.issuer.clone()).unwrap_or_default();
    let claims_public = chain.first().is_some_and(|leaf| claims_public(leaf));
    if chain.len() > 1 {
        PathStatus::Untrusted { issuer, claims_public }
    } else {
        PathStatus::Incomplete { issuer }
    }
}

/// Whether the leaf has what public authorities put into theirs, and private ones seldom do: a policy of the CA/Browser
/// Forum (2.23.140.1.2) or timestamps of Certificate Transparency (RFC 6962 §3.3). A claim, no proof.
fn claims_public(leaf: &Certificate) -> bool {
    use x509_parser::extensions::ParsedExtension;
    use x509_parser::prelude::FromDer as _;
    let Ok((_, certificate)) = x509_parser::certificate::X509Certificate::from_der(&leaf.der) else {
        return false;
    };
    certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::CertificatePolicies(policies) => {
            policies.iter().any(|policy| policy.policy_id.to_id_string().starts_with("2.23.140.1."))
        }
        ParsedExtension::SCT(_) => true,
        _ => false,
    })
}

/// Times at which a path is tried again when the dates are wrong: two of each certificate of a usual chain.
const MAX_RETRIES: usize = 8;

/// What is known of a server's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainStatus {
    /// Whether it leads to the tester's own authority, valid at that time.
    pub under_test_ca: bool,
    /// Where it leads, whatever its dates.
    pub path: PathStatus,
    /// What is wrong with its dates, if anything.
    pub dates: Option<Dates>,
    /// Whether the leaf is for the host that was asked for; `None` where that is not known.
    pub name: Option<bool>,
    /// Keys and signatures below the policy, leaf first.
    pub weak: Vec<WeakCertificate>,
}

impl ChainStatus {
    /// Whether there is anything that a client must refuse, as far as can be known.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(self.path, PathStatus::SelfSigned | PathStatus::Untrusted { .. })
            || self.dates.is_some()
            || self.name == Some(false)
            || !self.weak.is_empty()
    }
}

/// Where a chain leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStatus {
    /// To a trusted root.
    Trusted,
    /// The leaf issued itself and is not trusted.
    SelfSigned,
    /// The leaf was sent alone and its issuer is not trusted: an unknown authority, or an intermediate that the server
    /// forgot to send.
    Incomplete {
        /// The leaf's issuer.
        issuer: String,
    },
    /// To an authority that is not trusted.
    Untrusted {
        /// The issuer of the last certificate.
        issuer: String,
        /// Whether the leaf looks like one of a public authority, whose root may have left the store since.
        claims_public: bool,
    },
    /// It cannot be told, because a certificate is too weak or too old to be followed.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What is wrong with a certificate's dates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dates {
    /// It had ended.
    Expired {
        /// When.
        not_after: Timestamp,
        /// Whose.
        subject: String,
    },
    /// It had not begun.
    NotYetValid {
        /// When it begins.
        not_before: Timestamp,
        /// Whose.
        subject: String,
    },
}

impl Dates {
    fn of(certificate: &ParsedCertificate, at: Timestamp) -> Option<Self> {
        let subject = certificate.subject.clone();
        if at > certificate.not_after {
            Some(Self::Expired { not_after: certificate.not_after, subject })
        } else if at < certificate.not_before {
            Some(Self::NotYetValid { not_before: certificate.not_before, subject })
        } else {
            None
        }
    }
}

/// A certificate whose key or signature is too weak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeakCertificate {
    /// Whose.
    pub subject: String,
    /// What is weak, e.g. `RSA key of 1024 bits`, `SHA-1 signature`.
    pub weakness: String,
}

/// Keys below the policy, and signatures with MD5 or SHA-1; a root's own signature proves nothing and is passed over.
fn weaknesses(chain: &[Arc<Certificate>], used: &[usize], policy: &TlsPolicy) -> Vec<WeakCertificate> {
    let mut found = Vec::new();
    let parsed = chain.iter().enumerate().filter(|(index, _)| used.contains(index));
    for (index, parsed) in
        parsed.filter_map(|(index, certificate)| Some((index, certificate.parsed.as_ref()?)))
    {
        let mut say =
            |weakness: String| found.push(WeakCertificate { subject: parsed.subject.clone(), weakness });
        if let Some(bits) = parsed.public_key.bits {
            let least = match parsed.public_key.algorithm.as_str() {
                "RSA" | "DSA" => policy.keys.min_rsa_bits,
                "EC" => policy.keys.min_ec_bits,
                _ => 0,
            };
            if bits < least {
                say(format!("{} key of {bits} bits", parsed.public_key.algorithm));
            }
        }
        let algorithm = parsed.signature_algorithm.to_ascii_lowercase();
        let hash = ["md5", "md2", "sha1"].into_iter().find(|hash| algorithm.contains(hash));
        let hash = hash.map(|hash| hash.to_ascii_uppercase().replace("SHA1", "SHA-1"));
        // MD2 left use before anybody wrote down which hashes are weak.
        let weak = |hash: &String| policy.discourages_hash(if hash == "MD2" { "MD5" } else { hash });
        if let Some(hash) = hash.filter(|hash| weak(hash) && (index == 0 || !parsed.self_issued)) {
            say(format!("{hash} signature"));
        }
    }
    found
}

/// Whether the leaf is for `host`. The subject's common name does not count (RFC 9525 §6.1).
fn name_matches(leaf: &Certificate, parsed: &ParsedCertificate, host: Option<&str>) -> Option<bool> {
    let host = host?;
    if parsed.san.is_empty() {
        return Some(false);
    }
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_no_address) => ServerName::try_from(host).ok()?,
    };
    let der = CertificateDer::from(leaf.der.as_slice());
    let certificate = EndEntityCert::try_from(&der).ok()?;
    match certificate.verify_is_valid_for_subject_name(&name) {
        Ok(()) => Some(true),
        Err(Error::CertNotValidForName(_)) => Some(false),
        Err(_unreadable) => None,
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::CaUsedAsEndEntity => "the leaf is an authority's certificate",
        Error::UnsupportedCertVersion => "the leaf is not of X.509 version 3",
        Error::RequiredEkuNotFoundContext(_) => "a certificate is not for servers",
        Error::PathLenConstraintViolated => "the path is longer than an authority allows",
        Error::NameConstraintViolation => "a name is outside of what an authority may certify",
        Error::InvalidSignatureForPublicKey => "a signature is wrong",
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "a signature algorithm that no current client follows"
        }
        other => return other.to_string(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_come_from_pem_and_mistakes_are_named() {
        let mut store = TrustStore::default();
        let mozilla = store.anchors.len();
        store.add_file(&observer_captures::roots()).unwrap();
        assert!(store.anchors.len() > mozilla);

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, "no certificate at all").unwrap();
        assert!(matches!(store.add_file(&file), Err(TrustError::Empty { .. })));
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(store.add_file(&file), Err(TrustError::Unreadable { number: 1, .. })));
        assert!(matches!(store.add_file(&directory.path().join("none")), Err(TrustError::Io { .. })));
    }

    /// A certificate for some three years.
    fn starting(not_before: i64) -> ParsedCertificate {
        ParsedCertificate {
            subject: "CN=a.test".to_owned(),
            issuer: "CN=ca.test".to_owned(),
            serial: "01".to_owned(),
            not_before: Timestamp::new(not_before, 0),
            not_after: Timestamp::new(not_before.saturating_add(100_000_000), 0),
            san: Vec::new(),
            spki_sha256: [0; 32],
            public_key: crate::protocol::tls::PublicKey {
                algorithm: "RSA".to_owned(),
                bits: Some(2048),
                curve: None,
            },
            signature_algorithm: "sha256WithRSAEncryption".to_owned(),
            is_ca: false,
            self_issued: false,
        }
    }

    #[test]
    fn dates_are_held_against_the_time_of_the_capture() {
        let certificate = starting(1_000_000_000);
        let at = |seconds| Dates::of(&certificate, Timestamp::new(seconds, 0));
        assert!(matches!(at(999_999_999), Some(Dates::NotYetValid { .. })));
        assert_eq!(at(1_000_000_000), None);
        assert_eq!(at(1_100_000_000), None);
        assert!(matches!(at(1_100_000_001), Some(Dates::Expired { .. })));
    }

    #[test]
    fn a_clock_that_was_never_set_is_not_believed() {
        const DAY: i64 = 86_400;
        let chain = |starts: &[i64]| -> Vec<Arc<Certificate>> {
            let certificate = |parsed| Arc::new(Certificate { der: Vec::new(), sha256: [0; 32], parsed });
            starts.iter().map(|start| certificate(Some(starting(*start)))).collect()
        };
        let now = 1_700_000_000;
        let believed = |starts: &[i64]| is_credible(Timestamp::new(now, 0), &chain(starts));
        // The leaf is ahead, its authority is not: somebody took a certificate of the future.
        assert!(believed(&[now + 5000 * DAY, now - 900 * DAY]));
        assert!(believed(&[now + 30 * DAY, now + 20 * DAY]));
        assert!(!believed(&[now + 3000 * DAY, now + 2000 * DAY]));
        // Alone it says nothing of its authority.
        assert!(believed(&[now + 3000 * DAY]));
        assert!(!is_credible(Timestamp::new(0, 0), &chain(&[now])));
    }
}
