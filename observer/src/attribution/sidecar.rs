//! RustNet's list of connections beside a capture: `<capture>.connections.jsonl`.
//!
//! A classic pcap has no room for owners, so RustNet writes a line for each connection that ends. Lines are joined to
//! flows by the two ends, in either order, and by time: ports are used again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::decode::{Endpoint, FiveTuple, Transport};
use crate::source::{Dialect, RecordedOwner, known_id};
use crate::time::Timestamp;

/// Connections that are kept of all sidecars.
const MAX_CONNECTIONS: usize = 256 << 10;
/// Bytes of a line; longer ones are not believed.
const MAX_LINE: u64 = 64 << 10;
/// How far a connection and its flow may lie apart: RustNet takes the time when it sees a packet, a little after it
/// was captured.
const SLACK: i64 = 2_000_000_000;

/// Why a sidecar cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct SidecarError {
    path: String,
    #[source]
    source: io::Error,
}

/// The owners that sidecars state.
#[derive(Clone, Debug, Default)]
pub struct Sidecar {
    connections: BTreeMap<(Transport, Endpoint, Endpoint), Vec<Connection>>,
    count: usize,
    bad_lines: u64,
    dropped: u64,
}

#[derive(Clone, Debug)]
struct Connection {
    first: Timestamp,
    last: Timestamp,
    owner: Arc<RecordedOwner>,
}

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    protocol: String,
    local_addr: SocketAddr,
    remote_addr: SocketAddr,
    first_seen: Moment,
    last_seen: Moment,
    pid: Option<u32>,
    process_name: Option<String>,
    process_executable: Option<String>,
    process_uid: Option<u32>,
    process_gid: Option<u32>,
}

#[derive(Deserialize)]
struct Moment {
    secs_since_epoch: i64,
    nanos_since_epoch: i64,
}

impl Moment {
    fn timestamp(&self) -> Timestamp {
        Timestamp::new(self.secs_since_epoch, self.nanos_since_epoch)
    }
}

impl Sidecar {
    /// Where the sidecar of `capture` lies if it has one.
    #[must_use]
    pub fn path(capture: &Path) -> PathBuf {
        let mut path = capture.as_os_str().to_owned();
        path.push(".connections.jsonl");
        path.into()
    }

    /// Adds the sidecar of `capture`; false if it has none.
    ///
    /// # Errors
    /// When there is one that cannot be read. Lines that cannot be read are counted: see [`Self::bad_lines`].
    pub fn load(&mut self, capture: &Path) -> Result<bool, SidecarError> {
        let path = Self::path(capture);
        let failed = |source| SidecarError { path: path.display().to_string(), source };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(failed)?,
        };
        self.read(BufReader::new(file)).map_err(failed)?;
        Ok(true)
    }

    fn read(&mut self, mut lines: impl io::BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(line) => self.add(line),
                Err(_) => self.bad_lines = self.bad_lines.saturating_add(1),
            }
        }
    }

    fn add(&mut self, line: Line) {
        let owner = RecordedOwner {
            uid: line.process_uid.and_then(known_id),
            gid: line.process_gid.and_then(known_id),
            pid: line.pid.filter(|pid| *pid > 0),
            process: line.process_executable.or(line.process_name).filter(|process| !process.is_empty()),
            ..RecordedOwner::new(Dialect::Rustnet)
        };
        let transport = match line.protocol.as_str() {
            "TCP" => Transport::Tcp,
            "UDP" => Transport::Udp,
            // What has no ports cannot be told apart.
            _ => return,
        };
        if owner == RecordedOwner::new(Dialect::Rustnet) {
            return;
        }
        if self.count >= MAX_CONNECTIONS {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.count = self.count.saturating_add(1);
        let end = |address: SocketAddr| Endpoint { ip: address.ip(), port: address.port() };
        self.connections
            .entry(key(transport, end(line.local_addr), end(line.remote_addr)))
            .or_default()
            .push(Connection {
                first: line.first_seen.timestamp(),
                last: line.last_seen.timestamp(),
                owner: Arc::new(owner),
            });
    }

    /// The owner of the flow between the ends of `five_tuple` from `start` to `end`: that of the connection which
    /// has most time in common with it.
    #[must_use]
    pub fn owner(
        &self,
        five_tuple: &FiveTuple,
        start: Timestamp,
        end: Timestamp,
    ) -> Option<Arc<RecordedOwner>> {
        let key = key(five_tuple.transport, five_tuple.source, five_tuple.destination);
        let common = |connection: &Connection| {
            connection.last.0.min(end.0).saturating_sub(connection.first.0.max(start.0))
        };
        self.connections
            .get(&key)?
            .iter()
            .filter(|connection| common(connection) >= -SLACK)
            .max_by_key(|connection| (common(connection), std::cmp::Reverse(connection.first)))
            .map(|connection| Arc::clone(&connection.owner))
    }

    /// Whether no connection is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Lines that could not be read.
    #[must_use]
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// Connections that the limit dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn key(transport: Transport, one: Endpoint, other: Endpoint) -> (Transport, Endpoint, Endpoint) {
    (transport, one.min(other), one.max(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(local: &str, first: i64, last: i64, rest: &str) -> String {
        format!(
            r#"{{"timestamp":"2026-11-21T10:00:00Z","protocol":"TCP","local_addr":"{local}","remote_addr":"192.0.2.9:443",
               "first_seen":{{"secs_since_epoch":{first},"nanos_since_epoch":5}},
               "last_seen":{{"secs_since_epoch":{last},"nanos_since_epoch":0}},"state":"CLOSED",{rest}}}"#
        )
        .replace('\n', "")
    }

    fn tuple(source: &str, destination: &str) -> FiveTuple {
        let end = |text: &str| {
            let address: SocketAddr = text.parse().unwrap();
            Endpoint { ip: address.ip(), port: address.port() }
        };
        FiveTuple { transport: Transport::Tcp, source: end(source), destination: end(destination) }
    }

    fn read(lines: &[String]) -> Sidecar {
        let mut sidecar = Sidecar::default();
        sidecar.read(lines.join("\n").as_bytes()).unwrap();
        sidecar
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(seconds, 0)
    }

    #[test]
    fn a_port_that_is_used_again_is_told_apart_by_time() {
        let sidecar = read(&[
            line("10.0.0.1:4000", 100, 110, r#""pid":7,"process_name":"curl","process_uid":1000"#),
            line(
                "10.0.0.1:4000",
                120,
                130,
                r#""pid":8,"process_name":"wget","process_executable":"/usr/bin/wget""#,
            ),
            line("[2001:db8::1]:4000", 100, 130, r#""pid":9,"process_name":"nc""#),
        ]);
        let forward = tuple("10.0.0.1:4000", "192.0.2.9:443");
        let backward = tuple("192.0.2.9:443", "10.0.0.1:4000");
        let first = sidecar.owner(&forward, at(99), at(111)).unwrap();
        assert_eq!((first.pid, first.uid, first.process.as_deref()), (Some(7), Some(1000), Some("curl")));
        let second = sidecar.owner(&backward, at(118), at(125)).unwrap();
        assert_eq!((second.pid, second.process.as_deref()), (Some(8), Some("/usr/bin/wget")));
        assert_eq!(sidecar.owner(&forward, at(114), at(115)), None);
        assert_eq!(sidecar.owner(&tuple("10.0.0.1:4001", "192.0.2.9:443"), at(100), at(110)), None);
    }

    #[test]
    fn what_says_nothing_or_cannot_be_read_is_left_out() {
        let sidecar = read(&[
            line("10.0.0.1:4000", 100, 110, r#""pid":null,"process_name":null"#),
            "{\"protocol\":".to_owned(),
            "x".repeat(100_000),
        ]);
        assert!(sidecar.is_empty());
        // The long line is read in two pieces.
        assert_eq!(sidecar.bad_lines(), 3);
    }

    #[test]
    fn a_capture_without_a_sidecar_is_fine() {
        assert!(!Sidecar::default().load(Path::new("/nowhere/a.pcap")).unwrap());
    }
}
