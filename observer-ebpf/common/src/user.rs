//! The user side's part of the records: keys and values for aya's maps, and the question who holds a cgroup's hook,
//! which aya asks only for itself.

#![expect(unsafe_code, reason = "one system call without a wrapper, and the marker of plain data")]

extern crate std;

use core::mem::size_of;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::vec::Vec;

use crate::{FlowKey, FlowState, Process};

// SAFETY: integers and arrays of them without implicit padding (the sizes are asserted); every bit pattern is good.
unsafe impl aya::Pod for FlowKey {}
// SAFETY: as above.
unsafe impl aya::Pod for FlowState {}
// SAFETY: as above.
unsafe impl aya::Pod for Process {}

/// The hooks of a cgroup that the programs use or that tell who else does (`enum bpf_attach_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CgroupHook {
    /// Packets in.
    Ingress = 0,
    /// Packets out.
    Egress = 1,
    /// A socket is made.
    SockCreate = 2,
    /// `connect` of an IPv4 address.
    Connect4 = 10,
    /// `connect` of an IPv6 address.
    Connect6 = 11,
    /// After an IPv4 socket got its port.
    PostBind4 = 12,
    /// After an IPv6 socket got its port.
    PostBind6 = 13,
    /// `sendmsg` of UDP to an IPv4 address.
    Sendmsg4 = 14,
    /// `sendmsg` of UDP to an IPv6 address.
    Sendmsg6 = 15,
}

/// Who holds a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    /// The ids of the programs that are attached to the cgroup itself.
    pub programs: Vec<u32>,
    /// The flags that they were attached with.
    pub flags: u32,
}

/// `BPF_F_ALLOW_MULTI`: others may attach beside.
const ALLOW_MULTI: u32 = 2;

/// The command's number in `enum bpf_cmd`.
const BPF_PROG_QUERY: libc::c_long = 16;

/// More programs than the kernel lets a hook have (`BPF_CGROUP_MAX_PROGS` is 64).
const MAX_PROGRAMS: usize = 64;

impl Holders {
    /// Whether another program may be attached without taking anything from those that are there.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.programs.is_empty() || self.flags & ALLOW_MULTI != 0
    }
}

/// `union bpf_attr`, the arm of `BPF_PROG_QUERY`, as Linux 4.15 has it.
#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

const _: () = assert!(size_of::<Query>() == 32);

/// Asks who holds `hook` of `cgroup`.
///
/// # Errors
/// The kernel's: `EPERM` without `CAP_NET_ADMIN` or `CAP_BPF`, `EINVAL` for a hook that it does not know.
pub fn holders(cgroup: BorrowedFd<'_>, hook: CgroupHook) -> io::Result<Holders> {
    let mut ids = [0_u32; MAX_PROGRAMS];
    let mut query = Query {
        target: cgroup.as_raw_fd().cast_unsigned(),
        attach_type: hook as u32,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: 64,
        padding: 0,
    };
    // SAFETY: `query` is the arm of `union bpf_attr` for this command and `ids` has room for `count` numbers; both
    // outlive the call, and the kernel writes to nothing else.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, size_of::<Query>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let programs = ids.into_iter().take(query.count as usize).collect();
    Ok(Holders { programs, flags: query.attach_flags })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn one_s_own_program_or_none_admits_others_and_a_jealous_one_does_not() {
        assert!(Holders { programs: Vec::new(), flags: 0 }.admits());
        assert!(Holders { programs: std::vec![7, 8], flags: ALLOW_MULTI }.admits());
        assert!(!Holders { programs: std::vec![7], flags: 0 }.admits());
        assert!(!Holders { programs: std::vec![7], flags: 1 }.admits());
    }

    #[test]
    fn a_file_that_is_no_cgroup_is_refused() {
        let file = File::open("/dev/null").unwrap();
        let error = holders(file.as_fd(), CgroupHook::Connect4).unwrap_err();
        let code = error.raw_os_error().unwrap();
        assert!([libc::EBADF, libc::EPERM, libc::EINVAL].contains(&code), "{error}");
    }
}
