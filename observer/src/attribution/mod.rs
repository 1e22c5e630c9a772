//! Whose traffic is it: from what a capture or a kernel says to the app behind it.
//!
//! An [`Owner`] carries the method that found it and a [`Confidence`]; two that disagree are both kept. What nobody
//! can attribute stays unattributed and is counted.

mod android;
mod app;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod ebpf;
mod live;
mod selection;
mod sidecar;
mod sighting;
pub(crate) mod socket_table;
mod statement;
#[cfg(all(feature = "live", target_os = "linux"))]
mod system;
mod table;

use std::fmt;

use serde::Serialize;

pub(crate) use self::android::AndroidUid;
pub use self::app::{AppDirectory, PackagesError};
pub use self::live::{Listener, LiveOwners};
pub use self::selection::Selection;
pub use self::sidecar::{Sidecar, SidecarError};
pub use self::sighting::{Attributor, AttributorError, Sighting, SocketOwner};
pub use self::statement::{owner_of, owner_of_socket, owners_of, settle};
#[cfg(all(feature = "live", target_os = "linux"))]
pub use self::system::{Attributors, Choice, PACKAGES_LIST, PackageWatch, attributors};
pub use self::table::{Life, OwnerTable};
pub use crate::source::Confidence;

/// How an owner was found, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Kernel programs.
    Ebpf,
    /// The capture file says so.
    Recorded,
    /// Netlink's socket tables.
    SockDiag,
    /// `/proc/net`.
    Procfs,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ebpf => "eBPF",
            Self::Recorded => "the capture",
            Self::SockDiag => "sock_diag",
            Self::Procfs => "/proc/net",
        })
    }
}

/// Programs and users of the resolvers that desktops and servers run for all their processes.
const RESOLVERS: &[&str] =
    &["dnsmasq", "named", "nscd", "netd", "systemd-resolve", "systemd-resolved", "unbound"];

/// Who owns a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Owner {
    /// Linux user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The user's name, or Android's user number with its AID name, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The package, where the uid has exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// All packages of a shared uid, sorted; empty where there is one or none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// The app's name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Process id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Process name or path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// How it was found.
    pub method: Method,
    /// How sure that is.
    pub confidence: Confidence,
    /// Whether it is a part of Android: see [`Owner::is_platform`].
    #[serde(skip)]
    pub platform: bool,
}

impl Owner {
    /// Whether Android itself sends: a system uid other than the shell's. What it sends is no app's doing.
    ///
    /// False where nothing says that the uid is one of Android's.
    #[must_use]
    pub fn is_platform(&self) -> bool {
        self.platform
    }

    /// Whether it is the system's resolver, which asks on behalf of apps: netd (`AID_DNS`, or root before it changes the socket's
    /// owner), or a local one of a desktop.
    #[must_use]
    pub fn is_resolver(&self) -> bool {
        let process = self.process.as_deref().and_then(|path| path.rsplit('/').next());
        let user = self.user.as_deref();
        self.platform && matches!(user, Some("dns" | "dns_tether" | "root"))
            || process.or(user).is_some_and(|name| RESOLVERS.contains(&name))
    }

    /// The name that people know the owner by: package, shared packages, label, process, user or uid.
    #[must_use]
    pub fn name(&self) -> String {
        if let Some(package) = &self.package {
            return package.clone();
        }
        if !self.packages.is_empty() {
            return self.packages.join("+");
        }
        let uid = self.uid.map(|uid| format!("uid {uid}"));
        self.label
            .clone()
            .or_else(|| self.process.clone())
            .or_else(|| self.user.clone())
            .or(uid)
            .unwrap_or_default()
    }
}
