//! For tests: real sockets of real users, in a network namespace that ends with the test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::decode::{Endpoint, FiveTuple, Transport};

/// Runs `test` on a thread with a network namespace of its own; without root it says so and does nothing.
pub(super) fn within(test: impl FnOnce() + Send) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED, and nothing was tested: a network namespace takes root");
        return;
    }
    let run = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root may have a network namespace");
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        test();
    };
    thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Another host, 10.9.0.2, by a cable to this one, 10.9.0.1.
pub(super) struct Host(Child);

impl Host {
    pub(super) fn new() -> Self {
        let host =
            Command::new("unshare").args(["-n", "sleep", "600"]).spawn().expect("unshare is installed");
        let pid = host.id();
        let host = Self(host);
        // It is another host from the moment on that its namespace is.
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        while namespace(&pid.to_string()) == namespace("thread-self") {
            thread::yield_now();
        }
        for line in [
            format!("ip link add here type veth peer name there netns {pid}"),
            "ip address add 10.9.0.1/24 dev here".to_owned(),
            "ip link set here up".to_owned(),
            format!("nsenter -t {pid} -n ip address add 10.9.0.2/24 dev there"),
            format!("nsenter -t {pid} -n ip link set there up"),
        ] {
            let mut words = line.split(' ');
            let mut command = Command::new(words.next().unwrap());
            assert!(command.args(words).status().unwrap().success(), "{line}");
        }
        host
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A program with open sockets; it ends with its value.
pub(super) struct Program {
    child: Child,
    /// What it has opened: name, and the flow from its own end; an unconnected socket has the destination that it sent to.
    pub(super) flows: Vec<(String, FiveTuple)>,
}

impl Program {
    /// Runs a Python script as `uid`, which calls `show(name, socket, destination)` for each of its sockets, and waits until
    /// all are open.
    pub(super) fn new(uid: u32, script: &str) -> Self {
        Self::run(Command::new("python3").uid(uid).gid(uid), script)
    }

    /// The same on another host.
    pub(super) fn on(host: &Host, uid: u32, script: &str) -> Self {
        let (pid, uid) = (host.0.id().to_string(), uid.to_string());
        let enter = ["-t", &pid, "-n", "--setuid", &uid, "--setgid", &uid, "python3"];
        Self::run(Command::new("nsenter").args(enter), script)
    }

    fn run(command: &mut Command, script: &str) -> Self {
        let script = format!("{PRELUDE}\n{script}\nprint(flush=True)\ntime.sleep(600)\n");
        let mut child = command
            .args(["-c", &script])
            .current_dir("/")
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let flows = lines.take_while(|line| !line.is_empty()).map(|line| flow(&line)).collect();
        assert!(child.try_wait().unwrap().is_none(), "the script has failed");
        Self { child, flows }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `name tcp|udp local port remote port`
fn flow(line: &str) -> (String, FiveTuple) {
    let fields: Vec<&str> = line.split(' ').collect();
    let end = |at: usize| Endpoint { ip: fields[at].parse().unwrap(), port: fields[at + 1].parse().unwrap() };
    let transport = if fields[1] == "tcp" { Transport::Tcp } else { Transport::Udp };
    (fields[0].to_owned(), FiveTuple { transport, source: end(2), destination: end(4) })
}

const PRELUDE: &str = "
import time
from socket import *
open_sockets = []
def plain(end):
    return (end[0].removeprefix('::ffff:'), end[1])
def show(name, sock, remote=None, local=None):
    open_sockets.append(sock)
    if remote is None:
        return
    (host, port), (to, to_port) = plain(sock.getsockname()), plain(remote)
    print(name, 'tcp' if sock.type == SOCK_STREAM else 'udp', local or host, port, to, to_port)
";

/// Servers for [`CLIENTS`].
pub(super) const SERVERS: &str = "
for family, host in ((AF_INET, '127.0.0.1'), (AF_INET6, '::1')):
    for port in (8001, 8002):
        sock = socket(family, SOCK_STREAM)
        sock.bind((host, port))
        sock.listen()
        show('listening', sock)
    sock = socket(family, SOCK_DGRAM)
    sock.bind((host, 5301))
    show('bound', sock)
";

/// One socket of each kind.
pub(super) const CLIENTS: &str = "
def connected(name, family, kind, host, port):
    sock = socket(family, kind)
    sock.connect((host, port))
    show(name, sock, sock.getpeername())
def unconnected(name, family, host, local, options=()):
    sock = socket(family, SOCK_DGRAM)
    for option in options:
        sock.setsockopt(*option)
    sock.sendto(b'x', (host, 5301))
    show(name, sock, (host, 5301), local)
connected('tcp4', AF_INET, SOCK_STREAM, '127.0.0.1', 8001)
connected('tcp6', AF_INET6, SOCK_STREAM, '::1', 8001)
connected('tcp-mapped', AF_INET6, SOCK_STREAM, '::ffff:127.0.0.1', 8002)
connected('udp4', AF_INET, SOCK_DGRAM, '127.0.0.1', 5301)
connected('udp6', AF_INET6, SOCK_DGRAM, '::1', 5301)
connected('udp-mapped', AF_INET6, SOCK_DGRAM, '::ffff:127.0.0.1', 5301)
unconnected('udp4-unconnected', AF_INET, '127.0.0.1', '127.0.0.1')
unconnected('udp6-unconnected', AF_INET6, '::1', '::1')
unconnected('udp-mapped-unconnected', AF_INET6, '::ffff:127.0.0.1', '127.0.0.1')
unconnected('udp4-on-device', AF_INET, '127.0.0.1', '127.0.0.1', [(SOL_SOCKET, SO_BINDTODEVICE, b'lo')])
";
