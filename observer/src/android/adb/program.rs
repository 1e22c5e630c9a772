//! Where adb is.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::AdbError;

/// The adb to run: the one `named`, or that of the SDK (`ANDROID_HOME`, `ANDROID_SDK_ROOT`), or the first on the path.
///
/// # Errors
/// When there is none. One that is named must be there.
pub fn find_adb(named: Option<&Path>) -> Result<PathBuf, AdbError> {
    find(named, |name| env::var_os(name))
}

fn find<T: AsRef<OsStr>>(
    named: Option<&Path>,
    variable: impl Fn(&str) -> Option<T>,
) -> Result<PathBuf, AdbError> {
    if let Some(named) = named {
        let missing = || AdbError::NoProgram { place: Some(format!("{} is no program", named.display())) };
        return Some(named.to_owned()).filter(|path| is_program(path)).ok_or_else(missing);
    }
    let value =
        |name: &str| variable(name).map(|value| value.as_ref().to_owned()).filter(|value| !value.is_empty());
    let sdks = ["ANDROID_HOME", "ANDROID_SDK_ROOT"].into_iter().filter_map(&value);
    let of_sdk = sdks.map(|sdk| Path::new(&sdk).join("platform-tools"));
    let path = value("PATH").unwrap_or_default();
    let folders = of_sdk.chain(env::split_paths(&path));
    // An empty entry of the path means the current folder, which nobody runs programs from unasked.
    let mut candidates = folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join("adb"));
    candidates.find(|path| is_program(path)).ok_or(AdbError::NoProgram { place: None })
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_sdk_comes_before_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let [sdk, path] = ["sdk/platform-tools", "bin"].map(|name| folder.path().join(name));
        for place in [&sdk, &path] {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join("adb"), "#!/bin/sh\n").unwrap();
        }
        let mark = |file: &Path| fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        let home = folder.path().join("sdk");
        let variable = |name: &str| match name {
            "ANDROID_HOME" => Some(home.clone().into_os_string()),
            "PATH" => Some(path.clone().into_os_string()),
            _ => None,
        };
        // Files that nobody may run are no programs.
        assert!(matches!(find(None, variable), Err(AdbError::NoProgram { place: None })));
        mark(&path.join("adb"));
        assert_eq!(find(None, variable).unwrap(), path.join("adb"));
        mark(&sdk.join("adb"));
        assert_eq!(find(None, variable).unwrap(), sdk.join("adb"));
        assert_eq!(find(Some(&path.join("adb")), variable).unwrap(), path.join("adb"));
        let error = find(Some(Path::new("/nowhere/adb")), variable).unwrap_err().to_string();
        assert!(error.contains("/nowhere/adb is no program") && error.contains("--adb"), "{error}");
    }
}
