//! What a running capture knows of owners, shared between those who look and those who ask.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{AppDirectory, Life, Owner, OwnerTable, Sighting, SocketOwner, owner_of_socket};
use crate::decode::{Endpoint, FiveTuple, Transport};
use crate::time::Timestamp;

/// Flows that began and that nobody has looked for yet.
const OPENED: usize = 64 << 10;

/// Sockets that wait for connections and are kept; a system has some dozens.
const LISTENERS: usize = 4096;

/// How long after a DNS answer the connection to its address begins, in nanoseconds, if the answer was for it.
const FOLLOWS: i64 = 2_000_000_000;

/// The owners of a running system's sockets.
///
/// The pipeline reports flows as they begin and asks for owners when they have ended; attributors take the former and
/// give sightings. All of it is shared: a lock is held for a look-up only.
#[derive(Debug)]
pub struct LiveOwners {
    table: Mutex<OwnerTable>,
    listeners: Mutex<Listeners>,
    apps: RwLock<AppDirectory>,
    opened: SyncSender<FiveTuple>,
    unasked: AtomicU64,
    lost: AtomicU64,
}

impl LiveOwners {
    /// Without a sighting yet, of a system with these `apps`; and the flows that begin, for the attributors.
    #[must_use]
    pub fn new(apps: AppDirectory) -> (Self, Receiver<FiveTuple>) {
        let (opened, begun) = sync_channel(OPENED);
        let owners = Self {
            table: Mutex::default(),
            listeners: Mutex::default(),
            apps: RwLock::new(apps),
            opened,
            unasked: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        };
        (owners, begun)
    }

    /// A flow begins.
    pub fn opened(&self, five_tuple: FiveTuple) {
        if let Err(TrySendError::Full(_)) = self.opened.try_send(five_tuple) {
            self.unasked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Flows that began while the list of those to look for was full.
    #[must_use]
    pub fn unasked(&self) -> u64 {
        self.unasked.load(Ordering::Relaxed)
    }

    /// Sockets that attributors lost on their way here: the kernel's ring was full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Attributors have lost so many sockets.
    pub fn set_lost(&self, lost: u64) {
        self.lost.store(lost, Ordering::Relaxed);
    }

    /// Remembers what attributors saw.
    pub fn add(&self, sightings: impl IntoIterator<Item = Sighting>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        for sighting in sightings {
            if sighting.listening {
                self.listeners.lock().unwrap_or_else(PoisonError::into_inner).add(&sighting);
            }
            table.add(sighting);
        }
    }

    /// Sightings that the limit dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).dropped()
    }

    /// The sockets that waited for connections, in order of protocol and address.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        let listener = |(&(transport, local), owner): (&(Transport, Endpoint), &SocketOwner)| Listener {
            transport,
            local,
            owner: owner_of_socket(owner, &apps),
        };
        listeners.sockets.iter().map(listener).collect()
    }

    /// The apps of the system as of now.
    #[must_use]
    pub fn apps(&self) -> AppDirectory {
        self.apps.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Listening sockets that the limit dropped.
    #[must_use]
    pub fn dropped_listeners(&self) -> u64 {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    /// From now on the system has these apps.
    pub fn set_apps(&self, apps: AppDirectory) {
        *self.apps.write().unwrap_or_else(PoisonError::into_inner) = apps;
    }

    /// What is known of the sockets that a flow went through in its `life`, the strongest method first.
    #[must_use]
    pub fn sockets(&self, five_tuple: &FiveTuple, life: Life) -> Vec<Arc<SocketOwner>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).owners(five_tuple, life)
    }

    /// The owners behind `sockets`, in their order.
    #[must_use]
    pub fn owners(&self, sockets: &[Arc<SocketOwner>]) -> Vec<Owner> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        sockets.iter().map(|socket| owner_of_socket(socket, &apps)).collect()
    }

    /// The one app that connected to one of `addresses` soon after `answered`, when a DNS answer named them: whoever asks
    /// through the system's resolver connects next. `None` where nobody did, or more than one.
    #[must_use]
    pub fn asker(&self, addresses: &[IpAddr], asked: Timestamp, answered: Timestamp) -> Option<Owner> {
        let until = Timestamp(answered.0.saturating_add(FOLLOWS));
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = |address: &IpAddr| table.connected_to(*address, asked, until);
        let sockets: Vec<_> = addresses.iter().flat_map(connected).collect();
        drop(table);
        let first = sockets.first().filter(|first| first.uid.is_some())?;
        let one = sockets.iter().all(|socket| socket.uid == first.uid);
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        one.then(|| owner_of_socket(&first.inferred(), &apps))
    }
}

/// A socket that waits for connections: a port that a process is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its protocol.
    pub transport: Transport,
    /// Its address and port; the unspecified address where it takes connections to any.
    pub local: Endpoint,
    /// Whose it is.
    pub owner: Owner,
}

#[derive(Debug, Default)]
struct Listeners {
    sockets: BTreeMap<(Transport, Endpoint), SocketOwner>,
    dropped: u64,
}

impl Listeners {
    /// Keeps the strongest word on a socket, and what it says of the process.
    fn add(&mut self, sighting: &Sighting) {
        let key = (sighting.transport, sighting.local);
        let owner = &sighting.owner;
        let full = self.sockets.len() >= LISTENERS;
        match self.sockets.get_mut(&key) {
            Some(known) => {
                let better = (owner.pid.is_none(), owner.method) < (known.pid.is_none(), known.method);
                if better || owner.uid != known.uid {
                    known.clone_from(owner);
                }
            }
            None if full => self.dropped = self.dropped.saturating_add(1),
            None => {
                self.sockets.insert(key, owner.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::attribution::{Confidence, Method};

    fn connection(uid: u32, to: [u8; 4], second: i64) -> Sighting {
        let end = |ip: [u8; 4], port| Endpoint { ip: Ipv4Addr::from(ip).into(), port };
        Sighting {
            transport: Transport::Tcp,
            local: end([10, 0, 0, 1], 4000),
            remote: Some(end(to, 443)),
            listening: false,
            first: Timestamp::new(second, 0),
            last: Timestamp::new(second, 0),
            socket: None,
            owner: SocketOwner { uid: Some(uid), ..SocketOwner::new(Method::Ebpf, Confidence::Exact) },
        }
    }

    #[test]
    fn ports_that_are_bound_are_kept_with_their_process() {
        let (owners, _begun) = LiveOwners::new(AppDirectory::default());
        let bound = Sighting { remote: None, listening: true, ..connection(10_123, [0; 4], 1) };
        let mut known = bound.clone();
        known.owner.pid = Some(7);
        owners.add([bound.clone(), known, bound, connection(10_124, [192, 0, 2, 9], 11)]);
        let listeners = owners.listeners();
        let ports: Vec<_> =
            listeners.iter().map(|one| (one.local.port, one.owner.uid, one.owner.pid)).collect();
        assert_eq!(ports, [(4000, Some(10_123), Some(7))]);
    }

    #[test]
    fn who_connects_next_has_asked() {
        let (owners, _begun) = LiveOwners::new(AppDirectory::default());
        owners.add([
            connection(10_123, [192, 0, 2, 9], 11),
            connection(10_124, [192, 0, 2, 10], 11),
            connection(10_125, [192, 0, 2, 11], 11),
            connection(10_126, [192, 0, 2, 11], 12),
            connection(10_127, [192, 0, 2, 12], 60),
        ]);
        let asker = |last: u8| {
            let address = IpAddr::from([192, 0, 2, last]);
            let owner = owners.asker(&[address], Timestamp::new(10, 0), Timestamp::new(10, 5))?;
            Some((owner.uid, owner.confidence))
        };
        assert_eq!(asker(9), Some((Some(10_123), Confidence::Inferred)));
        assert_eq!(asker(10), Some((Some(10_124), Confidence::Inferred)));
        assert_eq!(asker(11), None, "two apps connected");
        assert_eq!(asker(12), None, "too late");
    }
}
