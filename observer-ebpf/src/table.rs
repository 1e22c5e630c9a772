//! The maps, and counting.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{LruHashMap, PerCpuArray, PerfEventArray, RingBuf};
use observer_ebpf_common::{
    COUNTERS as COUNT, Counter, Event, FlowKey, FlowState, MAX_CONNECTING, MAX_FLOWS, MAX_PROCESSES, Process,
    RING_BYTES,
};

/// What was found. Kernels before 5.8 have no ring buffer: the user side makes another map of it there.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// What was found, on kernels before 5.8.
#[map]
pub(crate) static EVENTS_PERF: PerfEventArray<Event> = PerfEventArray::new(0);

/// The flows that were reported.
#[map]
pub(crate) static FLOWS: LruHashMap<FlowKey, FlowState> = LruHashMap::with_max_entries(MAX_FLOWS, 0);

/// The process that used a socket last, by the socket's cookie.
#[map]
pub(crate) static PROCESSES: LruHashMap<u64, Process> = LruHashMap::with_max_entries(MAX_PROCESSES, 0);

/// The process that connects a socket, by the socket's address in the kernel.
#[map]
pub(crate) static CONNECTING: LruHashMap<u64, Process> = LruHashMap::with_max_entries(MAX_CONNECTING, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNT, 0);

/// Adds one. A processor has its own counters, and is not interrupted by another program of the same hook.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the verifier has seen the null check; the value lives as long as the map, which the program holds.
        unsafe { *value = (*value).wrapping_add(1) };
    }
}
