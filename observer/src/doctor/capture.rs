//! Where frames come from.

use std::path::Path;
use std::{fs, io};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::CapabilitySet;

use super::{Answer, Item};

/// Whether packet sockets open, which libpcap captures through. Without a protocol such a socket receives nothing.
pub(super) fn packet_socket() -> (Answer, Vec<Item>) {
    match socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None) {
        Ok(_) => Answer::yes("").alone(),
        Err(error) => {
            let cost = "no capture; observer analyze still reads capture files";
            Answer::failed(&io::Error::from(error), CapabilitySet::NET_RAW, cost).alone()
        }
    }
}

/// The library that captures, by the name of its file.
pub(super) fn libpcap() -> (Answer, Vec<Item>) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    Answer::yes(loaded(&maps).unwrap_or_else(|| "linked into the program".to_owned())).alone()
}

/// The file name of libpcap among what is mapped into a process (proc_pid_maps(5)).
fn loaded(maps: &str) -> Option<String> {
    maps.lines().find_map(|line| {
        let (_, name) = line.rsplit_once('/')?;
        name.starts_with("libpcap.so").then(|| name.to_owned())
    })
}

/// Whether packets can be had from the firewall, with the uid of who made the socket. Only looked for: to bind to a
/// group changes which logger the firewall uses.
pub(super) fn nflog() -> (Answer, Vec<Item>) {
    if Path::new("/proc/net/netfilter/nfnetlink_log").exists() {
        return Answer::yes("").alone();
    }
    let release = rustix::system::uname();
    let modules = format!("/lib/modules/{}/modules.dep", release.release().to_string_lossy());
    match fs::read_to_string(modules) {
        Ok(text) if text.contains("/nfnetlink_log.ko") => {
            Answer::yes("as a module, which is not loaded").alone()
        }
        _ => Answer::no(
            "neither in this kernel nor among its modules",
            "nothing as long as kernel programs or packet sockets serve",
        )
        .alone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpcap_is_named_by_its_file() {
        let maps = "7f0-7f1 r-xp 00001000 08:01 42 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
            7f2-7f3 r--p 00000000 08:01 43 /usr/lib/x86_64-linux-gnu/libpcap.so.1.10.3\n7ff-800 rw-p 0 00:00 0 [stack]\n";
        assert_eq!(loaded(maps).as_deref(), Some("libpcap.so.1.10.3"));
        assert_eq!(loaded("7ff-800 rw-p 0 00:00 0 [stack]"), None);
    }
}
