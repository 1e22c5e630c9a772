//! What this system lets an observer do, asked of the system itself.
//!
//! Each [`Probe`] tries one capability. What a version number promises is not trusted: distributions and vendors switch
//! features off. Probing changes nothing: what has to be attached to be tried is attached in a network namespace that
//! ends with the probe. The kernel may load a module for a probe, as it does for a capture.

mod android;
mod answer;
mod attribution;
mod bpf;
mod capture;
mod cgroup;
mod network;
mod resolver;
mod security;
mod sockets;
mod system;
mod tracing;

use serde::Serialize;

pub use answer::{Answer, Capability, Item, Topic};
pub use attribution::{Choice, Extent};

/// One thing to try.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Stable name, e.g. `bpf.map`.
    pub id: &'static str,
    /// What is tried, for a person.
    pub name: &'static str,
    /// Where it is shown.
    pub topic: Topic,
    /// Tries it.
    pub ask: fn() -> (Answer, Vec<Item>),
}

/// Every probe, in the order in which they are shown.
pub const PROBES: &[Probe] = &[
    probe("system.kernel", "kernel", Topic::System, system::kernel),
    probe("system.page_size", "page size", Topic::System, system::page_size),
    probe("system.user", "user", Topic::System, security::user),
    probe("system.capabilities", "capabilities", Topic::System, security::capabilities),
    probe("system.selinux", "SELinux", Topic::System, security::selinux),
    probe("system.lockdown", "kernel lockdown", Topic::System, security::lockdown),
    probe("system.landlock", "Landlock", Topic::System, security::landlock),
    probe("bpf.map", "bpf() makes maps", Topic::Bpf, bpf::map),
    probe("bpf.classifier", "bpf() loads programs", Topic::Bpf, bpf::classifier),
    probe("bpf.owner", "uid and socket cookie", Topic::Bpf, bpf::owner),
    probe("bpf.programs", "observer's programs", Topic::Bpf, bpf::programs),
    probe("bpf.clsact", "tc clsact", Topic::Bpf, bpf::clsact),
    probe("bpf.tcx", "tcx", Topic::Bpf, bpf::tcx),
    probe("bpf.ring_buffer", "ring buffer", Topic::Bpf, bpf::ring_buffer),
    probe("bpf.cgroup", "cgroup hooks", Topic::Bpf, cgroup::hooks),
    probe("bpf.tracepoint", "inet_sock_set_state", Topic::Bpf, tracing::inet_sock_set_state),
    probe("bpf.btf", "BTF", Topic::Bpf, bpf::btf),
    probe("bpf.unprivileged", "without privileges", Topic::Bpf, bpf::unprivileged),
    probe("bpf.perf_event_paranoid", "perf_event_paranoid", Topic::Bpf, tracing::perf_event_paranoid),
    probe("bpf.memlock", "locked memory", Topic::Bpf, bpf::memlock),
    probe("capture.packet_socket", "AF_PACKET", Topic::Capture, capture::packet_socket),
    probe("capture.libpcap", "libpcap", Topic::Capture, capture::libpcap),
    probe("capture.nflog", "NFLOG", Topic::Capture, capture::nflog),
    probe("sockets.sock_diag", "sock_diag", Topic::Sockets, sockets::sock_diag),
    probe("sockets.proc_net", "/proc/net tables", Topic::Sockets, sockets::proc_net),
    probe("sockets.processes", "/proc/PID/fd", Topic::Sockets, sockets::processes),
    probe("android.release", "Android", Topic::Android, android::release),
    probe("android.packages", "packages.list", Topic::Android, android::packages),
    probe("network.interfaces", "interfaces", Topic::Network, network::interfaces),
    probe("network.resolver", "private DNS", Topic::Network, resolver::private_dns),
    probe("network.clat", "464XLAT", Topic::Network, network::clat),
    probe("network.vpn", "VPN", Topic::Network, network::vpn),
];

const fn probe(
    id: &'static str,
    name: &'static str,
    topic: Topic,
    ask: fn() -> (Answer, Vec<Item>),
) -> Probe {
    Probe { id, name, topic, ask }
}

/// What all probes said, and what follows.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// An answer a probe, in the order of [`PROBES`].
    pub capabilities: Vec<Capability>,
    /// What `--attribution auto` chooses.
    pub attribution: Choice,
}

impl Diagnosis {
    /// What a capture on this system amounts to.
    #[must_use]
    pub fn extent(&self) -> Extent {
        attribution::extent(&self.capabilities, &self.attribution)
    }
}

/// Asks every probe.
#[must_use]
pub fn examine() -> Diagnosis {
    let capabilities: Vec<_> = PROBES
        .iter()
        .map(|probe| {
            let (answer, items) = (probe.ask)();
            Capability { id: probe.id, name: probe.name, topic: probe.topic, answer, items }
        })
        .collect();
    let attribution = attribution::choose(&capabilities);
    Diagnosis { capabilities, attribution }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_name_their_topic() {
        let ids: BTreeSet<_> = PROBES.iter().map(|probe| probe.id).collect();
        assert_eq!(ids.len(), PROBES.len());
        for probe in PROBES {
            let topic = serde_json::to_value(probe.topic).unwrap();
            assert_eq!(probe.id.split_once('.').unwrap().0, topic, "{}", probe.id);
        }
    }

    #[test]
    fn topics_are_not_scattered() {
        let mut topics: Vec<_> = PROBES.iter().map(|probe| probe.topic).collect();
        topics.dedup();
        let unique: BTreeSet<_> = topics.iter().copied().collect();
        assert_eq!(topics.len(), unique.len());
    }
}
