//! Opens databases: whose they are, which schema they have, who may read them.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::StoreError;
use crate::protocol::PROTOCOLS;

/// `PRAGMA application_id` of this program's databases: `obsv` in ASCII.
const APPLICATION: i64 = 0x6f62_7376;

/// The changes that lead to today's schema, in order. `PRAGMA user_version` says how many of them a database has seen.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001_flows.sql"),
    include_str!("schema/0002_protocols.sql"),
    include_str!("schema/0003_quic.sql"),
    include_str!("schema/0004_decryption.sql"),
    include_str!("schema/0005_unrecognised.sql"),
    include_str!("schema/0006_client_evidence.sql"),
    include_str!("schema/0007_basis.sql"),
    include_str!("schema/0008_property_basis.sql"),
    include_str!("schema/0009_rejected_client.sql"),
    include_str!("schema/0010_outcome.sql"),
    include_str!("schema/0011_quic_continues.sql"),
    include_str!("schema/0012_steps.sql"),
    include_str!("schema/0013_provisional_findings.sql"),
    include_str!("schema/0014_baseline.sql"),
];

/// The views that questions use, besides each protocol's.
const VIEWS: &str = include_str!("schema/views.sql");

/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens or makes the database at `path`, brings its schema up to date and its views to this version's.
pub(super) fn for_writing(path: &Path) -> Result<Connection, StoreError> {
    create(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let wrap = |error| StoreError::new(path, error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    connection.busy_timeout(PATIENCE).map_err(wrap)?;
    // Reads the file's header, so that nothing is written to a file that is not ours.
    check(&connection, path)?;
    // Only a database that is made now takes it; large pages are written with fewer calls.
    connection.pragma_update(None, "page_size", 16_384).map_err(wrap)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(wrap)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(wrap)?;
    connection.pragma_update(None, "wal_autocheckpoint", 1024).map_err(wrap)?;
    // Rows are only appended: a larger cache keeps what nobody reads again.
    connection.pragma_update(None, "cache_size", -4096).map_err(wrap)?;
    // Ids are this program's own: that they lead somewhere is tested, not looked up for every row.
    connection.pragma_update(None, "foreign_keys", false).map_err(wrap)?;
    migrate(&mut connection, MIGRATIONS).map_err(wrap)?;
    Ok(connection)
}

/// Opens the database at `path` for questions only.
pub(super) fn for_reading(path: &Path) -> Result<Connection, StoreError> {
    if let Err(source) = std::fs::File::open(path) {
        return Err(StoreError::Io { path: path.to_owned(), source });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| StoreError::new(path, error))?;
    connection.busy_timeout(PATIENCE).map_err(|error| StoreError::new(path, error))?;
    let (connection, number) = match check(&connection, path) {
        Err(error) if error.is_read_only() => {
            // WAL wants a companion file next to the database, which a read-only medium refuses. Nobody can write
            // there either, so that the file can be taken as it lies.
            let connection =
                Connection::open_with_flags(as_it_lies(path), flags | OpenFlags::SQLITE_OPEN_URI)
                    .map_err(|error| StoreError::new(path, error))?;
            let number = check(&connection, path)?;
            (connection, number)
        }
        checked => (connection, checked?),
    };
    if number == 0 {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    Ok(connection)
}

/// The URI by which SQLite opens the file at `path` without locks and companions (<https://sqlite.org/uri.html>).
fn as_it_lies(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// Makes an empty file that only its owner may read, unless there is one. SQLite gives its companions (`-wal`, `-shm`)
/// the same mode.
fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ if path.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        _ => Ok(()),
    }
}

/// The number of the schema; 0 for an empty file.
fn check(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let ask = |question: &str| {
        connection
            .query_row(question, (), |row| row.get::<_, i64>(0))
            .map_err(|error| StoreError::new(path, error))
    };
    let number = ask("PRAGMA user_version")?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match ask("PRAGMA application_id")? {
        APPLICATION if number > known => {
            Err(StoreError::Newer { path: path.to_owned(), found: number, known })
        }
        APPLICATION => Ok(number),
        0 if number == 0 && ask("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(0),
        _ => Err(StoreError::Foreign { path: path.to_owned() }),
    }
}

/// Whether a database has today's schema: what reads tables by their columns needs it.
///
/// # Errors
/// When it is older, or cannot be read.
pub(super) fn demand_current(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found = check(connection, path)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found < known {
        return Err(StoreError::Older { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Applies what the database has not seen of `migrations`, and makes the views, all or nothing.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number: i64 = transaction.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    for migration in migrations.iter().skip(usize::try_from(number).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    let last = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", last)?;
    let views = {
        let mut names = transaction.prepare("SELECT name FROM sqlite_schema WHERE type = 'view'")?;
        names.query_map((), |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for view in views {
        transaction.execute_batch(&format!("DROP VIEW \"{}\"", view.replace('"', "\"\"")))?;
    }
    transaction.execute_batch(VIEWS)?;
    for protocol in PROTOCOLS {
        transaction.execute_batch(protocol.views)?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(connection: &Connection, question: &str) -> i64 {
        connection.query_row(question, (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_database_can_be_read_as_it_lies() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("a run?#%20.db");
        drop(for_writing(&path).unwrap());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(as_it_lies(&path), flags).unwrap();
        assert_eq!(number(&connection, "PRAGMA user_version"), i64::try_from(MIGRATIONS.len()).unwrap());
        let beside: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
    }

    #[test]
    fn a_database_catches_up_from_any_schema() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        connection.execute_batch("INSERT INTO markers_v1 VALUES (NULL, 1, 'login')").unwrap_err();
        connection
            .execute_batch("INSERT INTO runs_v1 (tool_version, schema) VALUES ('0', 'observer/1')")
            .unwrap();
        let mut later = MIGRATIONS.to_vec();
        later.push("ALTER TABLE runs_v1 ADD COLUMN device TEXT; UPDATE runs_v1 SET device = 'phone';");
        migrate(&mut connection, &later).unwrap();
        migrate(&mut connection, &later).unwrap();
        assert_eq!(number(&connection, "PRAGMA user_version"), i64::try_from(later.len()).unwrap());
        assert_eq!(number(&connection, "PRAGMA application_id"), APPLICATION);
        assert_eq!(number(&connection, "SELECT count(*) FROM runs_v1 WHERE device = 'phone'"), 1);
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &["CREATE TABLE t (x)", "CREATE TABLE t (x)"]).unwrap_err();
        assert_eq!(number(&connection, "PRAGMA user_version"), 0);
        assert_eq!(number(&connection, "SELECT count(*) FROM sqlite_schema"), 0);
    }

    #[test]
    fn every_view_can_be_read() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'view'").unwrap();
        let names: Vec<String> = names.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(names.len() >= 14, "{names:?}");
        for name in names {
            connection
                .prepare(&format!("SELECT * FROM {name}"))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
