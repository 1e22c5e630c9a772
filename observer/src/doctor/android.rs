//! What there is on Android alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::thread::CapabilitySet;

use super::{Answer, Item};

/// The program that reads system properties.
const GETPROP: &str = "/system/bin/getprop";

/// The program that reads settings.
const SETTINGS: &str = "/system/bin/settings";

/// Which packages there are, and their uids.
const PACKAGES: &str = "/data/system/packages.list";

/// Whether this is Android.
pub(super) fn is_here() -> bool {
    Path::new(GETPROP).exists() || Path::new("/system/build.prop").exists()
}

/// Release, API level and kind of build. On `user` builds there is no root by `adb root`.
pub(super) fn release() -> (Answer, Vec<Item>) {
    if !is_here() {
        return Answer::Absent.alone();
    }
    let file = fs::read_to_string("/system/build.prop").unwrap_or_default();
    let property = |name: &str| {
        run(GETPROP, &[name]).filter(|value| !value.is_empty()).or_else(|| property_of(&file, name))
    };
    let known = |name| property(name).unwrap_or_else(|| "unknown".to_owned());
    Answer::fact(format!(
        "{}, API level {}, {} build",
        known("ro.build.version.release"),
        known("ro.build.version.sdk"),
        known("ro.build.type")
    ))
    .alone()
}

/// The value of a property in the text of a `build.prop`.
fn property_of(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.trim().split_once('=')?;
        (key == name).then(|| value.to_owned())
    })
}

/// Whether uids can be told to be apps.
pub(super) fn packages() -> (Answer, Vec<Item>) {
    if !is_here() && !Path::new(PACKAGES).exists() {
        return Answer::Absent.alone();
    }
    let cost = "apps are named by pm list packages, or by their uid alone";
    match fs::read_to_string(PACKAGES) {
        Ok(text) => Answer::yes(format!("{} packages", text.lines().count())).alone(),
        Err(error) => Answer::failed(&error, CapabilitySet::DAC_READ_SEARCH, cost).alone(),
    }
}

/// A setting of the device; nothing where it has none or is no Android.
pub(super) fn setting(name: &str) -> Option<String> {
    run(SETTINGS, &["get", "global", name]).filter(|value| !value.is_empty() && value != "null")
}

/// What a program writes, if it ends well.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_the_whole_word_before_the_sign() {
        let text = "# build\nro.build.version.sdk_full=36.1\nro.build.version.sdk=36\nro.empty=\n";
        assert_eq!(property_of(text, "ro.build.version.sdk").as_deref(), Some("36"));
        assert_eq!(property_of(text, "ro.empty").as_deref(), Some(""));
        assert_eq!(property_of(text, "ro.build"), None);
    }
}
