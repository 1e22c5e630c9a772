//! The bytes of one input: a file or standard input, decompressed.
//!
//! Compression is recognised by magic, one layer of it. Knows no capture format. Relies on flate2, zstd and lz4_flex.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SourceError;

/// Bytes asked of the operating system at once where a decompressor stands between.
const COMPRESSED_BLOCK: usize = 256 << 10;

/// Bytes asked of a decompressor at once. One that meets damage keeps what it had put together for the same call: that
/// much is lost in front of the damage.
const DECOMPRESSED_PIECE: usize = 4 << 10;
/// Enough bytes to recognise any compression.
const MAGIC: usize = 4;

/// What stands between the file and the capture format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Lz4,
}

impl Compression {
    fn recognise(magic: &[u8]) -> Option<Self> {
        match magic {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A frame, or a skippable frame (RFC 8878 §3.1.2), as parallel compressors put first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            _ => None,
        }
    }

    /// As it stands after the `+` of [`super::InputSummary::format`].
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }
}

/// Counts the bytes that come from the operating system.
struct Counted {
    inner: Box<dyn Read + Send>,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        Ok(read)
    }
}

/// Reads one LZ4 frame after the other: the decoder itself stops at the end of each.
struct Lz4Frames<R: BufRead> {
    frame: lz4_flex::frame::FrameDecoder<R>,
}

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.frame.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.frame.get_mut().fill_buf()?.is_empty() {
                return Ok(read);
            }
        }
    }
}

/// A stream of uncompressed bytes and what is known of it.
pub(super) struct Input {
    /// As the user named it.
    pub(super) name: String,
    pub(super) compression: Option<Compression>,
    /// Whether it can be opened a second time.
    pub(super) reopens: bool,
    bytes: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
    size: Option<u64>,
}

/// What a read gave.
pub(super) enum Filled {
    /// So many bytes; fewer than asked for only at the end.
    Bytes(usize),
    /// So many bytes, then the compressed stream is damaged.
    Damaged(usize, String),
    /// So many bytes for now: more may come.
    Pending(usize),
}

impl Input {
    /// Opens `path`; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        if name == "-" {
            return Self::new(name, Box::new(io::stdin()), None, false);
        }
        let failed = |source| SourceError::Io { path: name.clone(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(SourceError::Directory { path: name });
        }
        let size = metadata.is_file().then_some(metadata.len());
        Self::new(name, Box::new(file), size, size.is_some())
    }

    /// Reads from `bytes`, which `name` stands for in messages.
    pub(super) fn new(
        name: String,
        mut bytes: Box<dyn Read + Send>,
        size: Option<u64>,
        reopens: bool,
    ) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Io { path: name.clone(), source };
        let mut magic = Vec::with_capacity(MAGIC);
        bytes.by_ref().take(MAGIC as u64).read_to_end(&mut magic).map_err(failed)?;
        if magic.is_empty() {
            return Err(SourceError::Empty { path: name });
        }
        let compression = Compression::recognise(&magic);
        let read = Arc::new(AtomicU64::new(0));
        let whole =
            Counted { inner: Box::new(io::Cursor::new(magic).chain(bytes)), count: Arc::clone(&read) };
        let buffered = |whole| BufReader::with_capacity(COMPRESSED_BLOCK, whole);
        let bytes: Box<dyn Read + Send> = match compression {
            None => Box::new(whole),
            Some(Compression::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(whole))),
            Some(Compression::Zstd) => {
                Box::new(zstd::stream::read::Decoder::with_buffer(buffered(whole)).map_err(failed)?)
            }
            Some(Compression::Lz4) => {
                Box::new(Lz4Frames { frame: lz4_flex::frame::FrameDecoder::new(buffered(whole)) })
            }
        };
        Ok(Self { name, compression, reopens, bytes, read, size })
    }

    /// Fills `buffer` as far as there are bytes.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<Filled, SourceError> {
        let mut filled = 0;
        let piece = if self.compression.is_some() { DECOMPRESSED_PIECE } else { usize::MAX };
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let len = rest.len().min(piece);
            match self.bytes.read(rest.get_mut(..len).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Filled::Pending(filled));
                }
                // The operating system's errors carry its number; a decompressor's do not.
                Err(error) => match self.compression {
                    Some(compression) if error.raw_os_error().is_none() => {
                        return Ok(Filled::Damaged(filled, format!("{}: {error}", compression.name())));
                    }
                    _ => return Err(SourceError::Io { path: self.name.clone(), source: error }),
                },
            }
        }
        Ok(Filled::Bytes(filled))
    }

    /// Bytes taken from the operating system, and how many there are in all where that is known.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        (self.read.load(Ordering::Relaxed), self.size)
    }
}
