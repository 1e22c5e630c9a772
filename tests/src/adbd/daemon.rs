//! adbd: takes connections, introduces itself, and serves each stream on a thread of its own.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::channel::{AUTH, CNXN, Link, MAX_PAYLOAD, Message, OPEN, VERSION};
use super::guest::{Guest, SHELL};
use super::service;

/// How long adbd is away when it starts anew.
const RESTART: Duration = Duration::from_millis(300);

/// The device's end of adb.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) guest: Arc<Guest>,
    port: AtomicU16,
    /// Whom its services run as: the shell, or root.
    uid: AtomicU32,
    open: Mutex<Open>,
}

/// What is listened at and connected.
#[derive(Debug, Default)]
struct Open {
    /// Counts the times that it listened: a listener of before takes no more connections.
    round: u64,
    listening: bool,
    sockets: Vec<TcpStream>,
}

impl Daemon {
    pub(super) fn start(guest: Arc<Guest>) -> io::Result<Arc<Self>> {
        let daemon = Arc::new(Self {
            guest,
            port: AtomicU16::new(0),
            uid: AtomicU32::new(SHELL),
            open: Mutex::default(),
        });
        daemon.listen()?;
        Ok(daemon)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid.load(Ordering::Relaxed)
    }

    /// As after a start of the device: not root.
    pub(super) fn reset(&self) {
        self.uid.store(SHELL, Ordering::Relaxed);
    }

    /// Takes connections at its port, which is any free one the first time.
    pub(super) fn listen(self: &Arc<Self>) -> io::Result<()> {
        let mut open = self.open();
        if open.listening {
            return Ok(());
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port()))?;
        self.port.store(listener.local_addr()?.port(), Ordering::Relaxed);
        open.listening = true;
        open.round = open.round.wrapping_add(1);
        let round = open.round;
        let daemon = Arc::clone(self);
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let mut open = daemon.open();
                if !open.listening || open.round != round {
                    return;
                }
                let Ok(copy) = socket.try_clone() else { continue };
                open.sockets.push(copy);
                drop(open);
                let daemon = Arc::clone(&daemon);
                thread::spawn(move || daemon.serve(socket));
            }
        });
        Ok(())
    }

    /// Closes all connections and takes no more; what runs in the device goes on.
    pub(super) fn stop(&self) {
        let mut open = self.open();
        let was = std::mem::take(&mut open.listening);
        for socket in open.sockets.drain(..) {
            // One that is closed already cannot be closed.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(open);
        if was {
            // The listener looks up, sees that it is over, and closes its port.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())));
            while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())).is_ok() {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Starts anew as `uid`; the answer to the request is under way.
    pub(super) fn restart(self: &Arc<Self>, uid: u32) {
        let daemon = Arc::clone(self);
        thread::spawn(move || {
            thread::sleep(RESTART);
            daemon.stop();
            daemon.uid.store(uid, Ordering::Relaxed);
            thread::sleep(RESTART);
            daemon.listen()
        });
    }

    /// Starts the whole device anew.
    pub(super) fn reboot(self: &Arc<Self>) {
        let daemon = Arc::clone(self);
        thread::spawn(move || {
            thread::sleep(RESTART);
            daemon.stop();
            daemon.guest.kill();
            daemon.guest.start()?;
            daemon.reset();
            daemon.listen()
        });
    }

    /// One connection, to its end.
    fn serve(self: &Arc<Self>, mut socket: TcpStream) {
        let Ok(copy) = socket.try_clone() else { return };
        let link = Arc::new(Link::new(copy));
        while let Ok(message) = Message::read(&mut socket) {
            let done = match message.command {
                CNXN => {
                    link.set_payload(message.second);
                    self.introduce(&link)
                }
                // Keys that are never accepted: a dialogue that nobody answers.
                AUTH if message.first == SIGNATURE => link.send(AUTH, TOKEN, 0, &[7; 20]),
                AUTH => Ok(()),
                OPEN if self.guest.profile.authorized => {
                    let channel = link.open(message.first);
                    let name = String::from_utf8_lossy(&message.payload).trim_end_matches('\0').to_owned();
                    let daemon = Arc::clone(self);
                    thread::spawn(move || {
                        service::serve(&daemon, &channel, &name);
                        channel.close();
                    });
                    Ok(())
                }
                _ => link.deliver(message),
            };
            if done.is_err() {
                break;
            }
        }
        link.close_all();
        // One that is closed already cannot be closed.
        let _ = socket.shutdown(Shutdown::Both);
    }

    fn introduce(&self, link: &Link) -> io::Result<()> {
        if !self.guest.profile.authorized {
            return link.send(AUTH, TOKEN, 0, &[7; 20]);
        }
        let size = u32::try_from(MAX_PAYLOAD).map_err(io::Error::other)?;
        link.send(CNXN, VERSION, size, self.guest.profile.banner().as_bytes())
    }
}

/// Kinds of AUTH.
const TOKEN: u32 = 1;
const SIGNATURE: u32 = 2;
