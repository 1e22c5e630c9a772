//! Owners from kernel programs: every packet that leaves this system names its socket's user.
//!
//! A program at tc egress reports the first packet of each socket's flow with uid, cookie and cgroup (`object`,
//! `interfaces`); hooks that tell the process join where they disturb nobody (`hooks`). Events come through a ring
//! buffer (`events`) and become sightings (`records`). What the programs do stands in `observer-ebpf`.
//!
//! What a kernel lacks is replaced by the next best, never guessed from its version: tcx by a clsact filter, the ring buffer
//! by perf buffers, boot time by monotonic time. Flows that began before, and sockets that never send, are for
//! other methods.

mod events;
mod hooks;
mod interfaces;
mod netlink;
mod object;
mod records;
#[cfg(test)]
mod tests;

use std::fmt;

use aya::Ebpf;
use observer_ebpf_common::Counter;

use self::events::Events;
use self::interfaces::Interfaces;
pub use self::interfaces::{Removed, clean_up};
use self::object::{Egress, chain};
use self::records::{Clocks, Records};
use crate::attribution::{Attributor, AttributorError, Method, Sighting};
use crate::decode::FiveTuple;

/// What is used where the kernel has it.
#[derive(Clone, Copy, Debug)]
struct Plan {
    ring_buffer: bool,
    tcx: bool,
    processes: bool,
}

/// Adds to sightings what else is known of their owners.
type Complete = Box<dyn FnMut(&mut [Sighting]) + Send>;

/// Learns owners from kernel programs, in the network namespace of the thread that opened it.
pub struct EbpfAttributor {
    // Taken off before the programs go.
    interfaces: Interfaces,
    events: Events,
    programs: Ebpf,
    records: Records,
    complete: Complete,
    notes: Vec<String>,
}

impl fmt::Debug for EbpfAttributor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = (&self.interfaces, &self.events);
        f.debug_struct("EbpfAttributor")
            .field("interfaces", fields.0)
            .field("events", fields.1)
            .finish_non_exhaustive()
    }
}

impl EbpfAttributor {
    /// Loads the programs and attaches them to every interface that is up. What they report goes through `complete`, which
    /// adds what else is known of an owner.
    ///
    /// Takes `CAP_BPF` (before Linux 5.8 `CAP_SYS_ADMIN`) and `CAP_NET_ADMIN`, for processes also `CAP_PERFMON`. Links and
    /// filters leave when this is dropped, on a thread that still has `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// When the kernel refuses the maps, every variant of the program at tc egress, or each interface.
    pub fn open(complete: impl FnMut(&mut [Sighting]) + Send + 'static) -> Result<Self, AttributorError> {
        let plan = Plan { ring_buffer: object::has_ring_buffer(), tcx: true, processes: true };
        Self::with(plan, Box::new(complete))
    }

    fn with(plan: Plan, complete: Complete) -> Result<Self, AttributorError> {
        let mut programs = object::load(plan.ring_buffer).map_err(|error| refused(error.to_string()))?;
        let egress =
            Egress::load(&mut programs, plan.ring_buffer).map_err(|error| refused(error.to_string()))?;
        let events = Events::open(&mut programs, plan.ring_buffer).map_err(refused)?;
        let mut notes =
            if plan.processes { hooks::attach(&mut programs, plan.ring_buffer) } else { Vec::new() };
        let interfaces = Interfaces::attach(&mut programs, egress, plan.tcx)
            .map_err(|error| refused(format!("interfaces: {error}")))?;
        notes.extend(interfaces.refusals().map(|reason| format!("no kernel program on {reason}")));
        if interfaces.len() == 0 {
            let reasons: Vec<&str> = interfaces.refusals().collect();
            return Err(refused(match reasons.as_slice() {
                [] => "no interface is up".to_owned(),
                reasons => reasons.join("; "),
            }));
        }
        Ok(Self { interfaces, events, programs, records: Records::default(), complete, notes })
    }

    /// What is missing, and why.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Packets that a program saw and did not attribute, by reason.
    #[must_use]
    pub fn unattributed(&self) -> [(&'static str, u64); 6] {
        [
            ("without a socket: forwarded, or the kernel's own", Counter::NoSocket),
            ("of a socket in time-wait", Counter::NotFull),
            ("of a socket of the kernel's", Counter::Kernel),
            ("fragments after the first", Counter::Fragment),
            ("not IP, or cut", Counter::Unparsed),
            ("of flows that no table had room for", Counter::Refused),
        ]
        .map(|(reason, counter)| (reason, self.events.count(counter)))
    }
}

impl Attributor for EbpfAttributor {
    fn method(&self) -> Method {
        Method::Ebpf
    }

    fn poll(&mut self, _opened: &[FiveTuple], sightings: &mut Vec<Sighting>) -> Result<(), AttributorError> {
        self.interfaces.follow(&mut self.programs);
        let events = self.events.take();
        if !events.is_empty() {
            let clocks = Clocks::read();
            let already = sightings.len();
            sightings.extend(events.iter().filter_map(|event| self.records.sighting(event, clocks)));
            (self.complete)(sightings.get_mut(already..).unwrap_or_default());
        }
        Ok(())
    }

    fn lost(&self) -> u64 {
        self.events.lost()
    }
}

fn refused(reason: String) -> AttributorError {
    AttributorError { method: Method::Ebpf, reason }
}

/// Whether the kernel takes a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The program's name.
    pub program: String,
    /// Instructions that the verifier left and went through, where the kernel tells them, or the refusal.
    pub outcome: Result<(Option<u32>, Option<u32>), String>,
}

/// Loads every program, attaches none, and lets go of them.
///
/// # Errors
/// When not even the maps can be made.
pub fn probe() -> Result<Vec<Probe>, AttributorError> {
    let mut programs = object::load(object::has_ring_buffer()).map_err(|error| refused(error.to_string()))?;
    let mut probes: Vec<Probe> = programs
        .programs_mut()
        .map(|(name, program)| {
            let loaded = object::load_any(program).and_then(|()| program.info());
            let outcome = loaded.map_err(|error| chain(&error)).map(|info| {
                let left = info.size_translated().map(|bytes| bytes / 8);
                (left, info.verified_instruction_count())
            });
            Probe { program: name.to_owned(), outcome }
        })
        .collect();
    probes.sort_by(|a, b| a.program.cmp(&b.program));
    Ok(probes)
}
