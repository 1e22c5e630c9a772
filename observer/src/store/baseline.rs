//! An earlier run as those after it are held against it, of any schema: what this version does not find there is unknown.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::stored::{json, severity};
use super::{StoreError, open};
use crate::assess::baseline::{Baseline, Compared, KnownFinding, Origin, Weight};

const FINDINGS: &str = "
    SELECT finding.rule, finding.severity, owner.name, coalesce(finding.host, finding.ip), finding.port, finding.message,
        finding.fingerprint, finding.blame, finding.suppressed
    FROM findings_v1 AS finding LEFT JOIN owners_v1 AS owner ON owner.id = finding.owner
    WHERE finding.run = ? ORDER BY finding.id";

const APPS: &str = "
    SELECT DISTINCT owner.name FROM verdicts_v1 AS verdict JOIN owners_v1 AS owner ON owner.id = verdict.owner
    WHERE verdict.run = ?";

/// The findings of a run in the database at `path`: of the one with that number, else of the last that was written to its
/// end, and if `before` is given, that began before that one.
///
/// # Errors
/// When it is no database of this program, or when it has no such run that was written to its end.
pub fn baseline(path: &Path, run: Option<i64>, before: Option<i64>) -> Result<Baseline, StoreError> {
    let connection = open::for_reading(path)?;
    let wrap = |error| StoreError::new(path, error);
    // One reading transaction: what a writer adds meanwhile belongs to another comparison.
    let transaction = connection.unchecked_transaction().map_err(wrap)?;
    let run = find(&transaction, run, before).map_err(wrap)?;
    let Some(run) = run else { return Err(StoreError::NoRun { path: path.to_owned() }) };
    read(&transaction, Origin { path: path.display().to_string(), run }).map_err(wrap)
}

/// The run that was written to its end: the one with that number, or the last one before another.
pub(super) fn find(
    connection: &Connection,
    run: Option<i64>,
    before: Option<i64>,
) -> rusqlite::Result<Option<i64>> {
    let question = "
        SELECT id FROM runs_v1
        WHERE status <> 'unfinished' AND id = coalesce(?1, id) AND id < coalesce(?2, id + 1)
        ORDER BY id DESC LIMIT 1";
    connection.query_row(question, (run, before), |row| row.get(0)).optional()
}

/// Whether the table of runs has the column: earlier schemas have fewer.
pub(super) fn has_column(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let question = "SELECT count(*) FROM pragma_table_info('runs_v1') WHERE name = ?";
    connection.query_row(question, [name], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}

/// Why the absence of findings in a run says nothing, if so.
pub(super) fn doubt(connection: &Connection, run: i64) -> rusqlite::Result<Option<String>> {
    if !has_column(connection, "inconclusive")? {
        return Ok(Some(
            "an earlier version wrote it, which did not note whether it is conclusive".to_owned(),
        ));
    }
    connection.query_row("SELECT inconclusive FROM runs_v1 WHERE id = ?", [run], |row| row.get(0))
}

/// The apps on which a run has verdicts, and what it was judged by.
pub(super) fn compared(connection: &Connection, run: i64) -> rusqlite::Result<Compared> {
    let apps = connection.prepare(APPS)?.query_map([run], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let judged_by = match has_column(connection, "judged_by")? {
        true => {
            connection.query_row("SELECT judged_by FROM runs_v1 WHERE id = ?", [run], |row| json(row, 0))?
        }
        false => None,
    };
    Ok(Compared { apps, judged_by })
}

fn read(connection: &Connection, origin: Origin) -> rusqlite::Result<Baseline> {
    let run = origin.run;
    let mut baseline = Baseline::new(origin, doubt(connection, run)?, compared(connection, run)?);
    let mut statement = connection.prepare(FINDINGS)?;
    let mut rows = statement.query([run])?;
    while let Some(row) = rows.next()? {
        let finding = KnownFinding {
            rule: row.get(0)?,
            severity: severity(&row.get::<_, String>(1)?),
            app: row.get(2)?,
            host: row.get(3)?,
            port: row.get(4)?,
            message: row.get(5)?,
            fingerprint: row.get(6)?,
        };
        baseline.add(finding, weight(row, 7, 8)?);
    }
    Ok(baseline)
}

/// How much a finding counts, by the columns of its blame and its excuse.
pub(super) fn weight(row: &Row<'_>, blame: usize, excuse: usize) -> rusqlite::Result<Weight> {
    Ok(match (row.get::<_, Option<String>>(excuse)?, row.get::<_, String>(blame)?.as_str()) {
        (Some(_), _) => Weight::Excused,
        (None, "app" | "capture") => Weight::Held,
        (None, _) => Weight::Noted,
    })
}
