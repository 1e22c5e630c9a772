//! adbd's services, by the name that a stream is opened with (AOSP, packages/modules/adb, docs/dev/services.md).

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;

use super::channel::{Channel, Incoming, Link};
use super::daemon::Daemon;
use super::guest::SHELL;
use super::profile::Build;
use super::{shell, sync};

/// Serves a stream to its end. One that names no service is closed at once, as adbd does.
pub(super) fn serve(daemon: &Arc<Daemon>, link: &Arc<Link>, channel: &Arc<Channel>, name: &str) {
    let (service, argument) = name.split_once(':').unwrap_or((name, ""));
    let mut options = service.split(',');
    let service = options.next().unwrap_or_default();
    let options: Vec<_> = options.collect();
    // A stream that breaks is the other side's to notice.
    let _ = match service {
        "shell" if options.contains(&"v2") && daemon.guest.profile.shell_v2 => {
            shell::v2(daemon, channel, argument)
        }
        "shell" if options.is_empty() => shell::legacy(daemon, channel, argument),
        "exec" => shell::exec(daemon, channel, argument),
        "sync" => channel.okay().and_then(|()| sync::serve(daemon, channel)),
        "root" => root(daemon, channel, 0),
        "unroot" => root(daemon, channel, SHELL),
        "reboot" => channel.okay().map(|()| daemon.reboot()),
        "reverse" => reverse(daemon, link, channel, argument),
        "tcp" => connect(daemon, channel, argument),
        _ => Ok(()),
    };
}

fn root(daemon: &Arc<Daemon>, channel: &Channel, uid: u32) -> io::Result<()> {
    channel.okay()?;
    let words = match (daemon.guest.profile.build, uid) {
        (Build::User, 0) => "adbd cannot run as root in production builds\n",
        (_, 0) if daemon.uid() == 0 => "adbd is already running as root\n",
        (_, SHELL) if daemon.uid() == SHELL => "adbd not running as root\n",
        (_, 0) => "restarting adbd as root\n",
        _ => "restarting adbd as non root\n",
    };
    channel.send(words.as_bytes())?;
    if words.starts_with("restarting") {
        daemon.restart(uid);
    }
    Ok(())
}

/// `forward:tcp:THERE;tcp:HERE`, `killforward:tcp:THERE`, `killforward-all`, `list-forward`.
fn reverse(daemon: &Arc<Daemon>, link: &Arc<Link>, channel: &Channel, request: &str) -> io::Result<()> {
    channel.okay()?;
    let text = |word: &str, text: &str| format!("{word}{:04x}{text}", text.len());
    let (verb, rest) = request.split_once(':').unwrap_or((request, ""));
    let port = |end: &str| end.strip_prefix("tcp:").and_then(|port| port.parse::<u16>().ok());
    let answer = match verb {
        "forward" => {
            let rest = rest.strip_prefix("norebind:").unwrap_or(rest);
            let ends = rest.split_once(';').and_then(|(there, here)| Some((port(there)?, here)));
            match ends.map(|(there, here)| (there, daemon.reverse(link, there, here))) {
                Some((0, Ok(port))) => text("OKAY", &port.to_string()),
                Some((_, Ok(_))) => "OKAY".to_owned(),
                Some((_, Err(error))) => text("FAIL", &format!("cannot bind listener: {error}")),
                None => text("FAIL", "bad forward"),
            }
        }
        "killforward" if port(rest).is_some_and(|port| daemon.remove_reverse(Some(port))) => {
            "OKAY".to_owned()
        }
        "killforward" => text("FAIL", &format!("listener '{rest}' not found")),
        "killforward-all" => {
            daemon.remove_reverse(None);
            "OKAY".to_owned()
        }
        _ => {
            let list = daemon.reverses();
            let lines: String =
                list.iter().map(|(port, target)| format!("UsbFfs tcp:{port} {target}\n")).collect();
            text("OKAY", &lines)
        }
    };
    channel.send(answer.as_bytes())
}

/// A forward's far end: a port of the device.
fn connect(daemon: &Arc<Daemon>, channel: &Arc<Channel>, port: &str) -> io::Result<()> {
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let guest = Arc::clone(&daemon.guest);
    // The network is a thread's; the socket stays in it.
    let socket = thread::spawn(move || {
        guest.enter_network()?;
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
    });
    let socket = socket.join().unwrap_or_else(|_panicked| Err(io::Error::other("the thread ended")))?;
    channel.okay()?;
    join(channel, socket);
    Ok(())
}

/// Passes bytes between a stream and a socket until both are at their end.
pub(super) fn join(channel: &Arc<Channel>, socket: TcpStream) {
    let Ok(mut reader) = socket.try_clone() else { return };
    let outward = Arc::clone(channel);
    let pump = thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if outward.send(buffer.get(..count).unwrap_or_default()).is_err() {
                break;
            }
        }
        // adb's streams have no half-open state.
        outward.close();
    });
    let mut socket = socket;
    // A side that breaks ends both.
    let _ = io::copy(&mut Incoming::new(channel), &mut socket).and_then(|_| socket.flush());
    let _ = socket.shutdown(Shutdown::Both);
    let _ = pump.join();
}
