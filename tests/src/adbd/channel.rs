//! adb's messages, and the streams that share one connection.
//!
//! AOSP, packages/modules/adb, protocol.txt and adb.cpp: 24 bytes of head, little-endian, then the payload. From version
//! 0x01000001 on, nobody checks the sum. Of each stream and direction one WRTE may be under way; OKAY asks for the next.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The protocol's version.
pub(super) const VERSION: u32 = 0x0100_0001;
/// Bytes of payload that are taken at most.
pub(super) const MAX_PAYLOAD: usize = 1 << 20;

/// Messages by their names, as little-endian numbers.
pub(super) const CNXN: u32 = u32::from_le_bytes(*b"CNXN");
pub(super) const AUTH: u32 = u32::from_le_bytes(*b"AUTH");
pub(super) const OPEN: u32 = u32::from_le_bytes(*b"OPEN");
pub(super) const OKAY: u32 = u32::from_le_bytes(*b"OKAY");
pub(super) const WRTE: u32 = u32::from_le_bytes(*b"WRTE");
pub(super) const CLSE: u32 = u32::from_le_bytes(*b"CLSE");

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) command: u32,
    pub(super) first: u32,
    pub(super) second: u32,
    pub(super) payload: Vec<u8>,
}

impl Message {
    /// The next message.
    pub(super) fn read(input: &mut impl Read) -> io::Result<Self> {
        let mut words = [0_u32; 6];
        for word in &mut words {
            let mut bytes = [0; 4];
            input.read_exact(&mut bytes)?;
            *word = u32::from_le_bytes(bytes);
        }
        let [command, first, second, length, _, magic] = words;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if magic != !command || length > MAX_PAYLOAD {
            return Err(io::Error::other("no message of adb's"));
        }
        let mut payload = vec![0; length];
        input.read_exact(&mut payload)?;
        Ok(Self { command, first, second, payload })
    }
}

/// A connection's sending side, and its streams.
#[derive(Debug)]
pub(super) struct Link {
    socket: Mutex<TcpStream>,
    streams: Mutex<BTreeMap<u32, Arc<Channel>>>,
    next: AtomicU32,
    /// What the other side takes at once.
    payload: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket: Mutex::new(socket),
            streams: Mutex::default(),
            next: AtomicU32::new(1),
            payload: AtomicUsize::new(4096),
        }
    }

    pub(super) fn set_payload(&self, bytes: u32) {
        let bytes = usize::try_from(bytes).unwrap_or(MAX_PAYLOAD).clamp(256, MAX_PAYLOAD);
        self.payload.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn send(&self, command: u32, first: u32, second: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(payload.len().saturating_add(24));
        for word in [command, first, second, length, 0, !command] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(payload);
        lock(&self.socket).write_all(&bytes)
    }

    /// A stream that the other side opened.
    pub(super) fn open(self: &Arc<Self>, remote: u32) -> Arc<Channel> {
        let local = self.next.fetch_add(1, Ordering::Relaxed);
        let state = State { remote, may_send: true, ..State::default() };
        let channel = Arc::new(Channel {
            link: Arc::clone(self),
            local,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        lock(&self.streams).insert(local, Arc::clone(&channel));
        channel
    }

    /// Hands a message to the stream that it is for.
    pub(super) fn deliver(&self, message: Message) -> io::Result<()> {
        let Some(channel) = lock(&self.streams).get(&message.second).cloned() else {
            // Of a stream that has ended here; a CLSE for a CLSE would never end.
            return match message.command {
                CLSE => Ok(()),
                _ => self.send(CLSE, 0, message.first, &[]),
            };
        };
        let mut state = lock(&channel.state);
        match message.command {
            OKAY => {
                state.remote = message.first;
                state.may_send = true;
            }
            WRTE => state.received.push_back(message.payload),
            _ => state.closed = true,
        }
        drop(state);
        channel.changed.notify_all();
        Ok(())
    }

    /// The connection is at its end, and so is every stream.
    pub(super) fn close_all(&self) {
        for channel in std::mem::take(&mut *lock(&self.streams)).into_values() {
            lock(&channel.state).closed = true;
            channel.changed.notify_all();
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(super) struct Channel {
    link: Arc<Link>,
    local: u32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    remote: u32,
    may_send: bool,
    closed: bool,
    received: VecDeque<Vec<u8>>,
}

impl Channel {
    /// Tells the other side that the stream is open, or that it may send.
    pub(super) fn okay(&self) -> io::Result<()> {
        let remote = lock(&self.state).remote;
        self.link.send(OKAY, self.local, remote, &[])
    }

    /// What the other side sent next; nothing after the end.
    pub(super) fn receive(&self) -> Option<Vec<u8>> {
        let mut state = lock(&self.state);
        while state.received.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let bytes = state.received.pop_front()?;
        drop(state);
        // Where the connection is gone, the next call says so.
        let _ = self.okay();
        Some(bytes)
    }

    /// Sends all of `bytes`, as fast as the other side takes them.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(self.link.payload.load(Ordering::Relaxed)) {
            let mut state = lock(&self.state);
            while !state.may_send && !state.closed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            state.may_send = false;
            let remote = state.remote;
            drop(state);
            self.link.send(WRTE, self.local, remote, part)?;
        }
        Ok(())
    }

    /// Ends the stream, here and there.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let remote = state.remote;
        drop(state);
        self.changed.notify_all();
        if lock(&self.link.streams).remove(&self.local).is_some() {
            // Where the connection is gone, nobody has to be told.
            let _ = self.link.send(CLSE, self.local, remote, &[]);
        }
    }
}

/// A stream as a reader of bytes.
#[derive(Debug)]
pub(super) struct Incoming {
    channel: Arc<Channel>,
    rest: VecDeque<u8>,
}

impl Incoming {
    pub(super) fn new(channel: &Arc<Channel>) -> Self {
        Self { channel: Arc::clone(channel), rest: VecDeque::new() }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.channel.receive() {
                Some(bytes) => self.rest = bytes.into(),
                None => return Ok(0),
            }
        }
        self.rest.read(buffer)
    }
}
