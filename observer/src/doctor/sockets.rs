//! Lists of open sockets and their owners, for attribution without kernel programs.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::net::netlink::SOCK_DIAG;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use rustix::thread::CapabilitySet;

use super::{Answer, Item};

/// `NLMSG_ERROR` and `NLMSG_DONE` (include/uapi/linux/netlink.h).
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// `SOCK_DIAG_BY_FAMILY` (include/uapi/linux/sock_diag.h).
const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Whether the kernel lists sockets over netlink.
pub(super) fn sock_diag() -> (Answer, Vec<Item>) {
    let cost = "without kernel programs, owners come from the slower tables of /proc/net";
    let ask = || -> io::Result<()> {
        for (family, protocol) in
            [(libc_family(AddressFamily::INET6), 6), (libc_family(AddressFamily::INET), 17)]
        {
            dump(family, protocol)?;
        }
        Ok(())
    };
    match ask() {
        Ok(()) => Answer::yes("TCP and UDP").alone(),
        Err(error) => Answer::failed(&error, CapabilitySet::empty(), cost).alone(),
    }
}

fn libc_family(family: AddressFamily) -> u8 {
    u8::try_from(family.as_raw()).unwrap_or_default()
}

/// Asks for the sockets of a family and an IP protocol. The first answer tells whether the kernel can.
fn dump(family: u8, protocol: u8) -> io::Result<()> {
    let socket: OwnedFd =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(std::time::Duration::from_secs(2)))?;
    send(&socket, &request(family, protocol), SendFlags::empty())?;
    let mut answer = [0; 64 << 10];
    let (_, length) = recv(&socket, &mut answer, RecvFlags::empty())?;
    verdict(answer.get(..length).unwrap_or_default())
}

/// A request to dump: `struct nlmsghdr`, then `struct inet_diag_req_v2` with every state and no address
/// (include/uapi/linux/inet_diag.h).
fn request(family: u8, protocol: u8) -> Vec<u8> {
    /// `NLM_F_REQUEST | NLM_F_DUMP`.
    const FLAGS: u16 = 0x1 | 0x300;
    const LENGTH: u32 = 16 + 8 + 48;
    let mut bytes = Vec::new();
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(FLAGS.to_ne_bytes());
    // Sequence and port.
    bytes.extend([0; 8]);
    bytes.extend([family, protocol, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    // Ends of the socket, which a dump does not ask for.
    bytes.extend([0; 48]);
    bytes
}

/// What the first message of an answer says. An empty list ends at once; how it ends tells whether it is one: both kinds
/// of end carry the negated errno, or nothing but success.
fn verdict(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match kind {
        Some(NLMSG_ERROR | NLMSG_DONE) => {
            let number = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
            match number {
                Some(0) => Ok(()),
                Some(number) => Err(io::Error::from_raw_os_error(number.saturating_neg())),
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Some(_) => Ok(()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
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
        Some(_) => Answer::yes(format!("{} of {} processes {whose}", seen.len(), asked.len())).alone(),
        None => Answer::yes(format!("all {} processes {whose}", asked.len())).alone(),
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
    fn a_request_has_the_lengths_that_it_states() {
        let bytes = request(10, 6);
        assert_eq!(bytes.len(), 72);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()), 72);
        assert_eq!(bytes[16..20], [10, 6, 0, 0]);
    }

    #[test]
    fn an_error_is_told_from_a_list() {
        let mut answer = [0; 36];
        for end in [NLMSG_ERROR, NLMSG_DONE] {
            answer[4..6].copy_from_slice(&end.to_ne_bytes());
            answer[16..20].copy_from_slice(&(-2_i32).to_ne_bytes());
            assert_eq!(verdict(&answer).unwrap_err().raw_os_error(), Some(2));
            answer[16..20].fill(0);
            assert!(verdict(&answer).is_ok());
            assert!(verdict(&answer[..17]).is_err());
        }
        answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        assert!(verdict(&answer).is_ok());
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
