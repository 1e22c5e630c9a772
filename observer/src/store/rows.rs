//! Rows on their way to the database: encoded by the thread that has the flows, bound by the one that writes.
//!
//! All rows of a batch share two buffers, which are used again for the next batch.

use std::fmt::Display;
use std::io::Write as _;
use std::net::IpAddr;
use std::ops::Range;

use serde::Serialize;

use crate::report::names;

/// What a row is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Flows,
    Tls,
    FlowCertificates,
    Http,
    Dns,
    OwnerObservations,
    Proxies,
    Upgrades,
    Logins,
    Properties,
    Unrecognised,
    Quic,
    Markers,
    ProvisionalFindings,
    Known(Known),
}

/// Things of which a database holds one row each over all runs. Within a run they have numbers, in the order of their
/// rows; ids are found out when the row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Owner,
    Certificate,
    List,
}

/// The value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    /// One of the program's own words.
    Word(&'static str),
    /// A range of the batch's bytes.
    Text(Range<usize>),
    /// The same, not text.
    Blob(Range<usize>),
    /// The id of the run's flow of this number.
    Flow(u64),
    /// The id of what has this number.
    Known(Known, usize),
}

/// What the writer does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Insert a row of the cells up to `end`.
    Row { table: Table, end: usize },
    /// Forget the numbers that were given so far: they begin at 0 again.
    Forget(Known),
}

/// Rows in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Rows {
    steps: Vec<Step>,
    cells: Vec<Cell>,
    bytes: Vec<u8>,
    /// The last flow among them.
    pub(super) last_flow: u64,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Bytes of text.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.cells.clear();
        self.bytes.clear();
    }

    /// The steps, each with the cells of its row.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&Step, &[Cell])> {
        let mut from = 0;
        self.steps.iter().map(move |step| {
            let cells = match step {
                Step::Row { end, .. } => self.cells.get(from..*end).unwrap_or_default(),
                Step::Forget(_) => &[],
            };
            from += cells.len();
            (step, cells)
        })
    }

    /// The bytes of a cell.
    pub(super) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// Ends a row: the cells since the last one are its columns.
    pub(super) fn end(&mut self, table: Table) {
        self.steps.push(Step::Row { table, end: self.cells.len() });
    }

    pub(super) fn forget(&mut self, known: Known) {
        self.steps.push(Step::Forget(known));
    }

    pub(super) fn cell(&mut self, cell: Cell) -> &mut Self {
        self.cells.push(cell);
        self
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.cell(Cell::Null)
    }

    /// SQLite's integers are signed; what does not fit is cut to the largest.
    pub(super) fn int(&mut self, value: impl Into<Option<u64>>) -> &mut Self {
        self.signed(value.into().map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
    }

    pub(super) fn signed(&mut self, value: impl Into<Option<i64>>) -> &mut Self {
        self.cell(value.into().map_or(Cell::Null, Cell::Integer))
    }

    pub(super) fn real(&mut self, value: f64) -> &mut Self {
        self.cell(Cell::Real(value))
    }

    pub(super) fn flag(&mut self, value: impl Into<Option<bool>>) -> &mut Self {
        self.signed(value.into().map(i64::from))
    }

    pub(super) fn word(&mut self, value: impl Into<Option<&'static str>>) -> &mut Self {
        self.cell(value.into().map_or(Cell::Null, Cell::Word))
    }

    pub(super) fn text<'a>(&mut self, value: impl Into<Option<&'a str>>) -> &mut Self {
        match value.into() {
            Some(text) => self.written(|bytes| bytes.extend_from_slice(text.as_bytes())),
            None => self.null(),
        }
    }

    pub(super) fn blob(&mut self, value: &[u8]) -> &mut Self {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.cell(Cell::Blob(from..self.bytes.len()))
    }

    /// A text as it prints.
    pub(super) fn shown(&mut self, value: Option<impl Display>) -> &mut Self {
        match value {
            // Writing to memory does not fail.
            Some(value) => self.written(|bytes| drop(write!(bytes, "{value}"))),
            None => self.null(),
        }
    }

    pub(super) fn address(&mut self, address: IpAddr) -> &mut Self {
        self.written(|bytes| names::push_address(bytes, address))
    }

    pub(super) fn json(&mut self, value: Option<impl Serialize>) -> serde_json::Result<&mut Self> {
        let Some(value) = value else { return Ok(self.null()) };
        let from = self.bytes.len();
        serde_json::to_writer(&mut self.bytes, &value)?;
        Ok(self.cell(Cell::Text(from..self.bytes.len())))
    }

    /// A text that `write` appends.
    pub(super) fn written(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let from = self.bytes.len();
        write(&mut self.bytes);
        self.cell(Cell::Text(from..self.bytes.len()))
    }

    /// Drops the cells of a row that was begun and cannot be ended.
    pub(super) fn drop_begun(&mut self) {
        let ended = self.steps.iter().rev().find_map(|step| match step {
            Step::Row { end, .. } => Some(*end),
            Step::Forget(_) => None,
        });
        self.cells.truncate(ended.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_as_they_went_in() {
        let mut rows = Rows::default();
        rows.text("a").int(7).end(Table::Dns);
        rows.word("b").null();
        rows.drop_begun();
        rows.forget(Known::List);
        rows.address([192, 0, 2, 255].into()).flag(true).blob(&[0, 1]).end(Table::Http);
        let steps: Vec<_> = rows.steps().collect();
        let [(_, first), (Step::Forget(Known::List), []), (_, second)] = steps.as_slice() else {
            panic!("{steps:?}")
        };
        let [Cell::Text(text), Cell::Integer(7)] = first else { panic!("{first:?}") };
        assert_eq!(rows.bytes(text), b"a");
        let [Cell::Text(text), Cell::Integer(1), Cell::Blob(blob)] = second else { panic!("{second:?}") };
        assert_eq!((rows.bytes(text), rows.bytes(blob)), (&b"192.0.2.255"[..], &[0, 1][..]));
        rows.clear();
        assert_eq!((rows.len(), rows.size(), rows.steps().count()), (0, 0, 0));
    }
}
