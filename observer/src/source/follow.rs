//! A capture file that is still being written, or a pipe: what an emulator or another recorder puts into it, as it comes.
//!
//! The file is read to its end, and then again and again until somebody says that it is whole. What stands half written there
//! is taken up when its rest has come.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::file::FileSource;
use super::input::Input;
use super::{CaptureControl, FrameBatch, InputSummary, Marker, Metadata, Source, SourceError};
use crate::time::Timestamp;

/// Bytes asked of the operating system at once.
const PIECE: usize = 256 << 10;
/// Pieces that may wait to be read.
const QUEUE: usize = 16;
/// How often the end of a file is looked at for more.
const LOOK: Duration = Duration::from_millis(20);
/// How long to wait for bytes before time goes on without any.
const PATIENCE: Duration = Duration::from_millis(100);
/// Nanoseconds by which a frame may come late: its writer buffers.
const LATE: i64 = 1_000_000_000;

/// A capture file that is being followed.
pub struct Following {
    file: FileSource,
    marks: Receiver<Marker>,
    /// The last frame's time, and when it was read.
    last: Option<(Timestamp, Instant)>,
    before_end: Option<Box<dyn FnOnce() + Send>>,
}

/// Follows the capture file or pipe at `path`, and waits for its first frame or for `control` to stop.
///
/// `begin` gets the control before anything is waited for.
///
/// # Errors
/// When it cannot be opened or is no capture file, or when nothing was written before it was stopped.
pub fn follow(path: &Path, begin: impl FnOnce(CaptureControl)) -> Result<Following, SourceError> {
    let name = path.display().to_string();
    let failed = |source| SourceError::Io { path: name.clone(), source };
    let metadata = path.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(SourceError::Directory { path: name });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (control, marks) = CaptureControl::new(&stop);
    begin(control);
    let (pieces, arrived) = sync_channel(QUEUE);
    let writer = path.to_owned();
    let told = Arc::clone(&stop);
    // Opening a pipe waits for whoever writes into it, as reading does: neither may keep the end from being heard.
    thread::spawn(move || {
        if let Err(error) = File::open(writer).and_then(|file| read_on(file, &pieces, &told)) {
            let _ = pieces.send(Err(error));
        }
    });
    let pipe = !metadata.is_file();
    let growing =
        Growing { arrived, stop, pipe, piece: io::Cursor::default(), awaits_first: true, had: false };
    let input = Input::new(name, Box::new(growing), None, false)?;
    Ok(Following { file: FileSource::new(input)?, marks, last: None, before_end: None })
}

impl Following {
    /// Calls `act` after the last frame and before the end is told: to learn what is still to be learned.
    pub fn before_end(&mut self, act: Box<dyn FnOnce() + Send>) {
        self.before_end = Some(act);
    }

    /// The markers that came since, each before the frame at `place`.
    fn marks(&self, place: usize) -> Vec<(usize, Metadata)> {
        self.marks.try_iter().map(|marker| (place, Metadata::Marker(marker))).collect()
    }

    /// The time up to which there are no more frames: the file's own clock goes on as this machine's does.
    fn until(&self) -> Option<Timestamp> {
        let (last, read) = self.last?;
        let since = i64::try_from(read.elapsed().as_nanos()).unwrap_or(i64::MAX);
        (since > LATE).then(|| Timestamp(last.0.saturating_add(since - LATE)))
    }
}

impl Source for Following {
    #[expect(clippy::disallowed_methods, reason = "a source: here time comes from")]
    fn next_batch(&mut self) -> Result<Option<FrameBatch>, SourceError> {
        let Some(mut batch) = self.file.next_batch()? else {
            if let Some(act) = self.before_end.take() {
                act();
            }
            // A marker may have come with the last frames; the next call ends.
            let batch = FrameBatch { metadata: self.marks(0), ..FrameBatch::default() };
            return Ok(Some(batch).filter(|batch| !batch.metadata.is_empty()));
        };
        match batch.frames.last() {
            Some(frame) => self.last = Some((frame.timestamp, Instant::now())),
            None => batch.until = self.until(),
        }
        batch.metadata.extend(self.marks(batch.frames.len()));
        Ok(Some(batch))
    }

    fn recycle(&mut self, batch: FrameBatch) {
        self.file.recycle(batch);
    }

    fn inputs(&self) -> Vec<InputSummary> {
        self.file.inputs()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.file.progress()
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Reads until nobody wants more: a file beyond its end until it is whole, a pipe until its writer is gone.
fn read_on(mut file: File, pieces: &SyncSender<io::Result<Vec<u8>>>, stop: &AtomicBool) -> io::Result<()> {
    let grows = file.metadata()?.is_file();
    loop {
        // First the word that it is whole, then the last look: what was written before the word is not missed.
        let whole = stop.load(Ordering::Acquire);
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece) {
            Ok(0) if whole || !grows => return Ok(()),
            Ok(0) => thread::sleep(LOOK),
            Ok(read) => {
                piece.truncate(read);
                if pieces.send(Ok(piece)).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The bytes as they come. Where there are none for a while it says [`io::ErrorKind::WouldBlock`].
struct Growing {
    arrived: Receiver<io::Result<Vec<u8>>>,
    stop: Arc<AtomicBool>,
    /// Who reads a pipe waits in the kernel, and cannot be told that it is enough.
    pipe: bool,
    piece: io::Cursor<Vec<u8>>,
    /// A capture begins with its header: until then, waiting is all there is to do.
    awaits_first: bool,
    /// Whether bytes were given since it last said that there are none.
    had: bool,
}

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                self.had = true;
                return Ok(read);
            }
            let next = if self.had && !self.awaits_first {
                self.arrived.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                })
            } else {
                self.arrived.recv_timeout(PATIENCE)
            };
            match next {
                Ok(piece) => {
                    self.piece = io::Cursor::new(piece?);
                    self.awaits_first = false;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Err(RecvTimeoutError::Timeout)
                    if self.pipe && !self.had && self.stop.load(Ordering::Acquire) =>
                {
                    return Ok(0);
                }
                Err(RecvTimeoutError::Timeout) if self.awaits_first => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.had = false;
                    return Err(io::ErrorKind::WouldBlock.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::sync::mpsc::channel;

    use super::*;

    /// A capture file of `frames` frames of four bytes, a second apart.
    fn pcap(frames: u32) -> Vec<u8> {
        let mut file =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        for second in 1..=frames {
            for word in [second, 0, 4, 4, 0x0403_0201] {
                file.extend_from_slice(&word.to_le_bytes());
            }
        }
        file
    }

    fn frames(source: &mut Following, wanted: usize) -> usize {
        let mut count = 0;
        while count < wanted {
            match source.next_batch().unwrap() {
                Some(batch) => count += batch.frames.len(),
                None => break,
            }
        }
        count
    }

    #[test]
    fn a_file_is_followed_while_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.pcap");
        let whole = pcap(7);
        // The third frame is written up to its middle.
        let (begun, rest) = whole.split_at(24 + 2 * 20 + 9);
        std::fs::write(&path, begun).unwrap();
        let mut control = None;
        let mut source = follow(&path, |given| control = Some(given)).unwrap();
        let control = control.unwrap();
        assert_eq!(frames(&mut source, 2), 2);
        let idle = source.next_batch().unwrap().unwrap();
        assert!(idle.frames.is_empty(), "nothing was written");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(rest).unwrap();
        assert_eq!(frames(&mut source, 5), 5);
        control.mark(Marker::point(Timestamp::new(8, 0), "step"));
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&pcap(1)[24..]).unwrap();
        control.stop();
        let mut marked = 0;
        let mut rest = 0;
        while let Some(batch) = source.next_batch().unwrap() {
            marked += batch.metadata.len();
            rest += batch.frames.len();
        }
        assert_eq!((rest, marked), (1, 1), "what was written before the word is read");
        assert_eq!(source.inputs()[0].damages, 0);
    }

    #[test]
    fn a_pipe_ends_with_its_writer_or_with_the_word() {
        let folder = tempfile::tempdir().unwrap();
        for told in [false, true] {
            let path = folder.path().join(format!("pipe-{told}"));
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            let (to_writer, enough) = channel::<()>();
            let into = path.clone();
            let writer = thread::spawn(move || {
                let mut pipe = OpenOptions::new().write(true).open(into).unwrap();
                pipe.write_all(&pcap(3)).unwrap();
                let _ = enough.recv();
            });
            let mut control = None;
            let mut source = follow(&path, |given| control = Some(given)).unwrap();
            assert_eq!(frames(&mut source, 3), 3);
            if told {
                control.unwrap().stop();
            } else {
                to_writer.send(()).unwrap();
            }
            assert_eq!(frames(&mut source, usize::MAX), 0);
            drop(to_writer);
            writer.join().unwrap();
        }
    }

    #[test]
    fn what_is_never_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.pcap");
        std::fs::write(&path, b"").unwrap();
        let error = follow(&path, |control| control.stop()).err().unwrap();
        assert!(error.to_string().ends_with("is empty"), "{error}");
        let error = follow(folder.path(), |_| {}).err().unwrap();
        assert!(error.to_string().contains("is a directory"), "{error}");
        std::fs::write(&path, b"GET / HTTP/1.1\r\nHost: shop.test\r\n").unwrap();
        let error = follow(&path, |control| control.stop()).err().unwrap();
        assert!(error.to_string().contains("not a capture file"), "{error}");
    }
}
