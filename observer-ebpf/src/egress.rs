//! tc egress: whose packet is it.

use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_NOEXIST, TC_ACT_UNSPEC};
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use observer_ebpf_common::{
    Counter, Event, FLAG_OWNER_CHANGED, FLAG_UID, FlowState, Kind, UID_INVALID, UID_OVERFLOW,
};

use crate::packet::{TCP, tuple};
use crate::platform::{Legacy, Modern, NoCgroup, Platform, copy_process, report, zeroed};
use crate::table::{FLOWS, PROCESSES, count};

#[classifier]
pub(crate) fn observer_egress(packet: TcContext) -> i32 {
    egress::<Modern, true>(&packet)
}

#[classifier]
pub(crate) fn observer_egress_no_cgroup(packet: TcContext) -> i32 {
    egress::<NoCgroup, true>(&packet)
}

#[classifier]
pub(crate) fn observer_egress_legacy(packet: TcContext) -> i32 {
    egress::<Legacy, true>(&packet)
}

#[classifier]
pub(crate) fn observer_egress_ip(packet: TcContext) -> i32 {
    egress::<Modern, false>(&packet)
}

#[classifier]
pub(crate) fn observer_egress_ip_no_cgroup(packet: TcContext) -> i32 {
    egress::<NoCgroup, false>(&packet)
}

#[classifier]
pub(crate) fn observer_egress_ip_legacy(packet: TcContext) -> i32 {
    egress::<Legacy, false>(&packet)
}

/// States of a socket (`enum` in `include/net/tcp_states.h`, mirrored in `BPF_TCP_…` of the user-space ABI).
const TIME_WAIT: u32 = 6;
const CLOSE: u32 = 7;

/// Looks at one packet; the next filter decides what becomes of it.
#[inline(always)]
fn egress<P: Platform, const ETHERNET: bool>(packet: &TcContext) -> i32 {
    if let Err(counter) = look::<P, ETHERNET>(packet) {
        count(counter);
    }
    TC_ACT_UNSPEC
}

#[inline(always)]
fn look<P: Platform, const ETHERNET: bool>(packet: &TcContext) -> Result<(), Counter> {
    let skb = packet.skb.skb;
    // SAFETY: the helper takes the program's own context.
    let cookie = unsafe { bpf_get_socket_cookie(packet.as_ptr()) };
    // SAFETY: `skb` is the program's own context; `sk` is a field of the user-space ABI since Linux 5.1.
    let socket = unsafe { (*skb).__bindgen_anon_2.sk };
    if cookie == 0 || socket.is_null() {
        return Err(Counter::NoSocket);
    }
    let mut event = MaybeUninit::<Event>::uninit();
    let event = zeroed(&mut event);
    tuple::<ETHERNET>(packet, &mut event.key)?;
    event.key.cookie = cookie;
    let uid = packet.get_socket_uid();
    let now = P::now();

    let known = FLOWS.get_ptr_mut(&event.key);
    let mut changed = false;
    if let Some(flow) = known {
        // SAFETY: the verifier has seen the null check; entries of a map stay readable while the program runs.
        let flow = unsafe { &mut *flow };
        flow.last_seen = now;
        flow.packets = flow.packets.wrapping_add(1);
        if uid == flow.uid || matches!(uid, UID_OVERFLOW | UID_INVALID) {
            return Ok(());
        }
        changed = true;
    }
    // SAFETY: the verifier has seen the null check; `state` and `src_port` are of the user-space ABI.
    let (state, port) = unsafe { ((*socket).state, (*socket).src_port) };
    if state == TIME_WAIT || uid == UID_INVALID {
        return Err(Counter::NotFull);
    }
    // The kernel resets and acknowledges through a socket of its own, whose uid is root's: it is in no state of TCP
    // and does not have the flow's port.
    if event.key.protocol == TCP && state == CLOSE && port != u32::from(event.key.source_port) {
        return Err(Counter::Kernel);
    }

    if let Some(flow) = known {
        // SAFETY: as above.
        unsafe { (*flow).uid = uid };
    } else {
        let flow = FlowState { last_seen: now, packets: 1, uid, padding: 0 };
        FLOWS.insert(&event.key, &flow, u64::from(BPF_NOEXIST)).map_err(|_errno| Counter::Refused)?;
    }
    event.kind = Kind::Egress as u32;
    event.flags = P::FLAGS | FLAG_UID | if changed { FLAG_OWNER_CHANGED } else { 0 };
    event.time = now;
    // SAFETY: `skb` is the program's own context.
    (event.cgroup, event.interface) = unsafe { (P::cgroup(skb), (*skb).ifindex) };
    event.uid = uid;
    if let Some(process) = PROCESSES.get_ptr(&cookie) {
        // SAFETY: the verifier has seen the null check.
        unsafe { copy_process(process, &mut event.process) };
    }
    if !report::<P, _>(packet, event) {
        // The next packet reports it.
        let _ = FLOWS.remove(&event.key);
    }
    Ok(())
}
