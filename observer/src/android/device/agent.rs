//! The agent on the device: this program itself, in a static build for the device's processor.
//!
//! It lies in `/data/local/tmp` under the beginning of its SHA-256, so that one that is there is not copied again, and one
//! of another version is not taken for it.

mod elf;

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::Device;
use crate::android::adb::{Adb, AdbError, quote};

/// Where adb's shell may write and run files.
const FOLDER: &str = "/data/local/tmp";
/// What the agents' names begin with there; digits of their hash follow.
const PREFIX: &str = "observer-";
/// Digits of the hash in a name.
const DIGITS: usize = 16;
/// While it is being copied.
const PART: &str = ".part";
/// How long the device may take to hash some 20 MB.
const HASH: Duration = Duration::from_secs(60);
/// Names that are read of the folder.
const MAX_NAMES: usize = 4096;

/// The agents that were embedded when this program was built, by architecture.
const EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/agents.rs"));

/// Why there is no agent for a device, or it cannot be put there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The device's processor is none that agents are built for.
    #[error(
        "there is no agent for its processor ({abis}): take a 64-bit device or image, or capture on the host (--capture host)"
    )]
    Processor {
        /// Its interfaces.
        abis: String,
    },
    /// No file of this version for it.
    #[error("no agent for {architecture} at hand ({}): build it with `cargo xtask dist {architecture}`, then name it with --agent or its folder with OBSERVER_AGENTS", looked.join(", "))]
    Missing {
        /// The processor.
        architecture: &'static str,
        /// Where it was looked for.
        looked: Vec<String>,
    },
    /// A file that is no agent for the device.
    #[error("{path} is no agent for the device: {reason}; build one with `cargo xtask dist {architecture}`")]
    Unfit {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
        /// The device's processor.
        architecture: &'static str,
    },
    /// A file that cannot be read.
    #[error("cannot read the agent {path}")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The device does not take it.
    #[error("the agent cannot be put on the device: {detail}; free its storage, or look at /data/local/tmp")]
    Refused {
        /// In the device's words.
        detail: String,
    },
    /// What adb says.
    #[error(transparent)]
    Adb(#[from] AdbError),
}

/// An agent at hand.
#[derive(Clone, Debug)]
pub struct Agent {
    contents: Contents,
    sha256: String,
    bytes: u64,
    /// The loader that it needs, which the device may lack.
    loader: Option<String>,
}

#[derive(Clone, Debug)]
enum Contents {
    File(PathBuf),
    Embedded(&'static [u8]),
}

/// A file of ours on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePath(String);

impl RemotePath {
    /// The path, absolute; no character of it needs quotes in a shell.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last part.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Agent {
    /// The agent in a file.
    ///
    /// # Errors
    /// When the file cannot be read, or is no static program for `architecture`.
    pub fn open(path: &Path, architecture: &'static str) -> Result<Self, AgentError> {
        Self::read(path, architecture, elf::Needs::run_anywhere)
    }

    fn read(
        path: &Path,
        architecture: &'static str,
        fits: impl FnOnce(&elf::Needs) -> Result<(), String>,
    ) -> Result<Self, AgentError> {
        let name = || path.display().to_string();
        let failed = |source| AgentError::Read { path: name(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut head = Vec::new();
        (&file).take(elf::HEAD).read_to_end(&mut head).map_err(failed)?;
        let needs = elf::Needs::read(&head, architecture).and_then(|needs| fits(&needs).map(|()| needs));
        let needs = needs.map_err(|reason| AgentError::Unfit { path: name(), reason, architecture })?;
        let mut hash = Sha256::new();
        hash.update(&head);
        let rest = io::copy(&mut file, &mut HashWriter(&mut hash)).map_err(failed)?;
        let bytes = u64::try_from(head.len()).unwrap_or(u64::MAX).saturating_add(rest);
        let contents = Contents::File(fs::canonicalize(path).map_err(failed)?);
        Ok(Self { contents, sha256: HEXLOWER.encode(&hash.finalize()), bytes, loader: needs.loader })
    }

    fn embedded(bytes: &'static [u8]) -> Self {
        Self {
            contents: Contents::Embedded(bytes),
            sha256: HEXLOWER.encode(&Sha256::digest(bytes)),
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            loader: None,
        }
    }

    /// Its SHA-256, in lower-case hex.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Where it comes from, for a person.
    #[must_use]
    pub fn origin(&self) -> String {
        match &self.contents {
            Contents::File(path) => path.display().to_string(),
            Contents::Embedded(_) => "this program".to_owned(),
        }
    }

    /// Where it lies on a device.
    #[must_use]
    pub fn remote_path(&self) -> RemotePath {
        RemotePath(format!("{FOLDER}/{PREFIX}{}", self.sha256.get(..DIGITS).unwrap_or_default()))
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The agent for a device: the file `named` (`--agent`); or one of this version in `OBSERVER_AGENTS`, embedded, in the folder
/// of this program, in `agents` or `../dist` beside it; or, on the same processor, this program, if it is static.
///
/// # Errors
/// When there is none that runs there. What is named must fit.
pub fn agent_for(device: &Device, named: Option<&Path>) -> Result<Agent, AgentError> {
    let abis = || device.facts.abis.join(", ");
    let architecture = device.facts.architecture().ok_or_else(|| AgentError::Processor { abis: abis() })?;
    if let Some(named) = named {
        // Whoever names it answers for it: what the device has not is said when it is put there.
        let page = device.facts.page_size.map_or(4096, u64::from);
        return Agent::read(named, architecture, |needs| needs.load_on(page));
    }
    let folder = env::var_os("OBSERVER_AGENTS").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let program = env::current_exe().and_then(fs::canonicalize).ok();
    find(architecture, folder.as_deref(), program.as_deref())
}

fn find(
    architecture: &'static str,
    folder: Option<&Path>,
    program: Option<&Path>,
) -> Result<Agent, AgentError> {
    let name = format!("observer-{}-{architecture}-linux", env!("CARGO_PKG_VERSION"));
    let mut looked = Vec::new();
    let mut at = |folder: PathBuf| {
        let path = folder.join(&name);
        let there = path.is_file();
        looked.push(folder.display().to_string());
        there.then_some(path)
    };
    if let Some(path) = folder.and_then(|folder| at(folder.to_owned())) {
        return Agent::open(&path, architecture);
    }
    if let Some((_, bytes)) = EMBEDDED.iter().find(|(embedded, _)| *embedded == architecture) {
        return Ok(Agent::embedded(bytes));
    }
    if let Some(beside) = program.and_then(Path::parent) {
        let above = beside.parent().unwrap_or(beside);
        for folder in [beside.to_owned(), beside.join("agents"), above.join("dist")] {
            if let Some(path) = at(folder) {
                return Agent::open(&path, architecture);
            }
        }
    }
    let missing = || AgentError::Missing { architecture, looked };
    match program {
        Some(program) if architecture == env::consts::ARCH => match Agent::open(program, architecture) {
            Err(AgentError::Unfit { .. }) => Err(missing()),
            opened => opened,
        },
        _ => Err(missing()),
    }
}

/// An agent on a device, ready to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where it lies.
    pub path: RemotePath,
    /// Whether it was copied now: it was not there before.
    pub copied: bool,
}

/// Sees to it that `agent` lies on the device, executable, and no other one of ours. `progress` hears how many bytes of how
/// many have been copied.
///
/// # Errors
/// Those of adb, and when the device does not take it.
pub fn ensure_agent(
    adb: &dyn Adb,
    device: &Device,
    agent: &Agent,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Placed, AgentError> {
    let serial = device.serial.as_str();
    let path = agent.remote_path();
    if let Some(loader) = &agent.loader
        && !adb.shell(serial, &format!("[ -e {} ]", quote(loader)), HASH)?.succeeded()
    {
        return Err(AgentError::Unfit {
            path: agent.origin(),
            reason: format!("it needs {loader}, which the device has not"),
            architecture: device.facts.architecture().unwrap_or("aarch64"),
        });
    }
    remove_others(adb, serial, &path)?;
    if is_there(adb, serial, path.as_str(), agent)? {
        run(adb, serial, &format!("chmod 755 {path}"))?;
        return Ok(Placed { path, copied: false });
    }
    let part = format!("{path}{PART}");
    match &agent.contents {
        Contents::File(file) => adb.push(serial, file, &part, progress)?,
        Contents::Embedded(bytes) => {
            let failed = |source| AgentError::Read { path: "this program".to_owned(), source };
            let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
            file.write_all(bytes).and_then(|()| file.flush()).map_err(failed)?;
            adb.push(serial, file.path(), &part, progress)?;
        }
    }
    if !is_there(adb, serial, &part, agent)? {
        run(adb, serial, &format!("rm -f {part}"))?;
        return Err(AgentError::Refused { detail: "what arrived is not what was sent".to_owned() });
    }
    run(adb, serial, &format!("chmod 755 {part} && mv -f {part} {path}"))?;
    Ok(Placed { path, copied: true })
}

/// Whether `path` is the agent: by its hash, or by its size on a device that cannot hash.
fn is_there(adb: &dyn Adb, serial: &str, path: &str, agent: &Agent) -> Result<bool, AgentError> {
    let question = format!(
        "[ -f {path} ] || exit 3\nsha256sum {path} 2>/dev/null && exit 0\necho size $(wc -c <{path})\nexit 0"
    );
    let output = adb.shell(serial, &question, HASH)?;
    if !output.succeeded() {
        return Ok(false);
    }
    let text = output.text();
    let mut words = text.split_whitespace();
    Ok(match words.next() {
        Some("size") => words.next().and_then(|size| size.parse().ok()) == Some(agent.bytes),
        hash => hash == Some(agent.sha256()),
    })
}

/// Takes away agents of other versions, and what is left of copies that broke off.
fn remove_others(adb: &dyn Adb, serial: &str, keep: &RemotePath) -> Result<(), AgentError> {
    let output = adb.shell(serial, &format!("ls -1 {FOLDER}"), HASH)?;
    let text = output.text();
    let others: Vec<_> = (text.lines().map(str::trim).take(MAX_NAMES))
        .filter(|name| is_agent(name) && *name != keep.name())
        .map(|name| format!("{FOLDER}/{name}"))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    run(adb, serial, &format!("rm -f {}", others.join(" ")))
}

/// Whether a file of that name is an agent of ours. Such a name needs no quotes.
pub(super) fn is_agent(name: &str) -> bool {
    let name = name.strip_suffix(PART).unwrap_or(name);
    name.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn run(adb: &dyn Adb, serial: &str, command: &str) -> Result<(), AgentError> {
    let output = adb.shell(serial, command, HASH)?;
    if output.succeeded() { Ok(()) } else { Err(AgentError::Refused { detail: output.last_words() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_taken_away() {
        assert!(is_agent("observer-0123456789abcdef"));
        assert!(is_agent("observer-0123456789abcdef.part"));
        for other in [
            "observer",
            "observer-0123456789ABCDEF",
            "observer-0123456789abcdef0",
            "observer-0123;rm -rf /xx",
            "",
        ] {
            assert!(!is_agent(other), "{other}");
        }
    }

    #[test]
    fn what_is_missing_says_where_it_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bin/observer");
        let error = find("aarch64", Some(folder.path()), Some(&program)).unwrap_err();
        let said = error.to_string();
        for place in
            [folder.path().to_path_buf(), folder.path().join("bin/agents"), folder.path().join("dist")]
        {
            assert!(said.contains(&place.display().to_string()), "{said}");
        }
        assert!(said.contains("cargo xtask dist aarch64"), "{said}");
    }

    #[test]
    fn a_file_that_does_not_run_there_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("observer-{}-aarch64-linux", env!("CARGO_PKG_VERSION"));
        fs::write(folder.path().join(&name), "#!/bin/sh\n").unwrap();
        let error = find("aarch64", Some(folder.path()), None).unwrap_err();
        assert!(matches!(error, AgentError::Unfit { .. }), "{error}");
        // The tests themselves need libraries: nobody pushes them to a device.
        let tests = env::current_exe().unwrap();
        let error = Agent::open(&tests, env::consts::ARCH).unwrap_err();
        assert!(error.to_string().contains("libraries"), "{error}");
    }
}
