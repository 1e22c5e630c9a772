//! Hooks on sockets, by cgroup: they know the process that opens, binds and connects.
//!
//! Android's netd holds them for itself, at the root of the hierarchy and without leave for others; the observer never
//! attaches there. Only asked is who holds which hook of the root, and with which flags.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use aya::programs::loaded_programs;
use observer_ebpf_common::user::{CgroupHook, Holders, holders};
use rustix::thread::CapabilitySet;

use super::{Answer, Item};
use crate::live::mounts;

/// What is lost without them.
const COST: &str = "which process holds a socket comes from /proc: that of a short flow may be missed";

/// Every hook that is asked about, and its name, as bpftool has it.
const HOOKS: &[(CgroupHook, &str)] = &[
    (CgroupHook::Ingress, "ingress"),
    (CgroupHook::Egress, "egress"),
    (CgroupHook::SockCreate, "sock_create"),
    (CgroupHook::PostBind4, "post_bind4"),
    (CgroupHook::PostBind6, "post_bind6"),
    (CgroupHook::Connect4, "connect4"),
    (CgroupHook::Connect6, "connect6"),
    (CgroupHook::Sendmsg4, "sendmsg4"),
    (CgroupHook::Sendmsg6, "sendmsg6"),
];

/// The hooks that the observer's own programs use.
const USED: &[CgroupHook] = &[
    CgroupHook::SockCreate,
    CgroupHook::PostBind4,
    CgroupHook::PostBind6,
    CgroupHook::Connect4,
    CgroupHook::Connect6,
    CgroupHook::Sendmsg4,
    CgroupHook::Sendmsg6,
];

/// Whether there is a hierarchy to attach to, and whether its hooks are free.
pub(super) fn hooks() -> (Answer, Vec<Item>) {
    let Some(hierarchy) = mounts::find("cgroup2") else {
        return Answer::no("no cgroup2 hierarchy is mounted", COST).alone();
    };
    let asked = File::open(&hierarchy).and_then(|root| {
        HOOKS.iter().map(|(hook, name)| Ok((*hook, *name, holders(root.as_fd(), *hook)?))).collect()
    });
    let asked: io::Result<Vec<(CgroupHook, &str, Holders)>> = asked;
    match asked {
        Ok(asked) => {
            let names = names();
            let items = asked
                .iter()
                .filter(|(_, _, holders)| !holders.programs.is_empty())
                .map(|(_, hook, holders)| Item { name: (*hook).to_owned(), value: describe(holders, &names) })
                .collect();
            let taken = asked
                .iter()
                .filter(|(hook, _, holders)| USED.contains(hook) && !holders.admits())
                .map(|(_, name, _)| *name)
                .collect::<Vec<_>>()
                .join(", ");
            let answer = if taken.is_empty() {
                Answer::yes(format!("free to join at {}", hierarchy.display()))
            } else {
                Answer::no(
                    format!("{taken}: held by others for themselves; the observer leaves them alone"),
                    COST,
                )
            };
            (answer, items)
        }
        Err(error) => Answer::failed(&error, CapabilitySet::BPF | CapabilitySet::NET_ADMIN, COST).alone(),
    }
}

/// The programs of a hook, and what their flags allow to others.
fn describe(holders: &Holders, names: &[(u32, String)]) -> String {
    let name = |id: &u32| {
        let known = names.iter().find(|(other, _)| other == id).map(|(_, name)| name.as_str());
        format!("{} (id {id})", known.filter(|name| !name.is_empty()).unwrap_or("a program without a name"))
    };
    let programs = holders.programs.iter().map(name).collect::<Vec<_>>().join(", ");
    let leave = if holders.admits() { "others may join" } else { "alone" };
    format!("{programs}, flags {:#x}: {leave}", holders.flags)
}

/// The programs that are loaded, by id.
fn names() -> Vec<(u32, String)> {
    loaded_programs()
        .flatten()
        .map(|program| (program.id(), String::from_utf8_lossy(program.name()).into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_hook_is_named_with_what_he_leaves_to_others() {
        let names = [(7, "connect4_netd".to_owned()), (8, String::new())];
        let alone = Holders { programs: vec![7], flags: 0 };
        assert_eq!(describe(&alone, &names), "connect4_netd (id 7), flags 0x0: alone");
        let shared = Holders { programs: vec![8, 9], flags: 2 };
        assert_eq!(
            describe(&shared, &names),
            "a program without a name (id 8), a program without a name (id 9), flags 0x2: others may join"
        );
    }

    #[test]
    fn a_hook_that_is_used_is_asked_about() {
        for hook in USED {
            assert!(HOOKS.iter().any(|(asked, _)| asked == hook), "{hook:?}");
        }
    }
}
