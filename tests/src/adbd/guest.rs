//! The device's inside: namespaces, Android-like surroundings, and programs that run there.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::profile::{Profile, Su};
use super::workspace;

/// Android's uid of the shell.
pub(super) const SHELL: u32 = 2000;
/// Groups that adbd gives to the shell: input, log, adb, sdcard_rw, net_bt_admin, net_bt, inet, net_bw_stats.
const SHELL_GROUPS: &str = "1004,1007,1011,1015,3001,3002,3003,3006";
/// Where Android's programs are, before those of the host that stand in for toybox.
const PATH: &str = "/system/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The device's inside.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) profile: Profile,
    network: Option<String>,
    folder: TempDir,
    running: Mutex<Option<Running>>,
}

/// The namespaces, which end with their first process.
#[derive(Debug)]
struct Running {
    /// `unshare`: when it is killed, the kernel kills the first process, and with it all others. That one ends by itself, too,
    /// when its input does: with this process.
    holder: Child,
    /// The first process, as this machine counts.
    init: u32,
}

impl Guest {
    /// Makes the files and starts the namespaces.
    pub(super) fn boot(profile: Profile, network: Option<&str>) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let network = network.map(str::to_owned);
        let guest = Self { profile, network, folder, running: Mutex::new(None) };
        guest.furnish()?;
        guest.start()?;
        Ok(guest)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Writes what a device has from the factory.
    fn furnish(&self) -> io::Result<()> {
        let root = self.root();
        for (folder, mode, owner) in [
            ("data", 0o771, 1000),
            ("data/local", 0o751, 0),
            ("data/local/tmp", 0o771, SHELL),
            ("data/misc/logd", 0o755, 0),
            ("data/system", 0o775, 1000),
            ("data/user/0", 0o771, 1000),
            ("system/bin", 0o755, 0),
            ("system/etc", 0o755, 0),
        ] {
            let path = root.join(folder);
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            chown(&path, Some(owner), Some(owner))?;
        }
        let (mode, declined) = (&self.profile.selinux, "echo 'Permission denied' >&2; exit 13");
        let as_root = "exec /debug_ramdisk/setpriv --reuid=0 --regid=0 --clear-groups";
        let su = match self.profile.su {
            Su::Missing => None,
            Su::Aosp => Some(format!(
                "case \"${{1-0}}\" in 0|root) [ $# = 0 ] || shift;; *) echo \"su: invalid uid/gid '$1'\" >&2; exit 1;; esac\n\
                 [ $# -gt 0 ] || set -- sh\n{as_root} \"$@\""
            )),
            Su::Magisk => Some(format!(
                "case \"$1\" in 0|root) shift;; esac\n[ \"$1\" = -c ] || {{ echo 'su: no command' >&2; exit 1; }}\n\
                 shift\n{as_root} sh -c \"$*\""
            )),
            Su::Declined => Some(declined.to_owned()),
        };
        let getprop = "[ $# -gt 0 ] || exec sed 's/^\\([^=]*\\)=\\(.*\\)$/[\\1]: [\\2]/' /system/build.prop\n\
                       while IFS='=' read -r name value; do [ \"$name\" != \"$1\" ] || { echo \"$value\"; exit; }; done \
                       </system/build.prop\necho \"$2\"";
        let id = "[ $# = 0 ] || exec /usr/bin/id \"$@\"\nuid=$(/usr/bin/id -u)\ncase $uid in 0) name=root type=su;; \
                  2000) name=shell type=shell;; *) name=u0_a$((uid % 100000 - 10000)) type=untrusted_app;; esac\n\
                  echo \"uid=$uid($name) gid=$uid($name) groups=$uid($name) context=u:r:$type:s0\"";
        for (name, text) in [
            ("getprop", Some(getprop.to_owned())),
            ("id", Some(id.to_owned())),
            ("getenforce", Some(format!("echo {mode}"))),
            ("su", su),
        ] {
            if let Some(text) = text {
                program(&root.join("system/bin").join(name), &format!("#!/bin/sh\n{text}\n"))?;
            }
        }
        for name in ["am", "dumpsys", "init", "log", "logcat", "pm", "settings"] {
            program(&root.join("system/bin").join(name), include_str!("android.py"))?;
        }
        fs::write(root.join("system/build.prop"), self.profile.properties())?;
        fs::write(root.join("system/etc/stand-in.json"), self.profile.settings().to_string())?;
        let list = root.join("data/system/packages.list");
        fs::write(&list, self.profile.packages_list())?;
        fs::set_permissions(&list, fs::Permissions::from_mode(0o640))?;
        chown(&list, Some(1000), Some(1032))?;
        let log = root.join("data/misc/logd/main");
        fs::write(&log, "")?;
        fs::set_permissions(&log, fs::Permissions::from_mode(0o640))?;
        chown(&log, Some(0), Some(1007))
    }

    /// Starts the namespaces, and waits until the device answers.
    pub(super) fn start(&self) -> io::Result<()> {
        let boot = self.folder.path().join("boot.sh");
        fs::write(&boot, include_str!("boot.sh"))?;
        let mut command = match &self.network {
            Some(name) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{name}")).args(["--", "unshare"]);
                command
            }
            None => {
                let mut command = Command::new("unshare");
                command.arg("--net");
                command
            }
        };
        command.args(["--mount", "--pid", "--uts", "--fork", "--kill-child", "--", "sh"]);
        command.arg(&boot).arg(self.root()).arg(workspace());
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = holder.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let pid = holder.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let init = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        if let (Some(init), "ready") = (init, line.trim()) {
            *self.running() = Some(Running { holder, init });
            return Ok(());
        }
        // One that has ended cannot be killed.
        let _ = holder.kill();
        let status = holder.wait()?;
        Err(io::Error::other(format!("the device's namespaces do not start ({status})")))
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn init(&self) -> io::Result<u32> {
        self.running()
            .as_ref()
            .map(|running| running.init)
            .ok_or_else(|| io::Error::other("the device is off"))
    }

    /// Ends everything that runs in it.
    pub(super) fn kill(&self) {
        if let Some(mut running) = self.running().take() {
            // One that has ended cannot be killed.
            let _ = running.holder.kill();
            let _ = running.holder.wait();
            // The kernel ends the rest; the first process is the last to go.
            while fs::read_link(format!("/proc/{}/ns/pid", running.init)).is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }

    /// A program in the device under `uid`: without capabilities unless that is root.
    pub(super) fn command(&self, uid: u32, words: &[&str]) -> io::Result<Command> {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.init()?.to_string());
        command.args(["--mount", "--net", "--pid", "--uts", "--root", "--wdns=/", "--"]);
        if uid == SHELL {
            command.args(["setpriv", "--reuid=2000", "--regid=2000", "--groups", SHELL_GROUPS, "--"]);
        } else if uid != 0 {
            let [user, group] = ["reuid", "regid"].map(|name| format!("--{name}={uid}"));
            command.args(["setpriv", &user, &group, "--groups=3003", "--"]);
        }
        command.args(words).env_clear();
        for (name, value) in
            [("PATH", PATH), ("HOME", "/"), ("ANDROID_ROOT", "/system"), ("ANDROID_DATA", "/data")]
        {
            command.env(name, value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    pub(super) fn log(&self, level: char, tag: &str, message: &str) -> io::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "a device's log has a clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut log = OpenOptions::new().append(true).open(self.root().join("data/misc/logd/main"))?;
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        log.write_all(format!("{seconds}.{micros:06} 1000 1000 {level} {tag}: {message}\n").as_bytes())
    }

    pub(super) fn processes(&self) -> Vec<String> {
        let Ok(init) = self.init() else { return Vec::new() };
        let namespace = fs::read_link(format!("/proc/{init}/ns/pid")).ok();
        let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let inside = entries.filter(|entry| fs::read_link(entry.path().join("ns/pid")).ok() == namespace);
        let lines = inside.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned()).collect()
    }
}

fn program(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
