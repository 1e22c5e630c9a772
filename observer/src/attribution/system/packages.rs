//! An [`AppDirectory`] that stays true while a capture runs: apps are installed and removed under way.
//!
//! `packages.list` is replaced by renaming, so that its folder is watched, not the file. Where the file cannot be read,
//! Android's package manager is asked now and then, which takes no root.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::attribution::AppDirectory;
use crate::source::live::now;
use crate::time::Timestamp;

/// Where Android keeps its list.
pub const PACKAGES_LIST: &str = "/data/system/packages.list";
/// Android's package manager.
const PACKAGE_MANAGER: &str = "/system/bin/pm";
/// Bytes that are taken of what it prints; a phone's list has some 50 KB.
const MAX_OUTPUT: u64 = 16 << 20;
/// How long it may take; it starts a Java program.
const MAX_TIME: Duration = Duration::from_secs(20);
/// How often it is asked.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// Reads of events at once; any of them leads to one look at the file.
const MAX_EVENTS: usize = 1024;

/// Keeps the packages of a device in view.
#[derive(Debug)]
pub struct PackageWatch {
    path: PathBuf,
    /// The events of the folder; `None` where it cannot be watched.
    events: Option<OwnedFd>,
    manager: PathBuf,
    question: Option<Question>,
    asked: Option<Timestamp>,
    /// The file is to be read: at the start, and after each change.
    stale: bool,
    /// The last list is of the file, so that the package manager need not be asked.
    from_file: bool,
}

/// The package manager at work.
#[derive(Debug)]
struct Question {
    child: Child,
    answer: Receiver<io::Result<Vec<u8>>>,
    since: Timestamp,
}

impl PackageWatch {
    /// Watches the list at `path`, usually [`PACKAGES_LIST`]. It need not exist yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self::with_manager(path, Path::new(PACKAGE_MANAGER))
    }

    fn with_manager(path: &Path, manager: &Path) -> Self {
        let events = match watch(path) {
            Ok(events) => Some(events),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "the folder of the package list is not watched");
                None
            }
        };
        Self {
            path: path.to_owned(),
            events,
            manager: manager.to_owned(),
            question: None,
            asked: None,
            stale: true,
            from_file: false,
        }
    }

    /// The apps, if they have changed since the last call; the first call gives those there are. It never waits.
    ///
    /// A list that is bad or gone changes nothing: the last good one stays, and a warning says so.
    pub fn changed(&mut self) -> Option<AppDirectory> {
        self.read_events();
        if std::mem::take(&mut self.stale) {
            let mut directory = AppDirectory::default();
            match directory.load(&self.path) {
                Ok(()) => {
                    self.from_file = true;
                    self.question = None;
                    note(&directory, &self.path.display().to_string());
                    return Some(directory);
                }
                Err(error) if self.from_file => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "the package list that was read last stays");
                }
                Err(error) => tracing::debug!(%error, "no package list"),
            }
        }
        if self.from_file { None } else { self.ask(now()) }
    }

    fn read_events(&mut self) {
        let Some(events) = &self.events else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(events, &mut buffer);
        let name = self.path.file_name();
        for _ in 0..MAX_EVENTS {
            let Ok(event) = reader.next() else { return };
            if event.events().intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) {
                tracing::warn!(path = %self.path.display(), "its folder is gone: changes are no longer seen");
                self.events = None;
                return;
            }
            let same = event.file_name().map(|file| OsStr::from_bytes(file.to_bytes())) == name;
            // Where events were lost, the file may have changed.
            self.stale |= same || event.events().contains(ReadFlags::QUEUE_OVERFLOW);
        }
    }

    /// Asks the package manager, or looks whether it has answered.
    fn ask(&mut self, now: Timestamp) -> Option<AppDirectory> {
        let Some(question) = &mut self.question else {
            let due = self.asked.is_none_or(|asked| now.since(asked) >= ASK_AGAIN || now < asked);
            if due && self.manager.exists() {
                self.asked = Some(now);
                self.question = Question::ask(&self.manager, now);
            }
            return None;
        };
        let answer = match question.answer.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) if now.since(question.since) < MAX_TIME => return None,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        self.question = None;
        let manager = self.manager.display();
        let list = match answer {
            Ok(list) => list,
            Err(error) => {
                tracing::warn!(%error, "{manager} gives no list of packages");
                return None;
            }
        };
        let mut directory = AppDirectory::default();
        if directory.read(&String::from_utf8_lossy(&list)) == 0 {
            tracing::warn!("{manager} prints no packages with their uids");
            return None;
        }
        note(&directory, &manager.to_string());
        Some(directory)
    }
}

/// Says what of a list could not be used.
fn note(directory: &AppDirectory, from: &str) {
    let (bad_lines, dropped) = (directory.bad_lines(), directory.dropped());
    if bad_lines > 0 || dropped > 0 {
        tracing::warn!(from, bad_lines, dropped, "packages are missing");
    }
}

impl Question {
    fn ask(manager: &Path, now: Timestamp) -> Option<Self> {
        let mut command = Command::new(manager);
        command.args(["list", "packages", "-U"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command
            .spawn()
            .inspect_err(|error| tracing::warn!(%error, "cannot run {}", manager.display()))
            .ok()?;
        let output = child.stdout.take()?;
        let (sender, answer) = mpsc::channel();
        thread::spawn(move || {
            let mut list = Vec::new();
            let read = output.take(MAX_OUTPUT).read_to_end(&mut list).map(|_| list);
            // Nobody waits for an answer that came too late.
            drop(sender.send(read));
        });
        Some(Self { child, answer, since: now })
    }
}

/// Ends the package manager, whether it is done or not.
impl Drop for Question {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The events of the folder that `path` lies in.
fn watch(path: &Path) -> io::Result<OwnedFd> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Err(io::ErrorKind::IsADirectory.into()),
    };
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    // A file that is being written is looked at when it is whole.
    let changes = WatchFlags::CLOSE_WRITE | WatchFlags::MOVE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
    inotify::add_watch(&events, folder, changes)?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn name(directory: &AppDirectory, uid: u32) -> &str {
        directory.apps(uid).first().map_or("", |(package, _)| package)
    }

    #[test]
    fn a_list_that_is_replaced_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packages.list");
        fs::write(&path, "com.a 10101 0 /data/a default none\n").unwrap();
        let mut watch = PackageWatch::with_manager(&path, Path::new("/nowhere/pm"));
        assert_eq!(name(&watch.changed().unwrap(), 10_101), "com.a");
        assert!(watch.changed().is_none());

        let backup = folder.path().join("packages.list.new");
        fs::write(&backup, "com.b 10101 0 /data/b default none\n").unwrap();
        assert!(watch.changed().is_none(), "another file");
        fs::rename(&backup, &path).unwrap();
        assert_eq!(name(&watch.changed().unwrap(), 10_101), "com.b");
        assert!(watch.changed().is_none());
    }

    #[test]
    fn a_bad_or_vanished_list_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packages.list");
        fs::write(&path, "com.a 10101 0 /data/a default none\n").unwrap();
        let mut watch = PackageWatch::with_manager(&path, Path::new("/nowhere/pm"));
        assert!(watch.changed().is_some());
        fs::write(&path, "ABX\0").unwrap();
        assert!(watch.changed().is_none());
        fs::remove_file(&path).unwrap();
        assert!(watch.changed().is_none());
        fs::write(&path, "com.c 10103 0 /data/c default none\n").unwrap();
        assert_eq!(name(&watch.changed().unwrap(), 10_103), "com.c");
    }

    #[test]
    fn a_list_may_come_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packages.list");
        let mut watch = PackageWatch::with_manager(&path, Path::new("/nowhere/pm"));
        assert!(watch.changed().is_none());
        fs::write(&path, "com.a 10101 0 /data/a default none\n").unwrap();
        assert!(watch.changed().is_some());
        let mut nowhere = PackageWatch::new(Path::new("/nowhere/packages.list"));
        assert!(nowhere.changed().is_none());
    }

    /// A package manager that is a script of `lines`. A program of its own writes it: a file that some thread has open for
    /// writing, if only for the moment of a fork, cannot be run.
    fn manager(folder: &Path, lines: &str) -> PathBuf {
        let path = folder.join("pm");
        let write = "printf '#!/bin/sh\n%s\n' \"$2\" >\"$1\" && chmod 755 \"$1\"";
        let mut shell = Command::new("sh");
        assert!(shell.args(["-c", write, "sh"]).arg(&path).arg(lines).status().unwrap().success());
        path
    }

    /// Asks a package manager that is a script of `lines`, until it has answered.
    fn asked(lines: &str) -> (Option<AppDirectory>, PackageWatch) {
        let folder = tempfile::tempdir().unwrap();
        let manager = manager(folder.path(), lines);
        let mut watch = PackageWatch::with_manager(&folder.path().join("packages.list"), &manager);
        assert!(watch.changed().is_none(), "it takes its time");
        let question = watch.question.as_mut().unwrap();
        // What it says, said again for the watch to hear.
        let answer = question.answer.recv().unwrap();
        let (sender, again) = mpsc::channel();
        sender.send(answer).unwrap();
        question.answer = again;
        (watch.changed(), watch)
    }

    #[test]
    fn the_package_manager_is_asked_where_there_is_no_list() {
        let (directory, mut watch) =
            asked("test \"$*\" = 'list packages -U' && echo package:com.a uid:10101");
        assert_eq!(name(&directory.unwrap(), 10_101), "com.a");
        assert!(watch.changed().is_none());
        assert!(watch.question.is_none(), "not asked again at once");
    }

    #[test]
    fn a_package_manager_that_says_nothing_of_use_gives_no_list() {
        assert!(asked("echo Error: no service").0.is_none());
        assert!(asked("exit 1").0.is_none());
    }

    #[test]
    fn a_package_manager_that_hangs_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let manager = manager(folder.path(), "exec sleep 600");
        let mut watch = PackageWatch::with_manager(&folder.path().join("packages.list"), &manager);
        let start = Timestamp::new(1_000, 0);
        assert!(watch.ask(start).is_none());
        let pid = watch.question.as_ref().unwrap().child.id();
        assert!(watch.ask(Timestamp::new(1_019, 0)).is_none() && watch.question.is_some());
        assert!(watch.ask(Timestamp::new(1_020, 0)).is_none() && watch.question.is_none());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
