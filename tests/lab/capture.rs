//! `observer capture` as a user runs it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::network::Network;

/// How long something may take that takes far less.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the last packets and their owners take to arrive.
pub(crate) const SETTLE: Duration = Duration::from_millis(300);

/// The command's file.
pub(crate) const OBSERVER: &str = env!("CARGO_BIN_EXE_observer-under-test");

/// A capture that runs.
pub(crate) struct Capture {
    child: Child,
    records: PathBuf,
    capturing: Receiver<()>,
    said: Option<JoinHandle<String>>,
    heard: Arc<Mutex<String>>,
}

/// A capture that has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
    /// Standard output: JSON Lines.
    pub(crate) records: Vec<Value>,
}

impl Capture {
    /// Runs `observer capture --format jsonl` with `words` on the side of the apps, and waits until it captures.
    pub(crate) fn start(network: &Network, words: &[&str]) -> Self {
        let mut command = network.app(OBSERVER);
        command.args(["capture", "--format", "jsonl", "--fail-on", "never"]).args(words);
        let capture = Self::spawn(network, &mut command);
        if capture.capturing.recv_timeout(PATIENCE).is_err() {
            let Ended { status, stderr, .. } = capture.ended();
            panic!("{words:?} does not capture: {status}: {stderr}");
        }
        capture
    }

    /// Runs a command that captures, perhaps.
    pub(crate) fn spawn(network: &Network, command: &mut Command) -> Self {
        let records = network.folder.path().join(format!("records-{:?}", Instant::now()).replace(' ', ""));
        let file = File::create(&records).expect("a new file");
        for variable in ["SUDO_UID", "SUDO_GID", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(file).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsenter starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (captures, capturing) = channel();
        let heard = Arc::new(Mutex::new(String::new()));
        let hears = Arc::clone(&heard);
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            for line in stderr.lines().map_while(Result::ok) {
                text.push_str(&line);
                text.push('\n');
                hears.lock().expect("nobody panics with it").clone_from(&text);
                if line.contains("capturing on") {
                    // Nobody waits where it is not expected.
                    let _ = captures.send(());
                }
            }
            text
        });
        Self { child, records, capturing, said: Some(said), heard }
    }

    /// What it said of this, before it began to capture.
    pub(crate) fn line(&self, of: &str) -> String {
        let heard = self.heard.lock().expect("nobody panics with it");
        let line = heard.lines().find(|line| line.contains(of));
        line.unwrap_or_else(|| panic!("said nothing of {of:?}: {heard}")).to_owned()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for the last packets, and ends the capture as Ctrl-C does.
    pub(crate) fn interrupt(self) -> Ended {
        std::thread::sleep(SETTLE);
        self.signal(Signal::INT);
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let stderr = self.said.take().expect("joined once").join().expect("reads text");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(begun.elapsed() < PATIENCE, "does not end: {stderr}");
        let text = fs::read_to_string(&self.records).expect("UTF-8");
        let records = text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        Ended { status, stderr, records }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The records of one type.
    pub(crate) fn of_type(&self, name: &str) -> Vec<&Value> {
        self.records.iter().filter(|record| record["type"] == name).collect()
    }

    /// The one record of this type.
    pub(crate) fn one(&self, name: &str) -> &Value {
        let records = self.of_type(name);
        assert_eq!(records.len(), 1, "{name}: {}", self.stderr);
        records[0]
    }
}
