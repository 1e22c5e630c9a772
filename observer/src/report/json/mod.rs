//! JSON Lines and JSON: the records of the schema `observer/1`.
//!
//! The flows come between `meta`, which is complete only when everything has been read, and the findings. So each
//! flow's line waits in an anonymous temporary file: memory does not grow with the capture. An absent fact is an
//! absent key. The run's wall time is left out unless the run carries it: the same input gives the same bytes.

mod flow;
mod http;
mod live;
mod quic;
mod run;
mod tls;

use std::collections::BTreeSet;
use std::env;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write};
use std::path::Path;

use serde::{Serialize, Serializer};

use self::flow::FlowRecord;
pub use self::live::LiveLog;
use self::run::{
    FindingRecord, ListenerRecord, MarkerRecord, MetaRecord, StepRecord, SummaryRecord, VerdictRecord,
};
use super::Run;
use super::secrets::Secrets;
use super::step_table::StepTable;
use super::steps::Position;
use crate::attribution::Method;
use crate::observation::{Flow, FlowSink, SinkError};
use crate::time::Timestamp;

pub(crate) use self::http::{answers, full_url, headers};
pub(crate) use self::quic::{CloseRecord, ContinuesRecord};
pub(crate) use self::tls::{
    List, alerts, certificate_confidence, certificate_evidence, curve, offered_versions, original,
    version_protocol,
};

/// Bytes of the spool that are copied at once.
const BLOCK: usize = 1 << 18;

/// Keeps each flow's line until the run is over: only then is known in which step of the test each began.
pub struct FlowLog {
    spool: BufWriter<File>,
    /// When each began and ended, in the same order.
    times: BufWriter<File>,
    secrets: Secrets,
    methods: BTreeSet<Method>,
}

impl FlowLog {
    /// An empty log in an anonymous temporary file.
    ///
    /// # Errors
    /// When there is no room for one, or no folder for temporary files: Android has none unless `TMPDIR` names one.
    pub fn new(secrets: Secrets) -> io::Result<Self> {
        let file = || temporary_file(&env::temp_dir()).map(|file| BufWriter::with_capacity(BLOCK, file));
        Ok(Self { spool: file()?, times: file()?, secrets, methods: BTreeSet::new() })
    }

    /// Writes the whole run, a record a line.
    ///
    /// # Errors
    /// Those of `out` and of the temporary file.
    pub fn render_lines(self, run: &Run, out: &mut dyn Write) -> io::Result<()> {
        let mut spool = rewound(self.spool)?;
        line(out, &MetaRecord::new(run, &self.methods))?;
        let mut table = StepTable::new(&run.steps);
        if run.steps.is_empty() {
            io::copy(&mut spool, out)?;
        } else {
            placed(spool, self.times, &mut table, &mut |flow| {
                out.write_all(flow)?;
                out.write_all(b"\n")
            })?;
        }
        conclusions(run, table, out)
    }

    /// Writes the whole run as one object: `meta`, `flows`, `findings`, `suppressed`, `verdicts`, `summary`.
    ///
    /// # Errors
    /// Those of `out` and of the temporary file.
    pub fn render_document(self, run: &Run, out: &mut dyn Write) -> io::Result<()> {
        let spool = rewound(self.spool)?;
        out.write_all(b"{\"meta\":")?;
        serde_json::to_writer(&mut *out, &MetaRecord::new(run, &self.methods))?;
        out.write_all(b",\n\"flows\":[")?;
        let mut table = StepTable::new(&run.steps);
        let mut separator: &[u8] = b"\n";
        placed(spool, self.times, &mut table, &mut |flow| {
            out.write_all(std::mem::replace(&mut separator, b",\n"))?;
            out.write_all(flow)
        })?;
        out.write_all(b"]")?;
        if !run.markers.is_empty() {
            out.write_all(b",\n\"markers\":")?;
            list(out, run.markers.iter().map(MarkerRecord::new))?;
        }
        if !run.steps.is_empty() {
            table.findings(run);
            out.write_all(b",\n\"steps\":")?;
            list(out, table.rows().map(StepRecord::new))?;
        }
        if !run.listeners.is_empty() {
            out.write_all(b",\n\"listeners\":")?;
            list(out, run.listeners.iter().map(ListenerRecord::new))?;
        }
        out.write_all(b",\n\"findings\":")?;
        list(out, run.assessment.findings.iter().map(|finding| FindingRecord::new(finding, run)))?;
        out.write_all(b",\n\"suppressed\":")?;
        list(out, run.assessment.suppressed.iter().map(|one| FindingRecord::suppressed(one, run)))?;
        out.write_all(b",\n\"verdicts\":")?;
        list(out, run.assessment.verdicts.iter().map(VerdictRecord::new))?;
        out.write_all(b",\n\"summary\":")?;
        serde_json::to_writer(&mut *out, &SummaryRecord::new(run))?;
        out.write_all(b"}\n")
    }
}

impl FlowSink for FlowLog {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        self.methods.extend(flow.owner.as_ref().map(|owner| owner.method));
        let (start, end) = (flow.flow.info.start.0, flow.flow.end.0);
        line(&mut self.spool, &FlowRecord::new(flow, self.secrets))
            .and_then(|()| self.times.write_all(&start.to_le_bytes()))
            .and_then(|()| self.times.write_all(&end.to_le_bytes()))
            .map_err(|source| io::Error::new(source.kind(), format!("temporary file: {source}")).into())
    }
}

/// Hands on every line of `spool`, with the step in which the flow began, and counts it in `table`.
fn placed(
    spool: BufReader<File>,
    times: BufWriter<File>,
    table: &mut StepTable<'_>,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut times = rewound(times)?;
    for flow in spool.split(b'\n') {
        let (mut flow, mut start, mut end) = (flow?, [0; 8], [0; 8]);
        times.read_exact(&mut start)?;
        times.read_exact(&mut end)?;
        let (start, end) = (Timestamp(i64::from_le_bytes(start)), Timestamp(i64::from_le_bytes(end)));
        if let Some(position) = table.steps().position(start, end) {
            append(&mut flow, &position)?;
            table.flow(&position);
        }
        out(&flow)?;
    }
    Ok(())
}

/// Adds the step to a flow's record.
fn append(flow: &mut Vec<u8>, position: &Position<'_>) -> io::Result<()> {
    if flow.last() == Some(&b'}') {
        flow.pop();
        flow.extend_from_slice(b",\"step\":");
        serde_json::to_writer(&mut *flow, position)?;
        flow.push(b'}');
    }
    Ok(())
}

/// The records that follow the flows.
fn conclusions(run: &Run, mut table: StepTable<'_>, out: &mut dyn Write) -> io::Result<()> {
    for marker in &run.markers {
        line(out, &MarkerRecord::new(marker))?;
    }
    if !run.steps.is_empty() {
        table.findings(run);
        for row in table.rows() {
            line(out, &StepRecord::new(row))?;
        }
    }
    for listener in &run.listeners {
        line(out, &ListenerRecord::new(listener))?;
    }
    for finding in &run.assessment.findings {
        line(out, &FindingRecord::new(finding, run))?;
    }
    for suppressed in &run.assessment.suppressed {
        line(out, &FindingRecord::suppressed(suppressed, run))?;
    }
    for verdict in &run.assessment.verdicts {
        line(out, &VerdictRecord::new(verdict))?;
    }
    line(out, &SummaryRecord::new(run))
}

fn temporary_file(folder: &Path) -> io::Result<File> {
    tempfile::tempfile_in(folder).map_err(|source| {
        let text = format!("temporary file in {} (TMPDIR names another folder): {source}", folder.display());
        io::Error::new(source.kind(), text)
    })
}

fn rewound(spool: BufWriter<File>) -> io::Result<BufReader<File>> {
    let mut file = spool.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(BufReader::with_capacity(BLOCK, file))
}

fn line(out: &mut (impl Write + ?Sized), record: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    out.write_all(b"\n")
}

fn list(out: &mut dyn Write, records: impl Iterator<Item = impl Serialize>) -> io::Result<()> {
    out.write_all(b"[")?;
    for (place, record) in records.enumerate() {
        out.write_all(if place == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &record)?;
    }
    out.write_all(b"]")
}

/// Serializes a value as it is displayed.
fn shown<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
