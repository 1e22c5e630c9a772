//! adbd's services, by the name that a stream is opened with (AOSP, packages/modules/adb, docs/dev/services.md).

use std::io;
use std::sync::Arc;

use super::channel::Channel;
use super::daemon::Daemon;
use super::guest::SHELL;
use super::profile::Build;
use super::{shell, sync};

/// Serves a stream to its end. One that names no service is closed at once, as adbd does.
pub(super) fn serve(daemon: &Arc<Daemon>, channel: &Arc<Channel>, name: &str) {
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
