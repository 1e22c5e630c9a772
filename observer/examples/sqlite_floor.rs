//! The floor under the store: the rows of a finished database, inserted again from memory.
//!
//! `sqlite_floor FROM TO` makes the database TO with FROM's tables and settings and inserts FROM's rows with prepared
//! statements, 10,000 to a transaction, as `observer::store` does; `sqlite_floor FROM` reads the rows and stops there.
//! The difference is what SQLite alone takes for these rows. `cargo xtask bench` measures it.

use std::error::Error;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

/// Rows that are written in one transaction.
const BATCH: usize = 10_000;

/// A table with its rows.
struct Table {
    name: String,
    sql: String,
    columns: usize,
    values: Vec<Value>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let from = words.next().ok_or("usage: sqlite_floor FROM [TO]")?;
    let from = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let tables = read(&from)?;
    match words.next() {
        Some(to) => write(&from, &tables, Path::new(&to)),
        None => Ok(()),
    }
}

fn read(from: &Connection) -> Result<Vec<Table>, Box<dyn Error>> {
    let mut schema = from.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
    )?;
    let named = schema.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut tables = Vec::new();
    for named in named {
        let (name, sql) = named?;
        let mut all = from.prepare(&format!("SELECT * FROM {name}"))?;
        let columns = all.column_count();
        let mut rows = all.query(())?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                values.push(row.get(column)?);
            }
        }
        tables.push(Table { name, sql, columns, values });
    }
    Ok(tables)
}

fn write(from: &Connection, tables: &[Table], to: &Path) -> Result<(), Box<dyn Error>> {
    let to = Connection::open(to)?;
    let page: i64 = from.pragma_query_value(None, "page_size", |row| row.get(0))?;
    to.pragma_update(None, "page_size", page)?;
    to.pragma_update(None, "journal_mode", "WAL")?;
    to.pragma_update(None, "synchronous", "NORMAL")?;
    to.pragma_update(None, "wal_autocheckpoint", 1024)?;
    to.pragma_update(None, "cache_size", -4096)?;
    to.pragma_update(None, "foreign_keys", false)?;
    let mut indexes =
        from.prepare("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")?;
    let indexes = indexes.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    for sql in tables.iter().map(|table| &table.sql).chain(&indexes) {
        to.execute_batch(sql)?;
    }
    for Table { name, columns, values, .. } in tables {
        let places = vec!["?"; *columns].join(", ");
        let mut insert = to.prepare(&format!("INSERT INTO {name} VALUES ({places})"))?;
        for batch in values.chunks(columns * BATCH) {
            to.execute_batch("BEGIN IMMEDIATE")?;
            for row in batch.chunks(*columns) {
                for (place, value) in (1..).zip(row) {
                    insert.raw_bind_parameter(place, value)?;
                }
                insert.raw_execute()?;
            }
            to.execute_batch("COMMIT")?;
        }
    }
    to.close().map_err(|(_connection, error)| error)?;
    Ok(())
}
