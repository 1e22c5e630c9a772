//! Two network namespaces, and the programs that run in them.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::command::{program, run, shown, succeeds};

/// The interface's name, on both sides.
pub(super) const INTERFACE: &str = "bench0";

/// How long a program may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// Namespaces that go away with it.
pub(super) struct Network {
    apps: String,
    peers: String,
}

impl Network {
    pub(super) fn new() -> anyhow::Result<Self> {
        let name = |side| format!("observer-bench-{}-{side}", std::process::id());
        let network = Self { apps: name("apps"), peers: name("peers") };
        let Self { apps, peers } = &network;
        // Every address of 10.78.0.0/16 is the peers'.
        let lines = [
            format!("netns add {apps}"),
            format!("netns add {peers}"),
            format!("-n {apps} link add {INTERFACE} mtu 9000 type veth peer name {INTERFACE} netns {peers}"),
            format!("-n {peers} link set {INTERFACE} mtu 9000 up"),
            format!("-n {apps} link set {INTERFACE} up"),
            format!("-n {peers} link set lo up"),
            format!("-n {apps} addr add 10.77.0.1/24 dev {INTERFACE}"),
            format!("-n {peers} addr add 10.77.0.2/24 dev {INTERFACE}"),
            format!("-n {apps} route add 10.78.0.0/16 via 10.77.0.2"),
            format!("-n {peers} route add local 10.78.0.0/16 dev lo"),
        ];
        for line in lines {
            let mut ip = Command::new("ip");
            ensure!(succeeds(ip.args(line.split(' '))), "`ip {line}` failed");
        }
        Ok(network)
    }

    /// A program on the side of the apps.
    pub(super) fn apps(&self, name: impl AsRef<OsStr>) -> Command {
        inside(&self.apps, name)
    }

    /// A program on the side of the peers.
    pub(super) fn peers(&self, name: impl AsRef<OsStr>) -> Command {
        inside(&self.peers, name)
    }

    /// The server of the flows.
    pub(super) fn server(&self, flows: impl AsRef<OsStr>) -> anyhow::Result<Server> {
        let mut command = self.peers(flows);
        command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting `{}`", shown(&command)))?;
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let server = Server { child, input };
        ensure!(line.trim() == "ready", "the server of the flows is not ready");
        Ok(server)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.apps, &self.peers] {
            // One that was never made cannot be removed.
            succeeds(&mut program("ip", &["netns", "del", namespace]));
        }
    }
}

fn inside(namespace: &str, name: impl AsRef<OsStr>) -> Command {
    // Not `ip netns exec`: that hides the cgroups.
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(name);
    command
}

/// A program that ends with its input.
pub(super) struct Server {
    child: Child,
    input: Option<ChildStdin>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        // One that has ended needs no waiting.
        let _ = self.child.wait();
    }
}

/// A program that captures until it is interrupted.
pub(super) struct Recorder {
    child: Child,
    said: Option<JoinHandle<String>>,
}

impl Recorder {
    /// Starts it and waits until it has said `word` on standard error.
    pub(super) fn start(command: &mut Command, word: &'static str) -> anyhow::Result<Self> {
        eprintln!("$ {}", shown(command));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting `{}`", shown(command)))?;
        let stderr = BufReader::new(child.stderr.take().context("no output")?);
        let (to_us, ready): (_, Receiver<()>) = channel();
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            for line in stderr.lines().map_while(Result::ok) {
                if line.contains(word) {
                    // Whoever waits no more needs not know.
                    let _ = to_us.send(());
                }
                text.push_str(&line);
                text.push('\n');
            }
            text
        });
        let mut recorder = Self { child, said: Some(said) };
        if ready.recv_timeout(PATIENCE).is_err() {
            // What it says tells why it is not ready.
            let _ = recorder.child.kill();
            bail!("`{}` is not ready: {}", shown(command), recorder.wait()?);
        }
        Ok(recorder)
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as Ctrl-C does; what it has said.
    pub(super) fn end(mut self) -> anyhow::Result<String> {
        run(&mut program("kill", &["-INT", &self.child.id().to_string()]))?;
        self.wait()
    }

    fn wait(&mut self) -> anyhow::Result<String> {
        self.child.wait()?;
        let said = self.said.take().map(JoinHandle::join);
        Ok(said.and_then(Result::ok).unwrap_or_default())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
