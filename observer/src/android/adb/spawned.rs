//! [`Adb`] by Android's own client, one process a call.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::complaint::complaint;
use super::list::parse;
use super::mark::{marked, take_mark};
use super::run::{Finished, run, start};
use super::{Adb, AdbError, Listed, Output, RootAnswer, Stream};

/// What the server itself answers; its start takes some seconds.
const ASK: Duration = Duration::from_secs(30);
/// adbd starts anew, and adb waits for it to go.
const ROOT: Duration = Duration::from_secs(45);
/// A file of some 20 MB, over Wi-Fi.
const COPY: Duration = Duration::from_secs(600);

/// Android's client, found by [`super::find_adb`].
///
/// Which server it speaks to is for `ADB_SERVER_SOCKET` and `ANDROID_ADB_SERVER_PORT` to say, as with adb itself.
#[derive(Debug)]
pub struct SpawnedAdb {
    program: PathBuf,
    /// Set for each run, beside what this process has.
    environment: Vec<(OsString, OsString)>,
    /// By serial, whether it has shell v2.
    shell_v2: Mutex<BTreeMap<String, bool>>,
}

impl SpawnedAdb {
    /// Runs `program`.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, environment: Vec::new(), shell_v2: Mutex::default() }
    }

    /// The same with a variable of the environment set.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn command(&self, serial: Option<&str>) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(serial) = serial {
            command.args(["-s", serial]);
            // What the user set for adb does not choose another one.
            command.env_remove("ANDROID_SERIAL");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs adb for what it does itself: where it fails, its words are the reason.
    fn ask(
        &self,
        serial: Option<&str>,
        words: &[&str],
        doing: &str,
        limit: Duration,
        look: &mut dyn FnMut(&Child),
    ) -> Result<String, AdbError> {
        let finished = run(self.command(serial).args(words), doing, limit, look)?;
        if finished.status.success() {
            return Ok(String::from_utf8_lossy(&finished.stdout).into_owned());
        }
        Err(self.reason(serial.unwrap_or_default(), doing, &finished))
    }

    /// Why adb itself failed.
    fn reason(&self, serial: &str, doing: &str, finished: &Finished) -> AdbError {
        let [stdout, stderr] =
            [&finished.stdout, &finished.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        // Some releases complain on standard output.
        let known = complaint(serial, doing, &stderr).or_else(|| complaint(serial, doing, &stdout));
        let error = known.unwrap_or_else(|| {
            let last = stderr.lines().chain(stdout.lines()).map(str::trim).rfind(|line| !line.is_empty());
            let detail = last.map_or_else(|| finished.status.to_string(), str::to_owned);
            AdbError::Failed { doing: doing.to_owned(), detail }
        });
        self.with_state(serial, error)
    }

    /// An error with what the list of devices adds to it.
    fn with_state(&self, serial: &str, error: AdbError) -> AdbError {
        let devices = match error {
            AdbError::NotAttached { .. } | AdbError::Several { .. } => self.devices().unwrap_or_default(),
            _ => return error,
        };
        let serials = devices.into_iter().map(|device| device.serial).collect();
        match error {
            AdbError::Several { .. } => AdbError::Several { serials },
            _ => AdbError::NotAttached { serial: serial.to_owned(), present: serials },
        }
    }

    fn shell_v2(
        &self,
        serial: &str,
        command: &str,
        doing: &str,
        limit: Duration,
    ) -> Result<Output, AdbError> {
        let mut adb = self.command(Some(serial));
        let mut finished =
            run(adb.args(["shell", "-T", "-n", &marked(command, ">&2")]), doing, limit, &mut |_| {})?;
        let Some(code) = take_mark(&mut finished.stderr) else {
            return Err(self.lost(serial, doing, &finished));
        };
        Ok(Output { code, stdout: finished.stdout, stderr: finished.stderr })
    }

    /// Devices before Android 7 have one output for all.
    fn shell_v1(
        &self,
        serial: &str,
        command: &str,
        doing: &str,
        limit: Duration,
    ) -> Result<Output, AdbError> {
        let mut adb = self.command(Some(serial));
        let wrapped = marked(&format!("exec 2>&1 </dev/null\n{command}"), "");
        let mut finished = run(adb.args(["exec-out", &wrapped]), doing, limit, &mut |_| {})?;
        let Some(code) = take_mark(&mut finished.stdout) else {
            return Err(self.lost(serial, doing, &finished));
        };
        Ok(Output { code, stdout: finished.stdout, stderr: Vec::new() })
    }

    /// Why a command did not come to its end.
    fn lost(&self, serial: &str, doing: &str, finished: &Finished) -> AdbError {
        let said = complaint(serial, doing, &String::from_utf8_lossy(&finished.stderr));
        let known = said.filter(|error| !matches!(error, AdbError::Failed { .. }));
        if let Some(error) = known {
            return self.with_state(serial, error);
        }
        let gone = AdbError::Gone { serial: serial.to_owned(), doing: doing.to_owned() };
        match self.devices() {
            // It may be back already: its command is gone all the same.
            Ok(_) if finished.stderr.is_empty() => gone,
            Ok(devices)
                if !devices.iter().any(|device| device.serial == serial && device.ready().is_ok()) =>
            {
                gone
            }
            Ok(_) => self.reason(serial, doing, finished),
            Err(error) => error,
        }
    }
}

/// What is being done, for errors: the beginning of the command.
fn running(command: &str) -> String {
    const SHOWN: usize = 48;
    let line = command.lines().next().unwrap_or_default();
    let shown: String = line.chars().take(SHOWN).collect();
    let more = if shown.len() < command.len() { " …" } else { "" };
    format!("running `{shown}{more}`")
}

impl Adb for SpawnedAdb {
    fn devices(&self) -> Result<Vec<Listed>, AdbError> {
        let text = self.ask(None, &["devices", "-l"], "listing devices", ASK, &mut |_| {})?;
        Ok(parse(&text))
    }

    fn has_shell_v2(&self, serial: &str) -> Result<bool, AdbError> {
        let mut known = self.shell_v2.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(serial) {
            return Ok(*known);
        }
        let text = self.ask(Some(serial), &["features"], "asking for its features", ASK, &mut |_| {})?;
        let has = text.lines().any(|line| line.trim() == "shell_v2");
        known.insert(serial.to_owned(), has);
        Ok(has)
    }

    fn shell(&self, serial: &str, command: &str, limit: Duration) -> Result<Output, AdbError> {
        let doing = running(command);
        if self.has_shell_v2(serial)? {
            self.shell_v2(serial, command, &doing, limit)
        } else {
            self.shell_v1(serial, command, &doing, limit)
        }
    }

    fn stream(&self, serial: &str, command: &str) -> Result<Stream, AdbError> {
        if !self.has_shell_v2(serial)? {
            return Err(AdbError::NoShellV2 { serial: serial.to_owned() });
        }
        let mut adb = self.command(Some(serial));
        // Not exec-out, which passes no input on, nor exec-in, which passes no output back.
        adb.args(["shell", "-T", &marked(command, ">&2")]).stdin(Stdio::piped());
        Ok(Stream::new(start(&mut adb)?, serial, &running(command)))
    }

    fn push(
        &self,
        serial: &str,
        from: &Path,
        to: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), AdbError> {
        let file = |source| AdbError::File { path: from.display().to_string(), source };
        let from = fs::canonicalize(from).map_err(file)?;
        let total = from.metadata().map_err(file)?.len();
        let doing = format!("copying {} to it", from.display());
        let path = from.to_string_lossy().into_owned();
        let mut look = |child: &Child| {
            if let Some(position) = read_position(child.id(), &from) {
                progress(position.min(total), total);
            }
        };
        self.ask(Some(serial), &["push", &path, to], &doing, COPY, &mut look)?;
        progress(total, total);
        Ok(())
    }

    fn root(&self, serial: &str) -> Result<RootAnswer, AdbError> {
        let doing = "asking for root";
        let finished = run(self.command(Some(serial)).arg("root"), doing, ROOT, &mut |_| {})?;
        let words = String::from_utf8_lossy(&finished.stdout);
        let words = words.trim();
        if words.contains("already running as root") {
            return Ok(RootAnswer::Already);
        }
        // adb waits for it to come back, too, but gives up after 6 s; over TCP it tries again after 10 s only.
        if !words.contains("restarting") {
            if !finished.status.success() {
                return Err(self.reason(serial, doing, &finished));
            }
            return Ok(RootAnswer::Refused(words.lines().last().unwrap_or_default().trim().to_owned()));
        }
        self.wait(serial, ROOT)?;
        Ok(RootAnswer::Restarted)
    }

    fn wait(&self, serial: &str, limit: Duration) -> Result<(), AdbError> {
        self.ask(Some(serial), &["wait-for-device"], "waiting for it", limit, &mut |_| {}).map(drop)
    }
}

/// How far the process `pid` has read the file `path`: the kernel knows, and adb says it to terminals alone.
fn read_position(pid: u32, path: &Path) -> Option<u64> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let mut entries = fs::read_dir(&folder).ok()?.filter_map(Result::ok);
    let entry = entries.find(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))?;
    let info =
        fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("pos:"))?.trim().parse().ok()
}
