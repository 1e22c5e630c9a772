//! Running other programs: echoed, with inherited output, failing when they fail.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Where Cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root().join(dir),
        _ => root().join("target"),
    }
}

/// Cargo, the same one that runs this task.
///
/// What `cargo run` says of this package is taken out of the environment: build scripts that watch such variables run
/// again, and what depends on them is built again, each time that a task and a person take turns.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_about_this_package) {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(root());
    cargo
}

/// Whether Cargo sets this variable to say which package it runs.
fn is_about_this_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

/// Says on standard error what is about to run.
fn echo(command: &Command) {
    eprintln!("$ {}", shown(command));
}

/// The command as a person types it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs `command` and fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let code = exit_code(command)?;
    if code != 0 {
        bail!("`{}` failed with exit code {code}", shown(command));
    }
    Ok(())
}

/// Runs `command` and returns its exit code; fails if it could not start or a signal ended it.
pub(crate) fn exit_code(command: &mut Command) -> anyhow::Result<i32> {
    echo(command);
    let status = command.status().with_context(|| format!("starting `{}`", shown(command)))?;
    status.code().with_context(|| format!("`{}` was ended by a signal", shown(command)))
}

/// Runs `command` in silence and says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs `command` in silence and returns what it wrote, if it succeeded.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    if output.status.success() { String::from_utf8(output.stdout).ok() } else { None }
}

/// Where a program lies on the search path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

/// A command with its arguments, for the common case.
pub(crate) fn program<S: AsRef<OsStr>>(name: S, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_named_with_its_code() {
        let error = run(&mut program("sh", &["-c", "exit 7"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 7` failed with exit code 7");
        assert!(run(&mut program("no-such-program-anywhere", &[])).is_err());
    }

    #[test]
    fn programs_are_found_on_the_path_only() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-anywhere"), None);
    }

    #[test]
    fn cargo_forgets_this_package_and_keeps_its_settings() {
        let cargo = cargo();
        let removed: Vec<_> =
            cargo.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert!(removed.contains(&OsStr::new("CARGO_MANIFEST_DIR")), "{removed:?}");
        assert!(removed.contains(&OsStr::new("CARGO_PKG_NAME")), "{removed:?}");
        assert!(!is_about_this_package("CARGO_TARGET_DIR") && !is_about_this_package("CARGO_HOME"));
    }

    #[test]
    fn output_of_a_failure_is_nothing() {
        assert_eq!(output(&mut program("sh", &["-c", "printf yes"])).as_deref(), Some("yes"));
        assert_eq!(output(&mut program("sh", &["-c", "printf yes; exit 1"])), None);
    }
}
