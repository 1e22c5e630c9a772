//! The thread that asks the system for owners while flows are there.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use crate::attribution::{AppDirectory, Attributor, LiveOwners, Sighting};
use crate::decode::FiveTuple;
use crate::source::live::now;
use crate::time::Timestamp;

/// How often the system is asked when no flow begins.
const INTERVAL: Duration = Duration::from_millis(20);
/// For how long flows that begin at once are gathered, to be asked for together.
const GATHER: usize = 4096;
/// How long the end of a capture waits for the last owners.
const FINISH: Duration = Duration::from_secs(10);
/// Askings in which nothing more is learned after which all is known.
const QUIET: u32 = 3;

/// Tells of apps that were installed or removed since the last call.
pub type AppsWatch = Box<dyn FnMut() -> Option<AppDirectory> + Send>;

/// Tells the thread that the last frame was seen, and waits until it knows what there is to know.
pub(super) struct Finish {
    finish: Sender<()>,
    done: Receiver<()>,
}

impl Finish {
    pub(super) fn wait(&self) {
        if self.finish.send(()).is_ok() {
            // Nobody answers if the thread has ended: then there is nothing to wait for.
            let _ = self.done.recv_timeout(FINISH);
        }
    }
}

/// The thread's side of [`Finish`].
pub(super) struct Finished {
    finish: Receiver<()>,
    done: Sender<()>,
}

pub(super) fn finish_line() -> (Finish, Finished) {
    let (finish, finished) = channel();
    let (to_finish, done) = channel();
    (Finish { finish, done }, Finished { finish: finished, done: to_finish })
}

/// Takes what a [`Watcher`] learns.
pub(crate) trait Keeper: Send + 'static {
    /// Sockets were seen; called with none, too, after each asking.
    fn add(&self, sightings: Vec<Sighting>);
    /// From now on the system has these apps.
    fn set_apps(&self, apps: AppDirectory);
    /// Attributors have lost so many sockets so far.
    fn set_lost(&self, lost: u64);
}

impl Keeper for Arc<LiveOwners> {
    fn add(&self, sightings: Vec<Sighting>) {
        LiveOwners::add(self, sightings);
    }

    fn set_apps(&self, apps: AppDirectory) {
        LiveOwners::set_apps(self, apps);
    }

    fn set_lost(&self, lost: u64) {
        LiveOwners::set_lost(self, lost);
    }
}

/// The thread that asks attributors for the owners of what a capture elsewhere than on this machine's interfaces shows.
pub struct OwnersWatch {
    finish: Finish,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl OwnersWatch {
    /// Asks `attributors` for the flows that begin, and keeps in `owners` what they see.
    #[must_use]
    pub fn begin(
        attributors: Vec<Box<dyn Attributor>>,
        owners: Arc<LiveOwners>,
        begun: Receiver<FiveTuple>,
    ) -> Self {
        let (finish, finished) = finish_line();
        let watcher = Watcher::new(attributors, owners, begun, None, finished);
        Self { finish, thread: std::thread::spawn(move || watcher.run()) }
    }

    /// Waits, after the last frame, until there is nothing more to learn; what to do when the notes are wanted.
    #[must_use]
    pub fn before_end(self) -> (Box<dyn FnOnce() + Send>, std::thread::JoinHandle<Vec<String>>) {
        let Self { finish, thread } = self;
        (Box::new(move || finish.wait()), thread)
    }
}

/// Asks attributors and gives on what they see.
pub(super) struct Watcher<K> {
    attributors: Vec<Box<dyn Attributor>>,
    keeper: K,
    begun: Receiver<FiveTuple>,
    apps: Option<AppsWatch>,
    finished: Finished,
    notes: Vec<String>,
}

impl<K: Keeper> Watcher<K> {
    pub(super) fn new(
        attributors: Vec<Box<dyn Attributor>>,
        keeper: K,
        begun: Receiver<FiveTuple>,
        apps: Option<AppsWatch>,
        finished: Finished,
    ) -> Self {
        Self { attributors, keeper, begun, apps, finished, notes: Vec::new() }
    }

    /// Works until the capture has ended; what there is to say of it.
    pub(super) fn run(mut self) -> Vec<String> {
        loop {
            let mut opened = Vec::new();
            match self.begun.recv_timeout(INTERVAL) {
                Ok(first) => opened.push(first),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            opened.extend(self.begun.try_iter().take(GATHER));
            self.ask(&opened, None);
            if let Some(apps) = self.apps.as_mut().and_then(|changed| changed()) {
                self.keeper.set_apps(apps);
            }
            match self.finished.finish.try_recv() {
                Err(TryRecvError::Empty) => {}
                // The source went away without an end: so does this.
                Err(TryRecvError::Disconnected) => break,
                Ok(()) => {
                    self.ask_for_the_last();
                    let _ = self.finished.done.send(());
                    break;
                }
            }
        }
        self.notes
    }

    /// The last frames may still be on their way through the pipeline. What the system does after them does not matter: it
    /// goes on for ever.
    fn ask_for_the_last(&mut self) {
        let end = now();
        let mut quiet = 0;
        while quiet < QUIET && now().since(end) < FINISH {
            std::thread::sleep(INTERVAL);
            let opened: Vec<_> = self.begun.try_iter().take(GATHER).collect();
            let learned = self.ask(&opened, Some(end));
            quiet = if opened.is_empty() && learned == 0 { quiet + 1 } else { 0 };
        }
    }

    /// Asks every attributor; how many sockets they saw that were there before `end`. One that cannot go on is let go.
    fn ask(&mut self, opened: &[FiveTuple], end: Option<Timestamp>) -> usize {
        let mut sightings = Vec::new();
        self.attributors.retain_mut(|attributor| match attributor.poll(opened, &mut sightings) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!("attribution goes on without {error}");
                self.notes.push(format!("attribution went on without {error}"));
                false
            }
        });
        self.keeper.set_lost(self.attributors.iter().map(|attributor| attributor.lost()).sum());
        let before = |sighting: &&Sighting| end.is_none_or(|end| sighting.first <= end);
        let seen = sightings.iter().filter(before).count();
        self.keeper.add(sightings);
        seen
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::attribution::{AttributorError, Confidence, Method, SocketOwner};
    use crate::decode::{Endpoint, Transport};

    /// A system on which sockets come without end.
    struct Busy;

    impl Attributor for Busy {
        fn method(&self) -> Method {
            Method::Ebpf
        }

        fn poll(&mut self, _: &[FiveTuple], sightings: &mut Vec<Sighting>) -> Result<(), AttributorError> {
            sightings.push(Sighting {
                transport: Transport::Tcp,
                local: Endpoint { ip: Ipv4Addr::LOCALHOST.into(), port: 1 },
                remote: None,
                listening: false,
                first: now(),
                last: now(),
                socket: None,
                owner: SocketOwner::new(Method::Ebpf, Confidence::Exact),
            });
            Ok(())
        }
    }

    #[test]
    fn a_busy_system_does_not_keep_a_capture_from_ending() {
        let (owners, begun) = LiveOwners::new(AppDirectory::default());
        let (finish, finished) = finish_line();
        let watcher = Watcher::new(vec![Box::new(Busy)], Arc::new(owners), begun, None, finished);
        let thread = std::thread::spawn(move || watcher.run());
        let begun = now();
        finish.wait();
        assert!(now().since(begun) < FINISH / 2);
        assert_eq!(thread.join().unwrap(), [] as [String; 0]);
    }
}
