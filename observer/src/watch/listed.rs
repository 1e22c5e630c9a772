//! The rows of lists: their columns, and where those come from.

use rusqlite::Row as SqlRow;

use super::ask::{severity, texts};
use super::condition::{Stage, Subject, step_at};
use super::rows::{FindingRow, FlowRow, Row};
use crate::time::Timestamp;

/// Flows with their owners and TLS sessions.
pub(super) const FROM_FLOWS: &str = "FROM flows_v1 AS flow
    LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner
    LEFT JOIN tls_v1 AS tls ON tls.flow = flow.id";

/// Findings with their owners, and the flows that show them first.
pub(super) fn from_findings(stage: Stage) -> String {
    format!(
        "FROM {} AS finding
        LEFT JOIN owners_v1 AS owner ON owner.id = finding.owner
        LEFT JOIN flows_v1 AS flow ON flow.id = finding.flow
        LEFT JOIN tls_v1 AS tls ON tls.flow = flow.id",
        stage.findings()
    )
}

/// What is shown of a list's rows.
pub(super) trait Listed: Row + Sized {
    /// The table's alias.
    const ALIAS: &'static str;
    /// What the rows are.
    const SUBJECT: Subject;
    /// The columns, and where they come from.
    fn question(stage: Stage) -> String;
    /// A row of the answer.
    fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self>;
}

impl Listed for FlowRow {
    const ALIAS: &'static str = "flow";
    const SUBJECT: Subject = Subject::Flows;

    fn question(_stage: Stage) -> String {
        format!(
            "SELECT flow.id, flow.event_start, owner.name, coalesce(flow.destination_domain, flow.destination_ip),
                flow.destination_port, flow.network_transport, flow.network_layers,
                upper(tls.version_protocol) || ' ' || tls.version, flow.network_protection, {} {FROM_FLOWS}",
            step_at("flow.event_start")
        )
    }

    fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            start: Timestamp(row.get(1)?),
            app: row.get(2)?,
            host: row.get(3)?,
            port: row.get(4)?,
            transport: row.get(5)?,
            layers: texts(row.get(6)?),
            version: row.get(7)?,
            protection: row.get(8)?,
            step: row.get(9)?,
        })
    }
}

impl Listed for FindingRow {
    const ALIAS: &'static str = "finding";
    const SUBJECT: Subject = Subject::Findings;

    fn question(stage: Stage) -> String {
        format!(
            "SELECT finding.id, finding.severity, finding.rule, owner.name, coalesce(finding.host, finding.ip),
                finding.port, finding.message, finding.suppressed IS NOT NULL, {} {}",
            step_at("flow.event_start"),
            from_findings(stage)
        )
    }

    fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            severity: severity(&row.get::<_, String>(1)?),
            rule: row.get(2)?,
            app: row.get(3)?,
            host: row.get(4)?,
            port: row.get(5)?,
            message: row.get(6)?,
            excused: row.get(7)?,
            step: row.get(8)?,
        })
    }
}
