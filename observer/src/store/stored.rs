//! A run, read back for the reports that are made afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

use super::meetings::find;
use super::{StoreError, open};
use crate::assess::Judgement;
use crate::assess::baseline::Standing;
use crate::report::names;
use crate::report::step_table::StepTable;
use crate::report::steps::Steps;
use crate::report::stored::{
    Bounds, StoredApp, StoredEndpoint, StoredFinding, StoredFlow, StoredInput, StoredRun, StoredSessions,
    StoredStep, StoredVerdict,
};
use crate::rules::Severity;
use crate::source::{ClockOffset, Marker, MarkerKind, MarkerOrigin, TestResult};
use crate::time::Timestamp;

const RUN: &str = "
    SELECT tool_version, status, started, frames, flows, dropped_kernel, dropped_ring, limits, unattributed_flows,
        unattributed_bytes, inconclusive, notes, clock_offset_ns, clock_error_ns, judged_by, baseline
    FROM runs_v1 WHERE id = ?";

const INPUTS: &str = "SELECT path, format, frames, first, last FROM captures_v1 WHERE run = ? ORDER BY rowid";

const MARKERS: &str = "SELECT at, label, kind, origin, result FROM markers_v1 WHERE run = ? ORDER BY rowid";

const APPS: &str = "
    SELECT owner.name, owner.uid, owner.label, count(*), sum(source_bytes + destination_bytes),
        json_group_array(DISTINCT owner.method)
    FROM flows_v1 AS flow LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner
    WHERE flow.run = ? GROUP BY owner.name, owner.uid ORDER BY owner.name, owner.uid";

const VERDICTS: &str = "
    SELECT owner.name, owner.uid, requirement, verdict, findings, exercised_endpoints, exercised_flows, reason
    FROM verdicts_v1 AS verdict LEFT JOIN owners_v1 AS owner ON owner.id = verdict.owner
    WHERE verdict.run = ? ORDER BY verdict.rowid";

const FINDINGS: &str = "
    SELECT owner.name, owner.uid, rule, severity, finding.confidence, blame, host, ip, port, message, requirements,
        evidence, fingerprint, suppressed, finding.id, held.standing
    FROM findings_v1 AS finding LEFT JOIN owners_v1 AS owner ON owner.id = finding.owner
        LEFT JOIN finding_baselines_v1 AS held ON held.finding = finding.id
    WHERE finding.run = ? ORDER BY finding.id";

const PLACES: &str = "
    SELECT flow.number, place.frame, flow.event_start, flow.event_end
    FROM finding_frames_v1 AS place JOIN flows_v1 AS flow ON flow.id = place.flow
    WHERE place.finding = ? ORDER BY place.position";

const ENDPOINTS: &str = "
    SELECT owner.name, owner.uid, coalesce(destination_domain, destination_ip), destination_port, network_transport,
        network_protocol, network_protection,
        json_group_array(DISTINCT upper(tls.version_protocol) || ' ' || tls.version), json_group_array(DISTINCT tls.cipher),
        count(*), coalesce(sum(tls.established), 0), sum(source_bytes), sum(destination_bytes), min(frames_first)
    FROM flows_v1 AS flow
        LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner
        LEFT JOIN tls_v1 AS tls ON tls.flow = flow.id
    WHERE flow.run = ? GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7";

const SESSIONS: &str = "
    SELECT owner.name, owner.uid, upper(version_protocol) || ' ' || version, cipher, count(*)
    FROM tls_v1 AS tls
        JOIN flows_v1 AS flow ON flow.id = tls.flow
        LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner
    WHERE flow.run = ? AND established AND version IS NOT NULL AND cipher IS NOT NULL
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4";

const FLOWS: &str = "
    SELECT owner.name, owner.uid, number, event_start, event_end, coalesce(destination_domain, destination_ip),
        destination_port, network_protection, network_layers, source_bytes + destination_bytes
    FROM flows_v1 AS flow LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner
    WHERE flow.run = ? ORDER BY event_start, number";

/// An app by name and uid; a work profile has the same apps under other uids.
type Key = (Option<String>, Option<u32>);

/// The run with that number in the database at `path`, or the last one, whether it was finished or not.
///
/// # Errors
/// When it is no database of this program or one of an older version, or when it has no such run.
pub fn stored_run(path: &Path, run: Option<i64>, bounds: &Bounds) -> Result<StoredRun, StoreError> {
    let connection = open::for_reading(path)?;
    open::demand_current(&connection, path)?;
    let wrap = |error| StoreError::new(path, error);
    let run = match run {
        Some(_) => find(&connection, run).map_err(wrap)?,
        None => connection.query_row("SELECT max(id) FROM runs_v1", (), |row| row.get(0)).map_err(wrap)?,
    };
    let Some(run) = run else { return Err(StoreError::NoRun { path: path.to_owned() }) };
    // One reading transaction: what a writer adds meanwhile belongs to another report.
    let transaction = connection.unchecked_transaction().map_err(wrap)?;
    Reader { connection: &transaction, run, bounds, apps: BTreeMap::new(), left_out: BTreeMap::new() }
        .read()
        .map_err(wrap)
}

struct Reader<'a> {
    connection: &'a Connection,
    run: i64,
    bounds: &'a Bounds,
    apps: BTreeMap<Key, StoredApp>,
    left_out: BTreeMap<&'static str, u64>,
}

impl Reader<'_> {
    fn read(mut self) -> rusqlite::Result<StoredRun> {
        let mut stored = self.totals()?;
        let inputs = self.each(INPUTS, |row| {
            Ok(StoredInput {
                path: row.get(0)?,
                format: row.get(1)?,
                frames: unsigned(row, 2)?,
                first: time(row, 3)?,
                last: time(row, 4)?,
            })
        });
        stored.inputs = inputs?;
        // From the markers, not from what the run concluded of them: a run that was killed has those, too.
        let steps = self.steps()?;
        let mut table = StepTable::new(&steps);
        self.apps()?;
        self.verdicts()?;
        self.findings(&mut table)?;
        self.endpoints()?;
        self.sessions()?;
        self.flows(&mut table)?;
        if !steps.is_empty() {
            self.leave_out("steps", steps.all().len(), self.bounds.steps);
            let background = table.rows().last();
            let rows = table.rows().take(steps.all().len()).take(self.bounds.steps);
            stored.steps = rows.chain(background).map(StoredStep::from).collect();
        }
        stored.apps = self.apps.into_values().collect();
        stored.apps.sort_by_key(rank);
        stored.left_out = self.left_out;
        Ok(stored)
    }

    /// Every row of the answer to `question`, which asks for the run's.
    fn each<T>(
        &self,
        question: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.connection.prepare(question)?.query_map([self.run], |row| read(row))?.collect()
    }

    fn totals(&self) -> rusqlite::Result<StoredRun> {
        self.connection.query_row(RUN, [self.run], |row| {
            let mut lost: BTreeMap<String, u64> = json(row, 7)?;
            for (column, name) in [(5, "kernel"), (6, "ring")] {
                lost.insert(name.to_owned(), unsigned(row, column)?);
            }
            lost.retain(|_, count| *count > 0);
            Ok(StoredRun {
                run: self.run,
                tool_version: row.get(0)?,
                finished: row.get::<_, String>(1)? == "finished",
                started: time(row, 2)?,
                frames: unsigned(row, 3)?,
                flows: unsigned(row, 4)?,
                lost,
                unattributed_flows: unsigned(row, 8)?,
                unattributed_bytes: unsigned(row, 9)?,
                inconclusive: row.get(10)?,
                notes: json(row, 11)?,
                clock_offset: match row.get(12)? {
                    Some(offset_ns) => {
                        let error: Option<i64> = row.get(13)?;
                        let error_ns = error.and_then(|error| u64::try_from(error).ok());
                        Some(ClockOffset { offset_ns, error_ns })
                    }
                    None => None,
                },
                judged_by: json(row, 14)?,
                baseline: json(row, 15)?,
                ..StoredRun::default()
            })
        })
    }

    fn steps(&self) -> rusqlite::Result<Steps> {
        let markers = self.each(MARKERS, |row| {
            let word = |column| row.get::<_, Option<String>>(column);
            let result = word(4)?.and_then(|word| TestResult::find(&word)).unwrap_or(TestResult::Unknown);
            let kind = match word(2)?.as_deref() {
                Some("begin") => MarkerKind::Begin,
                Some("end") => MarkerKind::End(result),
                Some("run-started") => MarkerKind::RunStarted,
                Some("run-finished") => MarkerKind::RunFinished,
                // As all were in earlier versions.
                _ => MarkerKind::Point,
            };
            let origin = word(3)?.and_then(|word| MarkerOrigin::find(&word)).unwrap_or(MarkerOrigin::Mark);
            Ok(Marker::new(Timestamp(row.get(0)?), kind, origin, &row.get::<_, String>(1)?))
        })?;
        Ok(Steps::new(&markers))
    }

    fn apps(&mut self) -> rusqlite::Result<()> {
        let apps = self.each(APPS, |row| {
            let app = StoredApp {
                label: row.get(2)?,
                flow_count: unsigned(row, 3)?,
                bytes: unsigned(row, 4)?,
                methods: list(row, 5)?,
                ..StoredApp::default()
            };
            Ok((key(row)?, app))
        })?;
        for (key, app) in apps {
            let (name, uid) = key.clone();
            self.apps.insert(key, StoredApp { name, uid, ..app });
        }
        Ok(())
    }

    fn verdicts(&mut self) -> rusqlite::Result<()> {
        let verdicts = self.each(VERDICTS, |row| {
            let verdict = StoredVerdict {
                requirement: row.get(2)?,
                judgement: judgement(&row.get::<_, String>(3)?),
                findings: unsigned(row, 4)?,
                endpoints: unsigned(row, 5)?,
                flows: unsigned(row, 6)?,
                reason: row.get(7)?,
            };
            Ok((key(row)?, verdict))
        })?;
        for (key, verdict) in verdicts {
            self.app(key).verdicts.push(verdict);
        }
        Ok(())
    }

    fn findings(&mut self, table: &mut StepTable<'_>) -> rusqlite::Result<()> {
        let findings = self.each(FINDINGS, |row| {
            let finding = StoredFinding {
                rule: row.get(2)?,
                severity: severity(&row.get::<_, String>(3)?),
                confidence: row.get(4)?,
                blame: row.get(5)?,
                host: row.get(6)?,
                ip: row.get(7)?,
                port: row.get(8)?,
                message: row.get(9)?,
                requirements: json(row, 10)?,
                evidence: json(row, 11)?,
                fingerprint: row.get(12)?,
                suppressed: row.get(13)?,
                places: Vec::new(),
                baseline: row.get::<_, Option<String>>(15)?.and_then(|word| Standing::called(&word)),
                step: None,
                began: None,
                steps: Vec::new(),
                at: None,
            };
            Ok((key(row)?, finding, row.get::<_, i64>(14)?))
        })?;
        self.leave_out("findings", findings.len(), self.bounds.findings);
        let mut places = self.connection.prepare(PLACES)?;
        for (place, (key, mut finding, id)) in findings.into_iter().enumerate() {
            let mut rows = places.query([id])?;
            let mut numbers = BTreeSet::new();
            while let Some(row) = rows.next()? {
                let start = Timestamp(row.get(2)?);
                if let Some(position) = table.steps().position(start, Timestamp(row.get(3)?)) {
                    let name = position.step.map(|step| step.name.clone());
                    if finding.at.is_none() {
                        (finding.step, finding.began) = (name.clone(), Some(position.began));
                    }
                    if numbers.insert(position.step.map_or(0, |step| step.number)) {
                        finding.steps.extend(name.filter(|name| !finding.steps.contains(name)));
                    }
                }
                finding.at = finding.at.or(Some(start));
                if finding.places.len() <= self.bounds.places {
                    finding.places.push((unsigned(row, 0)?, unsigned(row, 1)?));
                }
            }
            if finding.suppressed.is_none() {
                numbers.into_iter().for_each(|number| table.finding(number, finding.severity));
            }
            if finding.steps.len() < 2 {
                finding.steps.clear();
            }
            // The rest only counts.
            if place >= self.bounds.findings {
                continue;
            }
            let app = self.app(key);
            let findings = if finding.suppressed.is_some() { &mut app.suppressed } else { &mut app.findings };
            findings.push(finding);
        }
        for app in self.apps.values_mut() {
            // What the database has in order of its writing stays so among equals.
            app.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        }
        Ok(())
    }

    fn endpoints(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(ENDPOINTS)?;
        let mut rows = statement.query([self.run])?;
        let mut count = 0_usize;
        while let Some(row) = rows.next()? {
            count = count.saturating_add(1);
            // A search of a network makes many: the rest is only counted.
            if count > self.bounds.endpoints {
                continue;
            }
            let endpoint = StoredEndpoint {
                host: row.get(2)?,
                port: row.get(3)?,
                transport: row.get(4)?,
                protocol: row.get(5)?,
                protection: row.get(6)?,
                versions: list(row, 7)?,
                ciphers: list(row, 8)?,
                flows: unsigned(row, 9)?,
                established: unsigned(row, 10)?,
                sent: unsigned(row, 11)?,
                received: unsigned(row, 12)?,
                first_frame: unsigned(row, 13)?,
            };
            let key = key(row)?;
            self.app(key).endpoints.push(endpoint);
        }
        self.leave_out("endpoints", count, self.bounds.endpoints);
        Ok(())
    }

    fn sessions(&mut self) -> rusqlite::Result<()> {
        let sessions = self.each(SESSIONS, |row| {
            let sessions =
                StoredSessions { version: row.get(2)?, cipher: row.get(3)?, flows: unsigned(row, 4)? };
            Ok((key(row)?, sessions))
        })?;
        for (key, sessions) in sessions {
            self.app(key).sessions.push(sessions);
        }
        Ok(())
    }

    fn flows(&mut self, table: &mut StepTable<'_>) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(FLOWS)?;
        let mut rows = statement.query([self.run])?;
        let mut count = 0_usize;
        while let Some(row) = rows.next()? {
            count = count.saturating_add(1);
            let (start, end) = (Timestamp(row.get(3)?), Timestamp(row.get(4)?));
            let position = table.steps().position(start, end);
            if let Some(position) = &position {
                table.flow(position);
            }
            // The rest is only counted.
            if count > self.bounds.flows {
                continue;
            }
            let flow = StoredFlow {
                flow: unsigned(row, 2)?,
                start,
                end,
                host: row.get(5)?,
                port: row.get(6)?,
                protection: row.get(7)?,
                layers: list(row, 8)?,
                bytes: unsigned(row, 9)?,
                step: position.as_ref().and_then(|position| Some(position.step?.name.clone())),
                began: position.as_ref().map(|position| position.began),
                spans: position.map_or(0, |position| position.spans_count),
            };
            let key = key(row)?;
            self.app(key).flows.push(flow);
        }
        self.leave_out("flows", count, self.bounds.flows);
        Ok(())
    }

    fn app(&mut self, key: Key) -> &mut StoredApp {
        let (name, uid) = key.clone();
        self.apps.entry(key).or_insert_with(|| StoredApp { name, uid, ..StoredApp::default() })
    }

    fn leave_out(&mut self, kind: &'static str, found: usize, bound: usize) {
        let more = u64::try_from(found.saturating_sub(bound)).unwrap_or(u64::MAX);
        if more > 0 {
            self.left_out.insert(kind, more);
        }
    }
}

/// Judged apps first, the worst first; then by name.
fn rank(app: &StoredApp) -> impl Ord + use<> {
    let worst = app.held().map(|finding| finding.severity).max();
    let held = app.held().count();
    (
        !app.is_judged(),
        std::cmp::Reverse(worst),
        std::cmp::Reverse(held),
        app.name.is_none(),
        app.name.clone(),
        app.uid,
    )
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok((row.get(0)?, row.get(1)?))
}

/// A count; SQLite's integers are signed, and an absent one is 0.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: Option<i64> = row.get(column)?;
    Ok(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

/// A JSON value; the default where there is none.
pub(super) fn json<T: DeserializeOwned + Default>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    match row.get::<_, Option<String>>(column)? {
        None => Ok(T::default()),
        Some(text) => serde_json::from_str(&text).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
        }),
    }
}

/// A JSON array of texts, without its nulls.
fn list(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<String>> {
    let values: Vec<Option<String>> = json(row, column)?;
    Ok(values.into_iter().flatten().collect())
}

/// A severity by its word; a word of a later version weighs as much as can be.
pub(super) fn severity(word: &str) -> Severity {
    [Severity::Info, Severity::Low, Severity::Medium, Severity::High]
        .into_iter()
        .find(|severity| severity.as_str() == word)
        .unwrap_or(Severity::Critical)
}

/// A conclusion by its word; a word of a later version concludes nothing.
pub(super) fn judgement(word: &str) -> Judgement {
    [Judgement::Violated, Judgement::NoViolationObserved, Judgement::NotExercised, Judgement::NotObservable]
        .into_iter()
        .find(|judgement| names::judgement(*judgement) == word)
        .unwrap_or(Judgement::Inconclusive)
}
