//! Which attributors look at the running system: those that were asked for, or the strongest that it allows.

use std::sync::{Arc, Mutex, PoisonError};

use super::process::Processes;
use super::procfs::{self, Procfs};
use super::sock_diag::SockDiag;
use crate::attribution::ebpf::EbpfAttributor;
use crate::attribution::socket_table::{TABLES, Tables};
use crate::attribution::{Attributor, AttributorError, Sighting};
use crate::source::live::now;

/// How owners are looked for while a capture runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The strongest methods that the system allows, together.
    #[default]
    Auto,
    /// Kernel programs alone.
    Ebpf,
    /// Netlink's socket tables alone.
    SockDiag,
    /// `/proc/net` alone.
    Procfs,
    /// What the capture itself says, alone.
    Recorded,
    /// Nothing: all flows stay unattributed.
    None,
}

/// Who looks at the running system, and what does not.
pub struct Attributors {
    /// Strongest first.
    pub allowed: Vec<Box<dyn Attributor>>,
    /// What was refused, why, and what that costs.
    pub notes: Vec<String>,
}

/// The attributors of a capture, strongest first.
///
/// They look at the network namespace of the calling thread.
///
/// # Errors
/// When the method that was asked for is refused. [`Choice::Auto`] is never refused: where nothing is allowed it has no
/// attributors.
pub fn attributors(choice: Choice) -> Result<Attributors, AttributorError> {
    let processes = Arc::new(Mutex::new(Processes::new()));
    let mut notes = Vec::new();
    let allowed = match choice {
        Choice::Auto => return Ok(strongest(&processes)),
        Choice::Ebpf => vec![ebpf(&processes, &mut notes)?],
        Choice::SockDiag => vec![sock_diag(&processes)?],
        Choice::Procfs => vec![tables(TABLES, &processes)?],
        Choice::Recorded | Choice::None => Vec::new(),
    };
    Ok(Attributors { allowed, notes })
}

/// Kernel programs see flows with their first packet. Netlink, besides them, knows the sockets that were open before, and
/// those that listen; and where the two disagree, it shows.
fn strongest(processes: &Arc<Mutex<Processes>>) -> Attributors {
    let mut allowed: Vec<Box<dyn Attributor>> = Vec::new();
    let mut notes = Vec::new();
    match ebpf(processes, &mut notes) {
        Ok(attributor) => allowed.push(attributor),
        Err(error) => notes.push(format!("{error}; attribution by polling: short flows may be missed")),
    }
    match sock_diag(processes) {
        Ok(attributor) => {
            allowed.push(attributor);
            // Netlink does not list the sockets of ping; a kernel that has none lacks nothing.
            allowed.extend(tables(procfs::ECHO, processes));
        }
        Err(error) => {
            notes
                .push(format!("{error}; /proc/net is read instead: slower, and more short flows are missed"));
            match tables(TABLES, processes) {
                Ok(attributor) => allowed.push(attributor),
                Err(error) if allowed.is_empty() => {
                    notes.push(format!("{error}; all flows stay unattributed"));
                }
                Err(error) => notes.push(format!("{error}; sockets that are open already stay unattributed")),
            }
        }
    }
    Attributors { allowed, notes }
}

/// Kernel programs know a process by its number: what else there is to know of it stands in `/proc`.
fn ebpf(
    processes: &Arc<Mutex<Processes>>,
    notes: &mut Vec<String>,
) -> Result<Box<dyn Attributor>, AttributorError> {
    let processes = Arc::clone(processes);
    let complete = move |sightings: &mut [Sighting]| {
        let mut processes = processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.begin_round(now());
        sightings.iter_mut().for_each(|sighting| processes.complete(&mut sighting.owner, None));
    };
    let attributor = EbpfAttributor::open(complete)?;
    notes.extend(attributor.notes().iter().map(|note| format!("processes: {note}")));
    Ok(Box::new(attributor))
}

fn sock_diag(processes: &Arc<Mutex<Processes>>) -> Result<Box<dyn Attributor>, AttributorError> {
    Ok(Box::new(SockDiag::open(Arc::clone(processes))?))
}

fn tables(tables: Tables, processes: &Arc<Mutex<Processes>>) -> Result<Box<dyn Attributor>, AttributorError> {
    Ok(Box::new(Procfs::open(tables, Arc::clone(processes))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::system::namespace::{CLIENTS, Program, SERVERS, within};
    use crate::attribution::{Life, Method, OwnerTable};

    fn methods(choice: Choice) -> Vec<Method> {
        attributors(choice).unwrap().allowed.iter().map(|attributor| attributor.method()).collect()
    }

    #[test]
    fn what_is_recorded_or_not_wanted_takes_no_attributor() {
        assert_eq!(methods(Choice::Recorded), []);
        assert_eq!(methods(Choice::None), []);
    }

    #[test]
    fn a_method_is_used_alone() {
        assert_eq!(methods(Choice::Procfs), [Method::Procfs]);
        match attributors(Choice::SockDiag) {
            Ok(Attributors { allowed, notes }) => {
                assert_eq!(allowed.iter().map(|one| one.method()).collect::<Vec<_>>(), [Method::SockDiag]);
                assert_eq!(notes, [] as [String; 0]);
            }
            Err(error) => eprintln!("SKIPPED, and nothing was tested: {error}"),
        }
    }

    #[test]
    fn what_is_refused_is_noted_and_replaced() {
        let chosen = || {
            let Attributors { allowed, notes } = attributors(Choice::Auto).unwrap();
            let methods: Vec<_> = allowed.iter().map(|one| one.method()).collect();
            assert!(methods.is_sorted());
            for method in [Method::Ebpf, Method::SockDiag] {
                let noted = notes.iter().any(|note| note.starts_with(&method.to_string()));
                assert_ne!(methods.contains(&method), noted, "{methods:?} {notes:?}");
            }
        };
        // With root, kernel programs are attached: to interfaces of the test's own.
        if rustix::process::geteuid().is_root() { within(chosen) } else { chosen() }
    }

    #[test]
    fn what_kernel_programs_see_is_completed() {
        within(|| {
            let Ok(Attributors { mut allowed, .. }) = attributors(Choice::Ebpf) else {
                eprintln!("SKIPPED, and nothing was tested: no kernel programs");
                return;
            };
            let _servers = Program::new(10_200, SERVERS);
            let clients = Program::new(10_123, CLIENTS);
            let mut sightings = Vec::new();
            for attributor in &mut allowed {
                attributor.poll(&[], &mut sightings).unwrap();
            }
            let mut table = OwnerTable::default();
            sightings.into_iter().for_each(|sighting| table.add(sighting));
            let now = now();
            for (name, flow) in &clients.flows {
                // Of a socket that was only connected, nothing has gone out.
                if matches!(name.as_str(), "udp4" | "udp6" | "udp-mapped") {
                    continue;
                }
                let owners = table.owners(flow, Life::at(now));
                let found: Vec<_> = owners.iter().map(|owner| (owner.method, owner.uid)).collect();
                assert_eq!(found, [(Method::Ebpf, Some(10_123))], "{name}");
                let owner = &owners[0];
                if let Some(pid) = owner.pid {
                    assert_eq!(pid, clients.pid(), "{name}");
                    assert!(
                        owner.process.as_ref().is_some_and(|path| path.contains("/python3")),
                        "{owner:?}"
                    );
                }
            }
        });
    }
}
