//! Which systemd unit or control group something runs in.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};

/// Control groups that are looked at in one walk; a desktop has some 200.
const MAX_GROUPS: usize = 8 << 10;
/// Control groups that are remembered; beyond, they are read afresh.
const MAX_KNOWN: usize = 16 << 10;
/// The root of the hierarchy has this inode number.
const ROOT: u64 = 1;

/// The unit or else the control group in the text of `/proc/PID/cgroup` (cgroups(7)): lines of `id:controllers:path`.
///
/// `None` for the root, which says nothing.
pub(super) fn of_process(text: &str) -> Option<String> {
    let path_of = |wanted: [&str; 2]| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let found = [fields.next()?, fields.next()?];
            let same = (wanted[0].is_empty() || wanted[0] == found[0]) && wanted[1] == found[1];
            fields.next().filter(|_| same)
        })
    };
    // The unified hierarchy, then systemd's own of version 1.
    let paths = [path_of(["0", ""]), path_of(["", "name=systemd"])];
    let paths = || paths.iter().flatten();
    paths().find_map(|path| unit(path)).or_else(|| paths().find_map(|path| group(path)))
}

/// The innermost unit in the path of a control group. Slices hold units, not processes.
fn unit(path: &str) -> Option<String> {
    let is_unit = |name: &&str| {
        let kind = name.rsplit_once('.').map(|(_, kind)| kind);
        matches!(kind, Some("service" | "scope" | "socket" | "mount" | "swap"))
    };
    path.rsplit('/').find(is_unit).map(str::to_owned)
}

fn group(path: &str) -> Option<String> {
    Some(path).filter(|path| !path.trim_matches('/').is_empty()).map(str::to_owned)
}

/// The control groups of the unified hierarchy by the inode numbers of their directories.
#[derive(Debug)]
pub(super) struct ControlGroups {
    root: PathBuf,
    names: HashMap<u64, Option<String>>,
}

impl ControlGroups {
    /// Those below `/sys/fs/cgroup` in `system`, or where both versions are in use, below its `unified`.
    pub(super) fn new(system: &Path) -> Self {
        let mount = system.join("sys/fs/cgroup");
        let root = if mount.join("cgroup.controllers").exists() { mount } else { mount.join("unified") };
        Self { root, names: HashMap::new() }
    }

    /// The unit or path of the group `id`; `None` for the root and for one that is gone.
    ///
    /// All groups are walked for an id that is new, at the cost of a link each, if `budget` has as much left.
    pub(super) fn name(&mut self, id: u64, budget: &mut usize) -> Option<&str> {
        if id <= ROOT {
            return None;
        }
        if !self.names.contains_key(&id) {
            if *budget == 0 {
                return None;
            }
            self.walk(budget);
            self.names.entry(id).or_insert(None);
        }
        self.names.get(&id)?.as_deref()
    }

    fn walk(&mut self, budget: &mut usize) {
        if self.names.len() > MAX_KNOWN {
            self.names.clear();
        }
        let mut open = VecDeque::from([self.root.clone()]);
        let mut looked = 0;
        while let Some(folder) = open.pop_front() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                if looked >= MAX_GROUPS || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                looked += 1;
                *budget = budget.saturating_sub(1);
                let path = entry.path();
                let below = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy();
                self.names.insert(entry.ino(), unit(&below).or_else(|| group(&format!("/{below}"))));
                open.push_back(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_innermost_unit_counts() {
        for (text, name) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-77.scope\n",
                Some("app-gnome-firefox-77.scope"),
            ),
            ("0::/user.slice/user-1000.slice/user@1000.service\n", Some("user@1000.service")),
            ("9:name=systemd:/system.slice/cron.service\n2:memory:/x\n0::/\n", Some("cron.service")),
            ("0::/docker/0123abcd\n", Some("/docker/0123abcd")),
            ("0::/user.slice\n", Some("/user.slice")),
            ("4:memory:/a.service\n0::/\n", None),
            ("0::/with:colon/b.service\n", Some("b.service")),
            ("", None),
            ("junk\n0:\n:::", None),
        ] {
            assert_eq!(of_process(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn groups_are_found_by_inode() {
        let system = tempfile::tempdir().unwrap();
        let root = system.path().join("sys/fs/cgroup");
        fs::create_dir_all(root.join("system.slice/nginx.service/worker")).unwrap();
        fs::create_dir_all(root.join("box")).unwrap();
        fs::write(root.join("cgroup.controllers"), "").unwrap();
        let inode = |path: &str| fs::metadata(root.join(path)).unwrap().ino();
        let mut groups = ControlGroups::new(system.path());
        let mut budget = 100;
        assert_eq!(
            groups.name(inode("system.slice/nginx.service/worker"), &mut budget),
            Some("nginx.service")
        );
        assert_eq!(groups.name(inode("box"), &mut budget), Some("/box"));
        assert_eq!(budget, 96);
        assert_eq!(groups.name(1, &mut budget), None);
        assert_eq!(groups.name(u64::MAX, &mut budget), None);
        assert_eq!(budget, 92);

        // What is new is found once there is budget to look.
        fs::create_dir_all(root.join("late.scope")).unwrap();
        assert_eq!(groups.name(inode("late.scope"), &mut 0), None);
        assert_eq!(groups.name(inode("late.scope"), &mut budget), Some("late.scope"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s)[0-9a-z:/.=\n]{0,200}") {
            of_process(&text);
        }
    }
}
