//! The SQLite database: every flow, fact and finding, for later questions.
//!
//! A [`Store`] writes one run, [`Database`] answers questions about all of them. Rows are written in batches as flows
//! end; a process that is killed leaves a readable database whose run is `unfinished`. There is one writer at a time,
//! and readers never wait for it. Questions use views, whose names and columns are those of the JSON records with
//! underscores for dots; the tables behind them may change with any version. No index on text is kept: a scan over a
//! million flows is quicker than what the index costs the load.

mod answer;
mod baseline;
mod encode;
mod end;
mod error;
mod meetings;
mod open;
mod originals;
mod query;
mod queue;
mod review;
mod rows;
mod saved;
mod stored;
mod write;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rusqlite::Connection;

use self::encode::Encoder;
use self::queue::Queue;
use self::rows::Rows;
use self::write::{Ids, Writer};
use crate::attribution::AppDirectory;
use crate::observation::{Flow, FlowSink, Found, SinkError};
use crate::policy::KnownKeys;
use crate::report::secrets::Secrets;
use crate::report::{Run, SCHEMA};
use crate::source::Marker;
use crate::time::Timestamp;

pub use self::answer::{Form, write_answer};
pub use self::baseline::baseline;
pub use self::error::StoreError;
pub use self::meetings::meetings;
pub use self::originals::originals;
pub use self::query::{Database, Parameter, QueryError};
pub use self::review::review;
pub use self::saved::{SAVED, Saved};
pub use self::stored::stored_run;

/// A database open for writing one run.
///
/// A thread of its own writes to SQLite; an error of it is told with the next flow, or at the end.
pub struct Store {
    path: PathBuf,
    encoder: Encoder,
    queue: Queue,
}

impl Store {
    /// Opens or makes the database at `path` and begins a run in it, `started` by the clock on the wall.
    ///
    /// # Errors
    /// When the file is no database of this program, is written by another process or cannot be written.
    pub fn begin(path: &Path, secrets: Secrets, started: Timestamp) -> Result<Self, StoreError> {
        let connection = open::for_writing(path)?;
        let run = begin_run(&connection, started).map_err(|error| StoreError::new(path, error))?;
        let queue = Queue::new(connection, Ids::new(run));
        Ok(Self { path: path.to_owned(), encoder: Encoder::new(run, secrets), queue })
    }

    /// Writes what is known only at the end, and marks the run as finished; the first call does.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn finish(&mut self, run: &Run, finished: Timestamp) -> Result<(), StoreError> {
        let Some(written) = self.queue.stop() else { return Ok(()) };
        let outcome = written.and_then(|(connection, mut ids)| {
            let mut writer = Writer::new(&connection, &mut ids)?;
            writer.begin()?;
            end::write(&connection, &mut self.encoder, &mut writer, run, finished)?;
            writer.commit()
        });
        outcome.map_err(|error| self.error(error))
    }

    fn error(&self, error: rusqlite::Error) -> StoreError {
        StoreError::new(&self.path, error)
    }
}

impl Store {
    /// Lets `encode` append rows.
    fn add(
        &mut self,
        encode: impl FnOnce(&mut Encoder, &mut Rows) -> serde_json::Result<()>,
    ) -> Result<(), SinkError> {
        self.queue.start()?;
        let filled = self.queue.fill(|rows| {
            let encoded = encode(&mut self.encoder, rows);
            if encoded.is_err() {
                rows.drop_begun();
            }
            encoded
        });
        match filled {
            Some(encoded) => encoded.map_err(|error| self.error(unwritable(error)).into()),
            None => match self.queue.stop() {
                Some(Err(error)) => Err(self.error(error).into()),
                _ => Err("the run has ended".into()),
            },
        }
    }
}

impl FlowSink for Store {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        self.add(|encoder, rows| encoder.flow(rows, flow))
    }

    fn marker(&mut self, marker: &Marker) -> Result<(), SinkError> {
        self.add(|encoder, rows| {
            encoder.marker(rows, marker);
            Ok(())
        })
    }

    fn found(&mut self, flow: &Flow, found: &Found) -> Result<(), SinkError> {
        self.add(|encoder, rows| encoder.found(rows, flow, found))
    }
}

/// A value that has no JSON form.
fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

/// Whether the file at `path` is an SQLite database, by its first bytes.
#[must_use]
pub fn is_database(path: &Path) -> bool {
    let mut magic = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && &magic == b"SQLite format 3\0"
}

/// The packages that the last run in the database at `path` knew of its device.
///
/// # Errors
/// When it is no database of this program, or when none of its runs knew any.
pub fn packages(path: &Path) -> Result<AppDirectory, StoreError> {
    let connection = open::for_reading(path)?;
    let wrap = |error| StoreError::new(path, error);
    let mut apps = AppDirectory::default();
    let question =
        "SELECT uid, package, label FROM packages_v1 WHERE run = (SELECT max(run) FROM packages_v1)";
    let mut statement = connection.prepare(question).map_err(wrap)?;
    let mut rows = statement.query(()).map_err(wrap)?;
    while let Some(row) = rows.next().map_err(wrap)? {
        let (uid, package, label): (u32, String, String) =
            (row.get(0).map_err(wrap)?, row.get(1).map_err(wrap)?, row.get(2).map_err(wrap)?);
        apps.add(uid, &package, &label);
    }
    if apps.is_empty() {
        return Err(StoreError::NoPackages { path: path.to_owned() });
    }
    Ok(apps)
}

/// The server keys that the runs in the database at `path` saw of hosts that clients named.
///
/// # Errors
/// When it is no database of this program.
pub fn known_keys(path: &Path) -> Result<KnownKeys, StoreError> {
    let connection = open::for_reading(path)?;
    let wrap = |error| StoreError::new(path, error);
    let question = "SELECT session.client_server_name, certificate.spki_sha256, max(flow.event_start)
        FROM flow_certificates_v1 AS shown
        JOIN certificates_v1 AS certificate ON certificate.id = shown.certificate
        JOIN tls_v1 AS session ON session.flow = shown.flow
        JOIN flows_v1 AS flow ON flow.id = shown.flow
        WHERE shown.role = 'server' AND shown.position = 0
            AND session.client_server_name IS NOT NULL AND certificate.spki_sha256 IS NOT NULL
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2";
    let mut known = KnownKeys::default();
    let mut statement = connection.prepare(question).map_err(wrap)?;
    let mut rows = statement.query(()).map_err(wrap)?;
    while let Some(row) = rows.next().map_err(wrap)? {
        let (host, key, at): (String, String, i64) =
            (row.get(0).map_err(wrap)?, row.get(1).map_err(wrap)?, row.get(2).map_err(wrap)?);
        let key = HEXLOWER.decode(key.as_bytes()).ok().and_then(|key| key.try_into().ok());
        if let Some(key) = key {
            known.add(&host, key, Timestamp(at));
        }
    }
    Ok(known)
}

fn begin_run(connection: &Connection, started: Timestamp) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO runs_v1 (tool_version, schema, started, pid) VALUES (?, ?, ?, ?)",
        (env!("CARGO_PKG_VERSION"), SCHEMA, started.0, std::process::id()),
    )?;
    Ok(connection.last_insert_rowid())
}
