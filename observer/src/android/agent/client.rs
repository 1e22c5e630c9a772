//! The host's end of the link: makes it, makes it anew where it breaks, and hands on what comes.

use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::clock::{instant, now};
use super::shared::{AgentControl, Item, LinkState, Shared};
use super::source::AgentSource;
use super::talker::Talker;
use super::wire::{
    DeviceHello, DeviceMessage, HostMessage, MAX_ITEMS, Message, VERSION, WireError, read_message,
    read_preamble, write_message,
};
use crate::attribution::{AppDirectory, LiveOwners};
use crate::decode::FiveTuple;
use crate::source::{InterfaceInfo, Marker};
use crate::time::Timestamp;

/// Bytes that are asked of a link at once.
const BUFFER: usize = 256 << 10;
/// Interfaces that a device may have.
const MAX_INTERFACES: usize = 256;
/// The first pause between attempts to make a link anew, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A stream to and from an agent's relay.
pub struct Link {
    /// What the relay writes.
    pub reader: Box<dyn Read + Send>,
    /// What the relay reads.
    pub writer: Box<dyn Write + Send>,
    /// Ends the link: reader and writer fail or end soon after. It may be called from any thread, and more than once.
    pub end: Arc<dyn Fn() + Send + Sync>,
}

/// Why a device's capture cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no link.
    #[error("cannot reach the agent")]
    Open(#[source] io::Error),
    /// What answers is no agent, or none of use.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The agent does not want this host.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// Nothing came in time.
    #[error("the agent did not answer within {0:?}")]
    Late(Duration),
}

/// How a host stands by its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// What the names of the device's interfaces begin with, before a colon.
    pub name: String,
    /// How long the agent may take to answer on a new link. Kernel programs take some seconds to load on a slow device.
    pub patience: Duration,
    /// How long a broken link is tried to be made anew. More than the agent's own patience is of no use.
    pub give_up_after: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            name: "device".to_owned(),
            patience: Duration::from_secs(30),
            give_up_after: Duration::from_secs(60),
        }
    }
}

/// A device's capture that runs.
pub struct Client {
    /// Its frames: give them to [`pipeline::analyze`](crate::pipeline::analyze).
    pub source: AgentSource,
    /// Its owners: see [`Options::live`](crate::pipeline::Options::live).
    pub owners: Arc<LiveOwners>,
    /// To end it, and to see how it goes.
    pub control: AgentControl,
    /// What the agent said of the device.
    pub hello: DeviceHello,
}

/// Makes a link.
type Open = Box<dyn FnMut() -> io::Result<Link> + Send>;

impl Client {
    /// Makes the first link with `open`, which is called again whenever the link breaks: each time it has to lead to a relay of
    /// the same session.
    ///
    /// # Errors
    /// When there is no link, or no agent of this version at its end.
    pub fn connect(
        open: impl FnMut() -> io::Result<Link> + Send + 'static,
        options: &ClientOptions,
    ) -> Result<Self, ClientError> {
        let mut open: Open = Box::new(open);
        let (begun, hello) = greet(&mut open, 1, options.patience)?;
        let names = hello.interfaces.iter().cloned();
        let interfaces: Vec<InterfaceInfo> = names.map(|interface| interface.info(&options.name)).collect();
        let (owners, opened) = LiveOwners::new(AppDirectory::default());
        let owners = Arc::new(owners);
        let shared = Shared::new();
        shared
            .change(|state| hello.notes.iter().for_each(|note| state.note(format!("on the device: {note}"))));
        // Both end by themselves: with the last of those who report flows, and with the capture.
        let (told, asks) = (shared.clone(), hello.asks);
        std::thread::spawn(move || tell(&told, &opened, asks));
        let keeper = LinkKeeper {
            shared: shared.clone(),
            owners: Arc::clone(&owners),
            open,
            options: options.clone(),
            hello: hello.clone(),
        };
        std::thread::spawn(move || keeper.run(begun));
        let control = AgentControl { shared: shared.clone() };
        Ok(Self { source: AgentSource::new(shared, interfaces), owners, control, hello })
    }
}

/// A link on which the agent has said who it is.
struct Begun {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Box<dyn Write + Send>,
    end: Arc<dyn Fn() + Send + Sync>,
}

/// Makes a link and lets both sides say who they are.
fn greet(open: &mut Open, resume_from: u64, patience: Duration) -> Result<(Begun, DeviceHello), ClientError> {
    let Link { reader, mut writer, end } = open().map_err(ClientError::Open)?;
    let (answered, answer) = channel::<()>();
    let late = Arc::clone(&end);
    let watch = std::thread::spawn(move || {
        let is_late = matches!(answer.recv_timeout(patience), Err(RecvTimeoutError::Timeout));
        if is_late {
            late();
        }
        is_late
    });
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let greeting = (|| -> Result<DeviceHello, ClientError> {
        read_preamble(&mut reader)?;
        let hello = match read_message::<DeviceMessage>(&mut reader)?.map(|message| message.header) {
            Some(DeviceMessage::Hello(hello)) => hello,
            Some(_) => return Err(WireError::Unexpected("the agent did not say who it is".to_owned()).into()),
            None => return Err(WireError::Truncated { within: "the agent's hello" }.into()),
        };
        if hello.version != VERSION {
            return Err(WireError::Version { agent: hello.version }.into());
        }
        if hello.interfaces.is_empty() || hello.interfaces.len() > MAX_INTERFACES {
            let words = format!("the agent has {} interfaces", hello.interfaces.len());
            return Err(WireError::Unexpected(words).into());
        }
        write_message(&mut writer, &HostMessage::Hello { version: VERSION, resume_from })
            .map_err(WireError::Io)?;
        writer.flush().map_err(WireError::Io)?;
        Ok(hello)
    })();
    drop(answered);
    let is_late = watch.join().unwrap_or(false);
    match greeting {
        Ok(hello) => Ok((Begun { reader, writer, end }, hello)),
        Err(error) => {
            end();
            Err(if is_late { ClientError::Late(patience) } else { error })
        }
    }
}

/// Puts the flows that begin where the link's writer takes them; ends with the last of those who report them.
fn tell(shared: &Shared, opened: &Receiver<FiveTuple>, asks: bool) {
    while let Ok(first) = opened.recv() {
        if asks {
            let more = opened.try_iter().take(MAX_ITEMS);
            shared
                .change(|state| std::iter::once(first).chain(more).for_each(|flow| state.open(flow.into())));
        }
    }
}

/// How a link ended.
enum Broken {
    /// Another may do better.
    Link(WireError),
    /// None does.
    ForGood(String),
}

impl From<WireError> for Broken {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Version { .. } => Self::ForGood(error.to_string()),
            other => Self::Link(other),
        }
    }
}

/// The thread that reads the link and makes it anew.
struct LinkKeeper {
    shared: Shared,
    owners: Arc<LiveOwners>,
    open: Open,
    options: ClientOptions,
    hello: DeviceHello,
}

impl LinkKeeper {
    fn run(mut self, first: Begun) {
        let mut next = Some(first);
        while let Some(begun) = next.take() {
            let before = self.shared.lock().received;
            let end = Arc::clone(&begun.end);
            let read = self.serve(begun);
            end();
            let since = now();
            let (over, progressed) = {
                let state = self.shared.lock();
                (state.end.is_some() || state.closed, state.received > before)
            };
            if over {
                break;
            }
            let reason = match read {
                Ok(()) => "it was closed".to_owned(),
                Err(Broken::Link(error)) => chain(&error),
                Err(Broken::ForGood(reason)) => {
                    self.lose(since, &reason);
                    break;
                }
            };
            tracing::warn!("the link to the device broke: {reason}; it is being made anew");
            next = self.again(since, &reason, progressed);
        }
        self.shared.change(|state| state.link = LinkState::Ended);
    }

    /// Makes the link anew; `None` if that is not to be.
    fn again(&mut self, since: Timestamp, reason: &str, progressed: bool) -> Option<Begun> {
        self.shared.change(|state| state.link = LinkState::Reconnecting { since });
        let begun = instant();
        // A link that breaks before anything came is no better than none: it is not tried at once.
        let mut pause = if progressed { Duration::ZERO } else { FIRST_PAUSE };
        let mut last = reason.to_owned();
        loop {
            let closed = self.shared.wait_while(pause, |state| !state.closed).closed;
            if closed {
                return None;
            }
            let left = self.options.give_up_after.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let also = if last == reason { String::new() } else { format!("; then: {last}") };
                self.lose(since, &format!("{reason}{also}"));
                return None;
            }
            let resume_from = self.shared.lock().received.saturating_add(1);
            match greet(&mut self.open, resume_from, self.options.patience.min(left)) {
                Ok((link, hello)) if hello.instance == self.hello.instance => {
                    let away = now().since(since);
                    self.shared.change(|state| {
                        state.link = LinkState::Connected;
                        state.reconnections = state.reconnections.saturating_add(1);
                        state.note(format!(
                            "the link to the device broke at {since} ({reason}) and was back after {:.1} s",
                            away.as_secs_f64()
                        ));
                    });
                    return Some(link);
                }
                Ok((link, _)) => {
                    (link.end)();
                    self.lose(since, "the agent had ended, and another began");
                    return None;
                }
                Err(ClientError::Wire(error @ WireError::Version { .. })) => {
                    self.lose(since, &error.to_string());
                    return None;
                }
                Err(error) => last = chain(&error),
            }
            pause = pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        }
    }

    /// Ends the capture with what has arrived.
    fn lose(&self, since: Timestamp, reason: &str) {
        let words = format!(
            "the link to the device was lost at {since} ({reason}); what the agent held since is not in this run"
        );
        tracing::warn!("{words}");
        self.shared.change(|state| {
            state.note(words.clone());
            state.lost = Some(words);
        });
    }

    /// Reads a link to its end.
    fn serve(&mut self, begun: Begun) -> Result<(), Broken> {
        let Begun { mut reader, writer, end } = begun;
        self.shared.change(|state| {
            state.heard = instant();
            state.pinged = None;
        });
        let over = Arc::new(AtomicBool::new(false));
        let acknowledged = self.shared.lock().taken();
        let talker =
            Talker::new(self.shared.clone(), writer, Arc::clone(&end), Arc::clone(&over), acknowledged);
        let talker = std::thread::spawn(move || talker.run());
        let read = self.read(&mut reader);
        over.store(true, Ordering::Release);
        // A writer that waits for a full pipe is not joined before that is closed.
        end();
        self.shared.change(|_| ());
        let _ = talker.join();
        read
    }

    fn read(&mut self, reader: &mut impl Read) -> Result<(), Broken> {
        while let Some(message) = read_message::<DeviceMessage>(reader)? {
            self.shared.lock().heard = instant();
            self.take(message)?;
        }
        Ok(())
    }

    fn take(&mut self, message: Message<DeviceMessage>) -> Result<(), Broken> {
        let Message { sequence, header, body } = message;
        if sequence == 0 {
            return self.aside(header);
        }
        let received = self.shared.lock().received;
        if sequence <= received {
            return Ok(());
        }
        if sequence != received.saturating_add(1) {
            let words = format!("message {sequence} came after {received}");
            return Err(WireError::Unexpected(words).into());
        }
        self.keep(sequence, header, body)?;
        self.shared.change(|state| state.received = sequence);
        Ok(())
    }

    /// A message that has no place in the order.
    fn aside(&self, header: DeviceMessage) -> Result<(), Broken> {
        match header {
            DeviceMessage::Pong { host_time, device } => {
                let now = now();
                self.shared.change(|state| {
                    let Some(sent) = state.pinged.take_if(|sent| sent.0 == host_time) else { return };
                    let notes = state.clocks.answer(sent, now, device);
                    notes.into_iter().for_each(|note| state.note(note));
                });
                Ok(())
            }
            DeviceMessage::Refused(reason) => Err(Broken::ForGood(reason)),
            _ => Err(WireError::Unexpected("a message without its place".to_owned()).into()),
        }
    }

    fn keep(&mut self, sequence: u64, header: DeviceMessage, body: Vec<u8>) -> Result<(), WireError> {
        let too_many = |what: &str, count: usize| {
            let words = format!("{count} {what} in one message");
            if count > MAX_ITEMS { Err(WireError::Unexpected(words)) } else { Ok(()) }
        };
        match header {
            DeviceMessage::Frames(header) => {
                header.check(body.len())?;
                let known =
                    usize::try_from(header.interface).is_ok_and(|index| index < self.hello.interfaces.len());
                if !known {
                    let words = format!("frames of interface {}, which is none", header.interface);
                    return Err(WireError::Unexpected(words));
                }
                let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
                self.shared.change(|state| {
                    state.frames = state.frames.saturating_add(count(header.frames.len()));
                    state.bytes = state.bytes.saturating_add(count(body.len()));
                    state.push(sequence, Item::Frames(header, body))
                })
            }
            DeviceMessage::Until(until) => {
                self.shared.change(|state| state.push(sequence, Item::Until(Timestamp(until))))
            }
            DeviceMessage::Marker { at, comment } => {
                let marker = Marker::from_comment(comment.as_bytes(), Timestamp(at))
                    .unwrap_or_else(|| Marker::point(Timestamp(at), &comment));
                self.shared.change(|state| state.push(sequence, Item::Marker(marker)))
            }
            DeviceMessage::Sightings(sightings) => {
                too_many("sockets", sightings.len())?;
                self.owners.add(sightings.into_iter().map(Into::into));
                Ok(())
            }
            DeviceMessage::Packages { first, last, apps } => {
                too_many("packages", apps.len())?;
                self.packages(first, last, &apps);
                Ok(())
            }
            DeviceMessage::Counts(mut counts) => {
                counts.interfaces.truncate(self.hello.interfaces.len());
                self.owners.set_lost(counts.lost_sockets);
                self.shared.change(|state| state.counts = counts);
                Ok(())
            }
            DeviceMessage::Note(note) => {
                self.shared.change(|state| state.note(format!("on the device: {note}")));
                Ok(())
            }
            DeviceMessage::End { frames } => {
                self.shared.change(|state| {
                    state.end = Some(frames);
                    let unasked = state.agent_counts().unasked_flows;
                    if unasked > 0 {
                        state.note(format!(
                            "flows that began too fast for the device to be asked about: {unasked}"
                        ));
                    }
                });
                Ok(())
            }
            DeviceMessage::Hello(_) | DeviceMessage::Refused(_) | DeviceMessage::Pong { .. } => {
                Err(WireError::Unexpected("a message has a place that it cannot have".to_owned()))
            }
        }
    }

    fn packages(&self, first: bool, last: bool, apps: &[(u32, String, String)]) {
        let list = self.shared.change(|state| {
            if first {
                state.apps = AppDirectory::default();
            }
            apps.iter().for_each(|(uid, package, label)| state.apps.add(*uid, package, label));
            last.then(|| std::mem::take(&mut state.apps))
        });
        if let Some(list) = list {
            self.owners.set_apps(list);
        }
    }
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests;
