//! Kernel programs: what loads, and where it can be attached.
//!
//! aya asks the kernel by loading the smallest program of a type and by making the smallest map.

use std::error::Error;
use std::fs;
use std::io;
use std::thread;

use aya::maps::MapType;
use aya::programs::tc::{SchedClassifier, TcAttachType, TcError, qdisc_add_clsact};
use aya::programs::{ProgramError, ProgramType};
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported};
use nix::sched::{CloneFlags, unshare};
use observer_ebpf_common::program;
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;

use super::{Answer, Item, security};
use crate::attribution::ebpf::{self, Probe};

/// What is lost without any kernel program.
const POLLING: &str = "attribution by polling: short flows may be missed";

/// Whether maps can be made.
pub(super) fn map() -> (Answer, Vec<Item>) {
    match is_map_supported(MapType::LruHash) {
        Ok(true) => Answer::yes("").alone(),
        Ok(false) => {
            Answer::no("the kernel has no LRU hash maps (Linux 4.10 and later have them)", POLLING).alone()
        }
        Err(error) => Answer::failed(&error, CapabilitySet::BPF, POLLING).alone(),
    }
}

/// Whether programs for tc can be loaded.
pub(super) fn classifier() -> (Answer, Vec<Item>) {
    match is_program_supported(ProgramType::SchedClassifier) {
        Ok(true) => Answer::yes("for tc").alone(),
        Ok(false) => Answer::no("the kernel has no programs for tc (CONFIG_NET_CLS_BPF)", POLLING).alone(),
        Err(error) => Answer::failed(&error, CapabilitySet::BPF | CapabilitySet::NET_ADMIN, POLLING).alone(),
    }
}

/// Whether the kernel's verifier takes the programs of observer. Each is loaded, none is attached.
pub(super) fn programs() -> (Answer, Vec<Item>) {
    let needed = CapabilitySet::BPF | CapabilitySet::NET_ADMIN | CapabilitySet::PERFMON;
    match ebpf::probe() {
        Ok(probes) => judge(&probes),
        // The probe above tells the kernel's reason in its own word.
        Err(_) if !security::effective().contains(needed) => {
            let refused: io::Error = rustix::io::Errno::PERM.into();
            Answer::failed(&refused, needed, POLLING).alone()
        }
        Err(error) => Answer::no(error.reason, POLLING).alone(),
    }
}

/// One program at tc egress is enough: the others are for kernels that are older.
fn judge(probes: &[Probe]) -> (Answer, Vec<Item>) {
    let loaded = |probe: &&Probe| probe.outcome.is_ok();
    let egress = |probe: &&Probe| probe.program.starts_with(program::EGRESS_PREFIX);
    let count = probes.iter().filter(loaded).count();
    let refusals = probes.iter().filter_map(|probe| {
        let reason = probe.outcome.as_ref().err()?;
        Some(Item { name: probe.program.trim_start_matches("observer_").to_owned(), value: reason.clone() })
    });
    let answer = if probes.iter().filter(egress).any(|probe| probe.outcome.is_ok()) {
        Answer::yes(format!("{count} of {}", probes.len()))
    } else {
        Answer::no("the kernel refuses every program at tc egress", POLLING)
    };
    (answer, refusals.collect())
}

/// Whether a program sees whose a packet is.
pub(super) fn owner() -> (Answer, Vec<Item>) {
    let asked = [BpfHelper::BPF_FUNC_get_socket_uid, BpfHelper::BPF_FUNC_get_socket_cookie]
        .into_iter()
        .map(|helper| is_helper_supported(ProgramType::SchedClassifier, helper))
        .collect::<Result<Vec<bool>, ProgramError>>();
    match asked {
        Ok(answers) if answers.iter().all(|answer| *answer) => {
            Answer::yes("of the sender of a packet").alone()
        }
        Ok(_) => {
            Answer::no("the kernel does not tell them to programs (Linux 4.12 and later do)", POLLING).alone()
        }
        Err(error) => Answer::failed(&error, CapabilitySet::BPF | CapabilitySet::NET_ADMIN, POLLING).alone(),
    }
}

/// Whether a clsact qdisc can be made. It is made on the loopback of a network namespace that ends with the probe.
pub(super) fn clsact() -> (Answer, Vec<Item>) {
    if !security::effective().contains(CapabilitySet::SYS_ADMIN) {
        return if security::effective().contains(CapabilitySet::NET_ADMIN) {
            Answer::unknown("not tried: a network namespace to try it in takes CAP_SYS_ADMIN").alone()
        } else {
            let refused: io::Error = rustix::io::Errno::PERM.into();
            Answer::failed(&refused, CapabilitySet::NET_ADMIN, POLLING).alone()
        };
    }
    let tried = thread::spawn(|| -> Result<(), Box<dyn Error + Send + Sync>> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        match qdisc_add_clsact("lo") {
            Ok(()) | Err(TcError::AlreadyAttached) => Ok(()),
            Err(error) => Err(error.into()),
        }
    });
    match tried.join() {
        Ok(Ok(())) => Answer::yes("tried in a network namespace of its own").alone(),
        Ok(Err(error)) => {
            Answer::failed(error.as_ref(), CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN, POLLING)
                .alone()
        }
        Err(_) => Answer::unknown("the probe failed").alone(),
    }
}

/// Whether programs can be attached without a qdisc, and go with the process that attached them.
pub(super) fn tcx() -> (Answer, Vec<Item>) {
    let cost = "tc clsact serves as well, but a killed run leaves its filters: see observer cleanup";
    match SchedClassifier::query_tcx("lo", TcAttachType::Egress) {
        Ok(_) => Answer::yes("").alone(),
        Err(error) => match Answer::failed(&error, CapabilitySet::NET_ADMIN, cost) {
            Answer::No { errno: Some(errno), .. } if errno == "EINVAL" => Answer::No {
                errno: Some(errno),
                reason: "not in this kernel (Linux 6.6 and later have it)".to_owned(),
                cost,
            }
            .alone(),
            answer => answer.alone(),
        },
    }
}

/// Whether events reach the observer in order and without one buffer a processor.
pub(super) fn ring_buffer() -> (Answer, Vec<Item>) {
    let cost = "a perf buffer serves in its place";
    match is_map_supported(MapType::RingBuf) {
        Ok(true) => Answer::yes("").alone(),
        Ok(false) => Answer::no("not in this kernel (Linux 5.8 and later have it)", cost).alone(),
        Err(error) => Answer::failed(&error, CapabilitySet::BPF, POLLING).alone(),
    }
}

/// Whether the kernel describes its own types.
pub(super) fn btf() -> (Answer, Vec<Item>) {
    match fs::metadata("/sys/kernel/btf/vmlinux") {
        Ok(metadata) => Answer::yes(format!("{} KiB", metadata.len() / 1024)).alone(),
        Err(error) => Answer::failed(
            &error,
            CapabilitySet::empty(),
            "nothing: the kernel programs of observer do without",
        )
        .alone(),
    }
}

/// Who may use bpf() without privileges. The observer's programs take privileges in any case.
pub(super) fn unprivileged() -> (Answer, Vec<Item>) {
    match fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled") {
        Ok(text) => Answer::fact(meaning(text.trim())).alone(),
        Err(error) => Answer::unknown(format!("unprivileged_bpf_disabled: {error}")).alone(),
    }
}

/// What the setting means ([Documentation/admin-guide/sysctl/kernel.rst]).
///
/// [Documentation/admin-guide/sysctl/kernel.rst]: https://docs.kernel.org/admin-guide/sysctl/kernel.html#unprivileged-bpf-disabled
fn meaning(value: &str) -> String {
    match value {
        "0" => "bpf() is allowed to everyone, in part".to_owned(),
        "1" => "bpf() takes CAP_BPF, until the next boot".to_owned(),
        "2" => "bpf() takes CAP_BPF".to_owned(),
        other => format!("unprivileged_bpf_disabled is {other:?}"),
    }
}

/// Before Linux 5.11 maps count as locked memory.
pub(super) fn memlock() -> (Answer, Vec<Item>) {
    let limit = getrlimit(Resource::Memlock).current;
    let shown = limit.map_or("no limit".to_owned(), |bytes| format!("at most {} KiB", bytes / 1024));
    Answer::fact(format!("{shown}; maps count towards it before Linux 5.11")).alone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_shown_as_it_is() {
        assert_eq!(meaning("2"), "bpf() takes CAP_BPF");
        assert_eq!(meaning("7"), "unprivileged_bpf_disabled is \"7\"");
    }

    #[test]
    fn one_program_at_egress_is_enough() {
        let probe = |program: &str, outcome: Result<(), &str>| Probe {
            program: program.to_owned(),
            outcome: outcome.map(|()| (Some(100), Some(200))).map_err(str::to_owned),
        };
        let (answer, items) = judge(&[
            probe("observer_connect4", Err("unknown func bpf_x#99")),
            probe("observer_egress", Err("invalid argument")),
            probe("observer_egress_legacy", Ok(())),
        ]);
        assert_eq!(answer, Answer::yes("1 of 3"));
        let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["connect4", "egress"]);
        let (answer, _) = judge(&[probe("observer_connect4", Ok(())), probe("observer_egress", Err("no"))]);
        assert!(matches!(answer, Answer::No { .. }), "{answer:?}");
    }

    #[test]
    fn no_qdisc_stays_behind() {
        let before = std::process::Command::new("tc").args(["qdisc", "show", "dev", "lo"]).output();
        let Ok(before) = before else {
            eprintln!("SKIPPED no_qdisc_stays_behind: there is no tc");
            return;
        };
        let (answer, _) = clsact();
        if !answer.is_yes() {
            eprintln!("SKIPPED no_qdisc_stays_behind: {answer:?}");
            return;
        }
        let after = std::process::Command::new("tc").args(["qdisc", "show", "dev", "lo"]).output().unwrap();
        assert_eq!(before.stdout, after.stdout);
        assert!(!String::from_utf8_lossy(&after.stdout).contains("clsact"));
    }
}
