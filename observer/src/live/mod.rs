//! One capture on a running system: what goes on beside the pipeline while frames come in.
//!
//! Three threads stand beside those of the pipeline: the attribution thread asks the system whose sockets are
//! behind the flows, the control thread hears signals, markers and the end of a command under observation, and the
//! source's own threads take frames from the kernel.

mod attribution;
mod command;
pub mod confinement;
mod control;
mod endpoint;
pub mod leftovers;
pub mod mounts;
pub mod privileges;
mod recording;
mod said;
mod socket;
pub mod thread_state;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

pub use self::attribution::AppsWatch;
pub(crate) use self::attribution::Keeper;
pub use self::attribution::OwnersWatch;
pub use self::command::{Command, CommandError};
pub use self::control::{Control, Ends};
use self::control::{Heard, Listeners};
pub use self::endpoint::{Endpoint, EndpointError, SetMarker};
use self::privileges::{Need, PrivilegesError};
pub use self::recording::Recording;
pub use self::said::{Refusal, Said};
pub use self::socket::{MarkError, mark, socket_path, sockets};
use crate::attribution::{AppDirectory, Attributor, LiveOwners};
use crate::decode::FiveTuple;
use crate::source::CaptureControl;
use crate::source::live::{Live, LiveSource};

/// What a capture is started with.
pub struct Session {
    /// Interfaces whose rings fill.
    pub live: Live,
    /// Who looks for owners.
    pub attributors: Vec<Box<dyn Attributor>>,
    /// The system's apps as known at the start.
    pub apps: AppDirectory,
    /// Who watches them change.
    pub apps_watch: Option<AppsWatch>,
    /// A command to observe: the capture ends after it.
    pub command: Option<Command>,
    /// Where markers are taken; `None` takes none.
    pub socket: Option<PathBuf>,
    /// Where they are taken over HTTP, if anywhere.
    pub endpoint: Option<Endpoint>,
}

/// A capture that runs.
pub struct Running {
    /// Its frames: give them to [`pipeline::analyze`](crate::pipeline::analyze).
    pub source: LiveSource,
    /// Its owners: see [`Options::live`](crate::pipeline::Options::live).
    pub owners: Arc<LiveOwners>,
    /// Where it takes markers over HTTP: see [`Options::own_endpoints`](crate::pipeline::Options::own_endpoints).
    pub own_endpoints: Vec<SocketAddr>,
    /// What goes on beside it.
    pub rest: Rest,
}

impl Session {
    /// Starts all threads. Between the one that looks into other processes and all others, `confine` takes from the
    /// process what only that one needs.
    ///
    /// # Errors
    /// When the socket for markers cannot be made, or capabilities not be given up, and those of `confine`.
    pub fn start<E: From<MarkError> + From<PrivilegesError>>(
        mut self,
        confine: impl FnOnce() -> Result<(), E>,
    ) -> Result<Running, E> {
        let (owners, begun) = LiveOwners::new(std::mem::take(&mut self.apps));
        let owners = Arc::new(owners);
        let own_endpoints = self.endpoint.iter().map(Endpoint::address).collect();
        let (source, rest) = self.start_for(Arc::clone(&owners), begun, confine)?;
        Ok(Running { source, owners, own_endpoints, rest })
    }

    /// The same for whoever keeps what is learned of owners, and tells of flows through `begun`: it need not be the
    /// pipeline of this process. [`Session::apps`] is not looked at.
    pub(crate) fn start_for<E: From<MarkError> + From<PrivilegesError>>(
        self,
        keeper: impl Keeper,
        begun: Receiver<FiveTuple>,
        confine: impl FnOnce() -> Result<(), E>,
    ) -> Result<(LiveSource, Rest), E> {
        let (finish, finished) = attribution::finish_line();
        let watcher = attribution::Watcher::new(self.attributors, keeper, begun, self.apps_watch, finished);
        let watcher = std::thread::spawn(move || watcher.run());
        let listener = self.socket.as_deref().map(socket::listen).transpose()?;
        confine()?;
        // The watcher keeps the others; who reads what strangers sent has none of them.
        privileges::shed(&[Need::RemoveCgroup, Need::WriteOutputs])?;
        let (mut source, control) = self.live.start();
        source.before_end(Box::new(move || finish.wait()));
        let listeners = Listeners { socket: listener, endpoint: self.endpoint };
        let command = self.command.map(|command| -> Ends { Box::new(move || command.wait()) });
        let attendance = Attendance::begin(&control, listeners, command);
        Ok((source, Rest { control, watcher, attendance }))
    }
}

/// The threads beside the pipeline.
pub struct Rest {
    /// To end the capture.
    pub control: CaptureControl,
    watcher: JoinHandle<Vec<String>>,
    attendance: Attendance,
}

impl Rest {
    /// Ends the capture; what there is to say of the run: methods that failed, a command's exit.
    #[must_use]
    pub fn join(self) -> Vec<String> {
        self.control.stop();
        let mut notes = match self.watcher.join() {
            Ok(said) => said,
            Err(_panic) => vec!["the attribution thread ended early".to_owned()],
        };
        notes.extend(self.attendance.finish().0);
        notes
    }
}

/// The thread that hears signals, markers and the end of a command.
pub struct Attendance(Receiver<Heard>);

impl Attendance {
    fn begin<C: Control>(control: &C, listeners: Listeners, command: Option<Ends>) -> Self {
        let (to_rest, heard) = channel();
        let control = control.clone();
        // Never joined: to its last moment the process hears the signal that ends it at once.
        std::thread::spawn(move || control::run(&control, listeners, command, &to_rest));
        Self(heard)
    }

    /// What there is to say once the capture was told to end; and how its command ended, if that ended it.
    #[must_use]
    pub fn finish(self) -> (Vec<String>, Option<std::io::Result<ExitStatus>>) {
        let heard = self.0.recv().unwrap_or_default();
        (heard.notes, heard.exit)
    }
}

/// Hears signals, markers and the end of `command` for a capture that runs elsewhere.
///
/// # Errors
/// When the `socket` for markers cannot be made.
pub fn attend<C: Control>(
    control: &C,
    socket: Option<&Path>,
    endpoint: Option<Endpoint>,
    command: Option<Ends>,
) -> Result<Attendance, MarkError> {
    let socket = socket.map(socket::listen).transpose()?;
    Ok(Attendance::begin(control, Listeners { socket, endpoint }, command))
}
