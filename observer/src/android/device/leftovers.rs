//! Whether anything of ours is left on a device after a run.

use std::time::Duration;

use super::Device;
use super::agent::{RemotePath, is_agent};
use crate::android::adb::{Adb, AdbError};
use crate::report::plain::plain;

/// How long each look may take.
const LOOK: Duration = Duration::from_secs(30);
/// Leftovers that are named at most.
const MAX_NAMED: usize = 32;

/// What is left of ours: programs that run, filters and files; a sentence each, none where all is clean. The agent `keep` may
/// stay where it lies. Filters, and whatever else `observer cleanup` knows, are taken away by that.
///
/// # Errors
/// Those of adb.
pub fn leftovers(adb: &dyn Adb, device: &Device, keep: Option<&RemotePath>) -> Result<Vec<String>, AdbError> {
    let serial = device.serial.as_str();
    let as_root = |command: &str| device.root.command(command).unwrap_or_else(|| command.to_owned());
    let mut left = Vec::new();

    // Without -A: releases before Android 8, whose ps shows all.
    let processes = adb.shell(serial, &as_root("ps -A -o pid,args 2>/dev/null || ps"), LOOK)?;
    left.extend(running(&processes.text()));

    if let Some(keep) = keep
        && let Some(cleanup) = device.root.command(&format!("{keep} cleanup"))
    {
        let output = adb.shell(serial, &cleanup, LOOK)?;
        if output.succeeded() {
            left.extend(cleaned(&output.text()));
        } else {
            left.push(format!(
                "what is left at the interfaces cannot be seen: {}",
                plain(&output.last_words())
            ));
        }
    }

    let files = adb.shell(serial, &as_root("ls -1a /data/local/tmp"), LOOK)?;
    left.extend(lying(&files.text(), keep));
    left.truncate(MAX_NAMED);
    Ok(left)
}

/// Agents among the processes that `ps` lists: the second word of `PID ARGS`, or the last of the columns of old releases.
///
/// A shell that was told to start one has its path among its words, too, and is none.
fn running(list: &str) -> impl Iterator<Item = String> {
    list.lines().filter_map(|line| {
        let words = || line.split_whitespace();
        let agent = |word: &&str| word.strip_prefix("/data/local/tmp/").is_some_and(is_agent);
        let name = words().nth(1).filter(agent).or_else(|| words().last().filter(agent))?;
        let pid = words().find(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?;
        Some(format!("{name} still runs on the device, as process {pid}"))
    })
}

/// What `observer cleanup` took away.
fn cleaned(said: &str) -> impl Iterator<Item = String> {
    let lines = said.lines().filter_map(|line| line.trim().strip_prefix("removed "));
    lines.map(|what| format!("the device still had {}: taken away", plain(what)))
}

/// Our files, but for the agent that may stay.
fn lying(list: &str, keep: Option<&RemotePath>) -> impl Iterator<Item = String> {
    let ours = |name: &str| name.trim_start_matches('.').starts_with("observer");
    let names = list.lines().map(str::trim).filter(move |name| ours(name));
    let others = names.filter(move |name| keep.is_none_or(|keep| keep.name() != *name));
    others.map(|name| format!("/data/local/tmp/{} is left on the device", plain(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_named() {
        let list = "PID ARGS\n1 init\n812 /data/local/tmp/observer-0123456789abcdef agent\n\
                    901 sh -c /data/local/tmp/observer-0123456789abcdef agent\n902 /data/local/tmp/other\n";
        let named = "/data/local/tmp/observer-0123456789abcdef still runs on the device, as process 812";
        assert_eq!(running(list).collect::<Vec<_>>(), [named]);
        let old = "USER PID PPID VSIZE RSS WCHAN PC NAME\n\
                   root 812 1 4000 300 ffffffff 00000000 S /data/local/tmp/observer-0123456789abcdef\n";
        assert_eq!(running(old).collect::<Vec<_>>(), [named]);
        assert_eq!(cleaned("nothing to clean up\n").count(), 0);
        assert_eq!(
            cleaned("removed the filter at wlan0\u{1b}[2J\n").collect::<Vec<_>>(),
            ["the device still had the filter at wlan0\\u{1b}[2J: taken away"]
        );
        assert_eq!(
            lying(".\n..\nother\n.observer-spool\n", None).collect::<Vec<_>>(),
            ["/data/local/tmp/.observer-spool is left on the device"]
        );
    }
}
