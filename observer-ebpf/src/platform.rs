//! What kernels differ in: the buffer to user space, the clock, the cgroup's id.
//!
//! A program that names a helper which the kernel lacks is refused as a whole, so that each combination is a program
//! of its own and the user side loads the first that the kernel takes.

use core::mem::MaybeUninit;
use core::ptr;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_ktime_get_boot_ns, bpf_ktime_get_ns, bpf_skb_cgroup_id,
};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use observer_ebpf_common::{Counter, Event, FLAG_CGROUP, FLAG_MONOTONIC, Process};

use crate::table::{EVENTS, EVENTS_PERF, count};

/// One combination.
pub(crate) trait Platform {
    /// Flags of every event.
    const FLAGS: u32;

    /// Nanoseconds since the machine started.
    fn now() -> u64;

    /// Hands an event to user space; false if there is no room.
    fn send<C: EbpfContext>(context: &C, event: &Event) -> bool;

    /// The cgroup of the packet's socket.
    ///
    /// # Safety
    /// `skb` is the context that the kernel called the program with.
    unsafe fn cgroup(skb: *mut __sk_buff) -> u64;
}

/// Linux 5.8 and later.
pub(crate) struct Modern;

/// Linux 5.8 and later without cgroups for sockets.
pub(crate) struct NoCgroup;

/// Linux 5.4 to 5.7.
pub(crate) struct Legacy;

impl Platform for Modern {
    const FLAGS: u32 = FLAG_CGROUP;

    #[inline(always)]
    fn now() -> u64 {
        NoCgroup::now()
    }

    #[inline(always)]
    fn send<C: EbpfContext>(context: &C, event: &Event) -> bool {
        NoCgroup::send(context, event)
    }

    #[inline(always)]
    unsafe fn cgroup(skb: *mut __sk_buff) -> u64 {
        // SAFETY: the caller passes the program's own context.
        unsafe { bpf_skb_cgroup_id(skb) }
    }
}

impl Platform for NoCgroup {
    const FLAGS: u32 = 0;

    #[inline(always)]
    fn now() -> u64 {
        // SAFETY: the helper reads a clock and takes no argument.
        unsafe { bpf_ktime_get_boot_ns() }
    }

    #[inline(always)]
    fn send<C: EbpfContext>(_context: &C, event: &Event) -> bool {
        EVENTS.output::<Event>(event, 0).is_ok()
    }

    #[inline(always)]
    unsafe fn cgroup(_skb: *mut __sk_buff) -> u64 {
        0
    }
}

impl Platform for Legacy {
    const FLAGS: u32 = FLAG_MONOTONIC;

    #[inline(always)]
    fn now() -> u64 {
        // SAFETY: the helper reads a clock and takes no argument.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn send<C: EbpfContext>(context: &C, event: &Event) -> bool {
        EVENTS_PERF.output(context, event, 0);
        true
    }

    #[inline(always)]
    unsafe fn cgroup(_skb: *mut __sk_buff) -> u64 {
        0
    }
}

/// Sends an event and counts it; false if there was no room.
#[inline(always)]
pub(crate) fn report<P: Platform, C: EbpfContext>(context: &C, event: &Event) -> bool {
    let sent = P::send(context, event);
    count(if sent { Counter::Reported } else { Counter::Lost });
    sent
}

/// Records that are whole words of eight bytes, of integers and arrays of them.
///
/// # Safety
/// Zeros are a good value, and size and alignment are those of `u64`s.
pub(crate) unsafe trait Words {}

// SAFETY: 112 bytes of integers, aligned to eight.
unsafe impl Words for Event {}
// SAFETY: 32 bytes of integers; [`Aligned`] aligns them.
unsafe impl Words for Aligned {}

/// A process that is aligned as in an event and in a map.
#[repr(C, align(8))]
pub(crate) struct Aligned(pub(crate) Process);

/// A record of zeros on the caller's stack, to be filled in place: the kernel compares padding, too.
///
/// The compiler makes a call of what it knows for a `memset`, to a loop over single bytes; volatile words stay words.
#[inline(always)]
pub(crate) fn zeroed<T: Words>(record: &mut MaybeUninit<T>) -> &mut T {
    let words: *mut u64 = record.as_mut_ptr().cast();
    for index in 0..size_of::<T>() / size_of::<u64>() {
        // SAFETY: the word lies in the record, which is aligned for it.
        unsafe { words.add(index).write_volatile(0) };
    }
    // SAFETY: zeros are a good value.
    unsafe { record.assume_init_mut() }
}

/// Copies a map's value, by words for the same reason.
///
/// # Safety
/// `from` is a value of a map that has not been looked up in vain.
#[inline(always)]
pub(crate) unsafe fn copy_process(from: *const Process, to: &mut Process) {
    let from: *const u64 = from.cast();
    let to: *mut u64 = ptr::from_mut(to).cast();
    for index in 0..size_of::<Process>() / size_of::<u64>() {
        // SAFETY: maps align their values to eight bytes, and so does the event this field.
        unsafe { to.add(index).write_volatile(from.add(index).read_volatile()) };
    }
}

/// The thread that runs.
#[inline(always)]
pub(crate) fn current_process(process: &mut Process) {
    let ids = bpf_get_current_pid_tgid();
    process.pid = (ids >> 32) as u32;
    process.thread = ids as u32;
    process.uid = bpf_get_current_uid_gid() as u32;
    process.padding = 0;
    // SAFETY: the helper writes all bytes of the name.
    unsafe { bpf_get_current_comm(process.name.as_mut_ptr().cast(), process.name.len() as u32) };
}
