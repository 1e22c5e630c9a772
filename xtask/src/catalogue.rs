//! `cargo xtask catalogue`: writes the page that lists protocols, rules and requirements.

use crate::command::{cargo, run};
use crate::{Task, unknown_word};

/// The task.
pub(crate) const TASK: Task = Task {
    name: "catalogue",
    summary: "writes observer/docs/catalogue.md from the registries",
    help: "\
Usage: cargo xtask catalogue [--check]

Writes observer/docs/catalogue.md: every protocol, rule and requirement, with what each can and cannot show. The page
is rendered by a test of the package observer-tests, which knows the registries, and which fails where the page is not
what they say; --check runs it so, as does `cargo xtask test`.
",
    run: catalogue,
};

fn catalogue(words: &[String]) -> anyhow::Result<()> {
    let check = match words {
        [] => false,
        [word] if word == "--check" => true,
        [word, ..] => return Err(unknown_word(&TASK, word)),
    };
    let mut test = cargo();
    test.args(["test", "--locked", "--quiet", "--package", "observer-tests", "--test", "integration", "--"]);
    test.arg("catalogue::");
    if !check {
        test.env("WRITE_CATALOGUE", "1");
    }
    run(&mut test)
}
