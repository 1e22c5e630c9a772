//! Confines the process to the files that a capture still touches, with Landlock.
//!
//! Landlock ([the kernel's documentation](https://docs.kernel.org/userspace-api/landlock.html)) belongs to a thread and is
//! inherited, as capabilities are. It also keeps a thread from looking into processes outside of its own confinement,
//! whatever capabilities it has: `/proc/PID/fd` and `/proc/PID/exe` of others are closed to it. The thread that reads
//! them is therefore spawned before [`confine`] is called.
//!
//! Sockets and files that are open stay usable. TCP sockets cannot be bound or connected any more where the kernel
//! knows how to forbid it: the observer never sends into the observed network.

use std::path::PathBuf;

use landlock::{
    ABI, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, make_bitflags,
};

/// The rights that are taken away unless given back: those of Linux 6.10. Older kernels take the ones they know.
const HANDLED: ABI = ABI::V5;

/// What is always readable: what the kernel tells, and what the C library reads to name users and time zones. Of `/etc`
/// no more than that: with `CAP_DAC_READ_SEARCH` the rest of it is open, too.
const READABLE: &[&str] = &[
    "/proc",
    "/sys",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/share/zoneinfo",
];

/// What stays allowed below a confined process's directories and files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Directories and files to read, besides `/proc`, `/sys`, the system's libraries, and its lists of users and time zones.
    pub read: Vec<PathBuf>,
    /// Directories in which files are made, written, renamed and removed, and files that are written.
    pub write: Vec<PathBuf>,
}

/// How far the kernel went along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Full,
    /// What a kernel of this age knows.
    Partial,
    /// Nothing: the kernel has no Landlock.
    Absent,
    /// Nothing: the kernel has Landlock, but it is not switched on.
    Off,
}

/// What [`confine`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// How far the kernel went along.
    pub extent: Extent,
    /// The version of the kernel's Landlock interface, if it has one.
    pub version: Option<i32>,
    /// Paths that could not be opened, so that nothing is allowed there.
    pub unreachable: Vec<PathBuf>,
}

impl Confined {
    /// What was done, a sentence each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let version = self.version.map(|version| format!(" (version {version})")).unwrap_or_default();
        let mut notes = vec![match self.extent {
            Extent::Full => format!("Landlock{version} confines it to its own files"),
            Extent::Partial => format!("Landlock{version} confines it to its own files, as far as it can"),
            Extent::Absent => "no Landlock in this kernel: files are not confined".to_owned(),
            Extent::Off => "Landlock is not switched on in this kernel: files are not confined".to_owned(),
        }];
        notes.extend(
            self.unreachable
                .iter()
                .map(|path| format!("nothing is allowed in {}: no access", path.display())),
        );
        notes
    }
}

/// Takes from the calling thread, and from those that it spawns from here on, all files but those of `confinement`.
///
/// # Errors
/// When the kernel has Landlock but refuses. A kernel without it is no error, but an [`Extent`].
pub fn confine(confinement: &Confinement) -> Result<Confined, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(every_access())?
        .handle_access(AccessNet::BindTcp)?
        .handle_access(AccessNet::ConnectTcp)?
        .create()?;
    let mut unreachable = Vec::new();
    let read = READABLE.iter().map(PathBuf::from).chain(confinement.read.iter().cloned());
    let read = read.map(|path| (path, read_access()));
    let write = confinement.write.iter().map(|path| (path.clone(), read_access() | write_access()));
    for (path, access) in read.chain(write) {
        let Ok(file) = PathFd::new(&path) else {
            if !READABLE.iter().any(|known| path == PathBuf::from(known)) {
                unreachable.push(path);
            }
            continue;
        };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(HANDLED) };
        ruleset = ruleset.add_rule(PathBeneath::new(file, access))?;
    }
    let status = ruleset.restrict_self()?;
    let version = version_of(status.landlock);
    let extent = match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Extent::Full,
        (RulesetStatus::PartiallyEnforced, _) => Extent::Partial,
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => Extent::Off,
        (RulesetStatus::NotEnforced, _) => Extent::Absent,
    };
    Ok(Confined { extent, version, unreachable })
}

/// The version of the kernel's Landlock interface, or why there is none.
///
/// # Errors
/// When Landlock is absent or off, as the extent that a confinement has there.
pub fn version() -> Result<i32, Extent> {
    // The interface tells its version to who confines himself: a thread of its own does, and ends.
    let probe = std::thread::spawn(|| {
        Ruleset::default().handle_access(AccessFs::MakeBlock)?.create()?.restrict_self()
    });
    let Ok(Ok(status)) = probe.join() else { return Err(Extent::Absent) };
    match status.landlock {
        LandlockStatus::NotEnabled => Err(Extent::Off),
        status => version_of(status).ok_or(Extent::Absent),
    }
}

fn version_of(status: LandlockStatus) -> Option<i32> {
    match status {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            Some(kernel_abi.unwrap_or(effective_abi as i32))
        }
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    }
}

fn every_access() -> BitFlags<AccessFs> {
    use landlock::Access as _;
    AccessFs::from_all(HANDLED)
}

fn read_access() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{ReadFile | ReadDir})
}

/// No devices, pipes or links are made, nothing is executed.
fn write_access() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | MakeSock | MakeDir | RemoveFile | RemoveDir | Refer})
}
