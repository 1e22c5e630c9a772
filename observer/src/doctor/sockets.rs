//! Lists of open sockets and their owners, for attribution without kernel programs.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use rustix::fd::OwnedFd;
use rustix::net::netlink::SOCK_DIAG;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use rustix::thread::CapabilitySet;

use super::{Answer, Item};

/// How long the kernel may take to answer, which it does at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the kernel lists sockets over netlink.
pub(super) fn sock_diag() -> (Answer, Vec<Item>) {
    let cost = "without kernel programs, owners come from the slower tables of /proc/net";
    match dump(AF_INET6, IPPROTO_TCP).and_then(|()| dump(AF_INET, IPPROTO_UDP)) {
        Ok(()) => Answer::yes("TCP and UDP").alone(),
        Err(error) => Answer::failed(&error, CapabilitySet::empty(), cost).alone(),
    }
}

/// Asks for the sockets of a family and an IP protocol. The first answer tells whether the kernel can.
fn dump(family: u8, protocol: u8) -> io::Result<()> {
    let socket: OwnedFd =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    send(&socket, &request(family, protocol), SendFlags::empty())?;
    let mut answer = [0; 64 << 10];
    let (_, length) = recv(&socket, &mut answer, RecvFlags::empty())?;
    verdict(answer.get(..length).unwrap_or_default())
}

/// A request for the sockets of every state.
fn request(family: u8, protocol: u8) -> Vec<u8> {
    let socket_id = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
    let request = InetRequest {
        family,
        protocol,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What the first message of an answer says. An empty list ends at once; how it ends tells whether it is one: both kinds
/// of end carry the negated errno, or nothing but success.
fn verdict(answer: &[u8]) -> io::Result<()> {
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let message = NetlinkBuffer::new_checked(answer).map_err(|_cut| cut())?;
    if !matches!(message.message_type(), NLMSG_ERROR | NLMSG_DONE) {
        return Ok(());
    }
    let number = message.payload().first_chunk().copied().map(i32::from_ne_bytes).ok_or_else(cut)?;
    if number == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(number.saturating_neg())) }
}

/// Whether the tables of sockets are readable. On Android they are closed to apps.
pub(super) fn proc_net() -> (Answer, Vec<Item>) {
    let cost = "without kernel programs and sock_diag, no flow has an owner";
    let mut readable = Vec::new();
    let mut refused = None;
    for table in ["tcp", "tcp6", "udp", "udp6", "icmp", "icmp6"] {
        let read = File::open(format!("/proc/net/{table}")).and_then(|mut file| file.read(&mut [0]));
        match read {
            Ok(_) => readable.push(table),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if readable.is_empty() => {
            Answer::failed(&error, CapabilitySet::DAC_READ_SEARCH, cost).alone()
        }
        _ => Answer::yes(readable.join(", ")).alone(),
    }
}

/// Whether open files of other users' processes can be seen. Where there are none, processes of this user stand for them.
pub(super) fn processes() -> (Answer, Vec<Item>) {
    let cost = "owners have a uid, but processes of other users stay unknown";
    let me = std::process::id();
    let uid = rustix::process::geteuid().as_raw();
    let all: Vec<Process> = match Process::all() {
        Ok(all) => all.into_iter().filter(|process| process.pid != me).collect(),
        Err(error) => return Answer::failed(&error, CapabilitySet::empty(), cost).alone(),
    };
    let others = all.iter().any(|process| process.uid != uid);
    let asked: Vec<&Process> = all.iter().filter(|process| !others || process.uid != uid).collect();
    let (seen, refused): (Vec<&Process>, Vec<&Process>) =
        asked.iter().partition(|process| process.refusal.is_none());
    let whose = if others { "of other users" } else { "of this user, the only one" };
    match refused.first().and_then(|process| process.refusal.as_ref()) {
        Some(error) if seen.is_empty() => {
            let needed = CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
            Answer::failed(error, needed, cost).alone()
        }
        _ => Answer::yes(format!("{} of {} processes {whose}", seen.len(), asked.len())).alone(),
    }
}

/// A process, and whether its open files can be seen.
struct Process {
    pid: u32,
    uid: u32,
    refusal: Option<io::Error>,
}

impl Process {
    /// The processes that there are, without the kernel's own threads and without those that end meanwhile.
    fn all() -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let directory = entry.path();
            let Ok(metadata) = fs::metadata(&directory) else { continue };
            if fs::read(directory.join("cmdline")).is_ok_and(|line| line.is_empty()) {
                continue;
            }
            let refusal = match look(&directory.join("fd")) {
                Ok(()) => None,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(error),
                Err(_) => continue,
            };
            found.push(Self { pid, uid: metadata.uid(), refusal });
        }
        Ok(found)
    }
}

/// Reads the first of the links in a directory, if it has one.
fn look(directory: &Path) -> io::Result<()> {
    match fs::read_dir(directory)?.next() {
        Some(entry) => fs::read_link(entry?.path()).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_from_a_list() {
        let message = |kind: u16, payload: &[u8]| {
            let length = u32::try_from(16 + payload.len()).unwrap();
            [&length.to_ne_bytes(), &kind.to_ne_bytes() as &[u8], &[0; 10], payload].concat()
        };
        for end in [NLMSG_ERROR, NLMSG_DONE] {
            let refused = message(end, &(-2_i32).to_ne_bytes());
            assert_eq!(verdict(&refused).unwrap_err().raw_os_error(), Some(2));
            assert!(verdict(&message(end, &[0; 4])).is_ok());
            assert!(verdict(&message(end, &[0; 3])).is_err());
        }
        assert!(verdict(&message(20, &[0; 56])).is_ok());
        assert!(verdict(&[]).is_err());
    }

    #[test]
    fn the_kernel_answers_or_says_why_not() {
        let (answer, _) = sock_diag();
        assert!(matches!(answer, Answer::Yes { .. } | Answer::No { errno: Some(_), .. }), "{answer:?}");
        let unknown = dump(2, 250).unwrap_err();
        assert!(unknown.raw_os_error().is_some_and(|number| number > 0), "{unknown:?}");
    }
}
