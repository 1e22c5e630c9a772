//! The SQLite database: every flow, fact and finding, for later questions.
//!
//! A [`Store`] writes one run, [`Database`] answers questions about all of them. Rows are written in batches as flows
//! end; a process that is killed leaves a readable database whose run is `unfinished`. There is one writer at a time,
//! and readers never wait for it. Questions use views, whose names and columns are those of the JSON records with
//! underscores for dots; the tables behind them may change with any version. No index on text is kept: a scan over a
//! million flows is quicker than what the index costs the load.

mod answer;
mod error;
mod insert;
mod open;
mod query;
mod saved;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use self::insert::Inserter;
use crate::observation::{Flow, FlowSink, SinkError};
use crate::report::secrets::Secrets;
use crate::report::{Run, SCHEMA};
use crate::time::Timestamp;

pub use self::answer::{Form, write_answer};
pub use self::error::StoreError;
pub use self::query::{Database, Parameter, QueryError};
pub use self::saved::{SAVED, Saved};

/// Rows that are written in one transaction.
const BATCH: u64 = 10_000;

/// A database open for writing one run.
pub struct Store {
    path: PathBuf,
    connection: Connection,
    inserter: Inserter,
    /// Rows of the open transaction.
    rows: u64,
}

impl Store {
    /// Opens or makes the database at `path` and begins a run in it, `started` by the clock on the wall.
    ///
    /// # Errors
    /// When the file is no database of this program, is written by another process or cannot be written.
    pub fn begin(path: &Path, secrets: Secrets, started: Timestamp) -> Result<Self, StoreError> {
        let connection = open::for_writing(path)?;
        let run = begin_run(&connection, started).map_err(|error| StoreError::new(path, error))?;
        Ok(Self { path: path.to_owned(), connection, inserter: Inserter::new(run, secrets), rows: 0 })
    }

    /// Writes what is known only at the end, and marks the run as finished.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn finish(&mut self, run: &Run, finished: Timestamp) -> Result<(), StoreError> {
        let outcome = self.begin_batch().and_then(|()| {
            self.inserter.finish(&self.connection, run, finished)?;
            self.commit()
        });
        outcome.map_err(|error| StoreError::new(&self.path, error))
    }

    fn begin_batch(&mut self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.inserter.begin_batch(&self.connection)?;
        }
        Ok(())
    }

    fn insert(&mut self, flow: &Flow) -> rusqlite::Result<()> {
        self.begin_batch()?;
        let rows = self.inserter.flow(&self.connection, flow)?;
        self.rows = self.rows.saturating_add(rows);
        if self.rows >= BATCH { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        self.rows = 0;
        self.inserter.end_batch(&self.connection)?;
        self.connection.execute_batch("COMMIT")
    }
}

impl FlowSink for Store {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        self.insert(flow).map_err(|error| StoreError::new(&self.path, error).into())
    }
}

impl Drop for Store {
    /// A run that fails keeps the flows that it had.
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // What the commit says is known already: the run has failed, and says why.
            let _ = self.commit();
        }
    }
}

fn begin_run(connection: &Connection, started: Timestamp) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO runs_v1 (tool_version, schema, started) VALUES (?, ?, ?)",
        (env!("CARGO_PKG_VERSION"), SCHEMA, started.0),
    )?;
    Ok(connection.last_insert_rowid())
}
