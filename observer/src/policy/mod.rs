//! What the tester declares: apps in scope, endpoints that need mutual TLS, pins, allowed endpoints, exceptions,
//! thresholds. And what counts as weak: [`TlsPolicy`].
//!
//! A policy is read once, before the first frame. It holds no opinion of its own: everything in it is optional, and
//! without it every app is in scope and nothing is excused. Whether an exception has expired is decided by the time of
//! the capture's last frame, not by a clock.

mod known_keys;
mod severity;
mod tls;

use std::path::Path;
use std::{fmt, io};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

use crate::attribution::Owner;
use crate::time::Timestamp;

pub use self::known_keys::KnownKeys;
pub use self::severity::Severity;
pub use self::tls::{CipherWeakness, Grade, Keys, NamedSuites, TlsPolicy, Weaknesses};

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The operating system refused.
    #[error("cannot read policy {path}")]
    Io {
        /// The file.
        path: String,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// It is not the TOML that a policy is.
    #[error("policy {path}: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// What is wrong, with line and column.
        reason: String,
    },
}

/// What the tester declares, read from a TOML file; everything is optional.
///
/// ```toml
/// [scope]
/// apps = ["test.shop"]              # packages, processes, labels or "uid:10123"; none: all apps
///
/// [[mtls]]
/// host = "bank.shop.test"           # a client certificate is expected here
///
/// [[pin]]
/// host = "*.shop.test"
/// spki_sha256 = ["xUW5ZZ5u…="]      # base64 or hex; one of the chain must match
///
/// [[endpoint]]                      # if there are any, all others are undeclared
/// host = "*.shop.test"
/// ports = [443]                     # none: any port
///
/// [[exception]]
/// rule = "cleartext-http"
/// host = "printer.shop.test"        # none: any host
/// app = "test.shop"                 # none: any app
/// reason = "the office printer has no TLS"
/// until = 2027-03-31                # the last day on which it holds
///
/// [thresholds]
/// violates = "medium"               # findings below it are noted, they break nothing
/// unattributed_percent = 5          # more bytes without an owner: inconclusive
/// dropped_frames = 0                # more frames lost by the capturing system: inconclusive
/// gap_percent = 5                   # more of an app's bytes missing: inconclusive
/// fallback_seconds = 30             # how soon after a failure a weaker attempt counts as its consequence
/// scan_targets = 16                 # ports of a host, or nameless hosts, tried in vain: a search
/// scan_seconds = 60                 # within this time
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Whose traffic is judged.
    pub scope: Scope,
    /// Where a client certificate is expected.
    pub mtls: Vec<MutualTls>,
    /// The keys that hosts are expected to have.
    #[serde(rename = "pin")]
    pub pins: Vec<Pin>,
    /// The far ends that apps may talk to; empty means all.
    #[serde(rename = "endpoint")]
    pub endpoints: Vec<AllowedEndpoint>,
    /// Findings that are accepted, with a reason and an end.
    #[serde(rename = "exception")]
    pub exceptions: Vec<Exception>,
    /// Where opinions begin to count.
    pub thresholds: Thresholds,
    /// What two policies that judge alike have in common: 64 hex digits over all that is declared but the exceptions,
    /// whatever its layout. `None` where nothing is.
    #[serde(skip)]
    pub digest: Option<String>,
}

/// Whose traffic is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Packages, processes, labels or `uid:N`; empty means all apps.
    pub apps: Vec<String>,
}

/// A host at which a client certificate is expected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MutualTls {
    /// The name or address; `*.` in front stands for any subdomain.
    pub host: HostPattern,
}

/// The keys that a host is expected to have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The name or address; `*.` in front stands for any subdomain.
    pub host: HostPattern,
    /// SHA-256 of SubjectPublicKeyInfo; any certificate of the chain may match.
    #[serde(deserialize_with = "digests")]
    pub spki_sha256: Vec<[u8; 32]>,
}

/// A far end that apps may talk to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedEndpoint {
    /// The name or address; `*.` in front stands for any subdomain.
    pub host: HostPattern,
    /// Ports; empty means any.
    #[serde(default)]
    pub ports: Vec<u16>,
}

/// A finding that is accepted for a while.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The rule that is not to be held against anybody.
    pub rule: String,
    /// The app, written as in [`Scope::apps`]; none means any.
    #[serde(default)]
    pub app: Option<String>,
    /// The name or address; none means any.
    #[serde(default)]
    pub host: Option<HostPattern>,
    /// Why; never empty.
    #[serde(deserialize_with = "filled")]
    pub reason: String,
    /// The last day, in UTC, on which it holds.
    #[serde(deserialize_with = "day")]
    pub until: jiff::civil::Date,
}

impl Exception {
    /// Whether it is over at `now`.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        let end = self
            .until
            .tomorrow()
            .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC))
            .map_or(i64::MAX, |zoned| zoned.timestamp().as_second());
        now.seconds() >= end
    }
}

/// Where opinions begin to count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Findings of this severity and above break the requirements that they bear on.
    pub violates: Severity,
    /// Percent of the bytes that may lack an owner, in captures that know owners at all.
    pub unattributed_percent: u8,
    /// Whether a capture that knows no owners is held to it, too: all its bytes lack one.
    #[serde(skip)]
    pub demands_owners: bool,
    /// Frames that the capturing system may lose.
    pub dropped_frames: u64,
    /// Percent of an app's payload that may be missing.
    pub gap_percent: u8,
    /// Seconds after a failed TLS attempt within which a weaker one counts as its consequence.
    pub fallback_seconds: u32,
    /// Far ends that refuse or do not answer, within [`Self::scan_seconds`], from which on an app searches them.
    pub scan_targets: u32,
    /// Seconds within which the attempts of a search are counted.
    pub scan_seconds: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            violates: Severity::Medium,
            unattributed_percent: 5,
            demands_owners: false,
            dropped_frames: 0,
            gap_percent: 5,
            fallback_seconds: 30,
            scan_targets: 16,
            scan_seconds: 60,
        }
    }
}

/// A host name or address, lower case; `*.` in front stands for any subdomain, at any depth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// Whether `host` is meant; names are compared without regard to case.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        match self.0.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == self.0,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.trim_end_matches('.').to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text);
        if name.is_empty() || name.contains(['*', '/', ' ']) {
            return Err(serde::de::Error::custom(format!(
                "{text:?} is no host: write a name or an address, with `*.` in front for its subdomains"
            )));
        }
        Ok(Self(text))
    }
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// When the file cannot be read or says something that a policy does not know.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| PolicyError::Io { path: name.clone(), source })?;
        Self::parse(&text)
            .map_err(|error| PolicyError::Invalid { path: name, reason: in_one_line(&error, &text) })
    }

    /// Reads a policy's text.
    ///
    /// # Errors
    /// When it says something that a policy does not know; the error names line and column.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let mut policy: Self = toml::from_str(text)?;
        policy.digest = digest_of(toml::from_str(text)?);
        Ok(policy)
    }

    /// Whether the tester asked about this app; without a scope, all are asked about.
    #[must_use]
    pub fn in_scope(&self, owner: &Owner) -> bool {
        self.scope.apps.is_empty() || self.names(owner)
    }

    /// Whether the scope names this app.
    #[must_use]
    pub fn names(&self, owner: &Owner) -> bool {
        self.scope.apps.iter().any(|app| is_app(app, owner))
    }

    /// Whether a client certificate is expected at `host`.
    #[must_use]
    pub fn expects_client_certificate(&self, host: &str) -> bool {
        self.mtls.iter().any(|entry| entry.host.matches(host))
    }

    /// The keys that `host` is expected to have; `None` where nothing is said of it.
    #[must_use]
    pub fn pins(&self, host: &str) -> Option<Vec<[u8; 32]>> {
        let mut pins = self.pins.iter().filter(|pin| pin.host.matches(host)).peekable();
        pins.peek()?;
        Some(pins.flat_map(|pin| pin.spki_sha256.iter().copied()).collect())
    }

    /// Whether apps may talk to this far end.
    #[must_use]
    pub fn allows(&self, host: &str, port: u16) -> bool {
        self.endpoints.is_empty()
            || self.endpoints.iter().any(|endpoint| {
                endpoint.host.matches(host) && (endpoint.ports.is_empty() || endpoint.ports.contains(&port))
            })
    }

    /// The exception for a finding of `rule`: one that holds at `now`, else one that has expired.
    #[must_use]
    pub fn exception(
        &self,
        rule: &str,
        owner: Option<&Owner>,
        host: &str,
        now: Timestamp,
    ) -> Option<&Exception> {
        let mut fitting: Vec<&Exception> = self
            .exceptions
            .iter()
            .filter(|exception| {
                exception.rule == rule
                    && exception.host.as_ref().is_none_or(|pattern| pattern.matches(host))
                    && exception.app.as_ref().is_none_or(|app| owner.is_some_and(|owner| is_app(app, owner)))
            })
            .collect();
        fitting.sort_by_key(|exception| exception.has_expired(now));
        fitting.first().copied()
    }
}

/// What tells a policy from another that judges otherwise.
fn digest_of(mut declared: toml::Table) -> Option<String> {
    declared.remove("exception");
    if declared.is_empty() {
        return None;
    }
    Some(HEXLOWER.encode(&Sha256::digest(declared.to_string())))
}

/// Whether `app`, as a policy writes it, means `owner`.
fn is_app(app: &str, owner: &Owner) -> bool {
    if let Some(uid) = app.strip_prefix("uid:") {
        return owner.uid.is_some_and(|known| uid.parse() == Ok(known));
    }
    owner.package.as_deref() == Some(app)
        || owner.packages.iter().any(|package| package == app)
        || owner.process.as_deref() == Some(app)
        || owner.label.as_deref() == Some(app)
}

fn filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Err(serde::de::Error::custom("an exception needs a reason"));
    }
    Ok(text)
}

fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<jiff::civil::Date, D::Error> {
    let written = toml::value::Datetime::deserialize(deserializer)?;
    let (Some(date), None) = (written.date, written.time) else {
        return Err(serde::de::Error::custom("`until` is a day, such as 2027-03-31"));
    };
    let (year, month, day) = (i16::try_from(date.year), i8::try_from(date.month), i8::try_from(date.day));
    match (year, month, day) {
        (Ok(year), Ok(month), Ok(day)) => {
            jiff::civil::Date::new(year, month, day).map_err(serde::de::Error::custom)
        }
        _ => Err(serde::de::Error::custom("`until` is out of range")),
    }
}

/// SHA-256 digests in hex or base64.
fn digests<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<[u8; 32]>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| {
            digest(text).ok_or_else(|| {
                serde::de::Error::custom(format!("{text:?} is no SHA-256 digest in hex or base64"))
            })
        })
        .collect()
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("sha256/").unwrap_or(text);
    let bits = if text.len() == 64 { 4 } else { 6 };
    let (mut bytes, mut held, mut kept) = (Vec::with_capacity(32), 0u32, 0u32);
    for character in text.trim_end_matches('=').chars() {
        let value = match (bits, character) {
            (4, _) => character.to_digit(16)?,
            (_, 'A'..='Z') => u32::from(character) - u32::from('A'),
            (_, 'a'..='z') => u32::from(character) - u32::from('a') + 26,
            (_, '0'..='9') => u32::from(character) - u32::from('0') + 52,
            (_, '+' | '-') => 62,
            (_, '/' | '_') => 63,
            _ => return None,
        };
        held = ((held << bits) | value) & 0xffff;
        kept += bits;
        if kept >= 8 {
            kept -= 8;
            bytes.push(u8::try_from((held >> kept) & 0xff).ok()?);
        }
    }
    bytes.try_into().ok()
}

/// What is wrong, and in which line of `text`.
fn in_one_line(error: &toml::de::Error, text: &str) -> String {
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map(|before| format!("line {}: ", before.matches('\n').count().saturating_add(1)));
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}{message}", line.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
    const BASE64: &str = "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=";

    #[test]
    fn policies_that_judge_alike_have_one_digest() {
        let digest = |text: &str| Policy::parse(text).unwrap().digest;
        let scope = digest("[scope]\napps = ['a']\n[thresholds]\ngap_percent = 1\n");
        assert_eq!(scope, digest("# moved\n[thresholds]\ngap_percent=1\n[scope]\napps=[\"a\"]\n"));
        assert_ne!(scope, digest("[scope]\napps = ['b']\n[thresholds]\ngap_percent = 1\n"));
        let excuse = "[[exception]]\nrule = 'cleartext-http'\nreason = 'old'\nuntil = 2027-01-01\n";
        assert_eq!((digest(""), digest(excuse)), (None, None));
        assert!(scope.is_some_and(|digest| digest.len() == 64));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let text = "[scope]\napps = [\n";
        let said = in_one_line(&Policy::parse(text).unwrap_err(), text);
        assert!(said.starts_with("line 2: ") && !said.contains('\n'), "{said}");
    }

    #[test]
    fn the_documented_example_is_a_policy() {
        let policy = Policy::parse(&format!(
            "[scope]\napps = [\"test.shop\"]\n[[mtls]]\nhost = \"bank.shop.test\"\n\
             [[pin]]\nhost = \"*.shop.test\"\nspki_sha256 = [\"{HEX}\", \"{BASE64}\"]\n\
             [[endpoint]]\nhost = \"*.shop.test\"\nports = [443]\n\
             [[exception]]\nrule = \"cleartext-http\"\nhost = \"printer.shop.test\"\nreason = \"x\"\nuntil = 2027-03-31\n\
             [thresholds]\nviolates = \"high\"\nunattributed_percent = 10\n"
        ))
        .unwrap();
        assert!(policy.expects_client_certificate("Bank.shop.test"));
        assert!(!policy.expects_client_certificate("shop.test"));
        let pins = policy.pins("api.shop.test").unwrap();
        assert_eq!(pins[0], pins[1]);
        assert_eq!(policy.pins("shop.test"), None);
        assert!(policy.allows("a.b.shop.test", 443));
        assert!(!policy.allows("a.shop.test", 80) && !policy.allows("evilshop.test", 443));
        assert_eq!(policy.thresholds.violates, Severity::High);
        assert_eq!(policy.thresholds.gap_percent, 5);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let unknown = Policy::parse("[scope]\nappz = []\n").unwrap_err().to_string();
        assert!(unknown.contains("line 2, column 1") && unknown.contains("appz"), "{unknown}");
        let reason =
            Policy::parse("[[exception]]\nrule = \"x\"\nreason = \" \"\nuntil = 2027-01-01\n").unwrap_err();
        assert!(reason.to_string().contains("needs a reason"), "{reason}");
        let until = Policy::parse("[[exception]]\nrule = \"x\"\nreason = \"y\"\nuntil = \"2027-01-01\"\n");
        assert!(until.is_err());
        let pin = Policy::parse("[[pin]]\nhost = \"a.test\"\nspki_sha256 = [\"abc\"]\n").unwrap_err();
        assert!(pin.to_string().contains("no SHA-256 digest"), "{pin}");
        assert!(Policy::parse("[[mtls]]\nhost = \"https://a.test/\"\n").is_err());
    }

    #[test]
    fn an_exception_holds_through_its_last_day() {
        let text = "[[exception]]\nrule = \"x\"\nreason = \"y\"\nuntil = 2026-11-21\n";
        let policy = Policy::parse(text).unwrap();
        // 2026-11-21T23:59:59Z and the second after it.
        let (last, after) = (Timestamp::new(1_795_305_599, 0), Timestamp::new(1_795_305_600, 0));
        assert!(!policy.exceptions[0].has_expired(last));
        assert!(policy.exceptions[0].has_expired(after));
        assert_eq!(policy.exception("x", None, "a.test", last), Some(&policy.exceptions[0]));
        assert_eq!(policy.exception("z", None, "a.test", last), None);
    }
}
