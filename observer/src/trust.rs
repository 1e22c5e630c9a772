//! Is a server's chain valid: path, dates, name and strength, each for itself.
//!
//! Paths are built by rustls-webpki against Mozilla's roots and those that the tester adds, at the time of the capture
//! and not of today. Revocation is not checked: a capture seldom holds the proof. No opinion is formed here: whether a
//! client that went on did wrong is for the rules to say.

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
}

impl Default for TrustStore {
    /// Mozilla's roots, as the crate `webpki-roots` carries them.
    fn default() -> Self {
        Self { anchors: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
    }
}

impl TrustStore {
    /// Trusts the certificates of a PEM file, too.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn add_file(&mut self, path: &Path) -> Result<(), TrustError> {
        let name = path.display().to_string();
        let pem = std::fs::read(path).map_err(|source| TrustError::Io { path: name.clone(), source })?;
        let before = self.anchors.len();
        for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
            let unreadable = |reason: String| TrustError::Unreadable {
                path: name.clone(),
                number: index.saturating_add(1),
                reason,
            };
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            let anchor = webpki::anchor_from_trusted_cert(&certificate)
                .map_err(|error| unreadable(error.to_string()))?;
            self.anchors.push(anchor.to_owned());
        }
        if self.anchors.len() == before {
            return Err(TrustError::Empty { path: name });
        }
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
        let weak = weaknesses(chain, policy);
        let (path, path_dates) = self.path(chain, parsed, at, !weak.is_empty());
        let dates = Dates::of(parsed, at).or(path_dates);
        Some(ChainStatus { path, dates, name: name_matches(leaf, parsed, host), weak })
    }

    /// How far the chain leads, whatever the dates; and what is wrong with the dates of an intermediate.
    fn path(
        &self,
        chain: &[Arc<Certificate>],
        leaf: &ParsedCertificate,
        at: Timestamp,
        weak: bool,
    ) -> (PathStatus, Option<Dates>) {
        let mut dates = None;
        let failure = match self.verify(chain, at) {
            Ok(()) => return (PathStatus::Trusted, None),
            Err(Error::CertExpired { .. } | Error::CertNotValidYet { .. }) => {
                // The dates are a fact of their own: is the path sound at a time that they allow?
                let times = chain.iter().filter_map(|certificate| certificate.parsed.as_ref());
                let times = times.flat_map(|parsed| [parsed.not_before, parsed.not_after]);
                let outcomes: Vec<Option<Error>> =
                    times.take(MAX_RETRIES).map(|time| self.verify(chain, time).err()).collect();
                if outcomes.contains(&None) {
                    let mut others = chain.iter().skip(1);
                    dates = others.find_map(|certificate| Dates::of(certificate.parsed.as_ref()?, at));
                    None
                } else {
                    let about_dates = |error: &Error| {
                        matches!(error, Error::CertExpired { .. } | Error::CertNotValidYet { .. })
                    };
                    let mut failures = outcomes.into_iter().flatten();
                    match failures.find(|error| !about_dates(error)) {
                        Some(failure) => Some(failure),
                        // At no time are all of them valid, so nothing is known of the rest.
                        None if leaf.self_issued => Some(Error::UnknownIssuer),
                        None => {
                            let reason = "at no time are all certificates of the chain valid".to_owned();
                            return (PathStatus::Unknown { reason }, None);
                        }
                    }
                }
            }
            Err(error) => Some(error),
        };
        let Some(failure) = failure else { return (PathStatus::Trusted, dates) };
        let status = if leaf.self_issued {
            PathStatus::SelfSigned
        } else if weak || !matches!(failure, Error::UnknownIssuer) {
            // Its own weakness, or a form that webpki does not read, says nothing of who issued it.
            match failure {
                Error::UnknownIssuer if weak => self.by_name(chain),
                failure => PathStatus::Unknown { reason: words(&failure) },
            }
        } else {
            self.by_name(chain)
        };
        (status, dates)
    }

    fn verify(&self, chain: &[Arc<Certificate>], at: Timestamp) -> Result<(), Error> {
        let mut certificates =
            chain.iter().map(|certificate| CertificateDer::from(certificate.der.as_slice()));
        let leaf = certificates.next().ok_or(Error::UnknownIssuer)?;
        let intermediates: Vec<CertificateDer<'_>> = certificates.collect();
        let leaf = EndEntityCert::try_from(&leaf)?;
        let seconds = u64::try_from(at.seconds()).unwrap_or(0);
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.anchors,
            &intermediates,
            time,
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map(|_path| ())
    }

    /// Where a chain without a valid path ends: at a known root by name, at an unknown root, or too early.
    fn by_name(&self, chain: &[Arc<Certificate>]) -> PathStatus {
        let last = chain.iter().rev().find_map(|certificate| certificate.parsed.as_ref());
        let issuer = last.map(|parsed| parsed.issuer.clone()).unwrap_or_default();
        let ends_in_root = last.is_some_and(|parsed| parsed.self_issued);
        if ends_in_root || chain.len() > 1 {
            PathStatus::Untrusted { issuer }
        } else {
            PathStatus::Incomplete { issuer }
        }
    }
}

/// Times at which a path is tried again when the dates are wrong: two of each certificate of a usual chain.
const MAX_RETRIES: usize = 8;

/// What is known of a server's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainStatus {
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
fn weaknesses(chain: &[Arc<Certificate>], policy: &TlsPolicy) -> Vec<WeakCertificate> {
    let mut found = Vec::new();
    for (index, parsed) in chain
        .iter()
        .enumerate()
        .filter_map(|(index, certificate)| Some((index, certificate.parsed.as_ref()?)))
    {
        let mut say =
            |weakness: String| found.push(WeakCertificate { subject: parsed.subject.clone(), weakness });
        if let Some(bits) = parsed.public_key.bits {
            let least = match parsed.public_key.algorithm.as_str() {
                "RSA" | "DSA" => policy.min_rsa_bits,
                "EC" => policy.min_ec_bits,
                _ => 0,
            };
            if bits < least {
                say(format!("{} key of {bits} bits", parsed.public_key.algorithm));
            }
        }
        let algorithm = parsed.signature_algorithm.to_ascii_lowercase();
        let hash = ["md5", "md2", "sha1"].into_iter().find(|hash| algorithm.contains(hash));
        if let Some(hash) = hash.filter(|_| index == 0 || !parsed.self_issued) {
            say(format!("{} signature", hash.to_ascii_uppercase().replace("SHA1", "SHA-1")));
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
