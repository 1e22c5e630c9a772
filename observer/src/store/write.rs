//! Rows to SQLite: ids, prepared statements, transactions.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql};

use super::rows::{Cell, Known, Rows, Step, Table};

/// Rows that are written in one transaction.
const BATCH: usize = 10_000;

/// What is known of the ids of one run's rows.
pub(super) struct Ids {
    run: i64,
    /// From which of the run's flows on which difference leads from its number to its id: one entry, unless another
    /// process wrote flows between two batches.
    offsets: Vec<(u64, i64)>,
    /// The id of the flow that was written last.
    last: i64,
    /// Flows written.
    flows: u64,
    owners: Vec<i64>,
    certificates: Vec<i64>,
    lists: Vec<i64>,
}

impl Ids {
    pub(super) fn new(run: i64) -> Self {
        let (owners, certificates, lists) = Default::default();
        Self { run, offsets: Vec::new(), last: -1, flows: 0, owners, certificates, lists }
    }

    /// The id of the run.
    pub(super) fn run(&self) -> i64 {
        self.run
    }

    /// The id of the run's flow `number`.
    pub(super) fn flow(&self, number: u64) -> i64 {
        let offset =
            self.offsets.iter().rev().find(|(from, _)| *from <= number).map_or(0, |(_, offset)| *offset);
        i64::try_from(number).unwrap_or(i64::MAX).saturating_add(offset)
    }

    /// The id of an owner, certificate or list that has been written.
    pub(super) fn known(&self, known: Known, number: usize) -> Option<i64> {
        let ids = match known {
            Known::Owner => &self.owners,
            Known::Certificate => &self.certificates,
            Known::List => &self.lists,
        };
        ids.get(number).copied()
    }

    fn known_mut(&mut self, known: Known) -> &mut Vec<i64> {
        match known {
            Known::Owner => &mut self.owners,
            Known::Certificate => &mut self.certificates,
            Known::List => &mut self.lists,
        }
    }
}

/// Writes rows through one connection.
pub(super) struct Writer<'a> {
    connection: &'a Connection,
    ids: &'a mut Ids,
    flows: Insert<'a>,
    tls: Insert<'a>,
    flow_certificates: Insert<'a>,
    http: Insert<'a>,
    dns: Insert<'a>,
    owner_observations: Insert<'a>,
    proxies: Insert<'a>,
    upgrades: Insert<'a>,
    logins: Insert<'a>,
    properties: Insert<'a>,
    unrecognised: Insert<'a>,
    quic: Insert<'a>,
    markers: Insert<'a>,
    provisional_findings: Insert<'a>,
    owners: Find<'a>,
    certificates: Find<'a>,
    lists: Find<'a>,
    progress: Statement<'a>,
    /// Rows of the open transaction.
    batch: Option<usize>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(connection: &'a Connection, ids: &'a mut Ids) -> rusqlite::Result<Self> {
        Ok(Self {
            flows: Insert::new(connection, "flows_v1", 28)?,
            tls: Insert::new(connection, "tls_v1", 35)?,
            flow_certificates: Insert::new(connection, "flow_certificates_v1", 4)?,
            http: Insert::new(connection, "http_v1", 12)?,
            dns: Insert::new(connection, "dns_v1", 7)?,
            owner_observations: Insert::new(connection, "owner_observations_v1", 7)?,
            proxies: Insert::new(connection, "proxies_v1", 5)?,
            upgrades: Insert::new(connection, "upgrades_v1", 5)?,
            logins: Insert::new(connection, "logins_v1", 6)?,
            properties: Insert::new(connection, "properties_v1", 6)?,
            quic: Insert::new(connection, "quic_v1", 11)?,
            markers: Insert::new(connection, "markers_v1", 6)?,
            unrecognised: Insert::new(connection, "unrecognised_v1", 9)?,
            provisional_findings: Insert::replacing(connection, "provisional_findings_v1", 16)?,
            owners: Find::new(connection, "owners_v1", 11, ("fields", 10))?,
            certificates: Find::new(connection, "certificates_v1", 15, ("hash_sha256", 0))?,
            lists: Find::new(connection, "lists_v1", 1, ("text", 0))?,
            progress: connection.prepare("UPDATE runs_v1 SET flows = ? WHERE id = ?")?,
            batch: None,
            connection,
            ids,
        })
    }

    pub(super) fn ids(&self) -> &Ids {
        self.ids
    }

    /// Writes rows, and commits when there are enough.
    pub(super) fn write(&mut self, rows: &Rows) -> rusqlite::Result<()> {
        self.begin()?;
        for (step, cells) in rows.steps() {
            match step {
                Step::Row { table, .. } => self.row(*table, cells, rows)?,
                Step::Forget(known) => self.ids.known_mut(*known).clear(),
            }
        }
        if rows.last_flow > self.ids.flows {
            self.ids.flows = rows.last_flow;
            self.ids.last = self.ids.flow(rows.last_flow);
        }
        let written = self.batch.unwrap_or(0).saturating_add(rows.len());
        self.batch = Some(written);
        if written >= BATCH { self.commit() } else { Ok(()) }
    }

    /// Begins a transaction unless one is open, and finds out, with the write lock held, which ids are free.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        if self.batch.is_some() {
            return Ok(());
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.batch = Some(0);
        let last: i64 =
            self.connection.query_row("SELECT coalesce(max(id), 0) FROM flows_v1", (), |row| row.get(0))?;
        if last != self.ids.last {
            let next = self.ids.flows.saturating_add(1);
            let flows = i64::try_from(self.ids.flows).unwrap_or(i64::MAX);
            self.ids.offsets.push((next, last.saturating_sub(flows)));
            self.ids.last = last;
        }
        Ok(())
    }

    /// Ends the open transaction, if any. It says how far the run is, for those who read meanwhile or after a kill.
    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        if self.batch.take().is_none() {
            return Ok(());
        }
        let flows = i64::try_from(self.ids.flows).unwrap_or(i64::MAX);
        self.progress.execute((flows, self.ids.run))?;
        self.connection.execute_batch("COMMIT")
    }

    fn row(&mut self, table: Table, cells: &[Cell], rows: &Rows) -> rusqlite::Result<()> {
        let insert = match table {
            Table::Flows => &mut self.flows,
            Table::Tls => &mut self.tls,
            Table::FlowCertificates => &mut self.flow_certificates,
            Table::Http => &mut self.http,
            Table::Dns => &mut self.dns,
            Table::OwnerObservations => &mut self.owner_observations,
            Table::Proxies => &mut self.proxies,
            Table::Upgrades => &mut self.upgrades,
            Table::Logins => &mut self.logins,
            Table::Properties => &mut self.properties,
            Table::Unrecognised => &mut self.unrecognised,
            Table::Quic => &mut self.quic,
            Table::Markers => &mut self.markers,
            Table::ProvisionalFindings => &mut self.provisional_findings,
            Table::Known(known) => {
                let find = match known {
                    Known::Owner => &mut self.owners,
                    Known::Certificate => &mut self.certificates,
                    Known::List => &mut self.lists,
                };
                let id = find.id(cells, rows, self.ids)?;
                self.ids.known_mut(known).push(id);
                return Ok(());
            }
        };
        insert.row(cells, rows, self.ids)
    }
}

/// A prepared insertion. SQLite keeps what was bound from row to row, so that only what differs is bound again.
struct Insert<'a> {
    statement: Statement<'a>,
    bound: Vec<Option<Cell>>,
}

impl<'a> Insert<'a> {
    fn new(connection: &'a Connection, table: &str, columns: usize) -> rusqlite::Result<Self> {
        Self::prepare(connection, "INSERT", table, columns)
    }

    /// One that takes the place of a row which has the same key.
    fn replacing(connection: &'a Connection, table: &str, columns: usize) -> rusqlite::Result<Self> {
        Self::prepare(connection, "REPLACE", table, columns)
    }

    fn prepare(
        connection: &'a Connection,
        verb: &str,
        table: &str,
        columns: usize,
    ) -> rusqlite::Result<Self> {
        let places = vec!["?"; columns].join(", ");
        let statement = connection.prepare(&format!("{verb} INTO {table} VALUES ({places})"))?;
        Ok(Self { statement, bound: vec![None; columns] })
    }

    fn row(&mut self, cells: &[Cell], rows: &Rows, ids: &Ids) -> rusqlite::Result<()> {
        for (place, (cell, bound)) in (1..).zip(cells.iter().zip(&mut self.bound)) {
            let value = match cell {
                Cell::Null => ValueRef::Null,
                Cell::Integer(value) => ValueRef::Integer(*value),
                Cell::Real(value) => ValueRef::Real(*value),
                Cell::Word(word) => ValueRef::Text(word.as_bytes()),
                Cell::Text(range) => ValueRef::Text(rows.bytes(range)),
                Cell::Blob(range) => ValueRef::Blob(rows.bytes(range)),
                Cell::Flow(number) => ValueRef::Integer(ids.flow(*number)),
                Cell::Known(known, number) => {
                    ids.known(*known, *number).map_or(ValueRef::Null, ValueRef::Integer)
                }
            };
            let lasting = matches!(cell, Cell::Null | Cell::Integer(_) | Cell::Real(_) | Cell::Word(_));
            if !lasting {
                *bound = None;
            } else if bound.as_ref() == Some(cell) {
                continue;
            } else {
                *bound = Some(cell.clone());
            }
            self.statement.raw_bind_parameter(place, Bound(value))?;
        }
        self.statement.raw_execute()?;
        Ok(())
    }
}

/// Finds the id of a row that a database holds once, and inserts it if it is new.
struct Find<'a> {
    insert: Insert<'a>,
    select: Statement<'a>,
    /// The cell by which the row is known.
    key: usize,
}

impl<'a> Find<'a> {
    fn new(
        connection: &'a Connection,
        table: &str,
        columns: usize,
        (column, key): (&str, usize),
    ) -> rusqlite::Result<Self> {
        let places = vec!["?"; columns].join(", ");
        let sql = format!("INSERT OR IGNORE INTO {table} VALUES (NULL, {places})");
        let insert = Insert { statement: connection.prepare(&sql)?, bound: vec![None; columns] };
        let select = connection.prepare(&format!("SELECT id FROM {table} WHERE {column} = ?"))?;
        Ok(Self { insert, select, key })
    }

    fn id(&mut self, cells: &[Cell], rows: &Rows, ids: &Ids) -> rusqlite::Result<i64> {
        self.insert.row(cells, rows, ids)?;
        let key = match cells.get(self.key) {
            Some(Cell::Text(range)) => ValueRef::Text(rows.bytes(range)),
            _ => ValueRef::Null,
        };
        self.select.query_row([Bound(key)], |row| row.get(0))
    }
}

/// A value that is bound as it is.
struct Bound<'a>(ValueRef<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}
