//! Two namespaces with a pair of virtual interfaces between them: apps on one side, their peers on the other.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// The interface's name, on both sides.
pub(crate) const INTERFACE: &str = "lab0";
/// The addresses of the apps' side.
pub(crate) const APPS: [&str; 2] = ["10.77.0.1", "fd77::1"];
/// The addresses of the peers' side.
pub(crate) const PEERS: [&str; 2] = ["10.77.0.2", "fd77::2"];

/// The lab's scripts.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lab").join(name)
}

/// Namespaces that go away with it.
pub(crate) struct Network {
    apps: String,
    peers: String,
    /// For files; readable by every user.
    pub(crate) folder: TempDir,
}

impl Network {
    /// The network, or `None` after a loud line where it cannot be made.
    pub(crate) fn or_skip(test: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0) {
            observer_tests::skip(test, "needs root");
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("observer-{}-{number}-{side}", std::process::id());
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("its owner may");
        let network = Self { apps: name("apps"), peers: name("peers"), folder };
        match network.make() {
            Ok(()) => Some(network),
            Err(reason) => {
                observer_tests::skip(test, &format!("needs network namespaces: {reason}"));
                None
            }
        }
    }

    fn make(&self) -> Result<(), String> {
        ip(&format!("netns add {}\nnetns add {}\n", self.apps, self.peers), None)?;
        ip(
            &format!("link add {INTERFACE} type veth peer name {INTERFACE} netns {}\n", self.peers),
            Some(&self.apps),
        )?;
        for (namespace, [four, six]) in [(&self.apps, APPS), (&self.peers, PEERS)] {
            let words = format!(
                "link set lo up\nlink set {INTERFACE} up\naddr add {four}/24 dev {INTERFACE}\n\
                 addr add {six}/64 dev {INTERFACE} nodad\n"
            );
            ip(&words, Some(namespace))?;
        }
        Ok(())
    }

    /// The namespace of the apps' side, as `ip netns` calls it.
    pub(crate) fn namespace(&self) -> &str {
        &self.apps
    }

    /// A program on the side of the apps, as root.
    pub(crate) fn app(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        inside(&self.apps, program)
    }

    /// A program on the side of the apps, as `uid`.
    pub(crate) fn app_as(&self, uid: u32, program: &str) -> Command {
        let mut command = inside(&self.apps, "setpriv");
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={uid}"));
        command.args(["--clear-groups", program]);
        command
    }

    /// A program on the side of the peers, as root.
    pub(crate) fn peer(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        inside(&self.peers, program)
    }

    /// What a program on the side of the apps writes.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let output = self.app(words[0]).args(&words[1..]).output().expect("nsenter runs");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The peers' servers, which listen from now on.
    pub(crate) fn servers(&self) -> Talker {
        let mut command = self.peer("python3");
        command.arg(script("servers.py")).args(PEERS);
        let mut servers = Talker::start(&mut command);
        servers.until("ready");
        servers
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.apps, &self.peers] {
            // One that was never made cannot be removed.
            let _ = ip(&format!("netns del {namespace}\n"), None);
        }
    }
}

fn inside(namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    // Not `ip netns exec`: that hides the cgroups.
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program).stdin(Stdio::null());
    command
}

/// Gives `ip` several commands at once.
fn ip(commands: &str, namespace: Option<&str>) -> Result<(), String> {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("ip: {error}"))?;
    let written = child.stdin.take().map(|mut input| input.write_all(commands.as_bytes()));
    let output = child.wait_with_output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() && matches!(written, Some(Ok(()))) {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// A program that says lines, and goes on when it is told to.
pub(crate) struct Talker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
}

impl Talker {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, input, output }
    }

    /// The lines before the line `word`.
    pub(crate) fn until(&mut self, word: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).expect("text");
            assert!(!line.is_empty(), "ended before it said {word:?}: {lines:?}");
            if line.trim() == word {
                return lines;
            }
            lines.push(line.trim().to_owned());
        }
    }

    /// The lines up to its end.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        drop(self.input.take());
        self.output.by_ref().lines().map(|line| line.expect("text")).collect()
    }

    /// Gives it the line that it waits for.
    pub(crate) fn go_on(&mut self) {
        self.input.as_mut().expect("not yet at its end").write_all(b"\n").expect("it listens");
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn end(mut self) {
        drop(self.input.take());
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
