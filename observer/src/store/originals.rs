//! What earlier runs know of client certificates.

use std::path::Path;

use super::{StoreError, is_database, open};
use crate::assess::originals::Originals;
use crate::protocol::tls::{ClientCertificate, Original};
use crate::report::names;

const HANDSHAKES: &str = "
    SELECT flow.run, flow.number, flow.app, flow.host, tls.client_certificate
    FROM tls JOIN flows AS flow ON flow.id = tls.flow
    WHERE tls.established AND NOT tls.resumed ORDER BY flow.id";

/// The full handshakes of the runs in the database at `path`; none where there is no database yet.
///
/// # Errors
/// When it is no database of this program.
pub fn originals(path: &Path) -> Result<Originals, StoreError> {
    let mut originals = Originals::default();
    if !is_database(path) {
        return Ok(originals);
    }
    let connection = open::for_reading(path)?;
    let wrap = |error| StoreError::new(path, error);
    // A database of an earlier schema has views of its own until a run is written to it.
    let Ok(mut statement) = connection.prepare(HANDSHAKES) else { return Ok(originals) };
    let mut rows = statement.query(()).map_err(wrap)?;
    while let Some(row) = rows.next().map_err(wrap)? {
        let state: String = row.get(4).map_err(wrap)?;
        let Some(state) = state_called(&state) else { continue };
        let (run, number): (i64, i64) = (row.get(0).map_err(wrap)?, row.get(1).map_err(wrap)?);
        let (app, host): (Option<String>, String) = (row.get(2).map_err(wrap)?, row.get(3).map_err(wrap)?);
        let flow = u64::try_from(number).unwrap_or_default();
        originals.learn(app, &host, Original { state, run: Some(run), flow });
    }
    Ok(originals)
}

fn state_called(name: &str) -> Option<ClientCertificate> {
    use ClientCertificate::{Declined, NotRequested, NotSent, Sent};
    [Sent, Declined, NotSent, NotRequested]
        .into_iter()
        .find(|state| names::client_certificate(*state) == name)
}
