//! What a probe answers.

use std::error::Error;
use std::io;

use nix::errno::Errno;
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::security;
use crate::live::privileges::names;

/// Where a capability is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The machine, and what this process may do on it.
    System,
    /// Kernel programs.
    Bpf,
    /// Where frames come from.
    Capture,
    /// Lists of open sockets.
    Sockets,
    /// What there is on Android alone.
    Android,
    /// What packets go through.
    Network,
}

/// One probe and its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Capability {
    /// Stable name, e.g. `bpf.map`.
    pub id: &'static str,
    /// What was tried, for a person.
    pub name: &'static str,
    /// Where it is shown.
    pub topic: Topic,
    /// What came out.
    #[serde(flatten)]
    pub answer: Answer,
    /// The parts of it, e.g. an item an interface.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

/// One part of a capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is called.
    pub name: String,
    /// What there is to say.
    pub value: String,
}

/// What came out of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Answer {
    /// It works.
    Yes {
        /// With which particulars; may be empty.
        value: String,
    },
    /// It does not work.
    No {
        /// The kernel's reason, e.g. `EPERM`.
        #[serde(skip_serializing_if = "Option::is_none")]
        errno: Option<String>,
        /// Why, and what to do about it.
        reason: String,
        /// What a capture loses by it.
        cost: &'static str,
    },
    /// It is neither good nor bad.
    Fact {
        /// What is so.
        value: String,
    },
    /// It cannot be found out.
    Unknown {
        /// Why.
        reason: String,
    },
    /// There is no such thing on this system.
    Absent,
}

impl Answer {
    /// It works, with these particulars.
    pub(super) fn yes(value: impl Into<String>) -> Self {
        Self::Yes { value: value.into() }
    }

    /// It is so.
    pub(super) fn fact(value: impl Into<String>) -> Self {
        Self::Fact { value: value.into() }
    }

    /// It cannot be found out.
    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    /// It does not work, for a reason that no system call gave.
    pub(super) fn no(reason: impl Into<String>, cost: &'static str) -> Self {
        Self::No { errno: None, reason: reason.into(), cost }
    }

    /// A call failed that takes the capabilities `needed`.
    pub(super) fn failed(error: &(dyn Error + 'static), needed: CapabilitySet, cost: &'static str) -> Self {
        let Some(errno) = errno(error) else { return Self::no(error.to_string(), cost) };
        let reason = match errno {
            Errno::EPERM | Errno::EACCES => refusal(needed),
            other => other.desc().to_lowercase(),
        };
        Self::No { errno: Some(format!("{errno:?}")), reason, cost }
    }

    /// Without parts.
    pub(super) fn alone(self) -> (Self, Vec<Item>) {
        (self, Vec::new())
    }

    /// Whether it works.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes { .. })
    }
}

/// The kernel's reason, wherever it stands in the chain of causes.
fn errno(error: &(dyn Error + 'static)) -> Option<Errno> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let netlink = error.downcast_ref::<aya::sys::NetlinkError>().and_then(|error| error.raw_os_error());
        let system = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if let Some(number) = netlink.or(system) {
            return Some(Errno::from_raw(number));
        }
        cause = error.source();
    }
    None
}

/// Why the kernel does not permit what takes the capabilities `needed`.
fn refusal(needed: CapabilitySet) -> String {
    let held = security::effective();
    let lacking = needed - held;
    if !lacking.is_empty() {
        return format!("needs root, or {}", names(needed));
    }
    if let Some(context) = security::enforced_context() {
        return format!("SELinux does not permit it to {context}");
    }
    if let Some(mode) = security::locked_down() {
        return format!("the kernel is locked down ({mode})");
    }
    "refused although the capabilities are there: a container's seccomp filter, or no capabilities over this namespace"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_reason_is_found_below_others() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::from_raw_os_error(95));
        assert_eq!(
            Answer::failed(&error, CapabilitySet::empty(), "much"),
            Answer::No {
                errno: Some("EOPNOTSUPP".to_owned()),
                reason: "operation not supported on transport endpoint".to_owned(),
                cost: "much"
            }
        );
        let plain = io::Error::other("no such thing");
        assert_eq!(Answer::failed(&plain, CapabilitySet::empty(), ""), Answer::no("no such thing", ""));
    }

    #[test]
    fn answers_are_tagged_by_their_state() {
        let no = serde_json::to_value(Answer::no("why", "what")).unwrap();
        assert_eq!(no, serde_json::json!({"state": "no", "reason": "why", "cost": "what"}));
        assert_eq!(serde_json::to_value(Answer::Absent).unwrap(), serde_json::json!({"state": "absent"}));
    }
}
