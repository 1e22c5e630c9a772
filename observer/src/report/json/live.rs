//! Records while the capture goes on.
//!
//! A flow's line says in which step of the test it began, as far as the markers say that have come by then: the merge hands
//! a flow on a second after it ended. A marker that comes later, as a log line over a slow link, changes what lines said:
//! each of those is corrected by a line of its own at the end. Lines too long ago for that are counted.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write};

use serde::Serialize;

use super::flow::FlowRecord;
use super::run::MetaRecord;
use super::{append, conclusions, line};
use crate::attribution::Method;
use crate::observation::{Flow, FlowSink, SinkError};
use crate::report::Run;
use crate::report::secrets::Secrets;
use crate::report::step_table::StepTable;
use crate::report::steps::{Position, Steps};
use crate::source::Marker;
use crate::time::{Tick, Timestamp};

/// Lines that can still be corrected, the last ones. With 32 bytes each it is 2 MiB.
const REMEMBERED: usize = 64 << 10;

/// The records of a running capture, as it goes: `meta` says what is known at the start, flows follow as they end.
pub struct LiveLog<W> {
    out: W,
    secrets: Secrets,
    markers: Vec<Marker>,
    steps: Steps,
    /// Markers came that `steps` does not have.
    is_stale: bool,
    /// `steps` was made since the last pause. It goes through all markers: once for each round of flows is enough.
    is_made: bool,
    written: VecDeque<Written>,
    /// The latest beginning of a flow whose line is forgotten.
    forgotten: Option<Timestamp>,
}

/// A line that was written.
struct Written {
    flow: u64,
    start: Timestamp,
    end: Timestamp,
    /// Of what it said of the step; 0 where it said nothing.
    digest: u32,
}

/// What a flow's line ought to have said.
#[derive(Serialize)]
struct Correction<'a> {
    r#type: &'static str,
    flow: u64,
    step: &'a Position<'a>,
}

impl<W: Write> LiveLog<W> {
    /// Writes the first record. `run` has the inputs, without their numbers, and `methods` are those that look for owners.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(run: &Run, methods: &BTreeSet<Method>, secrets: Secrets, mut out: W) -> io::Result<Self> {
        line(&mut out, &MetaRecord::new(run, methods))?;
        out.flush()?;
        Ok(Self {
            out,
            secrets,
            markers: Vec::new(),
            steps: Steps::default(),
            is_stale: false,
            is_made: false,
            written: VecDeque::new(),
            forgotten: None,
        })
    }

    /// Writes what is known only at the end.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self, run: &Run) -> io::Result<()> {
        for written in &self.written {
            let Some(position) = run.steps.position(written.start, written.end) else { continue };
            if digest(&position)? != written.digest {
                let correction = Correction { r#type: "flow_step", flow: written.flow, step: &position };
                line(&mut self.out, &correction)?;
            }
        }
        // How many flows began in each step is not known of those that are forgotten.
        let mut table = StepTable::new(&run.steps);
        match self.forgotten {
            None => {
                let times = self.written.iter().map(|written| (written.start, written.end));
                let positions = times.filter_map(|(start, end)| run.steps.position(start, end));
                positions.for_each(|position| table.flow(&position));
            }
            Some(_) => table.forget_flows(),
        }
        conclusions(run, table, &mut self.out)?;
        self.out.flush()
    }

    fn remember(&mut self, written: Written) {
        if self.written.len() >= REMEMBERED {
            let oldest = self.written.pop_front().map(|oldest| oldest.start);
            self.forgotten = self.forgotten.max(oldest);
        }
        self.written.push_back(written);
    }
}

impl<W: Write> FlowSink for LiveLog<W> {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        if self.is_stale && !self.is_made {
            self.steps = Steps::new(&self.markers);
            (self.is_stale, self.is_made) = (false, true);
        }
        let (start, end) = (flow.flow.info.start, flow.flow.end);
        let mut record = serde_json::to_vec(&FlowRecord::new(flow, self.secrets))?;
        let mut said = 0;
        if let Some(position) = self.steps.position(start, end) {
            said = digest(&position)?;
            append(&mut record, &position)?;
        }
        record.push(b'\n');
        self.out.write_all(&record)?;
        self.remember(Written { flow: flow.id, start, end, digest: said });
        Ok(())
    }

    fn marker(&mut self, marker: &Marker) -> Result<(), SinkError> {
        self.markers.push(marker.clone());
        self.is_stale = true;
        Ok(())
    }

    fn pause(&mut self, _until: Tick) -> Result<(), SinkError> {
        self.is_made = false;
        self.out.flush().map_err(Into::into)
    }
}

/// What tells two records apart; never 0.
fn digest(position: &Position<'_>) -> io::Result<u32> {
    Ok(crc32fast::hash(&serde_json::to_vec(position)?) | 1)
}
