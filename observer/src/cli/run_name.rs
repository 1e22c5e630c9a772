//! A run in a database, as the command line names it: `runs.db`, or `runs.db:3`.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A database, and the number of a run where one is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunName {
    pub(super) path: PathBuf,
    pub(super) run: Option<i64>,
}

impl RunName {
    /// The name that `word` is; a file that has it whole goes before a number at its end.
    fn parse(word: &str, exists: impl Fn(&Path) -> bool) -> Self {
        let whole = Self { path: PathBuf::from(word), run: None };
        let Some((path, number)) = word.rsplit_once(':') else { return whole };
        match number.parse() {
            Ok(run) if !path.is_empty() && !exists(&whole.path) => {
                Self { path: PathBuf::from(path), run: Some(run) }
            }
            _ => whole,
        }
    }

    /// Whether it is of the database at `path`, under whatever name.
    pub(super) fn is_in(&self, path: &Path) -> bool {
        match (self.path.canonicalize(), path.canonicalize()) {
            (Ok(one), Ok(other)) => one == other,
            _ => self.path == path,
        }
    }
}

impl FromStr for RunName {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(Self::parse(word, Path::exists))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_behind_the_last_colon_is_a_run_unless_a_file_has_that_name() {
        let name = |word: &str| {
            let name = RunName::parse(word, |path| path == Path::new("odd:7"));
            (name.path.display().to_string(), name.run)
        };
        assert_eq!(name("runs.db"), ("runs.db".to_owned(), None));
        assert_eq!(name("a:b/runs.db:12"), ("a:b/runs.db".to_owned(), Some(12)));
        assert_eq!(name("runs.db:last"), ("runs.db:last".to_owned(), None));
        assert_eq!(name(":3"), (":3".to_owned(), None));
        assert_eq!(name("odd:7"), ("odd:7".to_owned(), None));
    }
}
