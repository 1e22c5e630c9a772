//! Tracepoint `sock:inet_sock_set_state`: which process connects a TCP socket, and which one listens.
//!
//! A state is set in the process's own context only when it connects and when it listens; the ports are known only
//! after that, in whatever context. The socket's address in the kernel joins the two.
//!
//! The record's layout is not a part of the user-space ABI, but the kernel describes it in tracefs. The user side
//! compares that description with [`Layout`]s and attaches the program that fits, or none: fields are then read
//! straight from the record, with no helper that a locked-down kernel denies.

use core::mem::MaybeUninit;
use core::ptr::read_volatile;

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use observer_ebpf_common::{Counter, Event, FAMILY_IPV6, FlowKey, Kind};

use crate::packet::TCP;
use crate::platform::{Aligned, Legacy, NoCgroup, Platform, copy_process, current_process, report, zeroed};
use crate::table::{CONNECTING, count};

#[tracepoint]
pub(crate) fn observer_state(record: TracePointContext) -> u32 {
    state::<NoCgroup, Word>(&record);
    0
}

#[tracepoint]
pub(crate) fn observer_state_legacy(record: TracePointContext) -> u32 {
    state::<Legacy, Word>(&record);
    0
}

#[tracepoint]
pub(crate) fn observer_state_byte_legacy(record: TracePointContext) -> u32 {
    state::<Legacy, Byte>(&record);
    0
}

/// States of a socket (`include/net/tcp_states.h`).
const SYN_SENT: i32 = 2;
const CLOSE: i32 = 7;
const LISTEN: i32 = 10;

/// Where fields lie that kernels put in different places.
///
/// # Safety
/// `record` is always the program's own context.
trait Layout {
    /// The IP protocol.
    unsafe fn protocol(record: *const u8) -> u16;
    /// The four bytes at `4 * index` of `saddr_v6` and `daddr_v6`, which follows it. IPv4 addresses are in them as
    /// v4-mapped ones. The index is below 8.
    unsafe fn address(record: *const u8, index: usize) -> u32;
}

/// Since Linux 5.6: `__u16 protocol` at 30, `saddr_v6` at 40.
struct Word;

/// Before Linux 5.6: `__u8 protocol` at 30, `saddr_v6` at 39.
struct Byte;

impl Layout for Word {
    #[inline(always)]
    unsafe fn protocol(record: *const u8) -> u16 {
        // SAFETY: the record is longer, which the verifier checks.
        unsafe { read_volatile(record.add(30).cast()) }
    }

    #[inline(always)]
    unsafe fn address(record: *const u8, index: usize) -> u32 {
        // SAFETY: the record is longer, which the verifier checks.
        unsafe { read_volatile(record.add(40 + 4 * index).cast()) }
    }
}

impl Layout for Byte {
    #[inline(always)]
    unsafe fn protocol(record: *const u8) -> u16 {
        // SAFETY: the record is longer, which the verifier checks.
        u16::from(unsafe { read_volatile(record.add(30)) })
    }

    /// A program reads a record at multiples of what it reads: the three bytes of the next word go by themselves.
    #[inline(always)]
    unsafe fn address(record: *const u8, index: usize) -> u32 {
        let at = 40 + 4 * index;
        // SAFETY: the record is longer, which the verifier checks.
        let (first, middle, last) = unsafe {
            (
                read_volatile(record.add(at - 1)),
                read_volatile(record.add(at).cast::<u16>()),
                read_volatile(record.add(at + 2)),
            )
        };
        u32::from(first) | u32::from(middle) << 8 | u32::from(last) << 24
    }
}

#[inline(always)]
fn state<P: Platform, L: Layout>(context: &TracePointContext) {
    let record: *const u8 = context.as_ptr().cast();
    // SAFETY: the record is longer than these offsets, which the verifier checks.
    let (socket, old, new, protocol) = unsafe {
        (
            read_volatile(record.add(8).cast::<u64>()),
            read_volatile(record.add(16).cast::<i32>()),
            read_volatile(record.add(20).cast::<i32>()),
            L::protocol(record),
        )
    };
    if protocol != u16::from(TCP) {
        return;
    }
    if new == SYN_SENT {
        let mut process = MaybeUninit::uninit();
        let Aligned(process) = zeroed(&mut process);
        current_process(process);
        if CONNECTING.insert(&socket, &*process, 0).is_err() {
            count(Counter::Refused);
        }
        return;
    }
    let connected = old == SYN_SENT;
    if !connected && (old != CLOSE || new != LISTEN) {
        return;
    }
    let mut event = MaybeUninit::<Event>::uninit();
    let event = zeroed(&mut event);
    if connected {
        event.kind = Kind::Connected as u32;
        let Some(process) = CONNECTING.get_ptr(&socket) else { return };
        // SAFETY: the verifier has seen the null check.
        unsafe { copy_process(process, &mut event.process) };
        let _ = CONNECTING.remove(&socket);
    } else {
        event.kind = Kind::Listening as u32;
        current_process(&mut event.process);
    }
    event.flags = P::FLAGS;
    event.time = P::now();
    // SAFETY: the program's own context.
    unsafe { fill::<L>(&mut event.key, record, connected) };
    report::<P, _>(context, event);
}

/// Fills in the tuple, with the receiver if there is one.
///
/// # Safety
/// `record` is the program's own context.
#[inline(always)]
unsafe fn fill<L: Layout>(key: &mut FlowKey, record: *const u8, receiver: bool) {
    key.protocol = TCP;
    // The user side makes IPv4 of v4-mapped addresses.
    key.family = FAMILY_IPV6;
    // SAFETY: the record is longer than these offsets, which the verifier checks.
    unsafe {
        key.source_port = read_volatile(record.add(24).cast());
        for (index, bytes) in key.source.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *bytes = L::address(record, index).to_ne_bytes();
        }
        if receiver {
            key.destination_port = read_volatile(record.add(26).cast());
            for (index, bytes) in key.destination.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *bytes = L::address(record, index + 4).to_ne_bytes();
            }
        }
    }
}
