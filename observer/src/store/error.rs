//! Why a database cannot be used, in words that name the file and the way out.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is damaged.
    #[error("database {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's reason.
        #[source]
        source: rusqlite::Error,
    },
    /// A database of another program.
    #[error("{} is an SQLite database, but not one of observer's; name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A database none of whose runs knew the packages of its device.
    #[error("none of the runs in database {} knew the packages of its device", path.display())]
    NoPackages {
        /// The file.
        path: PathBuf,
    },
    /// A database without the run that is asked for.
    #[error("database {} has no such run, or none that has ended", path.display())]
    NoRun {
        /// The file.
        path: PathBuf,
    },
    /// There is no room for more.
    #[error("the disk is full: database {} keeps what was written before", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot open database {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// Another process writes to it.
    #[error("database {} is locked: another process writes to it", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later version of this program.
    #[error("database {} has schema {found}, which is newer than this version's {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema's number.
        found: i64,
        /// The latest that is known.
        known: i64,
    },
    /// Written by an earlier version of this program, and not brought up to date since.
    #[error(
        "database {} has schema {found}, which is older than this version's {known}; the next run that is written to \
         it brings it up to date",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema's number.
        found: i64,
        /// The latest that is known.
        known: i64,
    },
    /// Not SQLite at all.
    #[error("{} is not an SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file or its directory may not be written.
    #[error("database {} cannot be written: the file or its directory is read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused for another reason.
    #[error("database {}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// The error of the database at `path` behind SQLite's.
    pub(super) fn new(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, source },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            // The file is there; what cannot be opened is its companion beside it.
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => Self::ReadOnly { path },
            _ => Self::Sqlite { path, source },
        }
    }

    /// Whether a question was ended from another thread, by its [interrupt handle](super::Database::interrupt_handle).
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. }
            if source.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
    }

    /// Whether the file or its directory refuses to be written.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self, Self::ReadOnly { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file() {
        for (code, words) in [
            (rusqlite::ffi::SQLITE_FULL, "full"),
            (rusqlite::ffi::SQLITE_BUSY, "locked"),
            (rusqlite::ffi::SQLITE_READONLY, "read-only"),
            (rusqlite::ffi::SQLITE_NOTADB, "not an SQLite database"),
            (rusqlite::ffi::SQLITE_CORRUPT, "damaged"),
        ] {
            let source = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let error = StoreError::new(Path::new("/tmp/run.db"), source).to_string();
            assert!(error.contains("/tmp/run.db") && error.contains(words), "{error}");
        }
    }
}
