//! Gives up what a capture no longer needs once its sockets and kernel programs are open: the user, the groups, and
//! every capability without a named need.
//!
//! User and groups change for all threads of the process, as the C library does it. Capabilities and `no_new_privs`
//! belong to a thread and are inherited: [`lower`] therefore belongs before the first thread is spawned, and checks
//! afterwards that no thread kept more. A program that the capture runs (`-- CMD`) is started before.
//!
//! Deliberately not here: which files may be opened afterwards, which is [`super::confinement`].

use std::ffi::CString;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::unistd;
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use super::thread_state::ThreadState;

/// Files that a capture makes are for their owner alone.
const PRIVATE: u32 = 0o600;

/// Takes all from group and others in the mode of every file made from here on.
const PRIVATE_UMASK: u32 = 0o077;

/// The number of `CAP_BPF`, which Linux 5.8 took out of `CAP_SYS_ADMIN` (include/uapi/linux/capability.h).
const CAP_BPF: u32 = 39;

/// The greatest number of a capability that fits the kernel's two words.
const MAX_CAPABILITY: u32 = 63;

/// Why privileges cannot be given up as asked for.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegesError {
    /// The name is not in the system's list of users.
    #[error("no user is called {name:?}")]
    UnknownUser {
        /// As given.
        name: String,
    },
    /// The environment of `sudo` is not what `sudo` writes.
    #[error("{variable} is {value:?}, which is no id")]
    Environment {
        /// `SUDO_UID` or `SUDO_GID`.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// Only root becomes another user.
    #[error("becoming another user needs root; the process runs as uid {uid}")]
    NotRoot {
        /// The effective user of the process.
        uid: u32,
    },
    /// A system call refused.
    #[error("{call} failed")]
    Call {
        /// Its name.
        call: &'static str,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// A thread has more than it ought to: it was spawned before, or the kernel did not do what it said.
    #[error("thread {thread} still has {excess}")]
    Excess {
        /// The thread's id.
        thread: u32,
        /// What it has too much of.
        excess: String,
    },
}

/// Who somebody is to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Supplementary groups, as the system's list of groups has them.
    pub groups: Vec<u32>,
    /// The name, if the system has one for the id.
    pub name: Option<String>,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

/// Who the process is after [`lower`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Another user than now.
    Become(User),
    /// The user that it is: there is no root to give up, or nobody to become.
    Stay {
        /// The effective user of the process.
        uid: u32,
    },
}

impl Target {
    /// Whom to become: `wanted` (a name or a uid), else the user who called `sudo`, else nobody.
    ///
    /// `environment` looks up a variable. A uid without an entry in the list of users has its own number as its group
    /// and no other groups, as Android's apps have.
    ///
    /// # Errors
    /// When the user is unknown, when `sudo`'s variables make no sense, and when `wanted` is another user but the process
    /// is not root.
    pub fn choose(
        wanted: Option<&str>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, PrivilegesError> {
        choose(unistd::geteuid().as_raw(), wanted, environment)
    }
}

fn choose(
    uid: u32,
    wanted: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Target, PrivilegesError> {
    let user = match wanted {
        Some(word) => match word.parse() {
            Ok(uid) => by_uid(uid, None)?,
            Err(_) => by_name(word)?,
        },
        // Whatever the environment says, only root has something to give up.
        None if uid != 0 => return Ok(Target::Stay { uid }),
        None => {
            let id = |variable| {
                environment(variable)
                    .map(|value| {
                        value.parse().map_err(|_invalid| PrivilegesError::Environment { variable, value })
                    })
                    .transpose()
            };
            match id("SUDO_UID")? {
                Some(uid) => by_uid(uid, id("SUDO_GID")?)?,
                None => return Ok(Target::Stay { uid }),
            }
        }
    };
    if user.uid == uid {
        return Ok(Target::Stay { uid });
    }
    if uid != 0 {
        return Err(PrivilegesError::NotRoot { uid });
    }
    Ok(Target::Become(user))
}

fn by_name(name: &str) -> Result<User, PrivilegesError> {
    let found = unistd::User::from_name(name).map_err(call("getpwnam_r"))?;
    let found = found.ok_or_else(|| PrivilegesError::UnknownUser { name: name.to_owned() })?;
    with_groups(found, None)
}

fn by_uid(uid: u32, gid: Option<u32>) -> Result<User, PrivilegesError> {
    // 4294967295 means "leave as it is" to setresuid(2).
    if uid == u32::MAX {
        return Err(PrivilegesError::UnknownUser { name: uid.to_string() });
    }
    match unistd::User::from_uid(unistd::Uid::from_raw(uid)).map_err(call("getpwuid_r"))? {
        Some(found) => with_groups(found, gid),
        None => Ok(User { uid, gid: gid.unwrap_or(uid), groups: Vec::new(), name: None }),
    }
}

fn with_groups(found: unistd::User, gid: Option<u32>) -> Result<User, PrivilegesError> {
    let gid = gid.map_or(found.gid, unistd::Gid::from_raw);
    let name = CString::new(found.name.as_str())
        .map_err(|_nul| PrivilegesError::UnknownUser { name: found.name.clone() })?;
    let groups = unistd::getgrouplist(&name, gid).map_err(call("getgrouplist"))?;
    Ok(User {
        uid: found.uid.as_raw(),
        gid: gid.as_raw(),
        groups: groups.into_iter().map(unistd::Gid::as_raw).collect(),
        name: Some(found.name),
    })
}

/// A reason to keep capabilities while a capture runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The egress program goes onto interfaces that appear later, and comes off all of them at the end.
    FollowInterfaces,
    /// Whose a socket is stands in `/proc/PID/fd`, which only the process's own user may read.
    ReadProcesses,
    /// Android's packages.list is readable for its own group alone, and is replaced at every installation.
    ReadPackages,
    /// The cgroup of a command under observation lies in a directory of root's.
    RemoveCgroup,
    /// Rotated files and the database's journal go into directories that belong to other users than root.
    WriteOutputs,
}

impl Need {
    /// What it takes on a kernel whose greatest capability is `last`.
    fn capabilities(self, last: u32) -> CapabilitySet {
        match self {
            Self::FollowInterfaces if last >= CAP_BPF => CapabilitySet::NET_ADMIN | CapabilitySet::BPF,
            Self::FollowInterfaces => CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN,
            Self::ReadProcesses => CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH,
            Self::ReadPackages => CapabilitySet::DAC_READ_SEARCH,
            Self::RemoveCgroup | Self::WriteOutputs => CapabilitySet::DAC_OVERRIDE,
        }
    }

    /// The reason, for a person.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::FollowInterfaces => "puts the egress program onto interfaces that appear, and takes it off",
            Self::ReadProcesses => "reads which process holds a socket",
            Self::ReadPackages => "reads the list of packages again when it changes",
            Self::RemoveCgroup => "removes the cgroup of its command",
            Self::WriteOutputs => "writes its files into directories of other users",
        }
    }
}

/// What [`lower`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lowered {
    /// Who the process is now.
    pub target: Target,
    /// The capabilities that are left, and what for.
    pub kept: Vec<(CapabilitySet, Need)>,
    /// Needs whose capabilities the process did not have in the first place.
    pub lacking: Vec<Need>,
    /// Whether no program run from here on gains privileges, on all threads.
    pub no_new_privileges: bool,
    /// Whether the bounding set holds the kept capabilities alone.
    pub bounded: bool,
}

impl Lowered {
    /// What was done, a sentence each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![match &self.target {
            Target::Become(user) => format!("runs as {user} from here on"),
            Target::Stay { uid: 0 } => {
                "stays root: neither --user nor SUDO_UID says whom to become".to_owned()
            }
            Target::Stay { uid } => format!("runs as uid {uid}, as it was started"),
        }];
        for (capabilities, need) in &self.kept {
            notes.push(format!("keeps {}: {}", names(*capabilities), need.reason()));
        }
        if self.kept.is_empty() {
            notes.push("keeps no capability".to_owned());
        }
        for need in &self.lacking {
            let wanted = names(need.capabilities(last_capability()));
            notes.push(format!("has no {wanted}, which {}", need.reason()));
        }
        if !self.no_new_privileges {
            notes.push("no_new_privs does not hold on all threads".to_owned());
        }
        if !self.bounded {
            notes.push("the bounding set stays as it was: that takes CAP_SETPCAP".to_owned());
        }
        notes
    }
}

/// Becomes `target`, keeps the capabilities of `needs` alone, forbids new privileges, and makes files private from here on.
///
/// Who stays root keeps [`Need::WriteOutputs`] besides.
///
/// # Errors
/// When a call fails, or when a thread, old or new, has more afterwards than it ought to. The capture must not go on then.
pub fn lower(target: Target, needs: &[Need]) -> Result<Lowered, PrivilegesError> {
    let last = last_capability();
    let permitted = thread::capabilities(None).map_err(call("capget"))?.permitted;
    let mut needs = needs.to_vec();
    if target == (Target::Stay { uid: 0 }) && !needs.contains(&Need::WriteOutputs) {
        needs.push(Need::WriteOutputs);
    }
    let (kept, lacking): (Vec<_>, Vec<_>) =
        needs.into_iter().partition(|need| permitted.contains(need.capabilities(last)));
    let kept: Vec<_> = kept.into_iter().map(|need| (need.capabilities(last), need)).collect();
    let keep = kept.iter().fold(CapabilitySet::empty(), |all, (capabilities, _)| all | *capabilities);

    let bounded = bound(keep, last)?;
    if let Target::Become(user) = &target {
        thread::set_keep_capabilities(true).map_err(call("prctl(PR_SET_KEEPCAPS)"))?;
        become_user(user)?;
        thread::set_keep_capabilities(false).map_err(call("prctl(PR_SET_KEEPCAPS)"))?;
    }
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    thread::set_capabilities(None, sets).map_err(call("capset"))?;
    // Before Linux 4.3 there is no ambient set to clear.
    let _ = thread::clear_ambient_capability_set();
    thread::set_no_new_privs(true).map_err(call("prctl(PR_SET_NO_NEW_PRIVS)"))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(PRIVATE_UMASK));

    let no_new_privileges = verify(&target, keep)?;
    Ok(Lowered { target, kept, lacking, no_new_privileges, bounded })
}

/// Gives up, for the calling thread and those that it spawns from here on, all but the capabilities of `needs`.
///
/// What [`lower`] did not keep does not come back by that.
///
/// # Errors
/// When the kernel refuses.
pub fn shed(needs: &[Need]) -> Result<(), PrivilegesError> {
    let last = last_capability();
    let wanted = needs.iter().fold(CapabilitySet::empty(), |all, need| all | need.capabilities(last));
    let keep = wanted & thread::capabilities(None).map_err(call("capget"))?.permitted;
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    thread::set_capabilities(None, sets).map_err(call("capset"))
}

/// Takes all but `keep` out of the bounding set. Says whether that was allowed.
fn bound(keep: CapabilitySet, last: u32) -> Result<bool, PrivilegesError> {
    for number in 0..=last {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(capability) {
            continue;
        }
        match thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            Err(rustix::io::Errno::PERM) => return Ok(false),
            // Beyond what this kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(call("prctl(PR_CAPBSET_DROP)")(error)),
        }
    }
    Ok(true)
}

/// Changes user and groups of all threads. The groups come first: a user who is not root cannot give them up.
fn become_user(user: &User) -> Result<(), PrivilegesError> {
    let groups: Vec<_> = user.groups.iter().copied().map(unistd::Gid::from_raw).collect();
    let (uid, gid) = (unistd::Uid::from_raw(user.uid), unistd::Gid::from_raw(user.gid));
    unistd::setgroups(&groups).map_err(call("setgroups"))?;
    unistd::setresgid(gid, gid, gid).map_err(call("setresgid"))?;
    unistd::setresuid(uid, uid, uid).map_err(call("setresuid"))
}

/// Reads back what every thread has. Says whether `no_new_privs` holds on all of them.
fn verify(target: &Target, keep: CapabilitySet) -> Result<bool, PrivilegesError> {
    let mut no_new_privileges = true;
    for (thread, state) in ThreadState::all().map_err(call("reading /proc/self/task"))? {
        if let Some(excess) = excess(&state, target, keep) {
            return Err(PrivilegesError::Excess { thread, excess });
        }
        no_new_privileges &= state.no_new_privileges;
    }
    Ok(no_new_privileges)
}

fn excess(state: &ThreadState, target: &Target, keep: CapabilitySet) -> Option<String> {
    let held = CapabilitySet::from_bits_retain(state.effective | state.permitted) - keep;
    if !held.is_empty() {
        return Some(names(held));
    }
    let Target::Become(user) = target else { return None };
    if let Some(uid) = state.uids.iter().find(|uid| **uid != user.uid) {
        return Some(format!("uid {uid}"));
    }
    let gid = state.gids.iter().find(|gid| **gid != user.gid);
    let group = || state.groups.iter().find(|group| !user.groups.contains(group) && **group != user.gid);
    gid.or_else(group).map(|gid| format!("group {gid}"))
}

/// Makes, or empties, a file that its owner alone can read.
///
/// # Errors
/// Those of opening and of changing the mode.
pub fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(path)?;
    // The mode above holds for a new file; this one may have been there.
    file.set_permissions(Permissions::from_mode(PRIVATE))?;
    Ok(file)
}

/// The greatest capability that the running kernel knows.
fn last_capability() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
    // Without /proc all are asked about, and the kernel refuses what it does not know.
    text.trim().parse().unwrap_or(MAX_CAPABILITY).min(MAX_CAPABILITY)
}

/// Capabilities as the manual writes them, e.g. `CAP_NET_ADMIN CAP_BPF`.
#[must_use]
pub fn names(capabilities: CapabilitySet) -> String {
    let mut named = capabilities.iter_names();
    let mut names: Vec<String> = named.by_ref().map(|(name, _)| format!("CAP_{name}")).collect();
    let unnamed = named.remaining().bits();
    names.extend(
        (0..=MAX_CAPABILITY)
            .filter(|number| unnamed >> number & 1 == 1)
            .map(|number| format!("capability {number}")),
    );
    names.join(" ")
}

fn call<E: Into<io::Error>>(call: &'static str) -> impl FnOnce(E) -> PrivilegesError {
    move |error| PrivilegesError::Call { call, source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn root_becomes_who_called_sudo() {
        let target = choose(0, None, environment(&[("SUDO_UID", "10123"), ("SUDO_GID", "20123")])).unwrap();
        let user = User { uid: 10123, gid: 20123, groups: Vec::new(), name: None };
        assert_eq!(target, Target::Become(user));
    }

    #[test]
    fn the_word_of_the_user_goes_before_the_environment() {
        let sudo = environment(&[("SUDO_UID", "10123"), ("SUDO_GID", "20123")]);
        let Target::Become(user) = choose(0, Some("10200"), sudo).unwrap() else { panic!() };
        assert_eq!((user.uid, user.gid), (10200, 10200), "a uid without an entry is its own group");
        let Target::Become(user) = choose(0, Some("nobody"), environment(&[])).unwrap() else { panic!() };
        assert_eq!(user.name.as_deref(), Some("nobody"));
        assert!(user.uid > 0 && user.groups.contains(&user.gid), "{user:?}");
    }

    #[test]
    fn nobody_to_become_means_to_stay() {
        assert_eq!(choose(0, None, environment(&[])).unwrap(), Target::Stay { uid: 0 });
        assert_eq!(choose(0, Some("root"), environment(&[])).unwrap(), Target::Stay { uid: 0 });
        assert_eq!(choose(0, None, environment(&[("SUDO_UID", "0")])).unwrap(), Target::Stay { uid: 0 });
        // Somebody who set the variable without being root gains nothing by it.
        let liar = environment(&[("SUDO_UID", "1")]);
        assert_eq!(choose(1000, None, liar).unwrap(), Target::Stay { uid: 1000 });
        assert_eq!(choose(1000, Some("1000"), environment(&[])).unwrap(), Target::Stay { uid: 1000 });
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let error = |result: Result<Target, PrivilegesError>| result.unwrap_err().to_string();
        assert_eq!(
            error(choose(0, None, environment(&[("SUDO_UID", "-1")]))),
            "SUDO_UID is \"-1\", which is no id"
        );
        assert_eq!(
            error(choose(0, None, environment(&[("SUDO_UID", "1"), ("SUDO_GID", "x")]))),
            "SUDO_GID is \"x\", which is no id"
        );
        assert_eq!(
            error(choose(0, Some("no such user"), environment(&[]))),
            "no user is called \"no such user\""
        );
        assert_eq!(
            error(choose(0, Some("4294967295"), environment(&[]))),
            "no user is called \"4294967295\""
        );
        assert_eq!(
            error(choose(1000, Some("10123"), environment(&[]))),
            "becoming another user needs root; the process runs as uid 1000"
        );
    }

    #[test]
    fn bpf_had_no_capability_of_its_own_before_5_8() {
        assert_eq!(names(Need::FollowInterfaces.capabilities(40)), "CAP_NET_ADMIN CAP_BPF");
        assert_eq!(names(Need::FollowInterfaces.capabilities(37)), "CAP_NET_ADMIN CAP_SYS_ADMIN");
    }

    #[test]
    fn a_capability_without_a_name_is_a_number() {
        assert_eq!(names(CapabilitySet::from_bits_retain(1 << 50 | 1)), "CAP_CHOWN capability 50");
    }

    #[test]
    fn every_kind_of_excess_is_seen() {
        let user = User { uid: 7, gid: 8, groups: vec![9], name: None };
        let target = Target::Become(user);
        let keep = CapabilitySet::NET_ADMIN;
        let state = ThreadState {
            uids: [7; 4],
            gids: [8; 4],
            groups: vec![8, 9],
            permitted: keep.bits(),
            effective: keep.bits(),
            no_new_privileges: true,
        };
        assert_eq!(excess(&state, &target, keep), None);
        let changed = |change: fn(&mut ThreadState)| {
            let mut state = state.clone();
            change(&mut state);
            excess(&state, &target, keep).unwrap_or_default()
        };
        assert_eq!(changed(|state| state.uids[2] = 0), "uid 0");
        assert_eq!(changed(|state| state.gids[3] = 0), "group 0");
        assert_eq!(changed(|state| state.groups.push(27)), "group 27");
        assert_eq!(changed(|state| state.permitted |= 1 << 21), "CAP_SYS_ADMIN");
        assert_eq!(changed(|state| state.effective |= 1), "CAP_CHOWN");
    }

    #[test]
    fn a_private_file_is_its_owners_even_if_it_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("capture.pcapng");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        create_private(&path).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.len()), (0o600, 0));
    }
}
