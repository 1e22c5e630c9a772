//! Commands: shell v2, which keeps outputs apart and has an exit code, and what came before it.
//!
//! AOSP, packages/modules/adb, shell_protocol.h: a byte of kind, four of length, little-endian, then the bytes.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;

use super::channel::{Channel, Incoming};
use super::daemon::Daemon;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const EXIT: u8 = 3;
const CLOSE_STDIN: u8 = 4;
/// Bytes that are passed on at once.
const BUFFER: usize = 64 << 10;

/// Starts `command` in the shell of the device. A command is one string, as for the device's own.
pub(super) fn spawn(daemon: &Daemon, command: &str) -> io::Result<Child> {
    let words: &[&str] = if command.is_empty() { &["sh"] } else { &["sh", "-c", command] };
    daemon.guest.command(daemon.uid(), words)?.stdin(Stdio::piped()).spawn()
}

/// The shell protocol.
pub(super) fn v2(daemon: &Daemon, channel: &Arc<Channel>, command: &str) -> io::Result<()> {
    let mut child = spawn(daemon, command)?;
    channel.okay()?;
    let mut pumps = Vec::new();
    for (kind, pipe) in [
        (STDOUT, child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
        (STDERR, child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
    ] {
        let (Some(mut pipe), channel) = (pipe, Arc::clone(channel)) else { continue };
        pumps.push(thread::spawn(move || {
            let mut buffer = vec![0; BUFFER];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                // A device whose host is gone keeps what it runs: it finds its pipe closed when it writes.
                if packet(&channel, kind, buffer.get(..count).unwrap_or_default()).is_err() {
                    return;
                }
            }
        }));
    }
    let input = child.stdin.take();
    let incoming = Incoming::new(channel);
    thread::spawn(move || feed(incoming, input));
    for pump in pumps {
        // A thread that ended badly has passed nothing more on.
        let _ = pump.join();
    }
    let status = child.wait()?;
    let signal = status.signal().map(|signal| signal.saturating_add(128));
    let code = u8::try_from(status.code().or(signal).unwrap_or(255)).unwrap_or(255);
    packet(channel, EXIT, &[code])
}

fn packet(channel: &Channel, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut packet = vec![kind];
    packet.extend_from_slice(&length.to_le_bytes());
    packet.extend_from_slice(bytes);
    channel.send(&packet)
}

/// Passes the input on, until its end is told or the connection is gone.
fn feed(mut incoming: Incoming, mut input: Option<impl io::Write>) {
    let mut head = [0; 5];
    while incoming.read_exact(&mut head).is_ok() {
        let [kind, length @ ..] = head;
        let mut bytes = incoming.by_ref().take(u64::from(u32::from_le_bytes(length)));
        if kind == CLOSE_STDIN {
            input = None;
        }
        let pipe = input.as_mut().filter(|_| kind == STDIN);
        let taken = pipe.is_none_or(|pipe| io::copy(&mut bytes, pipe).and_then(|_| pipe.flush()).is_ok());
        if !taken {
            input = None;
        }
        // What a closed input did not take, and sizes of windows.
        if io::copy(&mut bytes, &mut io::sink()).is_err() {
            return;
        }
    }
}

/// `exec:`: one stream both ways, errors within the output, no exit code.
pub(super) fn exec(daemon: &Daemon, channel: &Arc<Channel>, command: &str) -> io::Result<()> {
    merged(daemon, channel, command, |bytes| bytes.to_vec())
}

/// `shell:` of old devices: a terminal, which writes a carriage return before each line break.
pub(super) fn legacy(daemon: &Daemon, channel: &Arc<Channel>, command: &str) -> io::Result<()> {
    merged(daemon, channel, command, |bytes| {
        let ends = |byte: &u8| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] };
        bytes.iter().flat_map(ends).collect()
    })
}

fn merged(
    daemon: &Daemon,
    channel: &Arc<Channel>,
    command: &str,
    shown: impl Fn(&[u8]) -> Vec<u8>,
) -> io::Result<()> {
    // The shell itself joins errors and output, for it starts with both.
    let mut child = daemon
        .guest
        .command(daemon.uid(), &["sh", "-c", "exec 2>&1; eval \"$0\"", command])?
        .stdin(Stdio::piped())
        .spawn()?;
    channel.okay()?;
    let (input, mut incoming) = (child.stdin.take(), Incoming::new(channel));
    thread::spawn(move || input.map(|mut input| io::copy(&mut incoming, &mut input)));
    let mut output = child.stdout.take();
    let mut buffer = vec![0; BUFFER];
    while let Some(count @ 1..) = output.as_mut().and_then(|output| output.read(&mut buffer).ok()) {
        if channel.send(&shown(buffer.get(..count).unwrap_or_default())).is_err() {
            break;
        }
    }
    drop(output);
    child.wait().map(drop)
}
