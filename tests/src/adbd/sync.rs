//! Files that are pushed (AOSP, packages/modules/adb, SYNC.TXT and file_sync_protocol.h). All is done by programs in the device
//! under adbd's uid, so that its permissions hold.

use std::io::{self, Read, Write as _};
use std::process::Stdio;
use std::sync::Arc;

use super::channel::{Channel, Incoming};
use super::daemon::Daemon;

/// Bytes of a path that are taken.
const MAX_PATH: u32 = 1024;
/// Bytes of one DATA.
const MAX_DATA: u32 = 64 << 10;

/// Serves requests until QUIT or the connection's end.
pub(super) fn serve(daemon: &Daemon, channel: &Arc<Channel>) -> io::Result<()> {
    let mut incoming = Incoming::new(channel);
    loop {
        let (id, length) = head(&mut incoming)?;
        if &id == b"QUIT" || length > MAX_PATH {
            return Ok(());
        }
        let mut path = String::new();
        incoming.by_ref().take(u64::from(length)).read_to_string(&mut path)?;
        match &id {
            b"STAT" => {
                let numbers = stat(daemon, &path, false).unwrap_or_default();
                let [mode, size, time] = [2, 6, 8].map(|index| low(&numbers, index));
                channel.send(&[&id[..], &words(&[mode, size, time])].concat())?;
            }
            b"STA2" | b"LST2" => {
                channel.send(&[&id[..], &stat_v2(daemon, &path, &id == b"STA2")].concat())?
            }
            b"SEND" => take(daemon, channel, &mut incoming, &path)?,
            _ => fail(channel, "unknown request")?,
        }
    }
}

fn head(incoming: &mut Incoming) -> io::Result<([u8; 4], u32)> {
    let (mut id, mut length) = ([0; 4], [0; 4]);
    incoming.read_exact(&mut id)?;
    incoming.read_exact(&mut length)?;
    Ok((id, u32::from_le_bytes(length)))
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn fail(channel: &Channel, message: &str) -> io::Result<()> {
    let length = u32::try_from(message.len()).unwrap_or(0);
    channel.send(&[&b"FAIL"[..], &words(&[length]), message.as_bytes()].concat())
}

/// Device, inode, mode, links, uid, gid, size, and times of access, of the contents' and of the inode's change.
fn stat(daemon: &Daemon, path: &str, follow: bool) -> Result<Vec<u64>, u32> {
    let follow = if follow { "-L" } else { "--" };
    let words = ["stat", "-c", "%d %i %f %h %u %g %s %X %Y %Z", follow, path];
    let run = daemon.guest.command(daemon.uid(), &words).and_then(|mut command| command.output());
    let Ok(output) = run else { return Err(rustix::io::Errno::IO.raw_os_error().unsigned_abs()) };
    if !output.status.success() {
        let denied = String::from_utf8_lossy(&output.stderr).contains("Permission denied");
        let errno = if denied { rustix::io::Errno::ACCESS } else { rustix::io::Errno::NOENT };
        return Err(errno.raw_os_error().unsigned_abs());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The mode is in hexadecimal, the third of them.
    let number =
        |(index, word): (usize, &str)| u64::from_str_radix(word, if index == 2 { 16 } else { 10 }).ok();
    Ok(text.split_whitespace().enumerate().filter_map(number).collect())
}

/// One of the numbers, as far as 32 bits hold it.
fn low(numbers: &[u64], index: usize) -> u32 {
    numbers.get(index).copied().unwrap_or_default().try_into().unwrap_or(u32::MAX)
}

fn stat_v2(daemon: &Daemon, path: &str, follow: bool) -> Vec<u8> {
    let (error, numbers) = match stat(daemon, path, follow) {
        Ok(numbers) => (0, numbers),
        Err(error) => (error, Vec::new()),
    };
    let long = |index: usize| numbers.get(index).copied().unwrap_or_default().to_le_bytes().to_vec();
    let short = |index: usize| low(&numbers, index).to_le_bytes().to_vec();
    [
        words(&[error]),
        long(0),
        long(1),
        short(2),
        short(3),
        short(4),
        short(5),
        long(6),
        long(7),
        long(8),
        long(9),
    ]
    .concat()
}

/// `PATH,MODE`, then DATA until DONE.
fn take(daemon: &Daemon, channel: &Channel, incoming: &mut Incoming, request: &str) -> io::Result<()> {
    let (path, mode) = request.rsplit_once(',').unwrap_or((request, "420"));
    let mode = mode.parse::<u32>().unwrap_or(0o644) & 0o777;
    let script = "mkdir -p -- \"${1%/*}\" && rm -f -- \"$1\" && cat >\"$1\" && chmod \"$2\" -- \"$1\"";
    let octal = format!("{mode:o}");
    let mut child = daemon
        .guest
        .command(daemon.uid(), &["sh", "-c", script, "sync", path, &octal])?
        .stdin(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take();
    loop {
        let (id, length) = head(incoming)?;
        if &id != b"DATA" || length > MAX_DATA {
            break;
        }
        let mut bytes = Vec::new();
        incoming.by_ref().take(u64::from(length)).read_to_end(&mut bytes)?;
        if bytes.len() != usize::try_from(length).unwrap_or(usize::MAX) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // What cannot be written is read all the same: the answer comes at the end.
        if input.as_mut().is_some_and(|input| input.write_all(&bytes).is_err()) {
            input = None;
        }
    }
    drop(input);
    let output = child.wait_with_output()?;
    if output.status.success() {
        channel.send(&[&b"OKAY"[..], &words(&[0])].concat())
    } else {
        fail(channel, &reason("couldn't create file", &output.stderr))
    }
}

/// The kernel's reason, as the last word of a program's complaint.
fn reason(what: &str, stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    format!("{what}: {}", text.trim().rsplit(": ").next().unwrap_or_default())
}
