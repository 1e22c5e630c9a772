//! What the top level holds, and how long its pages are.

use super::{File, Problem};

/// Files and folders of the top level; a trailing `*` stands for any ending.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitattributes",
    ".github",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-*",
    "README.md",
    "captures",
    "clippy.toml",
    "observer",
    "observer-ebpf",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "tests",
    "xtask",
];

/// Pages that stay short, with their greatest number of lines.
const PAGES: &[(&str, usize)] = &[("ARCHITECTURE.md", 199), ("README.md", 300)];

/// Checks the names of the top level and the length of its pages.
pub(super) fn check(paths: &[String], files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for path in paths {
        let top = path.split('/').next().unwrap_or(path);
        if !TOP_LEVEL.iter().any(|name| matches(name, top)) {
            let message = format!("`{top}` does not belong to the top level");
            problems.push(Problem { path: path.clone(), line: 1, message });
        }
    }
    for (page, limit) in PAGES {
        if let Some(file) = files.iter().find(|file| file.path == *page) {
            let lines = file.text.lines().count();
            if lines > *limit {
                problems.push(file.problem(*limit, format!("{lines} lines, {limit} is the ceiling")));
            }
        }
    }
    problems
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn strangers_on_the_top_level_fail() {
        let paths = ["observer/src/lib.rs", "LICENSE-MIT", "notes/x.md", "run.db"].map(str::to_owned);
        let found: Vec<String> = check(&paths, &[]).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "notes/x.md:1: `notes` does not belong to the top level",
                "run.db:1: `run.db` does not belong to the top level"
            ]
        );
    }

    #[test]
    fn a_page_over_its_limit_fails() {
        assert!(check(&[], &[file("ARCHITECTURE.md", &"x\n".repeat(199))]).is_empty());
        assert_eq!(check(&[], &[file("ARCHITECTURE.md", &"x\n".repeat(200))]).len(), 1);
    }
}
