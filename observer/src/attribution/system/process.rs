//! From a socket to the process that holds it, and what that is: `/proc/PID` (proc(5)).
//!
//! Processes are short-lived, so that they are looked at as soon as a socket is seen, the new ones and those of the socket's
//! user first. How many links are read has a bound by time: what is not found in time is found later or stays unknown.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::unit::{self, ControlGroups};
use super::users::Users;
use crate::attribution::SocketOwner;
use crate::time::Timestamp;

/// Links and files of `/proc` that may be looked at in a second, at some 3 µs each.
const LINKS_PER_SECOND: usize = 20_000;
/// How many of them at once.
const BURST: usize = 3_000;
/// Bytes that are read of one file of `/proc`; they have some hundred.
const MAX_FILE: u64 = 16 << 10;
/// Sockets and processes that are remembered; beyond, they are read afresh.
const MAX_KNOWN: usize = 64 << 10;
/// After so many searches through all processes a socket counts as nobody's: another PID namespace holds it, or the kernel.
const MAX_SEARCHES: u8 = 3;

/// A process as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    /// When it began, in clock ticks since the start of the system: with `pid` it stands for one process only.
    start: u64,
    /// Path or name.
    name: Option<String>,
    unit: Option<String>,
}

/// Who holds a socket.
#[derive(Clone, Debug)]
enum Holder {
    /// Found on the way, by process id and start.
    Seen(u32, u64),
    /// Asked for.
    Known(Arc<Process>),
}

/// How far the descriptors of a process have been read.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The round in which they were last read to their end; 0 for never.
    round: u64,
    /// Where to go on.
    offset: usize,
}

/// The processes of this system.
#[derive(Debug)]
pub(super) struct Processes {
    proc: PathBuf,
    android: bool,
    users: Users,
    groups: ControlGroups,
    /// By the socket's inode.
    holders: HashMap<u64, Holder>,
    /// How often a socket's holder was looked for in vain.
    searches: HashMap<u64, u8>,
    /// By process id and start, and by name, since a process that executes another program keeps the first two.
    processes: HashMap<(u32, u64, String), Arc<Process>>,
    progress: HashMap<u32, Progress>,
    /// Start and name of the processes that were asked for in this round.
    asked: HashMap<u32, Option<(u64, String)>>,
    /// Process ids and users as of `listed`, a round.
    listing: Vec<(u32, u32)>,
    listed: u64,
    round: u64,
    budget: usize,
    refilled: Option<Timestamp>,
}

impl Processes {
    /// Those of the running system.
    pub(super) fn new() -> Self {
        Self::of(Path::new("/"))
    }

    /// Those of the system whose files lie below `system`.
    pub(super) fn of(system: &Path) -> Self {
        // Android has no user database: its uids say by themselves what they are.
        let android = system.join("system/build.prop").exists();
        Self {
            proc: system.join("proc"),
            android,
            users: Users::new((!android).then(|| system.join("etc/passwd"))),
            groups: ControlGroups::new(system),
            holders: HashMap::new(),
            searches: HashMap::new(),
            processes: HashMap::new(),
            progress: HashMap::new(),
            asked: HashMap::new(),
            listing: Vec::new(),
            listed: 0,
            round: 0,
            budget: 0,
            refilled: None,
        }
    }

    /// Begins a round at `now`: no process is looked through twice in one, and none for long.
    pub(super) fn begin_round(&mut self, now: Timestamp) {
        let earned = self.refilled.map_or(BURST, |refilled| {
            let milliseconds = usize::try_from(now.since(refilled).as_millis()).unwrap_or(usize::MAX);
            milliseconds.saturating_mul(LINKS_PER_SECOND / 1000)
        });
        // What less than a millisecond earns counts with the next round; a clock that was set back begins again.
        if earned > 0 || self.refilled.is_some_and(|refilled| now < refilled) {
            self.refilled = Some(now);
            self.budget = self.budget.saturating_add(earned).min(BURST);
        }
        self.round = self.round.saturating_add(1);
        self.asked.clear();
    }

    /// Adds to `owner` what can be known of it: process, unit and user. What it says already stays, except that a
    /// process's path replaces its name.
    ///
    /// Of several processes that share a socket it names one.
    pub(super) fn complete(&mut self, owner: &mut SocketOwner, inode: Option<u64>) {
        let process = match (owner.pid, inode) {
            (Some(pid), _) => self.identify(pid),
            (None, Some(inode)) if inode != 0 => self.holder(inode, owner.uid),
            (None, _) => None,
        };
        if let Some(process) = process {
            owner.pid = Some(process.pid);
            if let Some(name) = &process.name {
                owner.process = Some(name.clone());
            }
            owner.unit = owner.unit.take().or_else(|| process.unit.clone());
        }
        if let (None, Some(id), false) = (&owner.unit, owner.cgroup, self.android) {
            owner.unit = self.groups.name(id, &mut self.budget).map(str::to_owned);
        }
        if let (None, Some(uid)) = (&owner.user, owner.uid) {
            owner.user = self.users.name(uid).map(str::to_owned);
        }
    }

    fn holder(&mut self, inode: u64, uid: Option<u32>) -> Option<Arc<Process>> {
        if let Some(known) = self.known_holder(inode) {
            return Some(known);
        }
        if self.searches.get(&inode).is_some_and(|searches| *searches >= MAX_SEARCHES) {
            return None;
        }
        if !self.search(inode, uid) {
            // Out of budget: this was no search through all processes.
            return self.known_holder(inode);
        }
        let found = self.known_holder(inode);
        if found.is_none() {
            bound(&mut self.searches);
            let searches = self.searches.entry(inode).or_default();
            *searches = searches.saturating_add(1);
        }
        found
    }

    /// The holder that was found before, unless its process is gone.
    fn known_holder(&mut self, inode: u64) -> Option<Arc<Process>> {
        match self.holders.get(&inode)? {
            Holder::Known(process) => Some(Arc::clone(process)),
            Holder::Seen(pid, start) => {
                let (pid, start) = (*pid, *start);
                let process = self.identify(pid).filter(|process| process.start == start);
                match &process {
                    Some(process) => self.holders.insert(inode, Holder::Known(Arc::clone(process))),
                    None => self.holders.remove(&inode),
                };
                process
            }
        }
    }

    /// Looks through the descriptors of all processes until one holds `inode`; those of `uid` first, and of them those
    /// that were looked through the longest time ago, or never. False where the budget ended before.
    fn search(&mut self, inode: u64, uid: Option<u32>) -> bool {
        self.list();
        let last_read = |pid| self.progress.get(&pid).map_or(0, |progress: &Progress| progress.round);
        let mut candidates: Vec<_> = self
            .listing
            .iter()
            .map(|(pid, user)| (Some(*user) != uid, last_read(*pid), *pid))
            .filter(|(_, round, _)| *round < self.round)
            .collect();
        candidates.sort_unstable_by_key(|(other, round, pid)| (*other, *round, std::cmp::Reverse(*pid)));
        for (.., pid) in candidates {
            let complete = self.look_through(pid);
            if self.holders.contains_key(&inode) {
                break;
            }
            if !complete {
                return false;
            }
        }
        true
    }

    /// Lists the processes, once a round.
    fn list(&mut self) {
        if self.listed == self.round {
            return;
        }
        self.listed = self.round;
        self.listing.clear();
        let Ok(entries) = fs::read_dir(&self.proc) else { return };
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            self.listing.push((pid, metadata.uid()));
        }
        self.budget = self.budget.saturating_sub(self.listing.len());
        let mut alive: HashMap<u32, Progress> = HashMap::with_capacity(self.listing.len());
        for (pid, _) in &self.listing {
            alive.insert(*pid, self.progress.get(pid).copied().unwrap_or_default());
        }
        self.progress = alive;
    }

    /// Notes the sockets among the descriptors of `pid`. False if the budget ended before; the next round goes on there.
    /// A process whose descriptors may not be read has none.
    fn look_through(&mut self, pid: u32) -> bool {
        let mut progress = self.progress.get(&pid).copied().unwrap_or_default();
        let folder = self.proc.join(pid.to_string());
        self.budget = self.budget.saturating_sub(2);
        let start = self.status(pid).map(|(start, _)| start);
        if let (Some(start), Ok(entries)) = (start, fs::read_dir(folder.join("fd"))) {
            for entry in entries.skip(progress.offset).flatten() {
                if self.budget == 0 {
                    self.progress.insert(pid, progress);
                    return false;
                }
                self.budget = self.budget.saturating_sub(1);
                progress.offset = progress.offset.saturating_add(1);
                let Some(inode) = fs::read_link(entry.path()).ok().and_then(|link| socket(&link)) else {
                    continue;
                };
                bound(&mut self.holders);
                self.holders.entry(inode).or_insert(Holder::Seen(pid, start));
            }
        }
        self.progress.insert(pid, Progress { round: self.round, offset: 0 });
        true
    }

    /// What `pid` is; `None` where there is no such process any more.
    fn identify(&mut self, pid: u32) -> Option<Arc<Process>> {
        let (start, name) = match self.asked.get(&pid) {
            Some(known) => known.clone(),
            None => {
                let status = self.status(pid);
                bound(&mut self.asked);
                self.asked.insert(pid, status.clone());
                status
            }
        }?;
        let key = (pid, start, name);
        if let Some(known) = self.processes.get(&key) {
            return Some(Arc::clone(known));
        }
        let folder = self.proc.join(pid.to_string());
        let unit = if self.android {
            None
        } else {
            read(&folder.join("cgroup")).as_deref().and_then(unit::of_process)
        };
        let name = executable(&folder).or_else(|| Some(key.2.clone())).filter(|name| !name.is_empty());
        let process = Arc::new(Process { pid, start, name, unit });
        bound(&mut self.processes);
        self.processes.insert(key, Arc::clone(&process));
        Some(process)
    }

    /// When `pid` began, and its name.
    fn status(&self, pid: u32) -> Option<(u64, String)> {
        let text = read(&self.proc.join(pid.to_string()).join("stat"))?;
        status(&text).map(|(start, name)| (start, name.to_owned()))
    }
}

/// Makes room for one more.
fn bound<K, V>(map: &mut HashMap<K, V>) {
    if map.len() >= MAX_KNOWN {
        map.clear();
    }
}

/// A file of `/proc`, as text.
fn read(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The path of what a process executes. All of Android's apps execute one program: there, the name that it gives itself.
fn executable(folder: &Path) -> Option<String> {
    let path = fs::read_link(folder.join("exe")).ok()?.to_string_lossy().into_owned();
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    if matches!(path.rsplit('/').next(), Some("app_process" | "app_process32" | "app_process64")) {
        let arguments = read(&folder.join("cmdline")).unwrap_or_default();
        let name = arguments.split('\0').next().unwrap_or_default().trim();
        return Some(name).filter(|name| !name.is_empty()).map(str::to_owned);
    }
    Some(path.to_owned())
}

/// Field 22 and the name in field 2 of `/proc/PID/stat` (proc(5)). The name may hold brackets and spaces itself.
fn status(text: &str) -> Option<(u64, &str)> {
    let (front, fields) = text.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    // The fields behind the name begin with the third.
    let start = fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
    Some((start, name))
}

/// The inode in `socket:[123]`.
fn socket(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;
    use crate::attribution::{Confidence, Method};

    /// A system of files, with a clock.
    struct System {
        folder: tempfile::TempDir,
        processes: Processes,
        now: Timestamp,
    }

    impl System {
        fn new(android: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("proc")).unwrap();
            fs::create_dir_all(folder.path().join("etc")).unwrap();
            fs::create_dir_all(folder.path().join("system")).unwrap();
            fs::write(folder.path().join("etc/passwd"), "www:x:33:33::/:\n").unwrap();
            if android {
                fs::write(folder.path().join("system/build.prop"), "").unwrap();
            }
            let processes = Processes::of(folder.path());
            Self { folder, processes, now: Timestamp(0) }
        }

        fn run(&self, pid: u32, start: u64, name: &str, exe: &str, links: &[&str]) {
            let folder = self.folder.path().join(format!("proc/{pid}"));
            drop(fs::remove_dir_all(&folder));
            fs::create_dir_all(folder.join("fd")).unwrap();
            let fields = "S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0";
            fs::write(folder.join("stat"), format!("{pid} ({name}) {fields} {start} 0 0\n")).unwrap();
            fs::write(folder.join("cgroup"), "0::/system.slice/web.service\n").unwrap();
            fs::write(folder.join("cmdline"), "com.example.app:remote\0\0\0").unwrap();
            if !exe.is_empty() {
                symlink(exe, folder.join("exe")).unwrap();
            }
            for (number, link) in links.iter().enumerate() {
                symlink(link, folder.join(format!("fd/{number}"))).unwrap();
            }
        }

        fn complete(&mut self, inode: u64) -> SocketOwner {
            self.now = Timestamp(self.now.0 + 1_000_000_000);
            self.processes.begin_round(self.now);
            let mut owner =
                SocketOwner { uid: Some(33), ..SocketOwner::new(Method::SockDiag, Confidence::Polled) };
            self.processes.complete(&mut owner, Some(inode));
            owner
        }
    }

    #[test]
    fn a_socket_leads_to_process_unit_and_user() {
        let mut system = System::new(false);
        system.run(7, 100, "other", "/bin/other", &["/dev/null", "socket:[1]"]);
        system.run(8, 200, "a) (b", "/usr/sbin/web (deleted)", &["pipe:[2]", "socket:[2]", "anon_inode:[x]"]);
        let owner = system.complete(2);
        assert_eq!((owner.pid, owner.process.as_deref()), (Some(8), Some("/usr/sbin/web")));
        assert_eq!((owner.unit.as_deref(), owner.user.as_deref()), (Some("web.service"), Some("www")));
        assert_eq!(system.complete(1).pid, Some(7));
        let unknown = system.complete(3);
        assert_eq!((unknown.pid, unknown.user.as_deref()), (None, Some("www")));
    }

    #[test]
    fn where_the_path_cannot_be_read_the_name_stands() {
        let mut system = System::new(false);
        system.run(8, 200, "worker", "", &["socket:[2]"]);
        assert_eq!(system.complete(2).process.as_deref(), Some("worker"));
    }

    #[test]
    fn android_has_no_user_names_and_one_program_for_all_apps() {
        let mut system = System::new(true);
        system.run(8, 200, "example.app", "/system/bin/app_process64", &["socket:[2]"]);
        let owner = system.complete(2);
        assert_eq!(owner.process.as_deref(), Some("com.example.app:remote"));
        assert_eq!((owner.user, owner.unit), (None, None));
    }

    #[test]
    fn a_process_id_that_is_used_again_is_another_process() {
        let mut system = System::new(false);
        system.run(8, 200, "first", "/bin/first", &["socket:[2]", "socket:[3]"]);
        assert_eq!(system.complete(2).process.as_deref(), Some("/bin/first"));
        system.run(8, 900, "second", "/bin/second", &["socket:[4]"]);
        assert_eq!(system.complete(4).process.as_deref(), Some("/bin/second"));
        // Whose it was is known; the other socket of the first process was never asked for, and it is gone.
        assert_eq!(system.complete(2).process.as_deref(), Some("/bin/first"));
        assert_eq!(system.complete(3).pid, None);
    }

    #[test]
    fn a_program_that_is_executed_by_the_same_process_is_seen() {
        let mut system = System::new(false);
        system.run(8, 200, "sh", "/bin/sh", &["socket:[2]"]);
        assert_eq!(system.complete(2).process.as_deref(), Some("/bin/sh"));
        system.run(8, 200, "curl", "/bin/curl", &["socket:[5]"]);
        assert_eq!(system.complete(5).process.as_deref(), Some("/bin/curl"));
    }

    #[test]
    fn what_kernel_programs_say_of_a_process_is_completed() {
        let mut system = System::new(false);
        system.run(8, 200, "web", "/usr/sbin/web", &[]);
        let mut owner = SocketOwner::new(Method::Ebpf, Confidence::Exact);
        (owner.pid, owner.process) = (Some(8), Some("io-thread".to_owned()));
        system.processes.complete(&mut owner, None);
        assert_eq!(owner.process.as_deref(), Some("/usr/sbin/web"));
        (owner.pid, owner.process) = (Some(9), Some("gone".to_owned()));
        system.processes.complete(&mut owner, None);
        assert_eq!((owner.pid, owner.process.as_deref()), (Some(9), Some("gone")));
    }

    #[test]
    fn many_descriptors_are_read_in_parts() {
        let mut system = System::new(false);
        let links: Vec<String> = (0..2 * BURST).map(|inode| format!("socket:[{}]", inode + 10)).collect();
        let links: Vec<&str> = links.iter().map(String::as_str).collect();
        system.run(8, 200, "busy", "/bin/busy", &links);
        system.complete(1);
        let first = system.processes.holders.len();
        assert!(first > BURST / 2 && first <= BURST, "{first}");
        assert!(system.processes.searches.is_empty(), "it was not looked for everywhere yet");
        (0..2).for_each(|_| drop(system.complete(1)));
        assert_eq!(system.processes.holders.len(), 2 * BURST);
        assert_eq!(system.processes.searches.get(&1), Some(&1));
    }

    #[test]
    fn the_budget_grows_with_time() {
        let mut system = System::new(false);
        let mut budget = |microseconds: i64| {
            system.processes.begin_round(Timestamp(microseconds * 1_000));
            std::mem::take(&mut system.processes.budget)
        };
        assert_eq!([budget(5_000), budget(5_500), budget(6_000), budget(9_000)], [BURST, 0, 20, 60]);
        assert_eq!([budget(90_000_000), budget(10), budget(1_010)], [BURST, 0, 20]);
    }

    #[test]
    fn a_socket_that_nobody_holds_is_looked_for_a_few_times() {
        let mut system = System::new(false);
        (0..5).for_each(|_| drop(system.complete(77)));
        assert_eq!(system.processes.searches.get(&77), Some(&MAX_SEARCHES));
        system.run(8, 200, "late", "/bin/late", &["socket:[77]"]);
        assert_eq!(system.complete(77).pid, None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s)[ 0-9()a-z]{0,120}") {
            status(&text);
            socket(Path::new(&text));
        }
    }
}
