//! What the kernel says that a thread may do: the identity and capability lines of `/proc/PID/task/TID/status`.

use std::fs;
use std::io;

/// One thread's identity and capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadState {
    /// Real, effective, saved and file-system user.
    pub uids: [u32; 4],
    /// Real, effective, saved and file-system group.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// `CapPrm`, a bit a capability.
    pub permitted: u64,
    /// `CapEff`, a bit a capability.
    pub effective: u64,
    /// `NoNewPrivs`; false where the kernel does not say (before Linux 4.10).
    pub no_new_privileges: bool,
}

impl ThreadState {
    /// The calling thread's.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or has not what every kernel writes.
    pub fn current() -> io::Result<Self> {
        read("/proc/thread-self/status")
    }

    /// Every thread of the process with its id. A thread that ends meanwhile is left out.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or has not what every kernel writes.
    pub fn all() -> io::Result<Vec<(u32, Self)>> {
        let mut threads = Vec::new();
        for entry in fs::read_dir("/proc/self/task")? {
            let entry = entry?;
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match read(&format!("/proc/self/task/{thread}/status")) {
                Ok(state) => threads.push((thread, state)),
                // ESRCH is what a read of a thread that has just ended gives.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(threads)
    }

    /// Reads the text of a `status` file; nothing when a line that every kernel writes is missing or malformed.
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
        };
        let four = |key| -> Option<[u32; 4]> { numbers(value(key)?)?.try_into().ok() };
        let bits = |key| u64::from_str_radix(value(key)?, 16).ok();
        Some(Self {
            uids: four("Uid")?,
            gids: four("Gid")?,
            groups: numbers(value("Groups")?)?,
            permitted: bits("CapPrm")?,
            effective: bits("CapEff")?,
            no_new_privileges: value("NoNewPrivs") == Some("1"),
        })
    }
}

fn read(path: &str) -> io::Result<ThreadState> {
    let text = fs::read_to_string(path)?;
    ThreadState::parse(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path} is not as expected")))
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tobserver\nUmask:\t0077\nState:\tR (running)\nUid:\t1000\t1001\t1002\t1003\n\
        Gid:\t8\t8\t8\t8\nFDSize:\t64\nGroups:\t4 24 27 \nCapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\n\
        CapEff:\t0000008000001000\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\n";

    #[test]
    fn reads_what_the_kernel_writes() {
        let expected = ThreadState {
            uids: [1000, 1001, 1002, 1003],
            gids: [8; 4],
            groups: vec![4, 24, 27],
            permitted: 0x1ff_ffff_ffff,
            effective: 0x80_0000_1000,
            no_new_privileges: true,
        };
        assert_eq!(ThreadState::parse(STATUS), Some(expected));
        let old = STATUS.replace("NoNewPrivs:\t1\n", "").replace("4 24 27 ", "");
        let old = ThreadState::parse(&old).unwrap();
        assert!(!old.no_new_privileges && old.groups.is_empty());
    }

    #[test]
    fn a_malformed_line_is_no_guess() {
        for (good, bad) in [("1003", "x"), ("1003", ""), ("CapEff", "CapOff"), ("000001ff", "g00001ff")] {
            assert_eq!(ThreadState::parse(&STATUS.replace(good, bad)), None, "{bad}");
        }
    }

    #[test]
    fn this_thread_is_among_all() {
        let current = ThreadState::current().unwrap();
        assert!(ThreadState::all().unwrap().iter().any(|(_, state)| *state == current));
    }
}
