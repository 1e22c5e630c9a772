//! Secrets of TLS sessions beside the frames: key log files that may grow, and the secrets blocks of pcapng files.
//!
//! A file that can be read twice is looked through for secrets blocks first, so that those behind the packets that need
//! them serve, too; only block headers are looked at. From a pipe, and from compressed files, secrets come when they
//! come. What the lines mean is not known here.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layer::{Layer, Layered};
use super::pcapng::SecretsScan;
use super::{FrameBatch, Metadata, Source, SourceError};

/// Bytes asked of a key log at once.
const BLOCK: usize = 1 << 20;

/// The longest line: a label, two numbers in hex, and room.
const MAX_LINE: usize = 4 << 10;

/// Bytes of a capture file that are looked through at once.
const SCAN_BLOCK: usize = 256 << 10;

/// Lines of a key log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets(pub Arc<[u8]>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets of {} bytes", self.0.len())
    }
}

/// Adds the secrets of key log files to `source`. While a capture runs, what is appended to them is read, too, and a file
/// that is not there yet is waited for.
///
/// # Errors
/// When a file cannot be opened, unless the capture runs and the file does not exist.
pub fn with_key_logs(source: Box<dyn Source>, paths: &[PathBuf]) -> Result<Box<dyn Source>, SourceError> {
    if paths.is_empty() {
        return Ok(source);
    }
    let growing = source.is_live();
    let files = paths.iter().map(|path| KeyLogFile::open(path, growing)).collect::<Result<_, _>>()?;
    let layer = WithSecrets { known: Vec::new(), only_known: false, files, growing, ended: false };
    Ok(Box::new(Layered { source, layer }))
}

/// Adds what the secrets blocks of capture files hold, before their frames.
pub(super) fn with_blocks(source: Box<dyn Source>, paths: &[PathBuf]) -> Box<dyn Source> {
    let mut known = Vec::new();
    let mut only_known = true;
    for path in paths {
        match scan(path) {
            Scanned::All(secrets) => known.extend(secrets),
            Scanned::Some(secrets) => {
                known.extend(secrets);
                only_known = false;
            }
        }
    }
    if known.is_empty() {
        return source;
    }
    let layer = WithSecrets { known, only_known, files: Vec::new(), growing: false, ended: false };
    Box::new(Layered { source, layer })
}

enum Scanned {
    /// All there are in the file.
    All(Vec<Secrets>),
    /// More may come to light when it is read.
    Some(Vec<Secrets>),
}

fn scan(path: &Path) -> Scanned {
    let none = || Scanned::Some(Vec::new());
    // What is wrong with a file is said when it is read.
    if path.as_os_str() == "-" || !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return none();
    }
    let Ok(file) = File::open(path) else { return none() };
    let mut scan = SecretsScan::default();
    let whole = scan.run(&mut BufReader::with_capacity(SCAN_BLOCK, file));
    let secrets = scan.found.into_iter().map(|text| Secrets(text.into())).collect();
    if whole { Scanned::All(secrets) } else { Scanned::Some(secrets) }
}

/// Batches bring secrets.
struct WithSecrets {
    /// To be handed out before anything else.
    known: Vec<Secrets>,
    /// Whether the source has no others.
    only_known: bool,
    files: Vec<KeyLogFile>,
    growing: bool,
    ended: bool,
}

impl WithSecrets {
    /// What the files have gained, before the frames of a batch.
    fn gained(&mut self, last: bool) -> Result<Vec<Secrets>, SourceError> {
        let mut gained = std::mem::take(&mut self.known);
        for file in &mut self.files {
            file.read(last || !self.growing, &mut gained)?;
        }
        if !self.growing {
            self.files.clear();
        }
        Ok(gained)
    }
}

impl Layer for WithSecrets {
    fn next(&mut self, source: &mut dyn Source) -> Result<Option<FrameBatch>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        let next = source.next_batch()?;
        self.ended = next.is_none();
        let gained = self.gained(self.ended)?;
        let mut batch = match next {
            Some(batch) => batch,
            None if gained.is_empty() => return Ok(None),
            None => FrameBatch::default(),
        };
        if self.only_known {
            batch.metadata.retain(|(_, metadata)| !matches!(metadata, Metadata::Secrets { .. }));
        }
        let growing = self.growing && !self.ended;
        let gained = gained.into_iter().map(|text| (0, Metadata::Secrets { text, growing }));
        batch.metadata.splice(0..0, gained);
        Ok(Some(batch))
    }
}

/// A key log that is being read.
struct KeyLogFile {
    path: PathBuf,
    file: Option<File>,
    /// A line that is not complete.
    rest: Vec<u8>,
    /// Secrets have been handed out, or that there are none yet.
    begun: bool,
}

impl KeyLogFile {
    fn open(path: &Path, growing: bool) -> Result<Self, SourceError> {
        let mut log = Self { path: path.to_owned(), file: None, rest: Vec::new(), begun: false };
        match File::open(path) {
            Ok(file) => log.file = Some(file),
            Err(error) if growing && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(log.error(source)),
        }
        Ok(log)
    }

    fn error(&self, source: std::io::Error) -> SourceError {
        SourceError::Io { path: self.path.display().to_string(), source }
    }

    /// Hands over the lines that came since the last call; `last` also one without an end.
    fn read(&mut self, last: bool, gained: &mut Vec<Secrets>) -> Result<(), SourceError> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let mut lines = Vec::new();
        if let Some(file) = &mut self.file {
            loop {
                let before = self.rest.len();
                let limit = u64::try_from(BLOCK).unwrap_or(u64::MAX);
                match file.by_ref().take(limit).read_to_end(&mut self.rest) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(source) => return Err(self.error(source)),
                }
                let whole =
                    self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end.saturating_add(1));
                lines.extend(self.rest.drain(..whole));
                if whole == 0 && before > MAX_LINE {
                    // No line of the format: it is read as one that is none.
                    self.rest.truncate(MAX_LINE);
                }
            }
        }
        if last {
            lines.append(&mut self.rest);
        }
        // The first word is that more may come, even if there is nothing yet.
        if !lines.is_empty() || !self.begun {
            self.begun = true;
            gained.push(Secrets(lines.into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_key_log_that_grows() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut log = KeyLogFile::open(file.path(), true).unwrap();
        let mut read = |last| {
            let mut gained = Vec::new();
            log.read(last, &mut gained).unwrap();
            gained.iter().map(|text| String::from_utf8(text.0.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(read(false), [""]);
        assert!(read(false).is_empty());
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(read(false), ["one\n"]);
        assert!(read(false).is_empty());
        file.write_all(b"o\nthree").unwrap();
        assert_eq!(read(false), ["two\n"]);
        assert_eq!(read(true), ["three"]);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", Secrets(b"CLIENT_RANDOM"[..].into())), "Secrets of 13 bytes");
    }
}
