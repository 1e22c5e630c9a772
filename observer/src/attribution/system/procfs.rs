//! Owners of sockets by the tables in `/proc/net` (proc(5)): the method that needs least of the kernel.
//!
//! A socket that opens and closes between two readings is missed. The tables are those of the network namespace of the thread
//! that reads them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::process::Processes;
use crate::attribution::socket_table::{MAX_ROW, Row, Tables};
use crate::attribution::{Attributor, AttributorError, Method, Sighting};
use crate::decode::{FiveTuple, Transport};
use crate::source::live::now;
use crate::time::Timestamp;

/// Bytes that are read of one table: some 50,000 rows.
const MAX_TABLE: u64 = 8 << 20;
/// How often the tables are read while flows begin; reading them takes the kernel milliseconds.
const BUSY: Duration = Duration::from_millis(100);
/// How often otherwise.
const IDLE: Duration = Duration::from_secs(1);

/// Those of the sockets of `ping`, which netlink does not list.
pub(super) const ECHO: Tables = &[("icmp6", Transport::IcmpEcho), ("icmp", Transport::IcmpEcho)];

/// The socket tables in `/proc/net`.
#[derive(Debug)]
pub(super) struct Procfs {
    folder: PathBuf,
    tables: Tables,
    processes: Arc<Mutex<Processes>>,
    read: Option<Timestamp>,
    /// Flows began since.
    opened: bool,
    lost: u64,
}

impl Procfs {
    /// Makes sure that the tables can be read.
    ///
    /// # Errors
    /// When none of them can be.
    pub(super) fn open(tables: Tables, processes: Arc<Mutex<Processes>>) -> Result<Self, AttributorError> {
        // Of the thread, as netlink's: `/proc/net` is that of the process.
        let of_thread = Path::new("/proc/thread-self/net");
        let folder = if of_thread.exists() { of_thread } else { Path::new("/proc/net") };
        Self::of(folder, tables, processes)
    }

    fn of(folder: &Path, tables: Tables, processes: Arc<Mutex<Processes>>) -> Result<Self, AttributorError> {
        let mut refusal = None;
        for (name, _) in tables {
            let path = folder.join(name);
            match File::open(&path) {
                Ok(_) => {
                    let folder = folder.to_owned();
                    return Ok(Self { folder, tables, processes, read: None, opened: false, lost: 0 });
                }
                // A kernel without IPv6 lacks its tables: what is said of the others counts.
                Err(error) => refusal = Some(format!("cannot read {}: {error}", path.display())),
            }
        }
        Err(AttributorError { method: Method::Procfs, reason: refusal.unwrap_or_default() })
    }

    fn read_table(
        &mut self,
        name: &str,
        transport: Transport,
        sightings: &mut Vec<Sighting>,
    ) -> io::Result<()> {
        let asked = now();
        let file = match File::open(self.folder.join(name)) {
            // The kernel has no such sockets.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let mut table = BufReader::with_capacity(64 << 10, file.take(MAX_TABLE));
        let mut row = Vec::with_capacity(256);
        let mut heading = true;
        loop {
            row.clear();
            if table.by_ref().take(MAX_ROW).read_until(b'\n', &mut row)? == 0 {
                break;
            }
            if std::mem::take(&mut heading) {
                continue;
            }
            match std::str::from_utf8(&row).ok().and_then(|row| Row::parse(row, transport)) {
                Some(row) => self.see(row, transport, asked, sightings),
                None => self.lost = self.lost.saturating_add(1),
            }
        }
        // How many rows were cut off is unknown.
        if table.into_inner().limit() == 0 {
            self.lost = self.lost.saturating_add(1);
        }
        Ok(())
    }

    fn see(&mut self, row: Row, transport: Transport, asked: Timestamp, sightings: &mut Vec<Sighting>) {
        let Some(mut sighting) = row.sighting(transport, asked, now()) else { return };
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.complete(&mut sighting.owner, Some(row.inode));
        drop(processes);
        if sighting.owner.uid.is_some() || sighting.owner.pid.is_some() {
            sightings.push(sighting);
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let interval = if self.opened { BUSY } else { IDLE };
        // A clock that was set back must not stop the readings.
        self.read.is_none_or(|read| now.since(read) >= interval || now < read)
    }
}

impl Attributor for Procfs {
    fn method(&self) -> Method {
        Method::Procfs
    }

    fn poll(&mut self, opened: &[FiveTuple], sightings: &mut Vec<Sighting>) -> Result<(), AttributorError> {
        let now = now();
        self.opened |= !opened.is_empty();
        if !self.is_due(now) {
            return Ok(());
        }
        self.read = Some(now);
        self.opened = false;
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).begin_round(now);
        for (name, transport) in self.tables {
            self.read_table(name, *transport, sightings).map_err(|error| AttributorError {
                method: Method::Procfs,
                reason: format!("cannot read {}: {error}", self.folder.join(name).display()),
            })?;
        }
        Ok(())
    }

    fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::attribution::socket_table::TABLES;
    use crate::attribution::system::namespace::{CLIENTS, Program, SERVERS, within};
    use crate::attribution::{Life, OwnerTable};
    use crate::decode::Endpoint;

    const TCP6: &str = "  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 10200        0 9001 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000F02000A:9C40 0000000000000000FFFF0000090200C0:01BB 01 00000000:00000000 02:000003E8 00000000 10123        0 9002 1 0
   2: 0000000000000000FFFF00000F02000A:9C41 0000000000000000FFFF0000090200C0:01BB 06 00000000:00000000 03:000003E8 00000000     0        0 0 3 0
   3: B80D01200000000000000000 01000000:0035 junk
   4: B80D0120000000000000000001000000:9C42 B80D0120000000000000000009000000:01BB 01 00000000:00000000 00:00000000 00000000 65534        0 9004 1 0
   5: B80D0120000000000000000001000000:9C43 B80D0120000000000000000009000000:01BB 08 00000000:00000000 00:00000000 00000000     0        0 9005 1 0
";
    const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  414: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000  1051        0 9010 2 0 0
  415: 0F02000A:9C50 090200C0:01BB 01 00000000:00000000 00:00000000 00000000 10123        0 9011 2 0 0
";
    const ICMP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
    9: 00000000:0009 090200C0:0000 07 00000000:00000000 00:00000000 00000000 10124        0 9020 2 0 0
";

    fn read(files: &[(&str, &str)]) -> (Vec<Sighting>, u64) {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        // No process holds these sockets: the real ones do not count.
        let processes = Arc::new(Mutex::new(Processes::of(folder.path())));
        let mut procfs = Procfs::of(folder.path(), TABLES, processes).unwrap();
        let mut sightings = Vec::new();
        procfs.poll(&[], &mut sightings).unwrap();
        (sightings, procfs.lost())
    }

    fn show(sighting: &Sighting) -> String {
        let end = |end: Endpoint| format!("{}#{}", end.ip, end.port);
        let Sighting { transport, local, remote, listening, owner, .. } = sighting;
        let remote = remote.map_or("*".to_owned(), end);
        format!("{transport:?} {} {remote} {listening} {:?}", end(*local), owner.uid.unwrap())
    }

    // The tables are written in the machine's byte order.
    #[cfg(target_endian = "little")]
    #[test]
    fn rows_are_read_and_odd_ones_are_counted() {
        let (sightings, lost) = read(&[("tcp6", TCP6), ("udp", UDP), ("icmp", ICMP)]);
        assert_eq!(
            sightings.iter().map(show).collect::<Vec<_>>(),
            [
                "Tcp ::#8080 * true 10200",
                "Tcp 10.0.2.15#40000 192.0.2.9#443 false 10123",
                "Tcp 2001:db8::1#40003 2001:db8::9#443 false 0",
                "Udp 127.0.0.1#53 * false 1051",
                "Udp 10.0.2.15#40016 192.0.2.9#443 false 10123",
                "IcmpEcho 0.0.0.0#9 192.0.2.9#9 false 10124",
            ]
        );
        assert_eq!(lost, 1);
    }

    #[test]
    fn a_system_without_tables_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Arc::new(Mutex::new(Processes::of(folder.path())));
        let error = Procfs::of(folder.path(), TABLES, processes).unwrap_err();
        assert_eq!(error.method, Method::Procfs);
        assert!(error.reason.contains("cannot read") && error.reason.contains("/icmp"), "{error}");
    }

    #[test]
    fn each_kind_of_socket_is_in_a_table() {
        within(|| {
            let servers = Program::new(10_200, SERVERS);
            let clients = Program::new(10_123, CLIENTS);
            let mut procfs = Procfs::open(TABLES, Arc::new(Mutex::new(Processes::new()))).unwrap();
            let mut sightings = Vec::new();
            procfs.poll(&[], &mut sightings).unwrap();
            let listening = |sighting: &&Sighting| sighting.listening;
            assert_eq!(sightings.iter().filter(listening).count(), 4);
            assert!(
                sightings.iter().filter(listening).all(|sighting| sighting.owner.pid == Some(servers.pid()))
            );
            let mut table = OwnerTable::default();
            sightings.into_iter().for_each(|sighting| table.add(sighting));
            let now = now();
            for (name, flow) in &clients.flows {
                let owners = table.owners(flow, Life::at(now));
                let found: Vec<_> = owners.iter().map(|owner| (owner.uid, owner.pid)).collect();
                assert_eq!(found, [(Some(10_123), Some(clients.pid()))], "{name}");
            }
            assert_eq!(procfs.lost(), 0);
        });
    }

    #[test]
    fn sockets_of_ping_are_found() {
        within(|| {
            let script = "
with open('/proc/sys/net/ipv4/ping_group_range', 'w') as range:
    range.write('0 20000')
sock = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)
sock.connect(('127.0.0.1', 0))
sock.send(b'\\x08\\0\\0\\0\\0\\0\\0\\0')
show('ping', sock, ('127.0.0.1', sock.getsockname()[1]))
";
            let ping = Program::new(0, script);
            let flow = FiveTuple { transport: Transport::IcmpEcho, ..ping.flows[0].1 };
            let mut procfs = Procfs::open(ECHO, Arc::new(Mutex::new(Processes::new()))).unwrap();
            let mut sightings = Vec::new();
            procfs.poll(&[], &mut sightings).unwrap();
            let mut table = OwnerTable::default();
            sightings.into_iter().for_each(|sighting| table.add(sighting));
            let now = now();
            let owners = table.owners(&flow, Life::at(now));
            assert_eq!(owners.first().and_then(|owner| owner.pid), Some(ping.pid()));
        });
    }
}
