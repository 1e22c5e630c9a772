//! The filters at tc egress: one on every interface that is up, for as long as it is there.
//!
//! With tcx (Linux 6.6) a program hangs on a link that leaves with the process. Without, it hangs on a qdisc clsact as a
//! filter of our own priority and handle; the handle says whether the qdisc is ours, too, so that what a killed run left can
//! be told from what others need.

use std::collections::HashMap;
use std::fs;
use std::io;

use aya::Ebpf;
use aya::programs::links::LinkOrder;
use aya::programs::tc::{NlOptions, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use observer_ebpf_common::{TC_HANDLE, TC_HANDLE_OWN_QDISC, TC_PRIORITY, program};
use rustix::io::Errno;

use super::netlink::{Changes, Filter, Interface, Rtnetlink};
use super::object::{Egress, chain, classifier};

/// What the packets of an interface begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    Ethernet,
    Ip,
}

/// `ARPHRD_…` (`include/uapi/linux/if_arp.h`).
impl Header {
    fn of(hardware: u16) -> Option<Self> {
        match hardware {
            // ETHER, LOOPBACK
            1 | 772 => Some(Self::Ethernet),
            // PPP, RAWIP, TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, NONE
            512 | 519 | 768 | 769 | 776 | 778 | 823 | 65_534 => Some(Self::Ip),
            _ => None,
        }
    }
}

/// A program that hangs on an interface.
#[derive(Debug)]
struct Attachment {
    header: Header,
    /// The link and its handle as a filter, if it is one.
    link: aya::programs::tc::SchedClassifierLink,
    handle: Option<u32>,
}

/// The interfaces and what hangs on them.
#[derive(Debug)]
pub(super) struct Interfaces {
    rtnetlink: Rtnetlink,
    changes: Changes,
    egress: Egress,
    tcx: bool,
    attached: HashMap<u32, Attachment>,
    /// Why an interface has no program, by index.
    refused: HashMap<u32, String>,
    /// The last change could not be followed.
    behind: bool,
}

impl Interfaces {
    /// Attaches to every interface that is up.
    pub(super) fn attach(programs: &mut Ebpf, egress: Egress, tcx: bool) -> io::Result<Self> {
        // Before the list: what changes after it is heard of.
        let changes = Changes::open()?;
        let rtnetlink = Rtnetlink::open()?;
        let (attached, refused) = (HashMap::new(), HashMap::new());
        let mut interfaces = Self { rtnetlink, changes, egress, tcx, attached, refused, behind: false };
        interfaces.update(programs)?;
        Ok(interfaces)
    }

    /// How many interfaces have a program.
    pub(super) fn len(&self) -> usize {
        self.attached.len()
    }

    /// The program on interfaces with an Ethernet header.
    #[cfg(test)]
    pub(super) fn ethernet_program(&self) -> &'static str {
        self.egress.ethernet
    }

    /// Why interfaces have none.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &str> {
        self.refused.values().map(String::as_str)
    }

    /// Follows interfaces that came, went or changed since the last call. What cannot be asked for is asked for again with
    /// the next call: what hangs on an interface goes on meanwhile.
    pub(super) fn follow(&mut self, programs: &mut Ebpf) {
        let changed = self.changes.any();
        if matches!(changed, Ok(false)) && !self.behind {
            return;
        }
        let updated = changed.and_then(|_changed| self.update(programs));
        if let (Err(error), false) = (&updated, self.behind) {
            tracing::warn!("interfaces that come and go are not followed for now: {error}");
        }
        self.behind = updated.is_err();
    }

    fn update(&mut self, programs: &mut Ebpf) -> io::Result<()> {
        let interfaces = self.rtnetlink.interfaces()?;
        let there = |index: &u32| interfaces.iter().any(|interface| interface.index == *index);
        // A link to an interface that is gone has nothing left to remove.
        self.attached.retain(|index, _| there(index));
        self.refused.retain(|index, _| there(index));
        for interface in interfaces.iter().filter(|interface| interface.up) {
            let Some(header) = Header::of(interface.hardware) else { continue };
            if self.attached.get(&interface.index).is_some_and(|attached| attached.header == header) {
                continue;
            }
            self.detach(interface.index);
            match self.attach_to(programs, interface, header) {
                Ok(attachment) => {
                    self.refused.remove(&interface.index);
                    self.attached.insert(interface.index, attachment);
                }
                Err(error) => {
                    let reason = format!("{}: {}", interface.name, chain(&error));
                    if self.refused.get(&interface.index) != Some(&reason) {
                        tracing::warn!("no kernel program on {reason}");
                        self.refused.insert(interface.index, reason);
                    }
                }
            }
        }
        Ok(())
    }

    fn attach_to(
        &mut self,
        programs: &mut Ebpf,
        interface: &Interface,
        header: Header,
    ) -> Result<Attachment, ProgramError> {
        let name = match header {
            Header::Ethernet => self.egress.ethernet,
            Header::Ip => self.egress.ip,
        };
        let program = classifier(programs, name)?;
        if self.tcx {
            // First: a program of others that decides for itself ends the row.
            let options = TcAttachOptions::TcxOrder(LinkOrder::first());
            match program.attach_with_options(&interface.name, TcAttachType::Egress, options) {
                Ok(link) => return Ok(Attachment { header, link: program.take_link(link)?, handle: None }),
                // EINVAL: the kernel has no such link.
                Err(ProgramError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) =>
                {
                    self.tcx = false;
                }
                Err(error) => return Err(error),
            }
        }
        let handle = match qdisc_add_clsact(&interface.name) {
            Ok(()) => TC_HANDLE_OWN_QDISC,
            Err(error) if errno(&error) == Some(Errno::EXIST) => TC_HANDLE,
            Err(error) => return Err(error.into()),
        };
        let attached = self.attach_filter(program, interface, handle);
        match attached {
            Ok(link) => Ok(Attachment { header, link, handle: Some(handle) }),
            Err(error) => {
                if handle == TC_HANDLE_OWN_QDISC {
                    // What it fails with says less than why the filter failed.
                    let _ = self.rtnetlink.remove_empty_clsact(interface.index);
                }
                Err(error)
            }
        }
    }

    /// Adds the filter, in the place of one that a killed run left.
    fn attach_filter(
        &mut self,
        program: &mut SchedClassifier,
        interface: &Interface,
        handle: u32,
    ) -> Result<aya::programs::tc::SchedClassifierLink, ProgramError> {
        let mut attach = || {
            let options = NlOptions { priority: TC_PRIORITY, handle: TcHandle::from(handle), classid: None };
            let options = TcAttachOptions::Netlink(options);
            let link = program.attach_with_options(&interface.name, TcAttachType::Egress, options)?;
            program.take_link(link)
        };
        match attach() {
            Err(ProgramError::TcError(error)) if errno(&error) == Some(Errno::EXIST) => {}
            other => return other,
        }
        clean_interface(&mut self.rtnetlink, interface).map_err(TcError::IoError)?;
        attach()
    }

    fn detach(&mut self, index: u32) {
        let Some(Attachment { link, handle, .. }) = self.attached.remove(&index) else { return };
        drop(link);
        if handle == Some(TC_HANDLE_OWN_QDISC) {
            // The interface may be gone, and its qdisc with it.
            let _ = self.rtnetlink.remove_empty_clsact(index);
        }
    }

    /// Takes everything off again.
    pub(super) fn detach_all(&mut self) {
        let indices: Vec<u32> = self.attached.keys().copied().collect();
        indices.into_iter().for_each(|index| self.detach(index));
    }
}

impl Drop for Interfaces {
    fn drop(&mut self) {
        self.detach_all();
    }
}

/// The kernel's word in an error of aya's.
fn errno(error: &TcError) -> Option<Errno> {
    let code = match error {
        TcError::NetlinkError(error) => error.raw_os_error(),
        TcError::IoError(error) => error.raw_os_error(),
        TcError::AlreadyAttached => return Some(Errno::EXIST),
        _ => None,
    };
    code.map(Errno::from_raw_os_error)
}

/// A filter of ours that no running process holds, and that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The interface that it was on.
    pub interface: String,
    /// Whether the qdisc that it was on went, too: it was made for the filter, and nothing else was on it.
    pub qdisc: bool,
}

/// Removes the filters at tc egress that a killed run left. Those of a run that goes on stay.
///
/// # Errors
/// The kernel's, mostly for want of `CAP_NET_ADMIN`.
pub fn clean_up() -> io::Result<Vec<Removed>> {
    let mut rtnetlink = Rtnetlink::open()?;
    let mut removed = Vec::new();
    for interface in rtnetlink.interfaces()? {
        removed.extend(clean_interface(&mut rtnetlink, &interface)?);
    }
    Ok(removed)
}

fn clean_interface(rtnetlink: &mut Rtnetlink, interface: &Interface) -> io::Result<Option<Removed>> {
    if !rtnetlink.has_clsact(interface.index)? {
        return Ok(None);
    }
    let ours: Vec<Filter> = rtnetlink.egress_filters(interface.index)?.into_iter().filter(is_ours).collect();
    let mut removed = None;
    for filter in ours {
        if filter.program.is_some_and(is_held) {
            continue;
        }
        rtnetlink.remove_filter(interface.index, filter.handle)?;
        let qdisc = filter.handle == TC_HANDLE_OWN_QDISC && rtnetlink.remove_empty_clsact(interface.index)?;
        removed = Some(Removed { interface: interface.name.clone(), qdisc });
    }
    Ok(removed)
}

/// Priority, handle and name: nobody else has all three.
fn is_ours(filter: &Filter) -> bool {
    filter.priority == TC_PRIORITY
        && matches!(filter.handle, TC_HANDLE | TC_HANDLE_OWN_QDISC)
        && filter.name.starts_with(program::EGRESS_PREFIX)
}

/// Whether a process holds the program with this id: `/proc/PID/fdinfo` says so of descriptors of programs.
fn is_held(id: u32) -> bool {
    let wanted = format!("prog_id:\t{id}");
    let folders = |path: &str| fs::read_dir(path).into_iter().flatten().flatten();
    let numbered = folders("/proc")
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    numbered.into_iter().any(|process| {
        let descriptors = process.path().join("fdinfo");
        fs::read_dir(descriptors).into_iter().flatten().flatten().any(|descriptor| {
            fs::read_to_string(descriptor.path()).is_ok_and(|text| text.lines().any(|line| line == wanted))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_filters_are_ours() {
        let ours = Filter {
            handle: TC_HANDLE,
            priority: TC_PRIORITY,
            name: "observer_egress_ip".to_owned(),
            program: Some(1),
        };
        assert!(is_ours(&ours));
        assert!(is_ours(&Filter { handle: TC_HANDLE_OWN_QDISC, ..ours.clone() }));
        assert!(!is_ours(&Filter { handle: 1, ..ours.clone() }));
        assert!(!is_ours(&Filter { priority: 4, ..ours.clone() }));
        assert!(!is_ours(&Filter { name: "clat_egress4".to_owned(), ..ours }));
    }
}
