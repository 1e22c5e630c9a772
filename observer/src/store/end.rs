//! The rows that are known at the end of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::encode::Encoder;
use super::rows::{Known, Rows};
use super::unwritable;
use super::write::Writer;
use crate::assess::baseline::Standing;
use crate::attribution::Owner;
use crate::report::steps::Steps;
use crate::report::{Run, names};
use crate::rules::Finding;
use crate::source::{InputSummary, TestResult};
use crate::time::Timestamp;

/// Writes inputs, findings, verdicts, steps, packages, listeners and totals, and marks the run as finished.
pub(super) fn write(
    connection: &Connection,
    encoder: &mut Encoder,
    writer: &mut Writer<'_>,
    run: &Run,
    finished: Timestamp,
) -> rusqlite::Result<()> {
    End { connection, encoder, writer, rows: Rows::default() }.write(run, finished)
}

struct End<'a, 'b> {
    connection: &'a Connection,
    encoder: &'a mut Encoder,
    writer: &'a mut Writer<'b>,
    rows: Rows,
}

impl End<'_, '_> {
    fn write(&mut self, run: &Run, finished: Timestamp) -> rusqlite::Result<()> {
        let connection = self.connection;
        for input in &run.inputs {
            self.capture(input)?;
        }
        connection.execute("DELETE FROM provisional_findings_v1 WHERE run = ?", [self.writer.ids().run()])?;
        for finding in &run.assessment.findings {
            self.finding(finding, None, run.assessment.standing(finding))?;
        }
        for suppressed in &run.assessment.suppressed {
            let standing = run.assessment.excused_standing(&suppressed.finding);
            self.finding(&suppressed.finding, Some(&suppressed.reason), standing)?;
        }
        for verdict in &run.assessment.verdicts {
            let owner = self.owner(verdict.owner.as_ref())?;
            connection
                .prepare_cached("INSERT INTO verdicts_v1 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    self.writer.ids().run(),
                    owner,
                    verdict.requirement,
                    names::judgement(verdict.judgement),
                    int(verdict.findings),
                    int(verdict.endpoints),
                    int(verdict.flows),
                    int(verdict.bytes),
                    verdict.reason,
                ])?;
        }
        self.steps(&run.steps)?;
        for (uid, package, label) in &run.packages {
            connection.prepare_cached("INSERT INTO packages_v1 VALUES (?, ?, ?, ?)")?.execute(params![
                self.writer.ids().run(),
                uid,
                package,
                label
            ])?;
        }
        for listener in &run.listeners {
            let owner = self.owner(Some(&Arc::new(listener.owner.clone())))?;
            connection.prepare_cached("INSERT INTO listeners_v1 VALUES (?, ?, ?, ?, ?)")?.execute(
                params![
                    self.writer.ids().run(),
                    names::TransportName(listener.transport).to_string(),
                    listener.local.ip.to_string(),
                    listener.local.port,
                    owner
                ],
            )?;
        }
        let totals = &run.totals;
        connection.execute(
            "UPDATE runs_v1 SET status = 'finished', finished = ?, frames = ?, flows = ?, dropped_kernel = ?, \
             dropped_ring = ?, dropped_limit = ?, unattributed_flows = ?, unattributed_bytes = ?, malformed = ?, skipped = ?, \
             limits = ?, duplicates = ?, inconclusive = ?, notes = ?, clock_offset_ns = ?, clock_error_ns = ?, \
             judged_by = ?, baseline = ? WHERE id = ?",
            params![
                finished.0,
                int(totals.frames),
                int(totals.flows),
                int(totals.dropped_by_kernel),
                totals.dropped_by_ring.map(int),
                int(totals.dropped_by_limit.values().sum()),
                int(totals.unattributed_flows),
                int(totals.unattributed_bytes),
                json_text(&totals.malformed)?,
                json_text(&totals.skipped)?,
                json_text(&totals.dropped_by_limit)?,
                int(totals.duplicates),
                run.doubt(),
                json_text(&run.assessment.notes)?,
                run.clock_offset.map(|offset| offset.offset_ns),
                run.clock_offset.and_then(|offset| offset.error_ns).map(int),
                json_text(&run.assessment.judged_by)?,
                run.assessment.baseline.as_ref().map(json_text).transpose()?,
                self.writer.ids().run(),
            ],
        )?;
        Ok(())
    }

    fn steps(&self, steps: &Steps) -> rusqlite::Result<()> {
        let run = self.writer.ids().run();
        let mut ids = BTreeMap::new();
        for step in steps.all() {
            self.connection
                .prepare_cached("INSERT INTO steps_v1 VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    run,
                    int(step.number),
                    step.name,
                    step.kind.as_str(),
                    step.origin.as_str(),
                    step.start.0,
                    step.end.map(|end| end.0),
                    step.result.map(TestResult::as_str),
                    step.basis.as_str(),
                ])?;
            ids.insert(step.number, self.connection.last_insert_rowid());
        }
        for (at, step, began) in steps.changes() {
            let step = step.and_then(|step| ids.get(&step.number));
            self.connection
                .prepare_cached("INSERT INTO step_changes_v1 VALUES (?, ?, ?, ?)")?
                .execute(params![run, at.0, step, began.as_str()])?;
        }
        Ok(())
    }

    fn capture(&self, input: &InputSummary) -> rusqlite::Result<()> {
        self.connection.execute(
            "INSERT INTO captures_v1 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.writer.ids().run(),
                input.path,
                input.format,
                json_text(&input.link_types)?,
                int(input.frames),
                input.first.map(|time| time.0),
                input.last.map(|time| time.0),
                input.truncated,
                input.dropped.map(int),
                int(input.damages),
                json_text(&input.damage)?,
            ],
        )?;
        Ok(())
    }

    fn finding(
        &mut self,
        finding: &Finding,
        suppressed: Option<&str>,
        standing: Option<Standing>,
    ) -> rusqlite::Result<()> {
        let connection = self.connection;
        let owner = self.owner(finding.owner.as_ref())?;
        connection
            .prepare_cached(
                "INSERT INTO findings_v1 VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                self.writer.ids().run(),
                finding.rule.id,
                names::severity(finding.severity),
                names::finding_confidence(finding.confidence),
                json_text(&finding.rule.requirements)?,
                owner,
                names::blame(finding.blame),
                finding.endpoint.host,
                finding.endpoint.ip.to_string(),
                finding.endpoint.port,
                finding.message,
                json_text(&finding.details)?,
                finding.fingerprint(),
                suppressed,
            ])?;
        let id = connection.last_insert_rowid();
        if let Some(standing) = standing {
            connection
                .prepare_cached("INSERT INTO finding_baselines_v1 VALUES (?, ?)")?
                .execute((id, standing.as_str()))?;
        }
        for ((flow, frame), position) in finding.evidence.places().zip(0_i64..) {
            connection.prepare_cached("INSERT INTO finding_frames_v1 VALUES (?, ?, ?, ?)")?.execute((
                id,
                position,
                self.writer.ids().flow(flow),
                int(frame),
            ))?;
        }
        Ok(())
    }

    fn owner(&mut self, owner: Option<&Arc<Owner>>) -> rusqlite::Result<Option<i64>> {
        let Some(owner) = owner else { return Ok(None) };
        let number = self.encoder.owner(&mut self.rows, owner).map_err(unwritable)?;
        if self.rows.len() > 0 {
            self.writer.write(&self.rows)?;
            self.rows.clear();
        }
        Ok(self.writer.ids().known(Known::Owner, number))
    }
}

/// SQLite's integers are signed; what does not fit is cut to the largest.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn json_text(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(unwritable)
}
