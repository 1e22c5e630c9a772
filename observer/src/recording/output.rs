//! Where blocks go: a file, or standard output.
//!
//! What a full disk cuts in two is cut off, so that the file ends with a whole block.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::RecordingError;

/// Bytes collected before they are written.
const BUFFER: usize = 256 << 10;

/// A file that blocks are written to, one a call.
#[derive(Debug)]
pub(super) struct Output {
    to: To,
    /// Whole blocks.
    buffer: Vec<u8>,
    /// Bytes written.
    written: u64,
}

#[derive(Debug)]
enum To {
    /// A file that has a length, from byte 0 on.
    File(File),
    /// A device or a pipe.
    Stream(File),
    Stdout(io::Stdout),
}

impl Output {
    /// Opens `path`, which only its owner may read from then on; `-` is standard output.
    ///
    /// An existing file is overwritten. A symbolic link is not followed: in a folder that others can write to, it leads
    /// wherever they want.
    pub(super) fn open(path: &Path) -> Result<Self, RecordingError> {
        let to = if path == Path::new("-") {
            To::Stdout(io::stdout())
        } else {
            open(path).map_err(|source| RecordingError::Open { path: path.display().to_string(), source })?
        };
        Ok(Self { to, buffer: Vec::with_capacity(BUFFER), written: 0 })
    }

    /// Bytes that the operating system has.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Cuts off what was written of the buffer's last block, if that is not all; `done` bytes of the buffer were written.
    fn cut_back(&mut self, done: usize) {
        let To::File(file) = &self.to else {
            self.written = self.written.saturating_add(u64::try_from(done).unwrap_or(0));
            return;
        };
        let mut whole = 0_usize;
        loop {
            let len =
                self.buffer.get(whole..).and_then(|rest| rest.get(4..)).and_then(|rest| rest.first_chunk());
            let Some(len) = len.and_then(|len| usize::try_from(u32::from_le_bytes(*len)).ok()) else { break };
            let Some(next) = whole.checked_add(len).filter(|next| len > 0 && *next <= done) else { break };
            whole = next;
        }
        let len = u64::try_from(whole).map_or(self.written, |whole| self.written.saturating_add(whole));
        self.written = len;
        // If that fails, too, readers find a file that is cut short, as after a loss of power.
        let _ = file.set_len(len);
    }
}

impl Write for Output {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        if self.buffer.len().saturating_add(block.len()) > BUFFER {
            self.flush()?;
        }
        self.buffer.extend(block);
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = self.buffer.get(done..).filter(|rest| !rest.is_empty()) {
            let written = match &mut self.to {
                To::File(file) | To::Stream(file) => file.write(rest),
                To::Stdout(stdout) => stdout.write(rest),
            };
            match written {
                Ok(written) if written > 0 => done = done.saturating_add(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                failed => {
                    self.cut_back(done);
                    self.buffer.clear();
                    return Err(failed.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                }
            }
        }
        self.buffer.clear();
        self.written = self.written.saturating_add(u64::try_from(done).unwrap_or(0));
        match &mut self.to {
            To::Stdout(stdout) => stdout.flush(),
            To::File(_) | To::Stream(_) => Ok(()),
        }
    }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<To> {
    use std::fs::Permissions;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

    const PRIVATE: u32 = 0o600;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => io::Error::other("it is a symbolic link, which is not followed"),
            _ => error,
        })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(To::Stream(file));
    }
    // Before anything is in it; an existing file may be open to all.
    if metadata.permissions().mode() & 0o777 != PRIVATE {
        file.set_permissions(Permissions::from_mode(PRIVATE))?;
    }
    file.set_len(0)?;
    Ok(To::File(file))
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<To> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    Ok(if file.metadata()?.is_file() { To::File(file) } else { To::Stream(file) })
}
