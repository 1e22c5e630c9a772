//! The thread that has the database: it answers what the view asks for, and tells what is new.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError};
use std::thread;
use std::time::Duration;

use rusqlite::InterruptHandle;

use super::detail::details;
use super::filter::Filter;
use super::read::{Reader, Sums};
use super::rows::{Detail, FindingRow, FlowRow, Header, Seek, Selected, Window};
use crate::store::{QueryError, StoreError};

/// How often is looked whether somebody wrote to the database.
const LOOK: Duration = Duration::from_millis(250);

/// Looks after which the state of the run is told although nothing was written: the process may have been killed.
const STATE_LOOKS: u32 = 4;

/// Answers that wait to be shown.
const WAITING: usize = 64;

/// What the view wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Look through this filter from now on.
    Filter(Filter),
    /// A part of the list of flows; the number comes back with it.
    Flows(u64, Seek),
    /// A part of the list of findings.
    Findings(u64, Seek),
    /// The details of what is selected.
    Details(Selected),
    /// Go over to the run with that number.
    Run(i64),
}

/// What the view is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The numbers of the run.
    Header(Header),
    /// The findings are now those of the run's end: what was told of them before is void.
    Settled,
    /// Apps and sums.
    Sums(Sums),
    /// A part of the list of flows.
    Flows(u64, Window<FlowRow>),
    /// A part of the list of findings.
    Findings(u64, Window<FindingRow>),
    /// Flows that came after the last one of the window with that number; whether there are more, which are not told.
    MoreFlows(u64, Vec<FlowRow>, bool),
    /// The same of findings.
    MoreFindings(u64, Vec<FindingRow>, bool),
    /// The details of what is selected.
    Details(Selected, Vec<Detail>),
    /// The database cannot be read any more.
    Failed(String),
}

/// The thread, as the view sees it.
pub(super) struct Handle {
    asks: Sender<Ask>,
    told: Receiver<Told>,
    interrupt: InterruptHandle,
    /// Questions that were asked: an interrupt that came for another question is told by it from its own.
    asked: Arc<AtomicU64>,
}

impl Handle {
    /// Asks, and ends the question that is being answered.
    pub(super) fn ask(&self, ask: Ask) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Who does not listen any more has said why.
        let _ = self.asks.send(ask);
        self.interrupt.interrupt();
    }

    /// What was told; `Err` if nobody tells anything any more.
    pub(super) fn told(&self) -> Result<Option<Told>, Gone> {
        match self.told.try_recv() {
            Ok(told) => Ok(Some(told)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Gone),
        }
    }
}

/// Nobody reads the database any more.
#[derive(Debug)]
pub(super) struct Gone;

/// Why a run cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The database cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// It has no run, or not that one.
    #[error("database {} has no {}", path.display(), run.map_or_else(|| "run yet".to_owned(), |run| format!("run {run}")))]
    NoRun {
        /// The file.
        path: PathBuf,
        /// The run that was asked for.
        run: Option<i64>,
    },
    /// The terminal or the system refuses.
    #[error("cannot draw on the terminal")]
    Terminal(#[from] io::Error),
    /// It was readable at first.
    #[error("{0}")]
    Lost(String),
}

impl From<StoreError> for WatchError {
    fn from(error: StoreError) -> Self {
        Self::Query(error.into())
    }
}

/// Opens the database and starts the thread.
pub(super) fn start(path: &Path, run: Option<i64>) -> Result<Handle, WatchError> {
    let Some(reader) = Reader::open(path, run)? else {
        return Err(WatchError::NoRun { path: path.to_owned(), run });
    };
    let interrupt = reader.database().interrupt_handle();
    let asked = Arc::new(AtomicU64::new(0));
    let (asks, from_view) = mpsc::channel();
    let (to_view, told) = mpsc::sync_channel(WAITING);
    let work = Work {
        reader,
        asked: Arc::clone(&asked),
        taken: 0,
        told: to_view,
        tickets: [0; 2],
        wanted: Wanted::default(),
        complete: false,
        changed: false,
        new_run: true,
    };
    thread::Builder::new().name("watch".to_owned()).spawn(move || work.run(&from_view))?;
    Ok(Handle { asks, told, interrupt, asked })
}

/// What was asked for and not answered yet; of each kind the last.
#[derive(Default)]
struct Wanted {
    flows: Option<(u64, Seek)>,
    findings: Option<(u64, Seek)>,
    details: Option<Selected>,
}

impl Wanted {
    fn is_empty(&self) -> bool {
        self.flows.is_none() && self.findings.is_none() && self.details.is_none()
    }
}

struct Work {
    reader: Reader,
    asked: Arc<AtomicU64>,
    /// Of the questions that were asked, those that were taken.
    taken: u64,
    told: SyncSender<Told>,
    /// The windows of flows and findings that rows are appended to.
    tickets: [u64; 2],
    wanted: Wanted,
    /// Whether everything that was written is added up.
    complete: bool,
    /// Whether something was written since new rows were told.
    changed: bool,
    /// Whether nothing was told of the run yet.
    new_run: bool,
}

/// Why the thread ends.
enum End {
    /// Nobody listens.
    Unheard,
    Failed(QueryError),
}

impl From<QueryError> for End {
    fn from(error: QueryError) -> Self {
        Self::Failed(error)
    }
}

impl Work {
    fn run(mut self, asks: &Receiver<Ask>) {
        match self.serve(asks) {
            Err(End::Failed(error)) => {
                let _ = self.told.send(Told::Failed(chain(&error)));
            }
            Ok(()) | Err(End::Unheard) => {}
        }
    }

    fn serve(&mut self, asks: &Receiver<Ask>) -> Result<(), End> {
        let mut looks = 0_u32;
        loop {
            let waits = self.complete && self.wanted.is_empty() && !self.new_run && !self.changed;
            match asks.recv_timeout(if waits { LOOK } else { Duration::ZERO }) {
                Ok(ask) => {
                    self.take(ask);
                    while let Ok(ask) = asks.try_recv() {
                        self.take(ask);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            let changed = self.retry(|work| Ok(work.reader.changed()?))?.unwrap_or(true);
            self.changed |= changed;
            looks = looks.saturating_add(1);
            if changed || self.new_run || looks >= STATE_LOOKS {
                looks = 0;
                self.retry(|work| work.tell_header(changed && !work.new_run))?;
            }
            self.retry(Self::answer)?;
            if self.changed {
                self.complete = false;
                self.retry(Self::tell_more)?;
            }
            if !self.complete {
                self.retry(Self::add_up)?;
            }
        }
    }

    /// Does `part`; `None` if a question interrupted it, which is answered first. What was interrupted comes again.
    fn retry<T>(&mut self, part: impl Fn(&mut Self) -> Result<T, End>) -> Result<Option<T>, End> {
        loop {
            match part(self) {
                Ok(done) => return Ok(Some(done)),
                // SQLite has waited; the next look tries again.
                Err(End::Failed(QueryError::Database(StoreError::Locked { .. }))) => return Ok(None),
                Err(End::Failed(error)) if is_interrupted(&error) => {
                    if self.asked.load(Ordering::SeqCst) != self.taken {
                        return Ok(None);
                    }
                    // It was meant for a question that has been taken since.
                }
                Err(end) => return Err(end),
            }
        }
    }

    fn take(&mut self, ask: Ask) {
        self.taken = self.taken.wrapping_add(1);
        match ask {
            Ask::Filter(filter) => {
                self.reader.set_filter(filter);
                self.wanted = Wanted::default();
                self.complete = false;
            }
            Ask::Run(run) => {
                self.reader.set_run(run);
                self.new_run = true;
                self.wanted = Wanted::default();
                self.complete = false;
            }
            Ask::Flows(ticket, seek) => self.wanted.flows = Some((ticket, seek)),
            Ask::Findings(ticket, seek) => self.wanted.findings = Some((ticket, seek)),
            Ask::Details(selected) => self.wanted.details = Some(selected),
        }
    }

    fn tell(&self, told: Told) -> Result<(), End> {
        self.told.send(told).map_err(|_closed| End::Unheard)
    }

    fn tell_header(&mut self, changed: bool) -> Result<(), End> {
        let (header, settled) = self.reader.header(changed)?;
        self.new_run = false;
        self.tell(Told::Header(header))?;
        if settled {
            self.complete = false;
            self.tell(Told::Settled)?;
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<(), End> {
        let [flows, findings] = &mut self.tickets;
        if let Some((ticket, seek)) = self.wanted.flows {
            let window = self.reader.window(seek)?;
            (self.wanted.flows, *flows) = (None, ticket);
            self.told.send(Told::Flows(ticket, window)).map_err(|_closed| End::Unheard)?;
        }
        if let Some((ticket, seek)) = self.wanted.findings {
            let window = self.reader.window(seek)?;
            (self.wanted.findings, *findings) = (None, ticket);
            self.told.send(Told::Findings(ticket, window)).map_err(|_closed| End::Unheard)?;
        }
        if let Some(selected) = self.wanted.details.clone() {
            let lines = details(&self.reader, &selected)?;
            self.wanted.details = None;
            self.tell(Told::Details(selected, lines))?;
        }
        Ok(())
    }

    fn tell_more(&mut self) -> Result<(), End> {
        let [flows, findings] = self.tickets;
        if let Some((rows, more)) = self.reader.more()? {
            self.tell(Told::MoreFlows(flows, rows, more))?;
        }
        if let Some((rows, more)) = self.reader.more()? {
            self.tell(Told::MoreFindings(findings, rows, more))?;
        }
        self.changed = false;
        Ok(())
    }

    fn add_up(&mut self) -> Result<(), End> {
        let (_, complete) = self.reader.add_up()?;
        let sums = self.reader.sums(complete)?;
        self.complete = complete;
        self.tell(Told::Sums(sums))
    }
}

/// Whether a question was ended because there is another one.
fn is_interrupted(error: &QueryError) -> bool {
    matches!(error, QueryError::Database(error) if error.is_interrupted())
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
