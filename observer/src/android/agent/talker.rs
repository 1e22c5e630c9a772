//! The thread that writes to a link: acknowledgements, flows that began, pings, and the stop.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::{instant, now};
use super::shared::{Shared, State};
use super::wire::{HostMessage, MAX_ITEMS, write_message};

/// Pings at the start of a link, and how far they are apart: the best of them counts.
const FIRST_PINGS: u32 = 4;
const FIRST_PINGS_APART: Duration = Duration::from_millis(150);
/// How often the clocks are compared afterwards.
const PING_EVERY: Duration = Duration::from_secs(60);
/// How long nothing may come before it is asked whether the agent is there, and before the link counts as broken. An agent
/// that has nothing to say says four times a second that time goes on.
const QUIET: Duration = Duration::from_secs(10);
const SILENT: Duration = Duration::from_secs(30);
/// How often a link's writer looks around if nothing wakes it.
const LOOK: Duration = Duration::from_secs(1);

/// The thread that writes to the link.
pub(super) struct Talker {
    shared: Shared,
    writer: Box<dyn Write + Send>,
    end: Arc<dyn Fn() + Send + Sync>,
    over: Arc<AtomicBool>,
    acknowledged: u64,
    stopped: bool,
    pings: u32,
}

/// What is to be written.
#[derive(Default)]
struct ToWrite {
    messages: Vec<HostMessage>,
    /// The agent is to be there no more, as far as one can hear.
    silent: bool,
    closed: bool,
}

impl Talker {
    /// For a link on which all up to `acknowledged` needs no word any more; `over` is set when its reader has ended.
    pub(super) fn new(
        shared: Shared,
        writer: Box<dyn Write + Send>,
        end: Arc<dyn Fn() + Send + Sync>,
        over: Arc<AtomicBool>,
        acknowledged: u64,
    ) -> Self {
        Self { shared, writer, end, over, acknowledged, stopped: false, pings: 0 }
    }

    /// Writes until the link is over.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        let mut pinged = instant();
        loop {
            let apart = if self.pings < FIRST_PINGS { FIRST_PINGS_APART } else { PING_EVERY };
            let due = apart.saturating_sub(pinged.elapsed());
            let (acknowledged, stopped, over) = (self.acknowledged, self.stopped, Arc::clone(&self.over));
            let is_over = move || over.load(Ordering::Acquire);
            let nothing = |state: &mut State| {
                let stop = state.stop && !stopped;
                !is_over()
                    && !stop
                    && !state.closed
                    && state.opened.is_empty()
                    && state.taken() <= acknowledged
            };
            let mut state = shared.wait_while(due.min(LOOK), nothing);
            if self.over.load(Ordering::Acquire) {
                return;
            }
            let quiet = state.heard.elapsed();
            let ping =
                due.is_zero() || quiet >= QUIET && pinged.elapsed() >= QUIET || state.stop && !self.stopped;
            if ping {
                pinged = instant();
                self.pings = self.pings.saturating_add(1);
            }
            let write = self.due(&mut state, ping, quiet >= SILENT);
            drop(state);
            let written = write.messages.iter().try_for_each(|message| self.write(message));
            if written.and_then(|()| self.writer.flush()).is_err() || write.silent || write.closed {
                (self.end)();
                return;
            }
        }
    }

    fn write(&mut self, message: &HostMessage) -> io::Result<()> {
        match message {
            // The time at which it is written is the one that counts.
            HostMessage::Ping { .. } => {
                let sent = now();
                self.shared.lock().pinged = Some(sent);
                write_message(&mut self.writer, &HostMessage::Ping { host_time: sent.0 })?;
                self.writer.flush()
            }
            message => write_message(&mut self.writer, message),
        }
    }

    /// What is due, in the order in which it is said.
    fn due(&mut self, state: &mut State, ping: bool, silent: bool) -> ToWrite {
        let mut write = ToWrite { silent, closed: state.closed, ..ToWrite::default() };
        let taken = state.taken();
        if taken > self.acknowledged {
            self.acknowledged = taken;
            write.messages.push(HostMessage::Ack { sequence: taken });
        }
        let mut opened = std::mem::take(&mut state.opened).into_iter().peekable();
        while opened.peek().is_some() {
            write.messages.push(HostMessage::Opened(opened.by_ref().take(MAX_ITEMS).collect()));
        }
        if ping {
            write.messages.push(HostMessage::Ping { host_time: 0 });
        }
        if state.stop && !self.stopped {
            self.stopped = true;
            write.messages.push(HostMessage::Stop);
        }
        write
    }
}
