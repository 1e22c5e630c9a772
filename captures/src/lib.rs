//! The index of the project's capture files.
//!
//! Every file under `captures/` was recorded by a recipe of this folder; `MANIFEST.toml` says what each one
//! shows. The crate has no dependencies, so that tests, benchmarks and fuzz seeds can share it.

use std::path::PathBuf;

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
