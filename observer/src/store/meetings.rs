//! The TLS flows of a run, as the comparison of two runs wants them.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::{StoreError, open};
use crate::assess::differential::{MAX_MEETINGS, Meeting, Meetings, Outcome};
use crate::protocol::tls::{Certainty, Rejection, Shape};
use crate::report::names;

/// The flows, by app and host, and in the order of their numbers.
const FLOWS: &str = "
    SELECT flow.id, flow.number, flow.app, flow.host, tls.client_accepted_server, tls.client_rejected_server,
        tls.client_rejected_server_confidence
    FROM flows AS flow JOIN tls ON tls.flow = flow.id WHERE flow.run = ? ORDER BY flow.id";

/// The chain of one flow's server.
const CHAIN: &str = "
    SELECT hash_sha256, coalesce(issuer, '') FROM flow_certificates JOIN certificates ON certificates.id = certificate
    WHERE flow = ? AND role = 'server' ORDER BY position";

/// A run's TLS flows; of the run with that number, or of the last one that ended. The number comes with them.
///
/// # Errors
/// When it is no database of this program, or when it has no such run.
pub fn meetings(path: &Path, run: Option<i64>) -> Result<(i64, Meetings), StoreError> {
    let connection = open::for_reading(path)?;
    let wrap = |error| StoreError::new(path, error);
    let run = find(&connection, run).map_err(wrap)?;
    let Some(run) = run else { return Err(StoreError::NoRun { path: path.to_owned() }) };
    let meetings = read(&connection, run).map_err(wrap)?;
    Ok((run, meetings))
}

/// The run with that number, or the last one that ended.
pub(super) fn find(connection: &Connection, run: Option<i64>) -> rusqlite::Result<Option<i64>> {
    match run {
        Some(run) => {
            connection.query_row("SELECT id FROM runs WHERE id = ?", [run], |row| row.get(0)).optional()
        }
        None => connection
            .query_row("SELECT max(id) FROM runs WHERE status <> 'unfinished'", (), |row| row.get(0)),
    }
}

fn read(connection: &Connection, run: i64) -> rusqlite::Result<Meetings> {
    let mut chains = connection.prepare(CHAIN)?;
    let mut flows = connection.prepare(FLOWS)?;
    let mut found = Meetings::new();
    let mut rows = flows.query([run])?;
    while let Some(row) = rows.next()? {
        let meetings = found.entry((row.get(2)?, row.get(3)?)).or_default();
        if meetings.len() >= MAX_MEETINGS {
            continue;
        }
        let accepted: Option<bool> = row.get(4)?;
        let (shape, certainty): (Option<String>, Option<String>) = (row.get(5)?, row.get(6)?);
        let outcome = match rejection(shape.as_deref(), certainty.as_deref()) {
            _ if accepted == Some(true) => Outcome::Accepted,
            Some(rejection) => Outcome::Rejected(rejection),
            None => Outcome::Open,
        };
        let (id, number): (i64, i64) = (row.get(0)?, row.get(1)?);
        let chain = chains
            .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        meetings.push(Meeting { flow: u64::try_from(number).unwrap_or_default(), outcome, chain });
    }
    Ok(found)
}

fn rejection(shape: Option<&str>, certainty: Option<&str>) -> Option<Rejection> {
    let shapes = [Shape::PlaintextAlert, Shape::EncryptedAlert, Shape::Silence, Shape::AfterHandshake];
    let certainties = [Certainty::Tentative, Certainty::Firm, Certainty::Certain];
    let shape = shapes.into_iter().find(|known| Some(names::shape(*known)) == shape)?;
    let certainty = certainties.into_iter().find(|known| Some(names::certainty(*known)) == certainty)?;
    Some(Rejection { shape, certainty })
}
