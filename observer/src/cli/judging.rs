//! What `analyze` and `capture` share: what to judge by, and where to keep what comes of it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::run_name::RunName;
use crate::pipeline::Options;
use crate::policy::{Policy, TlsPolicy};
use crate::report::secrets::Secrets;
use crate::rules::Severity;
use crate::store;
use crate::trust::TrustStore;

#[derive(Clone, clap::Args)]
pub(super) struct Judging {
    /// Keep everything in this SQLite database, in a run of its own
    #[arg(long, value_name = "FILE")]
    pub(super) db: Option<PathBuf>,
    /// The form of the output
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(super) format: Format,
    /// Exit with 1 when there are findings of this severity or above
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    fail_on: FailOn,
    /// Only what is new beside this run fails: a database of an earlier run, the last that ended unless a number is named
    #[arg(long, value_name = "DATABASE[:RUN]")]
    baseline: Option<RunName>,
    /// Inconclusive when more percent of the bytes lack an owner, or when no flow has one [default: the policy's, or 5 of
    /// captures that know owners]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    max_unattributed: Option<u8>,
    /// The device's /data/system/packages.list, or a run's database that has it: names the apps behind uids
    #[arg(long, value_name = "FILE")]
    pub(super) packages: Option<PathBuf>,
    /// What you declare of apps and endpoints (TOML)
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The recommendation that says what is weak in TLS
    #[arg(long, value_name = "NAME", default_value = TlsPolicy::recommended().name.as_str(), value_parser = recommendations(), hide_default_value = true)]
    tls_policy: String,
    /// Trust the certificates of this PEM file, too; can be repeated
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Decrypt TLS and QUIC with the secrets of this key log, as browsers and other clients write it for SSLKEYLOGFILE; can be
    /// repeated
    #[arg(long, value_name = "FILE")]
    pub(super) keylog: Vec<PathBuf>,
    /// The authority of your interception proxy (PEM): who accepts it pins nothing; can be repeated
    #[arg(long, value_name = "FILE")]
    test_ca: Vec<PathBuf>,
    /// Write credentials of HTTP messages as they were sent, not as digests
    #[arg(long)]
    keep_secrets: bool,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    Jsonl,
}

/// From which severity on findings weigh.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    Critical,
    High,
    Medium,
    Low,
    Info,
    Never,
}

impl FailOn {
    pub(super) fn severity(self) -> Option<Severity> {
        match self {
            Self::Critical => Some(Severity::Critical),
            Self::High => Some(Severity::High),
            Self::Medium => Some(Severity::Medium),
            Self::Low => Some(Severity::Low),
            Self::Info => Some(Severity::Info),
            Self::Never => None,
        }
    }
}

/// The names of the recommendations, the one that holds when nobody chooses first.
fn recommendations() -> clap::builder::PossibleValuesParser {
    TlsPolicy::all().iter().map(|policy| policy.name.as_str()).into()
}

impl Judging {
    /// What a run does, as far as the arguments say.
    pub(super) fn options(&self) -> anyhow::Result<Options> {
        let mut policy = self.policy.as_deref().map(Policy::load).transpose()?.unwrap_or_default();
        let mut trust = TrustStore::default();
        for path in &self.ca {
            trust.add_file(path)?;
        }
        for path in &self.test_ca {
            trust.add_test_file(path)?;
        }
        if let Some(percent) = self.max_unattributed {
            policy.thresholds.unattributed_percent = percent;
            policy.thresholds.demands_owners = true;
        }
        let mut options = Options { policy, trust: Arc::new(trust), ..Options::default() };
        options.tls = TlsPolicy::find(&self.tls_policy).unwrap_or_else(TlsPolicy::recommended);
        // The database may be yet to be made; whether it can be used is said when the run begins in it.
        if let Some(known) = self.db.as_deref().filter(|path| store::is_database(path)) {
            options.known_keys = Arc::new(store::known_keys(known)?);
        }
        if let Some(packages) = &self.packages {
            if store::is_database(packages) {
                options.apps = store::packages(packages)?;
            } else {
                options.apps.load(packages)?;
            }
        }
        if let Some(database) = &self.db {
            options.originals = store::originals(database)?;
        }
        if let Some(RunName { path, run }) = &self.baseline {
            options.baseline = Some(Arc::new(store::baseline(path, *run, None)?));
        }
        if let Some(threads) = self.threads {
            options.threads = threads;
        }
        Ok(options)
    }

    pub(super) fn secrets(&self) -> Secrets {
        if self.keep_secrets { Secrets::Keep } else { Secrets::Digest }
    }

    /// From which severity on a finding weighs.
    pub(super) fn fail_on(&self) -> Option<Severity> {
        self.fail_on.severity()
    }
}
