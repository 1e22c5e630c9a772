//! Tells files from the words of a filter expression, as in `observer analyze a.pcap b.pcap tcp port 443`.

use std::path::{Path, PathBuf};

/// What file names of captures end in. A word that does is a file that is missing, not a part of an expression.
const EXTENSIONS: &[&str] = &["cap", "dmp", "gz", "lz4", "ntar", "pcap", "pcapng", "trc", "zst", "zstd"];

/// Splits `words`: those that name files (or are `-`) come first; the expression begins with the first that does not.
///
/// A first word always counts as a file, as does one that looks like a file's name: so that a misspelt name is
/// reported as a missing file and not as a bad expression.
pub(super) fn split(words: &[String], exists: impl Fn(&Path) -> bool) -> (Vec<PathBuf>, String) {
    let is_file = |word: &str| word == "-" || exists(Path::new(word)) || looks_like_a_file(word);
    let files = words.iter().enumerate().take_while(|(place, word)| *place == 0 || is_file(word)).count();
    let (files, expression) = words.split_at(files);
    (files.iter().map(PathBuf::from).collect(), expression.join(" "))
}

fn looks_like_a_file(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
        || word.starts_with(['/', '~'])
        || word.starts_with("./")
        || word.starts_with("../")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_of(line: &str) -> (String, String) {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let (files, expression) = split(&words, |path| path == Path::new("here"));
        (files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" "), expression)
    }

    #[test]
    fn the_expression_begins_with_the_first_word_that_is_no_file() {
        let expected = |files: &str, expression: &str| (files.to_owned(), expression.to_owned());
        assert_eq!(split_of("here - tcp port 443"), expected("here -", "tcp port 443"));
        assert_eq!(
            split_of("here (net 10.0.0.0/8 or host a.b.test)"),
            expected("here", "(net 10.0.0.0/8 or host a.b.test)")
        );
        assert_eq!(split_of("here here"), expected("here here", ""));
    }

    #[test]
    fn a_missing_file_is_no_expression() {
        assert_eq!(split_of("tcp").0, "tcp");
        assert_eq!(split_of("here gone.pcap.gz ./gone").0, "here gone.pcap.gz ./gone");
    }
}
