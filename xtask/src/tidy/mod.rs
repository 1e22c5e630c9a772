//! `cargo xtask tidy`: the project's own conventions, checked.
//!
//! What rustc, rustfmt and clippy cannot know: the direction between the observer's modules, the shape of a rule, the
//! size of a file, the words of the documentation. Each problem is one line, `path:line: message`. It reads text and
//! tokens, not types: a path that a macro builds escapes it. What is written from the sources is compared with them: tables of
//! code points, and the catalogue, for which the observer is built.

mod edges;
mod layout;
mod paths;
mod rules;
mod text;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::command::{output, program, root};
use crate::{Task, catalogue, print, registries, unknown_word};

/// The task.
pub(crate) const TASK: Task = Task {
    name: "tidy",
    summary: "checks module edges, rule files, file sizes, documentation words and what is generated",
    help: "\
Usage: cargo xtask tidy

Checks the project's own conventions and prints each problem as path:line: message:
  - the observer's modules use only what stands to their left in the pipeline
  - each rule is one file, registered, with the four headings of its help text
  - each Rust file opens with module documentation and has at most 500 lines before its tests
  - no unfinished work, no machine's own paths, no word that a reference has no use for
  - the tables of TLS code points are what IANA's files beside them say
  - the catalogue is what the registries of protocols, rules and requirements say (the observer is built for that)
  - the top level holds only what belongs there; ARCHITECTURE.md and README.md stay short
",
    run: tidy,
};

/// A text file of the repository.
#[derive(Clone)]
struct File {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn problem(&self, line: usize, message: impl Into<String>) -> Problem {
        Problem { path: self.path.clone(), line, message: message.into() }
    }
}

/// One place that breaks a convention.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

fn tidy(words: &[String]) -> anyhow::Result<()> {
    if let Some(word) = words.first() {
        return Err(unknown_word(&TASK, word));
    }
    let paths = repository_paths()?;
    let files = read_texts(root(), &paths)?;
    let mut problems = check(&paths, &files);
    problems.extend(stale_tables()?);
    problems.extend(stale_catalogue()?);
    for problem in &problems {
        print(&format!("{problem}\n"))?;
    }
    match problems.len() {
        0 => {
            eprintln!("tidy: {} files in order", paths.len());
            Ok(())
        }
        count => bail!("{count} problems in {} files", paths.len()),
    }
}

/// The tables of code points that are not what their files say.
fn stale_tables() -> anyhow::Result<Vec<Problem>> {
    let message = "is not what the file beside it says: run `cargo xtask registries`";
    let problem = |path| Problem { path, line: 1, message: message.to_owned() };
    Ok(registries::stale()?.into_iter().map(problem).collect())
}

/// The catalogue, if it is not what the registries say.
fn stale_catalogue() -> anyhow::Result<Option<Problem>> {
    let message = "is not what the registries say: run `cargo xtask catalogue`";
    let problem = |line| Problem { path: catalogue::PAGE.to_owned(), line, message: message.to_owned() };
    Ok(catalogue::stale()?.map(problem))
}

/// All problems, by path and line.
fn check(paths: &[String], files: &[File]) -> Vec<Problem> {
    let mut problems = layout::check(paths, files);
    problems.extend(edges::check(files));
    problems.extend(rules::check(files));
    problems.extend(files.iter().flat_map(text::check));
    problems.sort();
    problems.dedup();
    problems
}

/// The files that are, or are about to be, under version control.
fn repository_paths() -> anyhow::Result<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let Some(names) = output(program("git", &list).current_dir(root())) else {
        bail!("`git {}` failed: tidy checks what is under version control", list.join(" "));
    };
    // A file that was removed but not yet staged is still listed.
    let mut paths: Vec<String> =
        names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    paths.retain(|path| root().join(path).is_file());
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// Reads those of `paths` that hold text.
fn read_texts(root: &Path, paths: &[String]) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in paths {
        let bytes = fs::read(root.join(path)).with_context(|| format!("reading {path}"))?;
        if bytes.contains(&0) {
            continue;
        }
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: path.clone(), text });
        }
    }
    Ok(files)
}

/// A file for tests.
#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_all_checks_come_sorted_by_path_and_line() {
        let paths = ["observer/src/decode/ip.rs".to_owned(), "notes.txt".to_owned()];
        let files = [file(&paths[0], "use crate::store::Store;\n")];
        let problems = check(&paths, &files);
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(shown[0].starts_with("notes.txt:1: "), "{shown:?}");
        assert!(shown[1].starts_with("observer/src/decode/ip.rs:1: "), "{shown:?}");
        assert!(shown.iter().any(|line| line.contains("decode may not use store")), "{shown:?}");
    }

    #[test]
    fn files_that_are_not_text_are_left_out() {
        let folder = root().join("target/xtask-tidy-test");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.pcap"), [0xd4, 0xc3, 0, 0]).unwrap();
        fs::write(folder.join("b.md"), "text\n").unwrap();
        let files = read_texts(&folder, &["a.pcap".to_owned(), "b.md".to_owned()]).unwrap();
        assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["b.md"]);
    }
}
