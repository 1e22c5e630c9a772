//! One netlink socket to the kernel's socket tables; it never waits.
//!
//! The kernel answers within the call that asks, and a dump goes on within the call that reads: there is nothing to wait for.

use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;

use netlink_packet_core::{NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer};
use netlink_packet_sock_diag::constants::SOCK_DIAG_BY_FAMILY;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use super::message::{Family, Request, Socket};
use crate::attribution::{AttributorError, Method};
use crate::decode::{Endpoint, Transport};

/// Bytes that are read at once. The kernel gives at most 32 KiB of a dump (`netlink_recvmsg`).
const BUFFER: usize = 64 << 10;
/// Messages are padded to this.
const ALIGNMENT: usize = 4;
/// Reads of which none belongs to what was asked, after which there is no answer.
const MAX_STRAY: usize = 16;

/// What was read.
#[derive(Debug)]
pub(super) enum Answer {
    /// Sockets; more may follow.
    Sockets(Vec<Socket>),
    /// All sockets of a dump have been given.
    End,
    /// The kernel gives none, and why.
    Refused(io::Error),
    /// There is nothing to read now.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
    /// The end of a dump, which came with its last sockets.
    end: Option<Answer>,
    lost: u64,
}

impl Link {
    /// Opens a socket in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self, AttributorError> {
        let open = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(SOCK_DIAG))?;
            // The kernel is port 0.
            connect(&socket, &SocketAddrNetlink::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(|error: Errno| failed("cannot open netlink's socket tables", error))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER), end: None, lost: 0 })
    }

    /// Messages that were lost or could not be read.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Sends a request; what is still to be read of earlier ones is passed over.
    pub(super) fn send(&mut self, request: &Request) -> Result<(), AttributorError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.end = None;
        match send(&self.socket, &request.encode(self.sequence), SendFlags::empty()) {
            Ok(_) => Ok(()),
            // There is no room: as if the request were unanswered.
            Err(Errno::NOBUFS | Errno::AGAIN | Errno::INTR) => {
                self.lost = self.lost.saturating_add(1);
                Ok(())
            }
            Err(error) => Err(failed("netlink refuses to be asked for sockets", error)),
        }
    }

    /// Reads what is there.
    pub(super) fn receive(&mut self) -> Result<Answer, AttributorError> {
        if let Some(end) = self.end.take() {
            return Ok(end);
        }
        for _ in 0..MAX_STRAY {
            self.buffer.clear();
            match recv(&self.socket, spare_capacity(&mut self.buffer), RecvFlags::empty()) {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(Answer::Nothing),
                Err(Errno::INTR) => continue,
                // Messages were lost; what follows is good (netlink(7)).
                Err(Errno::NOBUFS) => {
                    self.lost = self.lost.saturating_add(1);
                    continue;
                }
                Err(error) => return Err(failed("cannot read netlink's socket tables", error)),
            }
            let (sockets, end) = read(&self.buffer, self.sequence, &mut self.lost);
            match (sockets.is_empty(), end) {
                (false, end) => {
                    self.end = end;
                    return Ok(Answer::Sockets(sockets));
                }
                (true, Some(end)) => return Ok(end),
                (true, None) => {}
            }
        }
        Ok(Answer::Nothing)
    }

    /// The socket that packets from `remote` to `local` go to, if there is one.
    pub(super) fn find(
        &mut self,
        family: Family,
        transport: Transport,
        local: Endpoint,
        remote: Endpoint,
    ) -> Result<Option<Socket>, AttributorError> {
        self.send(&Request::Exact { family, transport, local, remote })?;
        match self.receive()? {
            Answer::Sockets(sockets) => Ok(sockets.into_iter().next()),
            Answer::End | Answer::Refused(_) | Answer::Nothing => Ok(None),
        }
    }

    /// Makes sure that a table can be dumped.
    pub(super) fn try_dump(&mut self, family: Family, transport: Transport) -> Result<(), AttributorError> {
        let what = |reason: &str| {
            format!("{reason} {family:?} sockets of {transport:?}, which takes the kernel's inet_diag")
        };
        self.send(&Request::Dump { family, transport })?;
        loop {
            match self.receive()? {
                Answer::Sockets(_) => {}
                Answer::End => return Ok(()),
                Answer::Refused(error) => return Err(failed(&what("netlink does not list"), &error)),
                Answer::Nothing => {
                    let error = io::Error::from(io::ErrorKind::TimedOut);
                    return Err(failed(&what("netlink gives no answer for"), error));
                }
            }
        }
    }
}

/// Of the messages in `buffer`, the answers to the request with `sequence` number: sockets, and the end if it is among them.
fn read(buffer: &[u8], sequence: u32, lost: &mut u64) -> (Vec<Socket>, Option<Answer>) {
    let mut sockets = Vec::new();
    let mut end = None;
    let mut rest = buffer;
    while !rest.is_empty() {
        let Ok(message) = NetlinkBuffer::new_checked(rest) else {
            *lost = lost.saturating_add(1);
            break;
        };
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        let next = length.checked_next_multiple_of(ALIGNMENT);
        rest = next.and_then(|next| rest.get(next..)).unwrap_or_default();
        if message.sequence_number() != sequence {
            continue;
        }
        let payload = message.payload();
        match message.message_type() {
            SOCK_DIAG_BY_FAMILY => match Socket::parse(payload) {
                Some(socket) => sockets.push(socket),
                None => *lost = lost.saturating_add(1),
            },
            // A dump that fails says so in either.
            NLMSG_DONE | NLMSG_ERROR => end = Some(end_of(payload)),
            _ => {}
        }
    }
    (sockets, end)
}

/// Both messages begin with 0 or with a negative error number.
fn end_of(payload: &[u8]) -> Answer {
    match payload.first_chunk().map(|number| i32::from_ne_bytes(*number)) {
        Some(number) if number < 0 => Answer::Refused(io::Error::from_raw_os_error(number.saturating_neg())),
        _ => Answer::End,
    }
}

fn failed(what: &str, error: impl Display) -> AttributorError {
    AttributorError { method: Method::SockDiag, reason: format!("{what}: {error}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u32::try_from(16 + payload.len()).unwrap().to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    fn socket() -> Vec<u8> {
        let mut payload = vec![0; 72];
        payload[0] = 2;
        payload[1] = 1;
        payload
    }

    #[test]
    fn sockets_and_the_end_come_in_one_read() {
        let mut bytes = message(SOCK_DIAG_BY_FAMILY, 7, &socket());
        bytes.extend(message(SOCK_DIAG_BY_FAMILY, 6, &socket()));
        bytes.extend(message(SOCK_DIAG_BY_FAMILY, 7, &socket()[..71]));
        bytes.extend(message(NLMSG_DONE, 7, &[0; 4]));
        let mut lost = 0;
        let (sockets, end) = read(&bytes, 7, &mut lost);
        assert_eq!((sockets.len(), lost), (1, 1));
        assert!(matches!(end, Some(Answer::End)), "{end:?}");
    }

    #[test]
    fn refusals_carry_their_number() {
        let (sockets, end) = read(&message(NLMSG_ERROR, 7, &(-2_i32).to_ne_bytes()), 7, &mut 0);
        assert!(sockets.is_empty());
        match end {
            Some(Answer::Refused(error)) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes, 7, &mut 0);
        }

        #[test]
        fn no_length_makes_it_panic(length in any::<u32>(), kind in 0..32_u16) {
            let mut bytes = message(kind, 7, &socket());
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            read(&bytes, 7, &mut 0);
        }
    }
}
