//! The thread that hears what comes from outside: signals, markers, the end of a command.

use std::os::unix::net::UnixListener as StdListener;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::endpoint::Endpoint;
use super::said::{MAX_SAID, Said};
use super::socket::Listener;
use crate::source::live::now;
use crate::source::{CaptureControl, Marker, MarkerOrigin};

/// How often is looked whether the capture has ended by itself.
const LOOK: Duration = Duration::from_millis(50);
/// How long the capture goes on after its command: what the command sent last is on its way.
const LINGER: Duration = Duration::from_secs(1);
/// How long somebody who sets a marker may take to say it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Signals that come within this time are one.
const TOGETHER: Duration = Duration::from_millis(200);
/// The exit code of a process that a second signal ends, as a shell tells it: 128 and SIGINT.
const INTERRUPTED: i32 = 130;

/// A capture that is told things from elsewhere while it runs.
pub trait Control: Clone + Send + Sync + 'static {
    /// Ends it: what there is by now is still read.
    fn stop(&self);
    /// Whether it was told to end, or has come to its end.
    fn is_stopped(&self) -> bool;
    /// Puts a marker into it.
    fn mark(&self, marker: Marker);
}

impl Control for CaptureControl {
    fn stop(&self) {
        Self::stop(self);
    }

    fn is_stopped(&self) -> bool {
        self.stopped()
    }

    fn mark(&self, marker: Marker) {
        Self::mark(self, marker);
    }
}

/// Waits for the end of a command, after which the capture ends, too.
pub type Ends = Box<dyn FnOnce() -> std::io::Result<ExitStatus> + Send>;

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) notes: Vec<String>,
    /// How the command ended, if it was that which ended the capture.
    pub(super) exit: Option<std::io::Result<ExitStatus>>,
}

/// Where markers come in.
pub(super) struct Listeners {
    pub(super) socket: Option<Listener>,
    pub(super) endpoint: Option<Endpoint>,
}

/// Listens until the capture has ended, says then what there is to say, and goes on to hear the signal that ends everything.
pub(super) fn run<C: Control>(
    control: &C,
    listeners: Listeners,
    command: Option<Ends>,
    said: &Sender<Heard>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(listen(control, listeners, command, said)),
        Err(error) => {
            control.stop();
            let notes = vec![format!("signals and markers cannot be heard: {error}")];
            let _ = said.send(Heard { notes, exit: None });
        }
    }
}

async fn listen<C: Control>(
    control: &C,
    Listeners { socket, endpoint }: Listeners,
    command: Option<Ends>,
    said: &Sender<Heard>,
) {
    let mut heard = Heard::default();
    let (mut interrupt, mut terminate) =
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => {
                control.stop();
                let notes = vec![format!("signals cannot be heard: {error}")];
                let _ = said.send(Heard { notes, exit: None });
                return;
            }
        };
    let marks = async {
        match socket.as_ref().map(|socket| asynchronous(&socket.listener)) {
            Some(Ok(listener)) => serve(&listener, control).await,
            Some(Err(error)) => tracing::warn!("markers cannot be taken: {error}"),
            None => {}
        }
        std::future::pending::<()>().await;
    };
    let requests = async {
        if let Some(endpoint) = endpoint {
            let control = control.clone();
            if let Err(error) = endpoint.serve(Arc::new(move |marker| control.mark(marker))).await {
                tracing::warn!("markers cannot be taken over HTTP: {error}");
            }
        }
        std::future::pending::<()>().await;
    };
    let ended = async {
        while !control.is_stopped() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let command = async {
        match command {
            Some(command) => {
                let exit = tokio::task::spawn_blocking(command).await;
                tokio::time::sleep(LINGER).await;
                exit.map_err(std::io::Error::other).and_then(|exit| exit)
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = hear(&mut interrupt, &mut terminate) => {}
        () = marks => {}
        () = requests => {}
        () = ended => {}
        exit = command => {
            heard.notes.extend(outcome(&exit));
            heard.exit = Some(exit);
        }
    }
    control.stop();
    drop(socket);
    let _ = said.send(heard);
    // The second signal ends everything: what was stored stays stored. timeout(1) sends the first one twice, to the process and
    // to its group.
    tokio::time::sleep(TOGETHER).await;
    for signal in [&mut interrupt, &mut terminate] {
        let _ = tokio::time::timeout(Duration::ZERO, signal.recv()).await;
    }
    hear(&mut interrupt, &mut terminate).await;
    std::process::exit(INTERRUPTED);
}

async fn hear(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn outcome(exit: &std::io::Result<ExitStatus>) -> Option<String> {
    match exit {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("the command ended with {status}")),
        Err(error) => Some(format!("the command cannot be waited for: {error}")),
    }
}

fn asynchronous(listener: &StdListener) -> std::io::Result<UnixListener> {
    let listener = listener.try_clone()?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Takes markers, one a connection.
async fn serve<C: Control>(listener: &UnixListener, control: &C) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        // One after the other: markers have an order, and each is short.
        match tokio::time::timeout(PATIENCE, take(stream, control)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("a marker was lost: {error}"),
            Err(_elapsed) => tracing::warn!("a marker was lost: it was not said in time"),
        }
    }
}

async fn take<C: Control>(mut stream: UnixStream, control: &C) -> std::io::Result<()> {
    let at = now();
    let mut line = Vec::new();
    let (reader, mut writer) = stream.split();
    let most = u64::try_from(MAX_SAID).unwrap_or(u64::MAX);
    BufReader::new(reader.take(most)).read_until(b'\n', &mut line).await?;
    match Said::line(&line) {
        Ok(said) => {
            control.mark(said.at(at, MarkerOrigin::Mark));
            writer.write_all(b"ok\n").await
        }
        Err(refusal) => writer.write_all(format!("refused: {refusal}\n").as_bytes()).await,
    }
}
