//! User names from `/etc/passwd`.
//!
//! The file is read here and not through the C library: a static binary has no name service switch. Users that only a
//! directory service knows have no name.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::SystemTime;

/// Bytes that are read of the database; a host has some kilobytes.
const MAX_BYTES: u64 = 8 << 20;
/// Users that are known at most.
const MAX_USERS: usize = 64 << 10;

/// The users of this system.
#[derive(Debug)]
pub(super) struct Users {
    /// `None` where the system has no such database, as Android.
    path: Option<PathBuf>,
    names: HashMap<u32, String>,
    /// Of the file as it was read; `None` before.
    modified: Option<SystemTime>,
}

impl Users {
    /// Those of the database at `path`.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path, names: HashMap::new(), modified: None }
    }

    /// The name of `uid`. The file is read again where it has changed and the uid is not known.
    pub(super) fn name(&mut self, uid: u32) -> Option<&str> {
        if !self.names.contains_key(&uid) {
            self.refresh();
        }
        self.names.get(&uid).map(String::as_str)
    }

    fn refresh(&mut self) {
        let Some(path) = &self.path else { return };
        let Ok(file) = File::open(path) else { return };
        let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
        if modified.is_some() && modified == self.modified {
            return;
        }
        let mut text = Vec::new();
        if let Err(error) = file.take(MAX_BYTES).read_to_end(&mut text) {
            tracing::debug!(path = %path.display(), %error, "cannot read the users' names");
            return;
        }
        self.modified = modified;
        self.names = parse(&String::from_utf8_lossy(&text));
    }
}

/// `name:password:uid:gid:…` in each line (passwd(5)); the first user of a uid gives it its name.
fn parse(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(uid)) = (fields.next(), fields.nth(1)) else { continue };
        let Ok(uid) = uid.parse() else { continue };
        if !name.is_empty() && !name.starts_with('#') && names.len() < MAX_USERS {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_again_when_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let mut users = Users::new(Some(path.clone()));
        assert_eq!(users.name(0), None);
        let text =
            "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/root:\n\n#off:x:7:7\n:x:8:8\nshort\nno:x:-1:1\n";
        fs::write(&path, text).unwrap();
        assert_eq!(users.name(0), Some("root"));
        assert_eq!((users.name(7).map(str::to_owned), users.name(8)), (None, None));

        fs::write(&path, "app:x:7:7::/:\n").unwrap();
        let later = users.modified.unwrap() + Duration::from_secs(5);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(users.name(7), Some("app"));
    }

    #[test]
    fn a_system_without_the_database_names_nobody() {
        assert_eq!(Users::new(None).name(0), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,200}") {
            parse(&text);
        }
    }
}
