//! The database: what it holds, whose it is, and what remains of a run that was cut short.

use std::path::Path;

use observer::pipeline::{self, Options};
use observer::report::Run;
use observer::report::secrets::Secrets;
use observer::source;
use observer::store::{Store, StoreError};
use observer::time::Timestamp;
use observer_captures::path;
use rusqlite::Connection;
use tempfile::TempDir;

const NOON: Timestamp = Timestamp(1_795_262_400_000_000_000);

/// Writes the run of a capture; without its end if `finish` is false.
fn write(db: &Path, capture: &str, finish: bool) -> Run {
    let mut store = Store::begin(db, Secrets::Digest, NOON).expect("a new run");
    let source = source::open(&[path(capture)]).expect("a capture");
    let run =
        pipeline::analyze(source, &Options::default(), &mut [&mut store], &mut |_, _| {}).expect("a run");
    if finish {
        store.finish(&run, NOON).expect("the run's end");
    }
    run
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, (), |row| row.get(0)).expect(sql)
}

#[test]
fn a_run_can_be_read_back() {
    let directory = TempDir::new().expect("a directory");
    let db = directory.path().join("run.db");
    let run = write(&db, "demo.pcapng", true);
    let connection = Connection::open(&db).expect("the database");
    assert_eq!(number(&connection, "SELECT count(*) FROM flows"), run.totals.flows.cast_signed());
    assert_eq!(number(&connection, "SELECT frames FROM runs"), run.totals.frames.cast_signed());
    let status: String =
        connection.query_row("SELECT status FROM runs", (), |row| row.get(0)).expect("a run");
    assert_eq!(status, "finished");
    let findings = i64::try_from(run.assessment.findings.len()).expect("few");
    assert_eq!(number(&connection, "SELECT count(*) FROM findings"), findings);
    assert!(number(&connection, "SELECT count(*) FROM tls WHERE client_server_name = host") > 0);
    assert!(number(&connection, "SELECT count(*) FROM dns_answers WHERE type = 'A'") > 0);
    assert!(number(&connection, "SELECT count(*) FROM http WHERE method = 'GET' AND status_code = 200") > 0);
    let start: String = connection
        .query_row("SELECT event_start FROM flows ORDER BY frames_first", (), |row| row.get(0))
        .expect("a flow");
    assert_eq!(run.inputs[0].first.map(|first| first.to_string()), Some(start));
    let leaks =
        "SELECT count(*) FROM http WHERE url_full LIKE '%access_token=%' AND url_full NOT LIKE '%sha256:%'";
    assert_eq!(number(&connection, leaks), 0);
    assert_eq!(number(&connection, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_eq!(number(&connection, "PRAGMA user_version"), 14);
    connection
        .query_row("PRAGMA integrity_check", (), |row| {
            let verdict: String = row.get(0)?;
            assert_eq!(verdict, "ok");
            Ok(())
        })
        .expect("a verdict");
}

#[test]
fn one_database_holds_many_runs() {
    let directory = TempDir::new().expect("a directory");
    let db = directory.path().join("run.db");
    let first = write(&db, "demo.pcapng", true);
    let second = write(&db, "demo.pcapng", true);
    let connection = Connection::open(&db).expect("the database");
    assert_eq!(number(&connection, "SELECT count(*) FROM runs WHERE status = 'finished'"), 2);
    let flows = (first.totals.flows + second.totals.flows).cast_signed();
    assert_eq!(number(&connection, "SELECT count(*) FROM flows"), flows);
    assert_eq!(number(&connection, "SELECT max(number) FROM flows WHERE run = 2"), flows / 2);
    let once = "SELECT count(*) - count(DISTINCT hash_sha256) FROM certificates";
    assert_eq!(number(&connection, once), 0, "a certificate is kept once");
    let apps = "SELECT count(DISTINCT run) FROM flows GROUP BY owner ORDER BY 1 LIMIT 1";
    assert_eq!(number(&connection, apps), 2, "an owner is kept once");
    let places = "SELECT count(*) FROM finding_frames AS place JOIN flows ON flows.id = place.flow \
                  JOIN findings ON findings.id = place.finding \
                  WHERE flows.run <> findings.run OR place.frame < flows.frames_first";
    assert_eq!(number(&connection, places), 0, "evidence points into its own run");
}

#[test]
fn a_run_cut_short_says_so_and_keeps_what_it_had() {
    let directory = TempDir::new().expect("a directory");
    let db = directory.path().join("run.db");
    let run = write(&db, "demo.pcapng", false);
    let connection = Connection::open(&db).expect("the database");
    let (status, finished): (String, Option<String>) = connection
        .query_row("SELECT status, finished FROM runs", (), |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a run");
    assert_eq!((status.as_str(), finished), ("unfinished", None));
    assert_eq!(number(&connection, "SELECT count(*) FROM flows"), run.totals.flows.cast_signed());
    assert_eq!(number(&connection, "SELECT flows FROM runs"), run.totals.flows.cast_signed());
}

#[test]
fn findings_are_provisional_until_the_run_ends() {
    let directory = TempDir::new().expect("a directory");
    let db = directory.path().join("run.db");
    write(&db, "demo.pcapng", false);
    let connection = Connection::open(&db).expect("the database");
    let provisional = number(&connection, "SELECT count(*) FROM provisional_findings");
    assert!(provisional > 0);
    assert_eq!(number(&connection, "SELECT count(*) FROM findings"), 0);
    let places = "SELECT count(*) FROM provisional_findings AS finding JOIN flows ON flows.id = finding.flow
        WHERE flows.run = finding.run AND finding.frame BETWEEN flows.frames_first AND flows.frames_last
            AND finding.app IS flows.app";
    assert_eq!(number(&connection, places), provisional, "evidence points into the run");
    let own = i64::from(std::process::id());
    assert_eq!(number(&connection, "SELECT pid FROM runs_v1"), own);

    let run = write(&db, "demo.pcapng", true);
    // Those of the run that was cut short stay; those of the finished one are replaced, and found again at its end.
    assert_eq!(number(&connection, "SELECT count(*) FROM provisional_findings WHERE run = 1"), provisional);
    assert_eq!(number(&connection, "SELECT count(*) FROM provisional_findings WHERE run = 2"), 0);
    let kept = "SELECT count(*) FROM provisional_findings AS early WHERE EXISTS
        (SELECT 1 FROM findings_v1 AS final WHERE final.fingerprint = early.fingerprint AND final.run = 2)";
    assert_eq!(number(&connection, kept), provisional);
    assert!(run.assessment.findings.len() >= usize::try_from(provisional).expect("few"));
}

#[test]
fn a_killed_run_leaves_a_readable_database() {
    let directory = TempDir::new().expect("a directory");
    let db = directory.path().join("run.db");
    let mut store = Store::begin(&db, Secrets::Digest, NOON).expect("a new run");
    let source = source::open(&[path("demo.pcapng")]).expect("a capture");
    let run =
        pipeline::analyze(source, &Options::default(), &mut [&mut store], &mut |_, _| {}).expect("a run");
    // What the disk holds while the run goes on is what a kill leaves.
    let copy = directory.path().join("copy.db");
    for companion in ["", "-wal", "-shm"] {
        let from = format!("{}{companion}", db.display());
        if Path::new(&from).exists() {
            std::fs::copy(&from, format!("{}{companion}", copy.display())).expect("a copy");
        }
    }
    let connection = Connection::open(&copy).expect("the copy");
    let status: String =
        connection.query_row("SELECT status FROM runs", (), |row| row.get(0)).expect("a run");
    assert_eq!(status, "unfinished");
    // Whole batches, of which the run says how far they go.
    let flows = number(&connection, "SELECT count(*) FROM flows");
    assert!([0, run.totals.flows.cast_signed()].contains(&flows), "{flows} flows");
    assert_eq!(number(&connection, "SELECT flows FROM runs"), flows);
    drop(store);
}

#[test]
fn a_reader_does_not_wait_for_the_writer() {
    let directory = TempDir::new().expect("a directory");
    let db = directory.path().join("run.db");
    let mut store = Store::begin(&db, Secrets::Digest, NOON).expect("a new run");
    let source = source::open(&[path("demo.pcapng")]).expect("a capture");
    pipeline::analyze(source, &Options::default(), &mut [&mut store], &mut |_, _| {}).expect("a run");
    let reader = Connection::open(&db).expect("the database");
    reader.busy_timeout(std::time::Duration::ZERO).expect("a setting");
    assert_eq!(number(&reader, "SELECT count(*) FROM runs"), 1);
}

#[test]
fn databases_of_others_are_left_alone() {
    let directory = TempDir::new().expect("a directory");
    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign).expect("a database").execute_batch("CREATE TABLE t (x)").expect("a table");
    let before = std::fs::read(&foreign).expect("the file");
    assert!(matches!(Store::begin(&foreign, Secrets::Digest, NOON), Err(StoreError::Foreign { .. })));
    assert_eq!(std::fs::read(&foreign).expect("the file"), before);

    let newer = directory.path().join("newer.db");
    drop(Store::begin(&newer, Secrets::Digest, NOON).expect("a new run"));
    Connection::open(&newer).expect("it").pragma_update(None, "user_version", 99).expect("a setting");
    let error = Store::begin(&newer, Secrets::Digest, NOON).err().expect("a refusal");
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("newer.db"));
}

#[test]
fn a_second_writer_is_told_that_the_database_is_locked() {
    let directory = TempDir::new().expect("a directory");
    let db = directory.path().join("run.db");
    drop(Store::begin(&db, Secrets::Digest, NOON).expect("a new run"));
    let other = Connection::open(&db).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
    assert!(matches!(Store::begin(&db, Secrets::Digest, NOON), Err(StoreError::Locked { .. })));
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = TempDir::new().expect("a directory");
    let db = directory.path().join("run.db");
    let store = Store::begin(&db, Secrets::Digest, NOON).expect("a new run");
    for companion in ["", "-wal", "-shm"] {
        let path = format!("{}{companion}", db.display());
        let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
    drop(store);
}

#[test]
fn the_packages_of_a_run_name_the_apps_of_another() {
    let directory = TempDir::new().expect("a directory");
    let db = directory.path().join("run.db");
    let run = write(&db, "owners/pcapdroid.pcapng", true);
    assert!(!run.packages.is_empty());
    let apps = observer::store::packages(&db).expect("packages");
    let known: Vec<_> =
        apps.iter().map(|(uid, package, label)| (uid, package.to_owned(), label.to_owned())).collect();
    assert_eq!(known, run.packages);
    assert!(observer::store::is_database(&db));

    let without = directory.path().join("without.db");
    write(&without, "http/cleartext-get.pcap", true);
    let error = observer::store::packages(&without).expect_err("no packages");
    assert!(matches!(error, StoreError::NoPackages { .. }), "{error}");
    assert!(!observer::store::is_database(&path("demo.pcapng")));
}
