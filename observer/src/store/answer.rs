//! Answers to questions, in the form that is asked for.

use std::io::Write;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use data_encoding::HEXLOWER;
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Database, QueryError};
use crate::report::plain::plain;

/// Columns of a terminal that a table's column needs to be read. With less, each row is written as a list.
const READABLE: usize = 10;

/// Rows that a table shows; the other forms have no limit.
const TABLE_ROWS: u64 = 10_000;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 4180, with a header.
    Csv,
    /// An array of objects.
    Json,
    /// An object a line.
    Jsonl,
    /// Columns for people, on a terminal as wide as that.
    Table,
}

/// Runs a question and writes its answer; returns the rows written and whether there are more than a table shows.
///
/// Rows are written as they come, except for a table, whose columns are as wide as their widest cell. With `terminal`,
/// CSV has escapes for what a terminal obeys; tables always have, and JSON by its nature.
///
/// # Errors
/// When the question fails while it runs, or `out` does.
pub fn write_answer(
    database: &Database,
    mut statement: Statement<'_>,
    form: Form,
    terminal: bool,
    out: &mut dyn Write,
) -> Result<(u64, bool), QueryError> {
    let names = column_names(&statement);
    let mut writer = Writer::new(form, &names, terminal, out)?;
    let mut count = 0_u64;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(|error| database.error(error))? {
        if form == Form::Table && count == TABLE_ROWS {
            writer.end()?;
            return Ok((count, true));
        }
        writer.row(&names, row, count == 0).map_err(|error| match error {
            RowError::Sqlite(error) => database.error(error),
            RowError::Output(error) => QueryError::Output(error),
        })?;
        count = count.saturating_add(1);
    }
    writer.end()?;
    Ok((count, false))
}

enum RowError {
    Sqlite(rusqlite::Error),
    Output(std::io::Error),
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<std::io::Error> for RowError {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<serde_json::Error> for RowError {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}

impl From<csv::Error> for RowError {
    fn from(error: csv::Error) -> Self {
        Self::Output(error.into())
    }
}

/// The columns' names, each once: a second `id` is `id_2`.
fn column_names(statement: &Statement<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in statement.column_names() {
        let mut unique = name.to_owned();
        let mut count = 1_u32;
        while names.contains(&unique) {
            count = count.saturating_add(1);
            unique = format!("{name}_{count}");
        }
        names.push(unique);
    }
    names
}

enum Writer<'a> {
    Csv { out: csv::Writer<&'a mut dyn Write>, terminal: bool },
    Json(&'a mut dyn Write),
    Jsonl(&'a mut dyn Write),
    Table { out: &'a mut dyn Write, table: Table },
}

impl<'a> Writer<'a> {
    fn new(form: Form, names: &[String], terminal: bool, out: &'a mut dyn Write) -> Result<Self, QueryError> {
        Ok(match form {
            Form::Csv => {
                let mut out = csv::Writer::from_writer(out);
                out.write_record(names).map_err(std::io::Error::from)?;
                Self::Csv { out, terminal }
            }
            Form::Json => {
                out.write_all(b"[")?;
                Self::Json(out)
            }
            Form::Jsonl => Self::Jsonl(out),
            Form::Table => {
                let mut table = Table::new();
                table.load_preset(presets::NOTHING);
                if terminal {
                    table.set_content_arrangement(ContentArrangement::Dynamic);
                }
                table.set_header(names.iter().map(|name| plain(name).to_uppercase()));
                Self::Table { out, table }
            }
        })
    }

    fn row(&mut self, names: &[String], row: &Row<'_>, first: bool) -> Result<(), RowError> {
        match self {
            Self::Csv { out, terminal } => {
                for place in 0..names.len() {
                    let text = text(row.get_ref(place)?);
                    if *terminal {
                        out.write_field(plain(&text).as_bytes())?;
                    } else {
                        out.write_field(&text)?;
                    }
                }
                out.write_record(None::<&[u8]>)?;
            }
            Self::Json(out) => {
                out.write_all(if first { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *out, &object(names, row)?)?;
            }
            Self::Jsonl(out) => {
                serde_json::to_writer(&mut *out, &object(names, row)?)?;
                out.write_all(b"\n")?;
            }
            Self::Table { table, .. } => {
                let mut cells = Vec::with_capacity(names.len());
                for place in 0..names.len() {
                    let value = row.get_ref(place)?;
                    let number = matches!(value, ValueRef::Integer(_) | ValueRef::Real(_));
                    let alignment = if number { CellAlignment::Right } else { CellAlignment::Left };
                    cells.push(Cell::new(plain(&text(value))).set_alignment(alignment));
                }
                table.add_row(cells);
            }
        }
        Ok(())
    }

    fn end(self) -> Result<(), QueryError> {
        match self {
            Self::Csv { mut out, .. } => out.flush()?,
            Self::Json(out) => out.write_all(b"]\n")?,
            Self::Jsonl(_) => {}
            Self::Table { out, table } if is_cramped(&table) => {
                let names: Vec<_> = table.header().into_iter().flat_map(|row| row.cell_iter()).collect();
                let width = names.iter().map(|name| name.content().chars().count()).max().unwrap_or(0);
                for (number, row) in table.row_iter().enumerate() {
                    writeln!(out, "{}row {}", if number == 0 { "" } else { "\n" }, number.saturating_add(1))?;
                    for (name, cell) in names.iter().zip(row.cell_iter()) {
                        let line = format!("  {:width$}  {}", name.content(), cell.content());
                        writeln!(out, "{}", line.trim_end())?;
                    }
                }
            }
            Self::Table { out, table } => {
                for line in table.lines() {
                    writeln!(out, "{}", line.trim_end())?;
                }
            }
        }
        Ok(())
    }
}

/// Whether the terminal is too narrow for the table.
fn is_cramped(table: &Table) -> bool {
    let columns = table.header().map_or(0, comfy_table::Row::cell_count);
    let needed = columns.saturating_mul(READABLE);
    matches!(table.content_arrangement(), ContentArrangement::Dynamic)
        && table.width().is_some_and(|width| usize::from(width) < needed)
}

/// A value as text: NULL is empty, a blob is in hex.
fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => HEXLOWER.encode(bytes),
    }
}

/// A row as an object, in the columns' order.
struct Object<'a> {
    names: &'a [String],
    values: Vec<Value>,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names.iter().zip(&self.values))
    }
}

fn object<'a>(names: &'a [String], row: &Row<'_>) -> rusqlite::Result<Object<'a>> {
    let mut values = Vec::with_capacity(names.len());
    for place in 0..names.len() {
        values.push(match row.get_ref(place)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            other => Value::String(text(other)),
        });
    }
    Ok(Object { names, values })
}
