//! cgroup hooks: which process uses a socket. For machines whose hooks nobody else holds; never Android's.
//!
//! A socket belongs to who created it until somebody connects it or sends with it. None of the programs ever refuses
//! anything.

use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::macros::{cgroup_sock, cgroup_sock_addr};
use aya_ebpf::programs::{SockAddrContext, SockContext};
use observer_ebpf_common::{Counter, Event, FAMILY_IPV4, FAMILY_IPV6, Kind, Process};

use crate::platform::{Aligned, NoCgroup, Platform, current_process, report, zeroed};
use crate::table::{PROCESSES, count};

/// What every program answers: go on.
const ALLOW: i32 = 1;

#[cgroup_sock_addr(connect4)]
pub(crate) fn observer_connect4(context: SockAddrContext) -> i32 {
    note(&context);
    ALLOW
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn observer_connect6(context: SockAddrContext) -> i32 {
    note(&context);
    ALLOW
}

#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn observer_sendmsg4(context: SockAddrContext) -> i32 {
    note(&context);
    ALLOW
}

#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn observer_sendmsg6(context: SockAddrContext) -> i32 {
    note(&context);
    ALLOW
}

#[cgroup_sock(sock_create)]
pub(crate) fn observer_create(context: SockContext) -> i32 {
    note(&context);
    ALLOW
}

#[cgroup_sock(post_bind4)]
pub(crate) fn observer_bind4(context: SockContext) -> i32 {
    let mut event = MaybeUninit::<Event>::uninit();
    let event = zeroed(&mut event);
    // SAFETY: the program's own context; `src_ip4` is readable in this hook.
    let address = unsafe { (*context.sock).src_ip4 };
    event.key.family = FAMILY_IPV4;
    event.key.source[..4].copy_from_slice(&address.to_ne_bytes());
    bound(&context, event);
    ALLOW
}

#[cgroup_sock(post_bind6)]
pub(crate) fn observer_bind6(context: SockContext) -> i32 {
    let mut event = MaybeUninit::<Event>::uninit();
    let event = zeroed(&mut event);
    event.key.family = FAMILY_IPV6;
    for (index, bytes) in event.key.source.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        // SAFETY: the program's own context; `src_ip6` is readable in this hook.
        *bytes = unsafe { (*context.sock).src_ip6[index] }.to_ne_bytes();
    }
    bound(&context, event);
    ALLOW
}

/// Notes the running process as the socket's user; the socket's cookie.
#[inline(always)]
fn note<C: EbpfContext>(context: &C) -> u64 {
    let mut process = MaybeUninit::uninit();
    let Aligned(process) = zeroed(&mut process);
    current_process(process);
    note_process(context, process)
}

#[inline(always)]
fn note_process<C: EbpfContext>(context: &C, process: &Process) -> u64 {
    // SAFETY: the helper takes the program's own context.
    let cookie = unsafe { bpf_get_socket_cookie(context.as_ptr()) };
    if let Some(known) = PROCESSES.get_ptr(&cookie) {
        // SAFETY: the verifier has seen the null check.
        if unsafe { (*known).pid } == process.pid {
            return cookie;
        }
    }
    if PROCESSES.insert(&cookie, process, 0).is_err() {
        count(Counter::Refused);
    }
    cookie
}

/// Reports that a socket has a local end, whose address is filled in.
#[inline(always)]
fn bound(context: &SockContext, event: &mut Event) {
    current_process(&mut event.process);
    event.key.cookie = note_process(context, &event.process);
    event.kind = Kind::Bound as u32;
    event.time = NoCgroup::now();
    // SAFETY: the program's own context; both fields are readable in this hook.
    let (protocol, port) = unsafe { ((*context.sock).protocol, (*context.sock).src_port) };
    event.key.protocol = protocol as u8;
    event.key.source_port = port as u16;
    report::<NoCgroup, _>(context, event);
}
