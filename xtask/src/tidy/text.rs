//! What each text file must and must not say.

use super::{File, Problem};

/// The ceiling of lines before a file's tests.
const MAX_LINES: usize = 500;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] =
    &[("captures/src/index.rs", "written from the manifest: data, a record a capture")];

/// Marks of unfinished work, split so that this file does not contain them.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("HA", "CK"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
];

/// Attributes that hide what a test does not prove.
const TEST_ATTRIBUTES: &[&str] = &[concat!("#[ig", "nore"), concat!("#[should", "_panic")];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("../sha", "red"), concat!("/ro", "ot/")];

/// The word that a reference has no use for: it says what is, or names the condition.
const CONDITIONAL: &str = concat!("wou", "ld");

/// The same, as the part before the apostrophe of its negation.
const CONDITIONAL_NOT: &str = concat!("wou", "ldn");

/// Checks one file.
pub(super) fn check(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    // What other tools generate is theirs.
    if file.path.ends_with("Cargo.lock") {
        return problems;
    }
    if file.is_rust() {
        problems.extend(module_docs(file));
        problems.extend(length(file, LONG_FILES));
    }
    for (number, line) in file.lines() {
        for mark in UNFINISHED {
            if contains_word(line, mark) {
                problems.push(file.problem(number, format!("`{mark}`: unfinished work does not land")));
            }
        }
        for path in MACHINE_PATHS {
            if contains_word(line, path) {
                problems.push(file.problem(number, format!("`{path}` exists on one machine only")));
            }
        }
        if file.is_rust() {
            for attribute in TEST_ATTRIBUTES {
                if line.trim_start().starts_with(attribute) {
                    problems
                        .push(file.problem(number, format!("`{attribute}`: assert what happens instead")));
                }
            }
        }
        let prose = prose(file, line).unwrap_or_default().to_lowercase();
        if contains_word(&prose, CONDITIONAL) || contains_word(&prose, CONDITIONAL_NOT) {
            problems.push(file.problem(number, format!("`{CONDITIONAL}` in documentation: say what is")));
        }
    }
    problems
}

/// Each Rust file opens with what it is for.
fn module_docs(file: &File) -> Option<Problem> {
    let first = file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    let opens = first.is_some_and(|line| line.starts_with("//! "));
    (!opens).then(|| file.problem(1, "a Rust file opens with `//! ` and what it is for"))
}

/// A file of more than [`MAX_LINES`] before its tests holds more than one concept.
fn length(file: &File, exceptions: &[(&str, &str)]) -> Option<Problem> {
    // A module of tests may lie in a file of its own.
    if file.path.ends_with("/tests.rs") {
        return None;
    }
    let before_tests = file.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    let excepted = exceptions.iter().any(|(path, _)| *path == file.path);
    let long = before_tests > MAX_LINES && !excepted;
    long.then(|| {
        file.problem(MAX_LINES, format!("{before_tests} lines before the tests, {MAX_LINES} is the ceiling"))
    })
}

/// The part of a line that is documentation: all of a Markdown file, the doc comments of a Rust file.
fn prose<'a>(file: &File, line: &'a str) -> Option<&'a str> {
    if file.path.ends_with(".md") {
        return Some(line);
    }
    if !file.is_rust() {
        return None;
    }
    let line = line.trim_start();
    line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))
}

/// Whether `word` occurs in `line` with no letter or digit before or after it.
fn contains_word(line: &str, word: &str) -> bool {
    let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let open = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let needs_end = word.ends_with(|c: char| c.is_alphanumeric());
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        if needs_end { edge(before) && edge(after) } else { open(before) && before != Some('.') }
    })
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&file(path, text)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_in_order_passes() {
        assert!(messages("observer/src/time.rs", "//! Time.\n\nfn f() {}\n").is_empty());
        assert!(messages("README.md", "# observer\n").is_empty());
    }

    #[test]
    fn every_mark_of_unfinished_work_fails_on_its_line() {
        for mark in UNFINISHED {
            let found = messages("README.md", &format!("a\nb {mark} c\n"));
            assert_eq!(found.len(), 1, "{mark}: {found:?}");
            assert!(found[0].starts_with("README.md:2: "));
        }
        assert!(messages("a.sql", &format!("x{}X y", UNFINISHED[3])).is_empty(), "part of a word");
    }

    #[test]
    fn machine_paths_fail_wherever_they_stand() {
        for path in MACHINE_PATHS {
            assert_eq!(messages("a.toml", &format!("dir = \"{path}\"")).len(), 1, "{path}");
        }
        assert!(messages("a.md", "https://example.test/frame-work/x").is_empty());
    }

    #[test]
    fn the_conditional_fails_in_documentation_and_only_there() {
        let doc = format!(
            "//! It {CONDITIONAL} be.\n/// {} it\n// it {CONDITIONAL}\nlet x = \"{CONDITIONAL}\";\n",
            "Would"
        );
        let found = messages("observer/src/time.rs", &doc);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(messages("docs/x.md", &format!("it {CONDITIONAL}n't")).len(), 1);
    }

    #[test]
    fn a_rust_file_without_module_docs_fails() {
        assert_eq!(messages("observer/src/time.rs", "use std::fmt;\n").len(), 1);
        assert_eq!(messages("observer/src/time.rs", "").len(), 1);
        assert!(messages("observer/src/time.rs", "#![no_main]\n//! x\n").is_empty());
    }

    #[test]
    fn a_long_file_fails_unless_it_is_excepted_and_tests_do_not_count() {
        let long = format!("//! x\n{}", "fn f() {}\n".repeat(MAX_LINES));
        assert!(messages("observer/src/time.rs", &long)[0].contains("501 lines before the tests"));
        assert_eq!(length(&file("a.rs", &long), &[("a.rs", "a table")]), None);
        assert!(messages("observer/src/source/tests.rs", &long).is_empty());
        let tested = format!("//! x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(MAX_LINES));
        assert!(messages("observer/src/time.rs", &tested).is_empty());
    }

    #[test]
    fn hidden_tests_fail() {
        for attribute in TEST_ATTRIBUTES {
            assert_eq!(messages("tests/a.rs", &format!("//! x\n    {attribute}]\n")).len(), 1);
        }
    }
}
