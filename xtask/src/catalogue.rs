//! `cargo xtask catalogue`: writes the page that lists protocols, rules and requirements.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, ensure};

use crate::command::{cargo, root, shown};
use crate::{Task, system, unknown_word};

/// The task.
pub(crate) const TASK: Task = Task {
    name: "catalogue",
    summary: "writes observer/docs/catalogue.md from the registries",
    help: "\
Usage: cargo xtask catalogue [--check]

Writes observer/docs/catalogue.md: every protocol, rule and requirement, with what each can and cannot show. The page
comes from a program of the package observer-tests, which knows the registries and is built first. --check compares
instead, and fails where the page is not what they say; `cargo xtask tidy` does so, too.
",
    run: catalogue,
};

/// The page.
pub(crate) const PAGE: &str = "observer/docs/catalogue.md";

fn catalogue(words: &[String]) -> anyhow::Result<()> {
    let check = match words {
        [] => false,
        [word] if word == "--check" => true,
        [word, ..] => return Err(unknown_word(&TASK, word)),
    };
    if check {
        if let Some(line) = stale()? {
            anyhow::bail!("{PAGE}:{line}: is not what the registries say: run `cargo xtask catalogue`");
        }
        return Ok(());
    }
    let path = root().join(PAGE);
    fs::write(&path, page()?).with_context(|| format!("writing {}", path.display()))
}

/// The first line, from 1, on which the page is not what the registries say.
pub(crate) fn stale() -> anyhow::Result<Option<usize>> {
    Ok(first_difference(&page()?, &fs::read_to_string(root().join(PAGE)).unwrap_or_default()))
}

/// The page as the registries have it.
fn page() -> anyhow::Result<String> {
    system::install(&[&system::C_COMPILER, &system::LIBPCAP])?;
    let mut program = cargo();
    program.args(["run", "--locked", "--quiet", "--package", "observer-tests", "--bin", "catalogue"]);
    program.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = program.output().with_context(|| format!("starting `{}`", shown(&program)))?;
    ensure!(output.status.success(), "`{}` failed", shown(&program));
    String::from_utf8(output.stdout).context("the page is not UTF-8")
}

/// The first line, from 1, on which two texts differ.
fn first_difference(expected: &str, found: &str) -> Option<usize> {
    let lines = || expected.split('\n').zip(found.split('\n'));
    let same = lines().take_while(|(expected, found)| expected == found).count();
    (expected != found).then_some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_by_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\nb\n", ""), Some(1));
        // One that ends early, or has more, differs where the other goes on.
        assert_eq!(first_difference("a\nb\n", "a\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(first_difference("a\n", "a"), Some(2));
    }
}
