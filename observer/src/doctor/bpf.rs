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
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;

use super::{Answer, Item, security};

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
