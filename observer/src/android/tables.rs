//! The device's socket tables, asked for from outside: nothing is put on the device for it.
//!
//! A shell on the device prints `/proc/net` whenever a line is written to it. A reading takes adb's way there and back, some
//! tens of milliseconds: sockets that come and go in between are missed, and their flows stay unattributed.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use super::adb::{Adb, AdbError, Stream, quote};
use crate::attribution::socket_table::{MAX_ROW, Row, TABLES};
use crate::attribution::{Attributor, AttributorError, Method, Sighting};
use crate::decode::{FiveTuple, Transport};
use crate::source::live::now;

/// What the shell prints behind the last table.
const LAST: &str = "=end";
/// Bytes of one reading: some 50,000 rows.
const MAX_READING: u64 = 8 << 20;
/// Sightings that may wait to be taken.
const QUEUE: usize = 64;
/// How often the tables are read when no flow begins.
const IDLE: Duration = Duration::from_secs(1);
/// How long the first reading may take.
const FIRST: Duration = Duration::from_secs(15);

/// The socket tables of a device.
pub struct DeviceTables {
    ask: SyncSender<()>,
    read: Receiver<Result<Reading, String>>,
    lost: u64,
    /// Keeps the way to the shell open.
    stream: Stream,
}

/// What one reading gave.
#[derive(Debug, Default)]
struct Reading {
    sightings: Vec<Sighting>,
    /// Tables that could be read, empty ones among them.
    tables: u64,
    /// Rows that could not be read, and one for what was beyond the bound.
    lost: u64,
}

impl DeviceTables {
    /// Begins to read the tables of the device `serial`. `as_root` makes a command of the device's shell into one that runs as
    /// root: apps' sockets are shown to nobody else since Android 10.
    ///
    /// # Errors
    /// When the device cannot be reached, or shows no table.
    pub fn open(
        adb: &dyn Adb,
        serial: &str,
        as_root: impl FnOnce(&str) -> String,
    ) -> Result<Self, DeviceTablesError> {
        let mut stream = adb.stream(serial, &as_root(&format!("sh -c {}", quote(&script()))))?;
        let (Some(input), Some(output)) = (stream.take_stdin(), stream.take_stdout()) else {
            return Err(DeviceTablesError::Silent { serial: serial.to_owned(), reason: String::new() });
        };
        let (ask, asked) = sync_channel(1);
        let (to_reader, read) = sync_channel(QUEUE);
        thread::spawn(move || {
            let mut output = BufReader::with_capacity(64 << 10, output);
            let mut input = input;
            loop {
                let reading = reading(&mut input, &mut output);
                let failed = reading.is_err();
                let said = to_reader.send(reading.map_err(|error| error.to_string())).is_err();
                let over = matches!(asked.recv_timeout(IDLE), Err(RecvTimeoutError::Disconnected));
                if failed || said || over {
                    return;
                }
            }
        });
        let mut tables = Self { ask, read, lost: 0, stream };
        match tables.read.recv_timeout(FIRST) {
            Ok(Ok(reading)) if reading.tables > 0 => tables.lost = reading.lost,
            Ok(Ok(_)) => {
                return Err(tables.silent(serial, "the device shows them to root alone"));
            }
            Ok(Err(reason)) => return Err(tables.silent(serial, &reason)),
            Err(_) => return Err(tables.silent(serial, "no answer")),
        }
        Ok(tables)
    }

    fn silent(&self, serial: &str, reason: &str) -> DeviceTablesError {
        let said = self.stream.errors();
        let reason = said.lines().last().filter(|line| !line.trim().is_empty()).unwrap_or(reason).to_owned();
        DeviceTablesError::Silent { serial: serial.to_owned(), reason }
    }
}

/// Why a device's socket tables cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceTablesError {
    /// adb failed.
    #[error(transparent)]
    Adb(#[from] AdbError),
    /// The device shows nothing.
    #[error("the socket tables of {serial} cannot be read: {reason}")]
    Silent {
        /// The device.
        serial: String,
        /// In its words, where it said something.
        reason: String,
    },
}

/// Prints all tables for each line of its input, and ends with it.
fn script() -> String {
    let tables = TABLES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    format!(
        "while read -r line; do for table in {tables}; do echo \"=$table\"; cat /proc/net/$table 2>/dev/null; done; echo {LAST}; done"
    )
}

/// Asks for all tables, and reads them.
fn reading(input: &mut ChildStdin, output: &mut impl BufRead) -> io::Result<Reading> {
    let asked = now();
    input.write_all(b"\n")?;
    input.flush()?;
    let mut rows = Vec::new();
    let mut reading = Reading::default();
    reading.tables = parse(output, &mut |transport, row| rows.push((transport, row)), &mut reading.lost)?;
    let answered = now();
    let sightings = rows.into_iter().filter_map(|(transport, row)| row.sighting(transport, asked, answered));
    reading.sightings = sightings.filter(|sighting| sighting.owner.uid.is_some()).collect();
    Ok(reading)
}

/// Hands the rows up to [`LAST`] to `take`, and counts those that are none; how many tables have a heading.
fn parse(output: &mut impl BufRead, take: &mut dyn FnMut(Transport, Row), lost: &mut u64) -> io::Result<u64> {
    let mut left = MAX_READING;
    let mut tables = 0_u64;
    let mut table = None;
    let mut heading = false;
    let mut line = Vec::with_capacity(256);
    loop {
        line.clear();
        let read = output.by_ref().take(MAX_ROW).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the way to the device is closed"));
        }
        let over = left == 0;
        left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        let text = std::str::from_utf8(&line).unwrap_or_default().trim_end();
        if text == LAST {
            return Ok(tables);
        }
        if let Some(name) = text.strip_prefix('=') {
            table = TABLES.iter().find(|(known, _)| *known == name).map(|(_, transport)| *transport);
            heading = true;
        } else if std::mem::take(&mut heading) {
            // The first line of a table names its columns.
            tables = tables.saturating_add(1);
        } else if let (Some(transport), false) = (table, over) {
            match Row::parse(text, transport) {
                Some(row) => take(transport, row),
                None => *lost = lost.saturating_add(1),
            }
        } else {
            *lost = lost.saturating_add(1);
        }
    }
}

impl Attributor for DeviceTables {
    fn method(&self) -> Method {
        Method::Procfs
    }

    fn poll(&mut self, opened: &[FiveTuple], sightings: &mut Vec<Sighting>) -> Result<(), AttributorError> {
        for reading in self.read.try_iter().take(QUEUE) {
            let reading = reading.map_err(|reason| AttributorError {
                method: Method::Procfs,
                reason: format!("the device's socket tables cannot be read any more: {reason}"),
            })?;
            self.lost = self.lost.saturating_add(reading.lost);
            sightings.extend(reading.sightings);
        }
        if !opened.is_empty() {
            // One question that waits is enough: its answer comes after all flows that began by now.
            if let Err(TrySendError::Disconnected(())) = self.ask.try_send(()) {
                let reason = "the device's socket tables are read no longer".to_owned();
                return Err(AttributorError { method: Method::Procfs, reason });
            }
        }
        Ok(())
    }

    fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Transport>, u64, bool) {
        let (mut found, mut lost) = (Vec::new(), 0);
        let whole = parse(&mut text.as_bytes(), &mut |transport, _| found.push(transport), &mut lost);
        (found, lost, whole.is_ok())
    }

    const ROW: &str =
        "0: 0F02000A:9C40 090200C0:01BB 01 00000000:00000000 02:000003E8 00000000 10123 0 9002 1 0\n";

    #[test]
    fn tables_are_told_apart_and_odd_rows_counted() {
        let text = format!("=tcp6\n=tcp\n sl local\n{ROW}junk\n=udp\n sl local\n{ROW}=end\n{ROW}");
        assert_eq!(read(&text), (vec![Transport::Tcp, Transport::Udp], 1, true));
        assert!(!read(&format!("=tcp\n sl local\n{ROW}")).2, "without its end a reading is none");
        // What a shell says before the first table is no row.
        assert_eq!(read("Permission denied\n=tcp\n=end\n"), (vec![], 1, true));
        let tables = |text: &str| parse(&mut text.as_bytes(), &mut |_, _| (), &mut 0).unwrap();
        assert_eq!(
            tables("=tcp6\n=tcp\n sl local\n=udp\n=end\n"),
            1,
            "an empty one, and two that are refused"
        );
    }

    #[test]
    fn a_reading_is_bounded() {
        let text = format!("=tcp\n sl local\n{}=end\n", ROW.repeat(100_000));
        let (found, lost, whole) = read(&text);
        assert!(whole && found.len() < 100_000 && lost > 0);
        assert_eq!(found.len() + usize::try_from(lost).unwrap(), 100_000);
    }

    /// The shell's side, for real: this machine's own tables.
    #[test]
    fn the_script_prints_the_tables() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", &script()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..2 {
            let reading = reading(&mut input, &mut output).unwrap();
            assert!(!reading.sightings.is_empty());
        }
        drop(input);
        assert!(child.wait().unwrap().success());
    }
}
