//! The thread that writes to SQLite while the next flows are judged.
//!
//! Two buffers of rows change hands: one is filled while the other is written. When both are full, who fills waits.

use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::rows::Rows;
use super::write::{Ids, Writer};

/// Rows for which the writing thread is woken.
const ENOUGH: usize = 256;

/// How long fewer rows wait for more. Then they are written and the transaction ends: what a kill costs, and how far
/// readers are behind, while little happens.
const PATIENCE: Duration = Duration::from_secs(1);

/// Rows at which a buffer is full.
const FULL: usize = 4096;

/// Bytes at which a buffer is full.
const FULL_SIZE: usize = 2 << 20;

/// What the thread leaves.
type Left = Result<(Connection, Ids), rusqlite::Error>;

/// The database of a run, in the hands of a thread of its own.
pub(super) struct Queue {
    shared: Arc<Shared>,
    worker: Worker,
}

/// Who has the database.
enum Worker {
    /// Nobody yet: a thread that starts with the first rows is confined to what the process is confined to by then.
    Ready(Box<(Connection, Ids)>),
    Running(JoinHandle<Left>),
    Stopped,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There are rows to write, or no more will come.
    filled: Condvar,
    /// There is room, or nobody writes any more.
    drained: Condvar,
}

#[derive(Default)]
struct State {
    rows: Rows,
    /// No more rows will come.
    closed: bool,
    /// Nobody writes any more.
    failed: bool,
}

impl Shared {
    /// A panic of the other thread leaves the state as good as it was.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    pub(super) fn new(connection: Connection, ids: Ids) -> Self {
        Self { shared: Arc::default(), worker: Worker::Ready(Box::new((connection, ids))) }
    }

    /// Starts the thread unless it has been started.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(&mut self) -> io::Result<()> {
        if let Worker::Running(_) = self.worker {
            return Ok(());
        }
        if let Worker::Ready(database) = mem::replace(&mut self.worker, Worker::Stopped) {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("store".to_owned());
            self.worker = Worker::Running(thread.spawn(move || {
                let (connection, ids) = *database;
                work(connection, ids, &shared)
            })?);
        }
        Ok(())
    }

    /// Lets `fill` append rows, when there is room. Says `None` if nobody writes any more: [`Queue::stop`] knows why.
    pub(super) fn fill<T>(&self, fill: impl FnOnce(&mut Rows) -> T) -> Option<T> {
        let mut state = self.shared.lock();
        while is_full(&state.rows) && !state.failed {
            state = self.shared.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed {
            return None;
        }
        let before = state.rows.len();
        let filled = fill(&mut state.rows);
        let is_enough = before < ENOUGH && state.rows.len() >= ENOUGH;
        drop(state);
        if is_enough {
            self.shared.filled.notify_one();
        }
        Some(filled)
    }

    /// Has everything written and ends the thread; `None` if that was done before.
    pub(super) fn stop(&mut self) -> Option<Left> {
        let thread = match mem::replace(&mut self.worker, Worker::Stopped) {
            Worker::Ready(database) => return Some(Ok(*database)),
            Worker::Running(thread) => thread,
            Worker::Stopped => return None,
        };
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        match thread.join() {
            Ok(left) => Some(left),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Queue {
    /// A run that fails keeps the flows that it had.
    fn drop(&mut self) {
        // An error is known already: the run has failed, and says why.
        let _ = self.stop();
    }
}

fn is_full(rows: &Rows) -> bool {
    rows.len() >= FULL || rows.size() >= FULL_SIZE
}

/// Writes what comes until no more does.
fn work(connection: Connection, mut ids: Ids, shared: &Shared) -> Result<(Connection, Ids), rusqlite::Error> {
    /// Lets nobody wait for room that no one makes, however the thread ends.
    struct Alarm<'a>(&'a Shared);
    impl Drop for Alarm<'_> {
        fn drop(&mut self) {
            self.0.lock().failed = true;
            self.0.drained.notify_one();
        }
    }
    let _alarm = Alarm(shared);
    let mut writer = Writer::new(&connection, &mut ids)?;
    let outcome = serve(&mut writer, shared);
    // What was written before an error is kept.
    let committed = writer.commit();
    drop(writer);
    outcome.and(committed)?;
    Ok((connection, ids))
}

fn serve(writer: &mut Writer<'_>, shared: &Shared) -> rusqlite::Result<()> {
    let mut rows = Rows::default();
    loop {
        let waits = |state: &mut State| state.rows.len() < ENOUGH && !state.closed;
        let waited = shared.filled.wait_timeout_while(shared.lock(), PATIENCE, waits);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut rows, &mut state.rows);
        let closed = state.closed;
        drop(state);
        if is_full(&rows) {
            shared.drained.notify_one();
        }
        if rows.len() > 0 {
            writer.write(&rows)?;
            rows.clear();
        } else if closed {
            return Ok(());
        }
        if waited.timed_out() {
            writer.commit()?;
        }
    }
}
