//! From uid to app: `packages.list`, and UID maps in captures.
//!
//! Packages are known by app id, so that every user of a device, and an app's SDK sandbox, lead to the same ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::android::AndroidUid;

/// Packages that are known at most; a phone has a few hundred.
const MAX_PACKAGES: usize = 64 << 10;
/// Packages that may share a uid; Android's own share one by the dozen.
const MAX_SHARED: usize = 256;
/// Bytes of a package list that are read; a phone's has some 50 KB.
const MAX_LIST: u64 = 64 << 20;

/// Why a package list cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackagesError {
    /// The operating system refused.
    #[error("cannot read package list {path}")]
    Io {
        /// The file.
        path: String,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// No line of it names a package and a uid.
    #[error("{path} is not a package list: none of its lines names a package and a uid")]
    NotAList {
        /// The file.
        path: String,
    },
}

/// The apps of a device by uid.
#[derive(Clone, Debug, Default)]
pub struct AppDirectory {
    /// By app id: packages, and what people call them.
    apps: BTreeMap<u32, Vec<(String, String)>>,
    packages: usize,
    dropped: u64,
    bad_lines: u64,
}

impl AppDirectory {
    /// Reads a device's `/data/system/packages.list`, of any Android version, or what `pm list packages -U` prints.
    ///
    /// Packages without a uid (of APEX modules and SDK libraries) are left out.
    ///
    /// # Errors
    /// When the file cannot be read, or when no line of it is of either form. Single bad lines are counted:
    /// see [`Self::bad_lines`].
    pub fn load(&mut self, path: &Path) -> Result<(), PackagesError> {
        let failed = |source| PackagesError::Io { path: path.display().to_string(), source };
        let mut list = Vec::new();
        File::open(path).map_err(failed)?.take(MAX_LIST).read_to_end(&mut list).map_err(failed)?;
        match self.read(&String::from_utf8_lossy(&list)) {
            0 => Err(PackagesError::NotAList { path: path.display().to_string() }),
            _ => Ok(()),
        }
    }

    /// Reads the lines of a `packages.list`; how many of them are good. The others are counted: see [`Self::bad_lines`].
    pub fn read(&mut self, list: &str) -> u64 {
        let mut good = 0_u64;
        for line in list.lines().filter(|line| !line.trim().is_empty()) {
            match parse(line) {
                Some((package, uids)) => {
                    good = good.saturating_add(1);
                    uids.for_each(|uid| self.add(uid, package, ""));
                }
                None => self.bad_lines = self.bad_lines.saturating_add(1),
            }
        }
        good
    }

    /// Learns that `package`, called `label`, has `uid`. What is empty is unknown.
    pub fn add(&mut self, uid: u32, package: &str, label: &str) {
        let Some(app_id) = AndroidUid::new(uid).app_id() else { return };
        if package.is_empty() && label.is_empty() {
            return;
        }
        let apps = self.apps.entry(app_id).or_default();
        if let Some((_, known)) = apps.iter_mut().find(|(known, _)| known == package) {
            if known.is_empty() {
                label.clone_into(known);
            }
        } else if self.packages < MAX_PACKAGES && apps.len() < MAX_SHARED {
            self.packages = self.packages.saturating_add(1);
            apps.push((package.to_owned(), label.to_owned()));
            apps.sort();
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The packages and labels of `uid`, sorted; either may be empty where it is unknown.
    #[must_use]
    pub fn apps(&self, uid: u32) -> &[(String, String)] {
        let app_id = AndroidUid::new(uid).app_id();
        app_id.and_then(|app_id| self.apps.get(&app_id)).map(Vec::as_slice).unwrap_or_default()
    }

    /// All apps, in order: app id, which is the uid that the device's first user has, package and label.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        self.apps.iter().flat_map(|(app_id, apps)| {
            apps.iter().map(|(package, label)| (*app_id, package.as_str(), label.as_str()))
        })
    }

    /// Whether it knows no app: then nothing says that the uids are Android's.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    /// Lines of package lists that could not be read.
    #[must_use]
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// Packages that the limit dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The package and its uids; `None` for -1.
///
/// Of the 6 to 10 columns of `packages.list` only the first two matter here, and what Android may add behind them.
fn parse(line: &str) -> Option<(&str, impl Iterator<Item = u32>)> {
    let mut columns = line.split_ascii_whitespace();
    let (package, uids) = match columns.next()?.strip_prefix("package:") {
        // With `-f` a path stands before the name.
        Some(package) => {
            let uids = columns.find_map(|column| column.strip_prefix("uid:"))?;
            (package.rsplit('=').next().unwrap_or(package), uids)
        }
        None => (line.split_ascii_whitespace().next()?, columns.next()?),
    };
    let package = Some(package).filter(|package| !package.is_empty())?;
    // Uids are unsigned; -1 is written by some versions.
    let parsed = uids.split(',').map(str::parse::<i64>).collect::<Result<Vec<_>, _>>().ok()?;
    if parsed.iter().any(|uid| !(-1..=i64::from(u32::MAX)).contains(uid)) {
        return None;
    }
    Some((
        package,
        parsed.into_iter().filter_map(|uid| u32::try_from(uid).ok()).filter(|uid| *uid != u32::MAX),
    ))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const LIST: &str = "\
com.example.six 10101 0 /data/user/0/com.example.six default:targetSdkVersion=28 3003,1028
com.example.eight 10102 1 /data/user/0/com.example.eight default:targetSdkVersion=30 none 0 1204
com.example.ten 10103 0 /data/user/0/com.example.ten platform:privapp:targetSdkVersion=34 3003 1 34 1 @system
com.example.shared.b 10104 0 /data/user/0/b default none 0 1 1 com.android.vending
com.example.shared.a 10104 0 /data/user/0/a default none 0 1 1 @null future columns 7
com.android.apex -1 0 /data/apex default none 0 1 0 @system
com.android.sdklib 4294967295 0 /data/sdk default none 0 1 0 @system

garbage
com.example.bad ten 0 /data default none
";

    fn names(directory: &AppDirectory, uid: u32) -> Vec<&str> {
        directory.apps(uid).iter().map(|(package, _)| package.as_str()).collect()
    }

    #[test]
    fn what_exceeds_the_bound_of_a_uid_is_counted() {
        let mut directory = AppDirectory::default();
        for number in 0..MAX_SHARED + 3 {
            directory.add(10_101, &format!("com.example.p{number}"), "");
        }
        assert_eq!((names(&directory, 10_101).len(), directory.dropped()), (MAX_SHARED, 3));
        directory.add(10_102, "com.example.other", "");
        assert_eq!(names(&directory, 10_102), ["com.example.other"]);
    }

    #[test]
    fn lists_of_six_to_ten_columns() {
        let mut directory = AppDirectory::default();
        assert_eq!(directory.read(LIST), 7);
        assert_eq!(directory.bad_lines(), 2);
        assert_eq!(names(&directory, 10_101), ["com.example.six"]);
        assert_eq!(names(&directory, 10_102), ["com.example.eight"]);
        assert_eq!(names(&directory, 10_103), ["com.example.ten"]);
        assert_eq!(names(&directory, 10_104), ["com.example.shared.a", "com.example.shared.b"]);
        assert!(directory.apps(u32::MAX).is_empty());
    }

    #[test]
    fn other_users_and_the_sandbox_lead_to_the_same_app() {
        let mut directory = AppDirectory::default();
        directory.read(LIST);
        assert_eq!(names(&directory, 1_010_101), ["com.example.six"]);
        assert_eq!(names(&directory, 20_101), ["com.example.six"]);
        assert!(directory.apps(99_001).is_empty());
    }

    #[test]
    fn what_pm_prints() {
        let mut directory = AppDirectory::default();
        let list =
            "package:com.a uid:10201\npackage:/data/app/x==/base.apk=com.b versionCode:7 uid:10202,1010202\n";
        assert_eq!(directory.read(list), 2);
        assert_eq!(names(&directory, 10_201), ["com.a"]);
        assert_eq!(names(&directory, 1_010_202), ["com.b"]);
    }

    #[test]
    fn a_label_may_come_later() {
        let mut directory = AppDirectory::default();
        directory.add(10_101, "com.a", "");
        directory.add(10_101, "com.a", "A");
        directory.add(10_101, "com.a", "");
        directory.add(10_102, "", "");
        assert_eq!(directory.apps(10_101), [("com.a".to_owned(), "A".to_owned())]);
        assert!(directory.apps(10_102).is_empty());
    }

    #[test]
    fn packages_are_bounded() {
        let mut directory = AppDirectory::default();
        for index in 0..=MAX_PACKAGES {
            directory.add(10_101, &format!("com.{index}"), "");
            directory.apps.get_mut(&10_101).unwrap().clear();
        }
        assert_eq!(directory.dropped(), 1);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = AppDirectory::default().load(&path).unwrap_err();
        assert!(matches!(error, PackagesError::NotAList { .. }), "{error}");
        let error = AppDirectory::default().load(Path::new("/nowhere/packages.list")).unwrap_err();
        assert!(matches!(error, PackagesError::Io { .. }), "{error}");
    }
}
