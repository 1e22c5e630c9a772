//! Where file systems are mounted, as `/proc/self/mountinfo` has it (proc_pid_mountinfo(5)).

use std::fs;
use std::path::PathBuf;

/// The first mount point of a file system of the type `kind`.
#[must_use]
pub fn find(kind: &str) -> Option<PathBuf> {
    find_in(&fs::read_to_string("/proc/self/mountinfo").ok()?, kind)
}

fn find_in(text: &str, kind: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        // The optional fields before the dash vary in number.
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next()? != kind {
            return None;
        }
        before.split(' ').nth(4).map(|point| PathBuf::from(unescape(point)))
    })
}

/// Whether the kernel knows file systems of the type `kind`.
#[must_use]
pub fn is_known(kind: &str) -> bool {
    let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    text.lines().any(|line| line.split_ascii_whitespace().next_back() == Some(kind))
}

/// Undoes the octal escapes of blanks and backslashes.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "24 1 0:22 / /proc rw,relatime shared:13 - proc proc rw\n\
        36 32 0:31 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n\
        40 24 0:7 / /mnt/a\\040b rw shared:1 master:2 - tracefs tracefs rw\n";

    #[test]
    fn finds_by_type_whatever_the_optional_fields() {
        assert_eq!(find_in(MOUNTINFO, "cgroup2"), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(find_in(MOUNTINFO, "tracefs"), Some(PathBuf::from("/mnt/a b")));
        assert_eq!(find_in(MOUNTINFO, "bpf"), None);
        assert_eq!(find_in("garbage", "bpf"), None);
    }
}
