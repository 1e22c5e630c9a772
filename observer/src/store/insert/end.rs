//! The rows that are known at the end of a run.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{Inserter, int, json_text};
use crate::attribution::Owner;
use crate::report::{Run, names};
use crate::rules::Finding;
use crate::source::InputSummary;
use crate::time::Timestamp;

impl Inserter {
    /// Writes inputs, findings, verdicts, markers and totals, and marks the run as finished.
    pub(in crate::store) fn finish(
        &mut self,
        connection: &Connection,
        run: &Run,
        finished: Timestamp,
    ) -> rusqlite::Result<()> {
        for input in &run.inputs {
            self.capture(connection, input)?;
        }
        for finding in &run.assessment.findings {
            self.finding(connection, finding, None)?;
        }
        for suppressed in &run.assessment.suppressed {
            self.finding(connection, &suppressed.finding, Some(&suppressed.reason))?;
        }
        for verdict in &run.assessment.verdicts {
            let owner = self.optional_owner(connection, verdict.owner.as_ref())?;
            connection
                .prepare_cached("INSERT INTO verdicts_v1 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    self.run,
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
        for marker in &run.markers {
            connection.prepare_cached("INSERT INTO markers_v1 VALUES (?, ?, ?)")?.execute(params![
                self.run,
                marker.at.0,
                marker.label
            ])?;
        }
        let totals = &run.totals;
        connection.execute(
            "UPDATE runs_v1 SET status = 'finished', finished = ?, frames = ?, flows = ?, dropped_kernel = ?, \
             dropped_limit = ?, unattributed_flows = ?, unattributed_bytes = ?, malformed = ?, skipped = ?, \
             limits = ?, duplicates = ? WHERE id = ?",
            params![
                finished.0,
                int(totals.frames),
                int(totals.flows),
                int(totals.dropped_by_kernel),
                int(totals.dropped_by_limit.values().sum()),
                int(totals.unattributed_flows),
                int(totals.unattributed_bytes),
                json_text(&totals.malformed)?,
                json_text(&totals.skipped)?,
                json_text(&totals.dropped_by_limit)?,
                int(totals.duplicates),
                self.run,
            ],
        )?;
        Ok(())
    }

    fn capture(&self, connection: &Connection, input: &InputSummary) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT INTO captures_v1 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.run,
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
        connection: &Connection,
        finding: &Finding,
        suppressed: Option<&str>,
    ) -> rusqlite::Result<()> {
        let owner = self.optional_owner(connection, finding.owner.as_ref())?;
        connection
            .prepare_cached(
                "INSERT INTO findings_v1 VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                self.run,
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
        for ((flow, frame), position) in finding.evidence.places().zip(0_i64..) {
            connection.prepare_cached("INSERT INTO finding_frames_v1 VALUES (?, ?, ?, ?)")?.execute((
                id,
                position,
                self.flow_id(flow),
                int(frame),
            ))?;
        }
        Ok(())
    }

    fn optional_owner(
        &mut self,
        connection: &Connection,
        owner: Option<&Arc<Owner>>,
    ) -> rusqlite::Result<Option<i64>> {
        owner.map(|owner| self.owner(connection, owner)).transpose()
    }
}
