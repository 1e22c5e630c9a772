//! Where the scenario is played: names and certificates, the peers' servers, and how an app is started under its uid.
//!
//! How the traffic is captured is no business of this module.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::network::{INTERFACE, Network, PEERS, script};

use super::description::{App, Scenario};

/// How long the servers may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where apps look for programs. A Python of root's own is not among them: apps may not read it.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// What is in front of an app's line: `fails COMMAND` holds where the command does not succeed.
const PRELUDE: &str =
    "fails() { if \"$@\" 2>>\"$HOME/refusals\"; then echo \"$* did not fail\" >&2; exit 1; fi; }\n";

/// Binds the second argument over the first, and so on up to `--`; then runs the rest.
const BIND: &str = "while [ \"$1\" != -- ]; do mount --bind \"$2\" \"$1\"; shift 2; done; shift; exec \"$@\"";

/// The stage; its servers go away with it.
pub(crate) struct Stage {
    // They go before the network that they are in.
    _servers: Vec<Server>,
    pub(crate) network: Network,
    folder: PathBuf,
}

/// A server that goes away with it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An app that acts.
pub(crate) struct Acting {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Stage {
    /// The stage with all servers, or `None` after a loud line.
    pub(crate) fn or_skip(test: &str) -> Option<Self> {
        let network = Network::or_skip(test)?;
        let needed = ["curl", "dig", "dnsmasq", "mount", "nginx", "openssl", "setpriv", "unshare"];
        if let Some(program) = needed.into_iter().find(|program| find(program).is_none()) {
            observer_tests::skip(test, &format!("needs {program}"));
            return None;
        }
        let folder = network.folder.path().to_owned();
        let mut stage = Self { _servers: Vec::new(), network, folder };
        stage.furnish();
        stage._servers = stage.servers();
        Some(stage)
    }

    /// A file or folder of the stage, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Certificates, lists of names, folders; addresses for all names.
    fn furnish(&self) {
        for folder in ["pki", "apps", "python", "data"] {
            fs::create_dir(self.folder.join(folder)).expect("a new folder");
        }
        let mut make = Command::new("sh");
        make.arg(source("pki.sh")).arg(source("")).current_dir(self.folder.join("pki"));
        assert!(make.status().expect("sh").success(), "{}", self.path("pki/pki.log"));
        fs::copy(source("nginx.conf"), self.path("pki/nginx.conf")).expect("a copy");
        fs::write(self.path("resolv.conf"), format!("nameserver {}\n", PEERS[0])).expect("a new file");
        fs::write(self.path("nsswitch.conf"), "hosts: files dns\n").expect("a new file");
        fs::write(self.path("no-hosts"), "127.0.0.1 localhost\n::1 localhost\n").expect("a new file");
        fs::write(self.path("packages.list"), Scenario::load().packages()).expect("a new file");
        fs::copy(source("hosts"), self.path("hosts")).expect("a copy");
        fs::copy(source("curlrc"), self.path(".curlrc")).expect("a copy");
        fs::copy(source("apps.cnf"), self.path("apps.cnf")).expect("a copy");
        fs::write(self.path("keys.log"), "").expect("a new file");
        let everybody = Permissions::from_mode(0o666);
        fs::set_permissions(self.path("keys.log"), everybody).expect("its owner may");
        let hosts = fs::read_to_string(source("hosts")).expect("text");
        let addresses = hosts.lines().filter_map(|line| line.split_whitespace().next());
        let addresses: std::collections::BTreeSet<&str> =
            addresses.filter(|address| address.starts_with("10.") || address.contains(':')).collect();
        for address in addresses.into_iter().chain(["10.77.1.200"]) {
            let words: &[&str] = match address.contains(':') {
                true => &["-6", "addr", "add", address, "dev", INTERFACE, "nodad"],
                false => &["addr", "add", address, "dev", INTERFACE],
            };
            assert!(self.network.peer("ip").args(words).status().expect("ip").success(), "{address}");
        }
        self.network.ask(&["ip", "route", "add", "10.77.1.0/24", "via", PEERS[0]]);
    }

    /// A program of the peers, which knows all names.
    fn peer(&self, program: &str) -> Command {
        let mut command = self.network.peer("unshare");
        command.args(["--mount", "sh", "-ec", BIND, "sh"]);
        command.args(["/etc/hosts", &self.path("hosts"), "/etc/nsswitch.conf", &self.path("nsswitch.conf")]);
        command.args(self.wheels()).args(["--", program]).current_dir(self.folder.join("pki"));
        command.env("OPENSSL_CONF", source("peers.cnf")).env("PYTHONPATH", self.path("python"));
        command.env("PATH", PATH);
        command
    }

    /// What makes the modules that were fetched for the lab appear in the stage's folder.
    fn wheels(&self) -> Vec<String> {
        let wheels = std::env::var("LAB_PYTHON").ok().filter(|folder| Path::new(folder).is_dir());
        wheels.map_or_else(Vec::new, |folder| vec![self.path("python"), folder])
    }

    /// All servers, listening.
    fn servers(&self) -> Vec<Server> {
        let log = fs::File::create(self.path("servers.log")).expect("a new file");
        let start = |command: &mut Command| {
            let quiet = || Stdio::from(log.try_clone().expect("a handle"));
            Server(command.stdout(quiet()).stderr(quiet()).spawn().expect("nsenter"))
        };
        let mut servers = Vec::new();
        let mut nginx = self.peer("nginx");
        nginx.args(["-p", &self.path("pki"), "-c", &self.path("pki/nginx.conf")]);
        servers.push(start(&mut nginx));
        let mut dnsmasq = self.peer("dnsmasq");
        dnsmasq.args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]);
        dnsmasq.arg(format!("--addn-hosts={}", self.path("hosts"))).arg("--bind-interfaces");
        dnsmasq.args(["--local=/test/", &format!("--listen-address={}", PEERS[0])]);
        dnsmasq.arg("--listen-address=10.77.1.92");
        servers.push(start(&mut dnsmasq));
        if find("gnutls-serv").is_some() {
            let mut gnutls = self.peer("gnutls-serv");
            gnutls.args(["--quiet", "--http", "--disable-client-cert", "--port", "4443"]);
            gnutls.args(["--x509certfile", "good.pem", "--x509keyfile", "good.key", "--priority"]);
            gnutls.arg("NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+3DES-CBC");
            servers.push(start(&mut gnutls));
        }
        let mut own = self.peer("python3");
        own.arg(source("servers.py")).arg(self.path("pki"));
        own.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = own.stderr(log.try_clone().expect("a handle")).spawn().expect("nsenter");
        let said = child.stdout.take().expect("piped");
        servers.push(Server(child));
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).expect("text");
        let log = || fs::read_to_string(self.path("servers.log")).unwrap_or_default();
        assert_eq!(line.trim(), "ready", "{}", log());
        let begun = Instant::now();
        for server in ["plain.test/80", "bank.test/443", "10.77.0.2/53"] {
            while !self.reaches(server) {
                assert!(begun.elapsed() < PATIENCE, "nothing listens at {server}: {}", log());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        servers
    }

    /// Whether a server listens, asked on its own side: nothing of it is captured.
    fn reaches(&self, server: &str) -> bool {
        let mut command = self.peer("bash");
        command.args(["-c", &format!("exec 3<>/dev/tcp/{server}")]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// What an app lacks, if anything.
    pub(crate) fn lacks(&self, app: &App) -> Option<String> {
        app.needs.iter().find(|need| !self.has(need)).map(|need| format!("needs {need}"))
    }

    fn has(&self, need: &str) -> bool {
        let Some(module) = need.strip_prefix("python3:") else { return find(need).is_some() };
        let mut command = self.app("python3");
        command.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// A program on the side of the apps, which knows no name but what the lab's resolver says.
    fn app(&self, program: &str) -> Command {
        let mut command = self.network.app("unshare");
        command.args(["--mount", "sh", "-ec", BIND, "sh"]).args(["/etc/hosts", &self.path("no-hosts")]);
        command.args(["/etc/resolv.conf", &self.path("resolv.conf")]);
        command.args(["/etc/nsswitch.conf", &self.path("nsswitch.conf")]);
        command.args([&self.path("apps"), &source("apps").display().to_string()]).args(self.wheels());
        command.args(["--", program]).current_dir(&self.folder).env("PATH", PATH);
        command.env("PYTHONPATH", self.path("python"));
        command
    }

    /// The words that let an app act, in the stage's folder, wherever they are run as root.
    pub(crate) fn words(&self, app: &App) -> Vec<String> {
        let uid = app.uid;
        let root = self.path("pki/root.pem");
        let mut words: Vec<String> = vec![
            "setpriv".into(),
            format!("--reuid={uid}"),
            format!("--regid={uid}"),
            "--clear-groups".into(),
            "env".into(),
            "-i".into(),
        ];
        for (name, value) in [
            ("PATH", PATH.to_owned()),
            ("HOME", self.home(app)),
            ("CURL_HOME", self.path("")),
            ("CURL_CA_BUNDLE", root.clone()),
            ("SSL_CERT_FILE", root.clone()),
            ("NODE_EXTRA_CA_CERTS", root),
            ("OPENSSL_CONF", self.path("apps.cnf")),
            ("PYTHONPATH", self.path("python")),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ] {
            words.push(format!("{name}={value}"));
        }
        words.extend(["sh".into(), "-ec".into(), format!("{PRELUDE}{}", app.run)]);
        words
    }

    fn home(&self, app: &App) -> String {
        self.path(&format!("data/{}", app.uid))
    }

    /// Starts an app, and waits until it listens, if that is what it does.
    pub(crate) fn start(&self, app: &App) -> Acting {
        let home = self.home(app);
        fs::create_dir(&home).expect("a new folder");
        chown(&home, Some(app.uid), Some(app.uid)).expect("root may");
        let words = self.words(app);
        let mut command = self.app(&words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsenter");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut acting = Acting { child, output };
        if app.visit.is_some() || app.lasts {
            let mut line = String::new();
            acting.output.read_line(&mut line).expect("text");
            assert_eq!(line.trim(), "listening", "{}: {:?}", app.name, acting.end());
        }
        acting
    }

    /// The neighbour's part.
    pub(crate) fn visit(&self, words: &str) -> Output {
        let mut command = self.peer("sh");
        command.args(["-c", words]).current_dir(source("")).output().expect("nsenter")
    }
}

impl Acting {
    /// Waits for its end; what it complained of, where that is not a good one.
    pub(crate) fn end(mut self) -> Option<String> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.output.read_to_string(&mut said).expect("text");
        let output = self.child.wait_with_output().expect("a child");
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        (!output.status.success()).then(|| format!("{}: {complaint} {}", output.status, said.trim()))
    }
}

/// A file of the scenario.
fn source(name: &str) -> PathBuf {
    script("scenario").join(name)
}

/// Where apps find a program.
fn find(program: &str) -> Option<PathBuf> {
    PATH.split(':').map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}
