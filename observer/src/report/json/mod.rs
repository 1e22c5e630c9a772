//! JSON Lines and JSON: the records of the schema `observer/1`.
//!
//! The flows come between `meta`, which is complete only when everything has been read, and the findings. So each
//! flow's line waits in an anonymous temporary file: memory does not grow with the capture. An absent fact is an
//! absent key. The run's wall time is left out unless the run carries it: the same input gives the same bytes.

mod flow;
mod http;
mod quic;
mod run;
mod tls;

use std::collections::BTreeSet;
use std::env;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write};
use std::path::Path;

use serde::{Serialize, Serializer};

use self::flow::FlowRecord;
use self::run::{FindingRecord, ListenerRecord, MarkerRecord, MetaRecord, SummaryRecord, VerdictRecord};
use super::Run;
use super::secrets::Secrets;
use crate::attribution::Method;
use crate::observation::{Flow, FlowSink, SinkError};
use crate::time::Tick;

pub(crate) use self::http::{answers, full_url, headers};
pub(crate) use self::quic::{CloseRecord, ContinuesRecord};
pub(crate) use self::tls::{
    List, alerts, certificate_confidence, certificate_evidence, curve, offered_versions, original,
    outer_server_name, server_name, version_protocol,
};

/// Bytes of the spool that are copied at once.
const BLOCK: usize = 1 << 18;

/// Keeps each flow's line until the run is over.
pub struct FlowLog {
    spool: BufWriter<File>,
    secrets: Secrets,
    methods: BTreeSet<Method>,
}

impl FlowLog {
    /// An empty log in an anonymous temporary file.
    ///
    /// # Errors
    /// When there is no room for one, or no folder for temporary files: Android has none unless `TMPDIR` names one.
    pub fn new(secrets: Secrets) -> io::Result<Self> {
        let spool = BufWriter::with_capacity(BLOCK, temporary_file(&env::temp_dir())?);
        Ok(Self { spool, secrets, methods: BTreeSet::new() })
    }

    /// Writes the whole run, a record a line.
    ///
    /// # Errors
    /// Those of `out` and of the temporary file.
    pub fn render_lines(self, run: &Run, out: &mut dyn Write) -> io::Result<()> {
        let mut spool = rewound(self.spool)?;
        line(out, &MetaRecord::new(run, &self.methods))?;
        io::copy(&mut spool, out)?;
        conclusions(run, out)
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
        for (place, flow) in spool.split(b'\n').enumerate() {
            out.write_all(if place == 0 { b"\n" } else { b",\n" })?;
            out.write_all(&flow?)?;
        }
        out.write_all(b"]")?;
        if !run.markers.is_empty() {
            out.write_all(b",\n\"markers\":")?;
            list(out, run.markers.iter().map(MarkerRecord::new))?;
        }
        if !run.listeners.is_empty() {
            out.write_all(b",\n\"listeners\":")?;
            list(out, run.listeners.iter().map(ListenerRecord::new))?;
        }
        out.write_all(b",\n\"findings\":")?;
        list(out, run.assessment.findings.iter().map(FindingRecord::new))?;
        out.write_all(b",\n\"suppressed\":")?;
        list(out, run.assessment.suppressed.iter().map(FindingRecord::suppressed))?;
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
        line(&mut self.spool, &FlowRecord::new(flow, self.secrets))
            .map_err(|source| io::Error::new(source.kind(), format!("temporary file: {source}")).into())
    }
}

/// The records of a running capture, as it goes: `meta` says what is known at the start, flows follow as they end.
pub struct LiveLog<W> {
    out: W,
    secrets: Secrets,
}

impl<W: Write> LiveLog<W> {
    /// Writes the first record. `run` has the inputs, without their numbers, and `methods` are those that look for owners.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(run: &Run, methods: &BTreeSet<Method>, secrets: Secrets, mut out: W) -> io::Result<Self> {
        line(&mut out, &MetaRecord::new(run, methods))?;
        out.flush()?;
        Ok(Self { out, secrets })
    }

    /// Writes what is known only at the end.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self, run: &Run) -> io::Result<()> {
        conclusions(run, &mut self.out)?;
        self.out.flush()
    }
}

impl<W: Write> FlowSink for LiveLog<W> {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        line(&mut self.out, &FlowRecord::new(flow, self.secrets)).map_err(Into::into)
    }

    fn pause(&mut self, _until: Tick) -> Result<(), SinkError> {
        self.out.flush().map_err(Into::into)
    }
}

/// The records that follow the flows.
fn conclusions(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    for marker in &run.markers {
        line(out, &MarkerRecord::new(marker))?;
    }
    for listener in &run.listeners {
        line(out, &ListenerRecord::new(listener))?;
    }
    for finding in &run.assessment.findings {
        line(out, &FindingRecord::new(finding))?;
    }
    for suppressed in &run.assessment.suppressed {
        line(out, &FindingRecord::suppressed(suppressed))?;
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
