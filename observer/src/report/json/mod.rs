//! JSON Lines: see the schema `observer/1`.

mod flow;
mod http;
mod tls;

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serializer;
use serde_json::json;

use self::flow::FlowRecord;
use super::Run;
use super::secrets::Secrets;
use crate::observation::{Flow, FlowSink, SinkError};

/// Keeps each flow's line until the run is over: the `meta` line, which comes first, is complete only then.
pub struct FlowLog {
    spool: io::BufWriter<std::fs::File>,
    secrets: Secrets,
}

impl FlowLog {
    /// An empty log in an anonymous temporary file.
    ///
    /// # Errors
    /// When there is no room for one.
    pub fn new(secrets: Secrets) -> io::Result<Self> {
        Ok(Self { spool: io::BufWriter::new(tempfile::tempfile()?), secrets })
    }

    /// Writes the whole run.
    ///
    /// # Errors
    /// Those of `out` and of the temporary file.
    pub fn render(self, run: &Run, out: &mut dyn Write) -> io::Result<()> {
        use io::Seek as _;
        let mut file = self.spool.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        writeln!(out, "{}", json!({"type": "meta", "schema": "observer/1", "inputs": run.inputs}))?;
        io::copy(&mut file, out)?;
        writeln!(
            out,
            "{}",
            json!({"type": "summary", "frames": run.totals.frames, "flows": run.totals.flows})
        )
    }
}

impl FlowSink for FlowLog {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        serde_json::to_writer(&mut self.spool, &FlowRecord::new(flow, self.secrets))?;
        self.spool.write_all(b"\n")?;
        Ok(())
    }
}

/// Serializes a value as it is displayed.
fn shown<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
