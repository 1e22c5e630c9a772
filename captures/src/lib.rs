//! The index of the project's capture files.
//!
//! Every file under `captures/` was recorded by a recipe of this folder; `MANIFEST.toml` says what each one
//! shows, how it was made, and which rules it is a case for. The crate has no dependencies, so that tests,
//! benchmarks and fuzz seeds can share it. It does not read captures, and it does not record them: that is
//! `cargo xtask captures`.

use std::path::PathBuf;

#[rustfmt::skip]
mod index;

/// One capture file, as the manifest describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// The path below [`root`], e.g. `tls/tls13-good.pcap`.
    pub name: &'static str,
    /// How many frames can be read: all, or for a damaged file those before the damage.
    pub frames: u32,
    /// The LINKTYPE names in order of appearance, joined by `+`; `none` without frames.
    pub link_type: &'static str,
    /// What happens in it, in one sentence.
    pub shows: &'static str,
    /// Identifiers of the rules that have a finding in it, under [`POLICY`] and with [`roots`] trusted.
    pub fires: &'static [&'static str],
    /// Identifiers of the rules for which it is a near miss, under the same.
    pub silent: &'static [&'static str],
    /// What rules say when the tester declares something else.
    pub judged: &'static [Judged],
}

/// A capture judged by what a tester declares, for rules that speak only then; [`roots`] are trusted all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The policy, below [`root`].
    pub policy: &'static str,
    /// Whether [`roots`] are the tester's own authority, too.
    pub test_ca: bool,
    /// The capture of an earlier run, whose keys are known.
    pub baseline: Option<&'static str>,
    /// Identifiers of the rules that have a finding.
    pub fires: &'static [&'static str],
    /// Identifiers of the rules for which it is a near miss.
    pub silent: &'static [&'static str],
}

/// The policy under which captures are judged unless [`Judged`] says otherwise, below [`root`].
pub const POLICY: &str = "policies/lab.toml";

impl Capture {
    /// Where the file lies on this machine.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path(self.name)
    }
}

/// Every capture, in the order of its name.
#[must_use]
pub fn all() -> &'static [Capture] {
    index::CAPTURES
}

/// The capture of that name, if the manifest lists it.
#[must_use]
pub fn find(name: &str) -> Option<&'static Capture> {
    all().iter().find(|capture| capture.name == name)
}

/// The folder that holds the captures.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The path of one capture, named as in the manifest, e.g. `tls/tls13-good.pcap`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    root().join(name)
}

/// The PEM bundle of the roots that the lab's own good servers chain to.
#[must_use]
pub fn roots() -> PathBuf {
    root().join("certificates").join("lab-root.pem")
}
