//! The project's own tasks, run as `cargo xtask TASK`.
//!
//! It builds in seconds and needs no system library, because it is what installs them. It knows the shape of the
//! repository and nothing of the observer's code: it runs binaries as a user does.

mod bench;
mod captures;
mod catalogue;
mod command;
mod demo;
mod dist;
mod ebpf;
mod registries;
mod system;
mod test;
mod tidy;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// One task: a line in the list, a help text, and what it does with the words after its name.
struct Task {
    /// The word after `cargo xtask`.
    name: &'static str,
    /// One line for the list.
    summary: &'static str,
    /// The text of `cargo xtask NAME --help`.
    help: &'static str,
    /// Runs the task in the repository's root.
    run: fn(&[String]) -> anyhow::Result<()>,
}

/// Every task, in the order of the list.
const TASKS: &[&Task] = &[
    &demo::TASK,
    &test::TASK,
    &dist::TASK,
    &captures::TASK,
    &catalogue::TASK,
    &registries::TASK,
    &ebpf::TASK,
    &tidy::TASK,
    &bench::TASK,
];

/// The exit code of a wrong invocation.
const USAGE: u8 = 2;

/// The words on the command line were not understood.
#[derive(Debug)]
struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if error.is::<UsageError>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Finds the task that the first word names and hands it the others.
fn dispatch(words: &[String]) -> anyhow::Result<()> {
    let Some((name, rest)) = words.split_first() else {
        return print(&list());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        return print(&list());
    }
    let Some(task) = find(name) else {
        return Err(UsageError(format!("no task is called `{name}`\n\n{}", list())).into());
    };
    if rest.iter().any(|word| matches!(word.as_str(), "--help" | "-h")) {
        return print(task.help);
    }
    std::env::set_current_dir(command::root())?;
    (task.run)(rest)
}

fn find(name: &str) -> Option<&'static Task> {
    TASKS.iter().copied().find(|task| task.name == name)
}

/// The list of tasks, as shown without arguments.
fn list() -> String {
    let mut text = String::from("Usage: cargo xtask TASK [OPTION]...\n\nTasks:\n");
    for task in TASKS {
        text.push_str(&format!("  {:<12}{}\n", task.name, task.summary));
    }
    text.push_str("\n`cargo xtask TASK --help` says more about one task.\n");
    text
}

/// Writes to standard output; a reader that went away is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The number after option `name`, if `words` begins with it; the words that remain are left in `words`.
fn take_number(words: &mut &[String], name: &str) -> anyhow::Result<Option<u64>> {
    match words {
        [first, rest @ ..] if first == name => {
            let Some((value, rest)) = rest.split_first() else {
                return Err(UsageError(format!("{name} needs a number")).into());
            };
            let number = value.parse().map_err(|error| UsageError(format!("{name} {value}: {error}")))?;
            *words = rest;
            Ok(Some(number))
        }
        _ => Ok(None),
    }
}

/// The error for a word that no option of `task` matches.
fn unknown_word(task: &Task, word: &str) -> anyhow::Error {
    UsageError(format!("{}: `{word}` is not understood\n\n{}", task.name, task.help)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn an_unknown_task_is_a_usage_error_that_lists_the_tasks() {
        let error = dispatch(&words("frobnicate")).unwrap_err();
        assert!(error.is::<UsageError>());
        for task in TASKS {
            assert!(error.to_string().contains(task.summary), "{} is not listed", task.name);
        }
    }

    #[test]
    fn an_unknown_option_is_a_usage_error_before_anything_runs() {
        for task in TASKS {
            let error = (task.run)(&words("--frobnicate")).unwrap_err();
            assert!(error.is::<UsageError>(), "{}: {error:#}", task.name);
        }
    }

    #[test]
    fn a_number_is_taken_with_its_option_and_nothing_else() {
        let all = words("--runs 3 --keep");
        let mut rest = all.as_slice();
        assert_eq!(take_number(&mut rest, "--megabytes").unwrap(), None);
        assert_eq!(take_number(&mut rest, "--runs").unwrap(), Some(3));
        assert_eq!(rest, ["--keep"]);
        assert!(take_number(&mut words("--runs many").as_slice(), "--runs").is_err());
        assert!(take_number(&mut words("--runs").as_slice(), "--runs").is_err());
    }

    #[test]
    fn task_names_are_unique_and_each_help_shows_its_usage() {
        for (i, task) in TASKS.iter().enumerate() {
            assert!(TASKS[..i].iter().all(|earlier| earlier.name != task.name));
            assert!(task.help.contains(&format!("cargo xtask {}", task.name)));
        }
    }
}
