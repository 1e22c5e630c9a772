//! What the tester declares: apps in scope, endpoints that need mutual TLS, pins, exceptions.

use std::io;
use std::path::Path;

use serde::Deserialize;

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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Packages, processes or uids in scope; empty means all.
    pub apps: Vec<String>,
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
        toml::from_str(&text).map_err(|error| PolicyError::Invalid { path: name, reason: error.to_string() })
    }
}
