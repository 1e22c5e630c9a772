//! Who this process is, and what holds it back.

use std::fs;
use std::path::Path;

use rustix::thread::{self, CapabilitySet};

use super::{Answer, Item};
use crate::live::confinement::{self, Extent};
use crate::live::privileges::names;

/// What a capture uses while it starts.
const USED: CapabilitySet = CapabilitySet::NET_RAW
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// The effective capabilities of this process.
pub(super) fn effective() -> CapabilitySet {
    thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

/// Effective user, and its name.
pub(super) fn user() -> (Answer, Vec<Item>) {
    let uid = nix::unistd::geteuid();
    match nix::unistd::User::from_uid(uid).ok().flatten() {
        Some(user) => Answer::fact(format!("{} (uid {uid})", user.name)).alone(),
        None => Answer::fact(format!("uid {uid}")).alone(),
    }
}

/// Which of the capabilities that a capture uses are there.
pub(super) fn capabilities() -> (Answer, Vec<Item>) {
    answer_of(effective()).alone()
}

fn answer_of(held: CapabilitySet) -> Answer {
    // What these two allow, CAP_SYS_ADMIN allows as well.
    let split = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let covered = if held.contains(CapabilitySet::SYS_ADMIN) { held | split } else { held };
    let lacking = USED - covered;
    if lacking.is_empty() {
        return Answer::yes(format!("{}, and others", names(USED)));
    }
    let has = if (held & USED).is_empty() {
        "has none of those that a capture uses".to_owned()
    } else {
        format!("has {}, but lacks {}", names(held & USED), names(lacking))
    };
    Answer::no(format!("{has}; run it as root"), "see the lines that say EPERM")
}

/// SELinux's mode, and what this process is to it.
pub(super) fn selinux() -> (Answer, Vec<Item>) {
    match fs::read_to_string("/sys/fs/selinux/enforce") {
        Ok(text) => {
            let mode = if text.trim() == "1" { "enforcing" } else { "permissive" };
            Answer::fact(format!("{mode}, context {}", context())).alone()
        }
        Err(_) if !Path::new("/sys/fs/selinux").exists() => Answer::fact("not in use").alone(),
        Err(error) => Answer::unknown(format!("its mode cannot be read: {error}")).alone(),
    }
}

/// What this process is to SELinux, if it enforces.
pub(super) fn enforced_context() -> Option<String> {
    let text = fs::read_to_string("/sys/fs/selinux/enforce").ok()?;
    (text.trim() == "1").then(context)
}

fn context() -> String {
    let text = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    let text = text.trim_end_matches(['\0', '\n']);
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

/// Whether the kernel keeps even root from looking into it.
pub(super) fn lockdown() -> (Answer, Vec<Item>) {
    match fs::read_to_string("/sys/kernel/security/lockdown") {
        Ok(text) => match locked(&text) {
            None => Answer::fact("off").alone(),
            Some("confidentiality") => Answer::no(
                "confidentiality: kernel programs may not read the kernel's memory",
                "nothing for the programs of observer, which do not",
            )
            .alone(),
            Some(mode) => Answer::fact(mode).alone(),
        },
        Err(_) if Path::new("/sys/kernel/security/lsm").exists() => {
            Answer::fact("not in this kernel").alone()
        }
        Err(_) => Answer::unknown("securityfs is not mounted at /sys/kernel/security").alone(),
    }
}

/// The mode of the lockdown, if the kernel is locked down.
pub(super) fn locked_down() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    locked(&text).map(str::to_owned)
}

/// The mode in brackets of, e.g., `none [integrity] confidentiality`; nothing for none.
fn locked(text: &str) -> Option<&str> {
    let (_, after) = text.split_once('[')?;
    let (mode, _) = after.split_once(']')?;
    (mode != "none").then_some(mode)
}

/// Whether a capture can confine itself to its own files.
pub(super) fn landlock() -> (Answer, Vec<Item>) {
    let cost = "a capture is not confined to its own files";
    match confinement::version() {
        Ok(version) => Answer::yes(format!("version {version}")).alone(),
        Err(Extent::Off) => {
            Answer::no("in the kernel, but not among the modules of its lsm= parameter", cost).alone()
        }
        Err(_) => Answer::no("not in this kernel (Linux 5.13 and later have it)", cost).alone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_the_lockdown_is_the_one_in_brackets() {
        assert_eq!(locked("[none] integrity confidentiality\n"), None);
        assert_eq!(locked("none [integrity] confidentiality\n"), Some("integrity"));
        assert_eq!(locked("none integrity [confidentiality]\n"), Some("confidentiality"));
        assert_eq!(locked(""), None);
    }

    #[test]
    fn what_is_lacking_is_named() {
        assert!(answer_of(USED).is_yes());
        let old = USED - CapabilitySet::BPF - CapabilitySet::PERFMON;
        assert!(answer_of(old | CapabilitySet::SYS_ADMIN).is_yes(), "as before CAP_BPF");
        let Answer::No { reason, .. } = answer_of(CapabilitySet::NET_RAW | CapabilitySet::CHOWN) else {
            panic!()
        };
        assert!(reason.starts_with("has CAP_NET_RAW, but lacks CAP_DAC_READ_SEARCH "), "{reason}");
        let Answer::No { reason, .. } = answer_of(CapabilitySet::CHOWN) else { panic!() };
        assert!(reason.starts_with("has none of"), "{reason}");
    }
}
