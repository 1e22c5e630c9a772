//! The questions to the database: parts of lists by key, and numbers that are added up as rows come. Nothing is written,
//! and no answer is larger than its bound.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ToSql;

use super::ask::{each, number, one, severity, sum};
use super::condition::{Condition, Stage, Subject, step_at};
use super::filter::Filter;
use super::listed::{FROM_FLOWS, Listed, from_findings};
use super::process;
use super::rows::{AppKey, AppRow, Header, Seek, State, WINDOW, Window};
use crate::store::{Database, QueryError};
use crate::time::Timestamp;

/// Ids that are added up at once: some ten milliseconds.
const CHUNK: i64 = 20_000;

/// Apps that are told apart; what others have is counted together.
const MAX_APPS: usize = 4096;

/// Owners whose names are remembered.
const MAX_OWNERS: usize = 1 << 16;

/// The part of a list that ends with the newest row, and where to go on when more come.
#[derive(Clone, Copy, Debug)]
struct Tail {
    /// Everything up to this id has been looked at.
    seen: i64,
}

/// What the filter lets through, added up.
#[derive(Default)]
struct Tally {
    /// Everything up to this id has been added.
    seen: i64,
    apps: BTreeMap<AppKey, AppRow>,
    flows: u64,
    unattributed: u64,
    /// Flows of apps beyond the bound.
    beyond: u64,
    /// The number of the last frame of any flow.
    frames: u64,
}

/// What the apps and the numbers over them are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// The apps, those with the gravest findings first.
    pub(super) apps: Vec<AppRow>,
    /// Flows that the filter lets through.
    pub(super) flows: u64,
    /// Those of them without an owner.
    pub(super) unattributed: u64,
    /// Those of them whose apps are more than can be told apart.
    pub(super) beyond: u64,
    /// Findings that the filter lets through, excused ones included.
    pub(super) findings: u64,
    /// The number of the last frame of any of these flows.
    pub(super) frames: u64,
    /// Whether everything that was written is in it.
    pub(super) complete: bool,
}

/// One run of a database.
pub(super) struct Reader {
    database: Database,
    run: i64,
    stage: Stage,
    /// The first id of the run's flows, and what is after its last one, if it has ended.
    bounds: Option<(i64, i64)>,
    /// Up to this id no flow is the run's.
    none: i64,
    filter: Filter,
    tally: Tally,
    owners: BTreeMap<i64, (AppKey, Option<String>)>,
    tails: [Option<Tail>; 2],
    data_version: i64,
    /// As it was told last.
    state: State,
    /// Whether the run was written to although the process that writes it is not there: it has another number here.
    foreign: bool,
}

impl Reader {
    /// Opens the database at `path` for a run, the newest if none is named.
    pub(super) fn open(path: &Path, run: Option<i64>) -> Result<Option<Self>, QueryError> {
        let database = Database::open_current(path)?;
        let found = "SELECT max(id) FROM runs_v1 WHERE :run IS NULL OR id = :run";
        let run = one(&database, found, &[(":run", &run)], |row| row.get::<_, Option<i64>>(0))?.flatten();
        let Some(run) = run else { return Ok(None) };
        let mut reader = Self {
            database,
            run,
            stage: Stage::Provisional,
            bounds: None,
            none: 0,
            filter: Filter::default(),
            tally: Tally::default(),
            owners: BTreeMap::new(),
            tails: [None; 2],
            data_version: 0,
            state: State::Unfinished,
            foreign: false,
        };
        reader.changed()?;
        Ok(Some(reader))
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn run(&self) -> i64 {
        self.run
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether anybody wrote to the database since this was asked last.
    pub(super) fn changed(&mut self) -> Result<bool, QueryError> {
        let version = one(&self.database, "PRAGMA data_version", &[], |row| row.get(0))?.unwrap_or(0);
        let before = std::mem::replace(&mut self.data_version, version);
        Ok(before != version)
    }

    /// The run's numbers. Says whether its findings became final since this was asked last.
    pub(super) fn header(&mut self, changed: bool) -> Result<(Header, bool), QueryError> {
        let question = format!(
            "SELECT status, started, frames, flows, dropped_kernel, dropped_ring, dropped_limit, unattributed_flows,
                inconclusive, pid, {}, (SELECT max(id) FROM runs_v1 WHERE id > :run)
            FROM runs_v1 WHERE id = :run",
            step_at("9223372036854775807")
        );
        let answer = one(&self.database, &question, &[(":run", &self.run)], |row| {
            let lost = [4, 5, 6].map(|column| number(row, column));
            let [kernel, ring, limit] = lost;
            let header = Header {
                run: 0,
                state: State::Unfinished,
                started: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                frames: number(row, 2)?,
                flows: number(row, 3)?.unwrap_or(0),
                lost: kernel?.map(|kernel| sum([Some(kernel), ring.ok().flatten(), limit.ok().flatten()])),
                unattributed: number(row, 7)?,
                inconclusive: row.get(8)?,
                step: row.get(10)?,
                newer: row.get(11)?,
            };
            Ok((header, row.get::<_, String>(0)? == "finished", row.get::<_, Option<u32>>(9)?))
        })?;
        let Some((mut header, finished, pid)) = answer else {
            return Ok((Header { run: self.run, ..Header::default() }, false));
        };
        header.run = self.run;
        // Only the newest run of a database is written.
        self.foreign |= changed && self.state == State::Killed && header.newer.is_none();
        let pid = pid.filter(|_| !self.foreign);
        header.state = if finished { State::Finished } else { process::state(pid, header.started) };
        self.state = header.state;
        let stage = if finished { Stage::Final } else { Stage::Provisional };
        let settled = stage != self.stage;
        self.stage = stage;
        if settled {
            self.bounds = None;
            self.restart();
        }
        Ok((header, settled))
    }

    /// Goes over to another run of the database.
    pub(super) fn set_run(&mut self, run: i64) {
        self.run = run;
        self.stage = Stage::Provisional;
        (self.bounds, self.none) = (None, 0);
        (self.state, self.foreign) = (State::Unfinished, false);
        self.restart();
    }

    /// Looks through this filter from now on.
    pub(super) fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
        self.restart();
    }

    fn restart(&mut self) {
        self.tally = Tally::default();
        self.tails = [None; 2];
    }

    fn condition(&self, subject: Subject) -> Condition {
        Condition::of(&self.filter, subject, self.stage)
    }

    /// The ids between which the run's rows of a kind are: those before the first and after the last are not looked at.
    fn bounds(&mut self, subject: Subject) -> Result<(i64, i64), QueryError> {
        if subject == Subject::Findings {
            return Ok((0, self.last(subject)?));
        }
        if let Some((first, end)) = self.bounds {
            return Ok((first, end.min(self.last(subject)?)));
        }
        let last = self.last(subject)?;
        // There is no index on runs: this looks at every flow of the database, once.
        let question =
            "SELECT min(id), max(id) FROM flows_v1 WHERE run = :run AND id > :after AND id <= :until";
        let bound: [(&str, &dyn ToSql); 3] = [(":run", &self.run), (":after", &self.none), (":until", &last)];
        let found = one(&self.database, question, &bound, |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
        let Some((Some(first), Some(end))) = found else {
            self.none = last;
            return Ok((last, last));
        };
        let bounds = match self.stage {
            Stage::Final => (first.saturating_sub(1), end),
            Stage::Provisional => (first.saturating_sub(1), i64::MAX),
        };
        self.bounds = Some(bounds);
        Ok((bounds.0, bounds.1.min(last)))
    }

    /// The last id of all runs.
    fn last(&self, subject: Subject) -> Result<i64, QueryError> {
        let table = match (subject, self.stage) {
            (Subject::Flows, _) => "flows_v1",
            (Subject::Findings, Stage::Provisional) => "provisional_findings_v1",
            (Subject::Findings, Stage::Final) => "findings_v1",
        };
        let question = format!("SELECT coalesce(max(id), 0) FROM {table}");
        Ok(one(&self.database, &question, &[], |row| row.get(0))?.unwrap_or(0))
    }

    /// A part of a list.
    pub(super) fn window<T: Listed>(&mut self, seek: Seek) -> Result<Window<T>, QueryError> {
        let (first, last) = self.bounds(T::SUBJECT)?;
        let half = WINDOW / 2;
        let window = match seek {
            Seek::First => {
                let (rows, after) = self.part::<T>(first, last, false, WINDOW)?;
                Window { rows, before: false, after }
            }
            Seek::Last => {
                let (rows, before) = self.part::<T>(first, last, true, WINDOW)?;
                Window { rows, before, after: false }
            }
            Seek::Around(id) => {
                let (mut rows, before) = self.part::<T>(first, id.min(last), true, half)?;
                let (later, after) = self.part::<T>(id.max(first), last, false, half)?;
                rows.extend(later);
                Window { rows, before, after }
            }
        };
        self.tails[place(T::SUBJECT)] = (!window.after).then_some(Tail { seen: last });
        Ok(window)
    }

    /// The rows that came since a window was read which ended with the newest row. Beyond [`WINDOW`] rows it says that
    /// there are more, and nothing comes until another window is read.
    pub(super) fn more<T: Listed>(&mut self) -> Result<Option<(Vec<T>, bool)>, QueryError> {
        let Some(tail) = self.tails[place(T::SUBJECT)] else { return Ok(None) };
        let (_, last) = self.bounds(T::SUBJECT)?;
        if last <= tail.seen {
            return Ok(None);
        }
        let (rows, more) = self.part::<T>(tail.seen, last, false, WINDOW)?;
        self.tails[place(T::SUBJECT)] = (!more).then_some(Tail { seen: last });
        Ok((more || !rows.is_empty()).then_some((rows, more)))
    }

    /// At most `limit` rows with ids above `after` and up to `until`, in order of their ids: the first of them, or the
    /// last ones. Says whether there are more.
    fn part<T: Listed>(
        &self,
        after: i64,
        until: i64,
        last_ones: bool,
        limit: usize,
    ) -> Result<(Vec<T>, bool), QueryError> {
        let Condition { sql, values } = self.condition(T::SUBJECT);
        let alias = T::ALIAS;
        let question = format!(
            "{} WHERE {alias}.id > :after AND {alias}.id <= :until AND {alias}.run = :run AND {sql}
            ORDER BY {alias}.id {} LIMIT :limit",
            T::question(self.stage),
            if last_ones { "DESC" } else { "ASC" }
        );
        let mut rows = Vec::new();
        let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        each(
            &self.database,
            &question,
            &[(":after", &after), (":until", &until), (":run", &self.run), (":limit", &most)],
            &values,
            |row| {
                rows.push(T::read(row)?);
                Ok(())
            },
        )?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        if last_ones {
            rows.reverse();
        }
        Ok((rows, more))
    }

    /// Adds up some more flows. Says whether there was anything to add, and whether everything is in it now.
    pub(super) fn add_up(&mut self) -> Result<(bool, bool), QueryError> {
        let (first, last) = self.bounds(Subject::Flows)?;
        let after = self.tally.seen.max(first);
        if after >= last {
            return Ok((false, true));
        }
        let until = last.min(after.saturating_add(CHUNK));
        let Condition { sql, values } = self.condition(Subject::Flows);
        let question = format!(
            "SELECT flow.owner, count(*), sum(flow.source_bytes + flow.destination_bytes), max(flow.frames_last)
            {FROM_FLOWS} WHERE flow.id > :after AND flow.id <= :until AND flow.run = :run AND {sql} GROUP BY flow.owner"
        );
        let mut added: Vec<(Option<i64>, u64, u64, u64)> = Vec::new();
        let bound: [(&str, &dyn ToSql); 3] = [(":after", &after), (":until", &until), (":run", &self.run)];
        each(&self.database, &question, &bound, &values, |row| {
            let count = |column| Ok::<_, rusqlite::Error>(number(row, column)?.unwrap_or(0));
            added.push((row.get(0)?, count(1)?, count(2)?, count(3)?));
            Ok(())
        })?;
        for (owner, flows, bytes, frames) in added {
            let (key, label) = self.owner(owner)?;
            let tally = &mut self.tally;
            tally.flows = tally.flows.saturating_add(flows);
            tally.frames = tally.frames.max(frames);
            if owner.is_none() {
                tally.unattributed = tally.unattributed.saturating_add(flows);
            }
            if tally.apps.len() >= MAX_APPS && !tally.apps.contains_key(&key) {
                tally.beyond = tally.beyond.saturating_add(flows);
                continue;
            }
            let app = tally.apps.entry(key).or_default();
            app.flows = app.flows.saturating_add(flows);
            app.bytes = app.bytes.saturating_add(bytes);
            app.label = app.label.take().or(label);
        }
        self.tally.seen = until;
        Ok((true, until >= last))
    }

    /// The name, uid and label of an owner.
    fn owner(&mut self, id: Option<i64>) -> Result<(AppKey, Option<String>), QueryError> {
        let Some(id) = id else { return Ok(((None, None), None)) };
        if let Some(known) = self.owners.get(&id) {
            return Ok(known.clone());
        }
        let question = "SELECT name, uid, label FROM owners_v1 WHERE id = :id";
        let found = one(&self.database, question, &[(":id", &id)], |row| {
            Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
        })?;
        let owner = found.unwrap_or_default();
        if self.owners.len() >= MAX_OWNERS {
            self.owners.clear();
        }
        self.owners.insert(id, owner.clone());
        Ok(owner)
    }

    /// The apps with their findings, and the numbers.
    pub(super) fn sums(&self, complete: bool) -> Result<Sums, QueryError> {
        let Condition { sql, values } = self.condition(Subject::Findings);
        let question = format!(
            "SELECT owner.name, owner.uid, finding.severity, finding.suppressed IS NOT NULL, count(*)
            {} WHERE finding.run = :run AND {sql} GROUP BY 1, 2, 3, 4",
            from_findings(self.stage)
        );
        let tally = &self.tally;
        let mut apps = tally.apps.clone();
        let mut findings = 0_u64;
        each(&self.database, &question, &[(":run", &self.run)], &values, |row| {
            let count = number(row, 4)?.unwrap_or(0);
            findings = findings.saturating_add(count);
            if row.get::<_, bool>(3)? {
                return Ok(());
            }
            let key: AppKey = (row.get(0)?, row.get(1)?);
            if apps.len() >= MAX_APPS && !apps.contains_key(&key) {
                return Ok(());
            }
            let app = apps.entry(key).or_default();
            app.findings = app.findings.saturating_add(count);
            app.worst = app.worst.max(Some(severity(&row.get::<_, String>(2)?)));
            Ok(())
        })?;
        let mut apps: Vec<_> = apps.into_iter().map(|(key, app)| AppRow { key, ..app }).collect();
        apps.sort_by(|a, b| {
            let rank = |app: &AppRow| (app.worst, app.findings, app.key.0.is_some());
            rank(b).cmp(&rank(a)).then_with(|| a.key.cmp(&b.key))
        });
        Ok(Sums {
            apps,
            flows: tally.flows,
            unattributed: tally.unattributed,
            beyond: tally.beyond,
            findings,
            frames: tally.frames,
            complete,
        })
    }
}

/// Where a list's tail is kept.
fn place(subject: Subject) -> usize {
    match subject {
        Subject::Flows => 0,
        Subject::Findings => 1,
    }
}
