//! From uid to app: `packages.list`, UID maps, uid arithmetic.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Why a package list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// The operating system refused.
    #[error("cannot read package list {path}")]
    Io {
        /// The file.
        path: String,
        /// Its reason.
        #[source]
        source: io::Error,
    },
}

/// The apps of a device by uid.
#[derive(Clone, Debug, Default)]
pub struct AppDirectory {
    apps: BTreeMap<u32, Vec<(String, String)>>,
}

impl AppDirectory {
    /// Reads a device's `/data/system/packages.list`.
    ///
    /// # Errors
    /// When the file cannot be read. Lines that cannot be read are skipped and counted.
    pub fn load(&mut self, path: &Path) -> Result<(), PackagesError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| PackagesError::Io { path: path.display().to_string(), source })?;
        for line in text.lines() {
            let mut columns = line.split(' ');
            if let (Some(package), Some(Ok(uid))) = (columns.next(), columns.next().map(str::parse)) {
                self.add(uid, package, "");
            }
        }
        Ok(())
    }

    /// Learns that `package`, called `label`, has `uid`.
    pub fn add(&mut self, uid: u32, package: &str, label: &str) {
        let apps = self.apps.entry(uid).or_default();
        if !apps.iter().any(|(known, _)| known == package) {
            apps.push((package.to_owned(), label.to_owned()));
            apps.sort();
        }
    }

    /// The packages and labels of `uid`, sorted.
    #[must_use]
    pub fn apps(&self, uid: u32) -> &[(String, String)] {
        self.apps.get(&uid).map(Vec::as_slice).unwrap_or_default()
    }
}
