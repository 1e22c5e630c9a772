//! JSON Lines: see the schema `observer/1`.

use std::io::{self, Write};

use serde_json::json;

use super::Run;
use crate::observation::{Flow, FlowSink, SinkError};

/// Keeps each flow's line until the run is over: the `meta` line, which comes first, is complete only then.
pub struct FlowLog {
    spool: io::BufWriter<std::fs::File>,
}

impl FlowLog {
    /// An empty log in an anonymous temporary file.
    ///
    /// # Errors
    /// When there is no room for one.
    pub fn new() -> io::Result<Self> {
        Ok(Self { spool: io::BufWriter::new(tempfile::tempfile()?) })
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
        let tuple = &flow.flow.info.five_tuple;
        let line = json!({
            "type": "flow",
            "id": flow.id,
            "frames": {"first": flow.flow.info.first_frame, "last": flow.flow.last_frame},
            "source": {"ip": tuple.source.ip, "port": tuple.source.port},
            "destination": {"ip": tuple.destination.ip, "port": tuple.destination.port},
        });
        writeln!(self.spool, "{line}")?;
        Ok(())
    }
}
