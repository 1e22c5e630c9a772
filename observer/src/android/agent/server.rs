//! The daemon's socket: one host at a time, the last one to come.
//!
//! A thread takes links; each has a thread that reads, and one that writes. Only processes of the daemon's own user are heard.

use std::io::{BufReader, BufWriter, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;

use super::clock::device_time;
use super::outbox::{LinkNumber, Next, Outbox};
use super::wire::{
    DeviceHello, DeviceMessage, HostMessage, MAX_ITEMS, VERSION, WireError, preamble, read_message,
    write_encoded, write_message,
};
use crate::decode::FiveTuple;

/// How long a host may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that are gathered for one write.
const BUFFER: usize = 64 << 10;

/// What the links' threads share.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) outbox: Outbox,
    pub(super) hello: Arc<DeviceHello>,
    /// Flows that began, for those who look for sockets.
    pub(super) opened: SyncSender<FiveTuple>,
    /// Flows that nobody was told of: too many at once.
    pub(super) unasked: Arc<std::sync::atomic::AtomicU64>,
    /// The link in use.
    current: Arc<Mutex<Option<UnixStream>>>,
}

impl Server {
    pub(super) fn new(outbox: Outbox, hello: DeviceHello, opened: SyncSender<FiveTuple>) -> Self {
        Self { outbox, hello: Arc::new(hello), opened, unasked: Arc::default(), current: Arc::default() }
    }

    /// Takes links until the process ends.
    pub(super) fn run(&self, listener: &UnixListener) {
        let own = rustix::process::geteuid();
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Too many open files: the next moment may have fewer.
                std::thread::sleep(Duration::from_millis(100));
                continue;
            };
            if !socket_peercred(&stream).is_ok_and(|peer| peer.uid == own) {
                continue;
            }
            let server = self.clone();
            std::thread::spawn(move || server.link(stream));
        }
    }

    /// Ends the link in use.
    pub(super) fn close(&self) {
        self.outbox.close_all();
        if let Some(stream) = self.current().take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<UnixStream>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One link from its beginning to its end. What breaks it is the host's to say.
    fn link(&self, stream: UnixStream) {
        let begun = self.begin(&stream);
        let Ok((link, mut reader)) = begun else {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        };
        let writer = stream.try_clone().map(|stream| {
            let server = self.clone();
            std::thread::spawn(move || server.write(link, &stream))
        });
        let wanted = writer.is_ok() && self.read(link, &mut reader).is_ok() && self.outbox.close(link);
        if !wanted {
            self.outbox.lose(link);
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Says who is here, hears what the host lacks, and takes the place of the link before.
    fn begin(&self, stream: &UnixStream) -> Result<(LinkNumber, BufReader<UnixStream>), WireError> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut out = BufWriter::new(stream);
        out.write_all(&preamble())?;
        write_message(&mut out, &DeviceMessage::Hello((*self.hello).clone()))?;
        out.flush()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let first = read_message::<HostMessage>(&mut reader)?.map(|message| message.header);
        let refuse = |reason: String| {
            write_message(&mut &*stream, &DeviceMessage::Refused(reason.clone()))?;
            Err(WireError::Unexpected(reason))
        };
        let resume_from = match first {
            Some(HostMessage::Hello { version: VERSION, resume_from }) => resume_from,
            Some(HostMessage::Hello { version, .. }) => {
                return refuse(format!(
                    "the host speaks version {version} of the protocol, this agent {VERSION}"
                ));
            }
            Some(_) => return refuse("the host did not say first what it lacks".to_owned()),
            None => return Err(WireError::Truncated { within: "the host's hello" }),
        };
        // A reader that waits is no error from here on; a host that does not read is one that does not acknowledge.
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        let mut current = self.current();
        let link = match self.outbox.begin(resume_from) {
            Ok(link) => link,
            Err(reason) => {
                drop(current);
                return refuse(reason);
            }
        };
        if let Some(before) = current.replace(stream.try_clone()?) {
            let _ = before.shutdown(Shutdown::Both);
        }
        Ok((link, reader))
    }

    /// Hears the host until it closes its side.
    fn read(&self, link: LinkNumber, reader: &mut BufReader<UnixStream>) -> Result<(), WireError> {
        while let Some(message) = read_message::<HostMessage>(reader)? {
            match message.header {
                HostMessage::Hello { .. } => {
                    return Err(WireError::Unexpected("a second hello".to_owned()));
                }
                HostMessage::Ack { sequence } => self.outbox.acknowledge(link, sequence)?,
                HostMessage::Opened(flows) => {
                    for flow in flows.into_iter().take(MAX_ITEMS) {
                        if self.opened.try_send(flow.into()).is_err() {
                            self.unasked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                }
                HostMessage::Ping { host_time } => {
                    self.outbox.answer(link, DeviceMessage::Pong { host_time, device: device_time() });
                }
                HostMessage::Stop => self.outbox.stop(),
            }
        }
        Ok(())
    }

    /// Sends what there is to be sent.
    fn write(&self, link: LinkNumber, stream: &UnixStream) {
        let mut out = BufWriter::with_capacity(BUFFER, stream);
        loop {
            let written = match self.outbox.next(link) {
                Next::Answer(message) => write_message(&mut out, &message),
                Next::Held { sequence, held } => {
                    let body = held.body.as_ref().map(super::spool::Body::bytes).unwrap_or_default();
                    write_encoded(&mut out, sequence, &held.header, body)
                }
                // The link stays until the session's folder is gone: by that the relay knows the end.
                Next::Done => return,
                Next::Replaced => break,
                Next::Failed(error) => Err(error),
            };
            if written.and_then(|()| out.flush()).is_err() {
                self.outbox.lose(link);
                break;
            }
        }
        // The reader hears of it.
        drop(out);
        let _ = stream.shutdown(Shutdown::Both);
    }
}
