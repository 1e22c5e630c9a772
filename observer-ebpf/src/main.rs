//! The observer's kernel programs: who sends, for every flow. They never read a payload and never change a packet.
//!
//! One object for Linux 5.4 to today, x86_64 and aarch64, with and without Android's netd: the programs use contexts,
//! helpers and tracepoint records alone, no offsets into the kernel's structures, and the object has no BTF. What
//! kernels differ in makes variants (see [`platform`]); the user side loads the first that the kernel takes.
//!
//! | Program | Hook | Reports | Instructions | Verified |
//! |---|---|---|---|---|
//! | `observer_egress` | tc egress, Ethernet first | first packet of a tuple and cookie | 937 | 1563 |
//! | `observer_egress_no_cgroup` | the same | without the cgroup | 936 | 1575 |
//! | `observer_egress_legacy` | the same | for Linux before 5.8 | 928 | 1536 |
//! | `observer_egress_ip` | tc egress, IP first | first packet of a tuple and cookie | 825 | 1336 |
//! | `observer_egress_ip_no_cgroup` | the same | without the cgroup | 824 | 1348 |
//! | `observer_egress_ip_legacy` | the same | for Linux before 5.8 | 815 | 1330 |
//! | `observer_state` | `sock:inet_sock_set_state` | process that connects or listens | 174 | 213 |
//! | `observer_state_legacy` | the same | for Linux 5.6 and 5.7 | 173 | 201 |
//! | `observer_state_byte_legacy` | the same | for Linux before 5.6 | 221 | 273 |
//! | `observer_connect4`, `observer_connect6` | cgroup connect | (notes the process of a socket) | 66 | 61 |
//! | `observer_sendmsg4`, `observer_sendmsg6` | cgroup sendmsg | (the same) | 66 | 61 |
//! | `observer_create` | cgroup sock_create | (the same) | 66 | 61 |
//! | `observer_bind4` | cgroup post_bind4 | local end and process | 118 | 109 |
//! | `observer_bind6` | cgroup post_bind6 | local end and process | 124 | 115 |
//!
//! Instructions are those the verifier left, verified those it went through on all paths (`verified_insns` of
//! `bpf_prog_info`; the limit is 1,000,000), on Linux 6.18, x86_64. The observer's test
//! `every_program_passes_the_verifier` prints the table for the kernel it runs on.
//!
//! `observer_egress` takes some 200 ns for a packet of a flow that is known, and some 900 ns for the first one of a flow
//! (`run_time_ns` over `run_cnt`; the same test module's `a_packet_costs_little` measures it).
//!
//! The rest of a packet's way through tc goes on as without the observer (`TC_ACT_UNSPEC`), and a cgroup program always
//! allows.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "kernel programs read contexts and maps through raw pointers")]

mod egress;
mod packet;
mod platform;
mod process;
mod state;
mod table;

/// The kernel lends helpers such as `bpf_perf_event_output` to GPL-compatible programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
