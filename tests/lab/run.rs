//! `observer run` from end to end: Debian's adb, a device of namespaces, the agent, real apps, and what goes wrong on the way.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use observer_tests::adbd::{AdbServer, Instrumentation, Package, Profile, StandIn, Test};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use crate::capture::OBSERVER;
use crate::network::{Network, PEERS, Talker};
use crate::scenario::description::Scenario;
use crate::scenario::stage::Stage;
use crate::scenario::{Moment, demand, keep, play};

/// How long anything may take that takes far less.
const PATIENCE: Duration = Duration::from_secs(120);

/// A device, adb's server, and room for files.
struct Bench {
    device: StandIn,
    server: AdbServer,
    folder: PathBuf,
}

impl Bench {
    /// The device of `profile` on the apps' side of `network`; `None` after a loud line.
    fn or_skip(test: &str, profile: Profile, network: &Network) -> Option<Self> {
        let device = StandIn::or_skip(test, profile, Some(network.namespace()))?;
        let server = AdbServer::start().expect("adb's server");
        server.connect(&device).expect("a connection");
        Some(Self { device, server, folder: network.folder.path().to_owned() })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// `observer run WORDS -- sh -c SCRIPT`.
    fn run(&self, words: &[&str], script: Option<&str>) -> Run {
        let mut command = Command::new(OBSERVER);
        command.args(["run", "--agent", OBSERVER, "--serial", &self.device.serial()]).args(words);
        if let Some(script) = script {
            command.args(["--", "sh", "-ec", script]);
        }
        command.envs(self.server.variables()).env("OBSERVER", OBSERVER).current_dir(&self.folder);
        Run::start(&mut command)
    }

    /// What of the agent runs on the device.
    fn agents(&self) -> Vec<String> {
        self.device.processes().into_iter().filter(|words| words.contains("agent --")).collect()
    }
}

/// A run that goes on.
struct Run {
    child: Child,
    capturing: Receiver<()>,
    said: JoinHandle<String>,
    shown: JoinHandle<String>,
}

/// One that has ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (captures, capturing) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut stdout = child.stdout.take().expect("piped");
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            for line in stderr.lines().map_while(Result::ok) {
                if line.contains("capturing") {
                    let _ = captures.send(());
                }
                text.push_str(&line);
                text.push('\n');
            }
            text
        });
        let shown = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).expect("text");
            text
        });
        Self { child, capturing, said, shown }
    }

    /// Waits until it captures.
    fn begun(&self) {
        self.capturing.recv_timeout(PATIENCE).expect("it captures");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    fn end(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let stderr = self.said.join().expect("reads text");
        let stdout = self.shown.join().expect("reads text");
        assert!(begun.elapsed() < PATIENCE, "does not end: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        Ended { code: status.code(), stdout, stderr }
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn number(database: &str, sql: &str) -> i64 {
    let connection = Connection::open(database).expect("a database");
    connection.query_row(sql, (), |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Names of tests and what was found in them.
fn by_step(database: &str, sql: &str) -> Vec<(String, i64)> {
    let connection = Connection::open(database).expect("a database");
    let mut statement = connection.prepare(sql).expect("SQL");
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

/// An emulator with an app that fetches a page of `servers` under its uid.
fn shop(servers: &str) -> Profile {
    let fetch = |path: &str| -> Vec<String> {
        let words = ["curl", "--silent", "--max-time", "5", "--output", "/dev/null"];
        words.iter().map(|word| (*word).to_owned()).chain([format!("http://{servers}:8080/{path}")]).collect()
    };
    let test = |method: &str, command| Test {
        class: "com.example.shop.CartTest".to_owned(),
        method: method.to_owned(),
        command,
    };
    Profile {
        instrumentations: vec![Instrumentation {
            component: "com.example.shop.test/androidx.test.runner.AndroidJUnitRunner".to_owned(),
            uid: 10_123,
            tests: vec![
                test("adds", fetch("cart?item=1")),
                test("rests", vec!["sleep".to_owned(), "0.6".to_owned()]),
                test("fails", vec!["false".to_owned()]),
            ],
        }],
        ..Profile::emulator()
    }
}

/// A web server on the peers' side.
fn web(network: &Network) -> Talker {
    let script = "
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer((sys.argv[1], 8080), Handler)
print('ready', flush=True)
server.serve_forever()
";
    let mut server = Talker::start(network.peer("python3").args(["-c", script, PEERS[0]]));
    server.until("ready");
    server
}

#[test]
fn a_test_on_a_device_is_judged_by_test() {
    let name = "a_test_on_a_device_is_judged_by_test";
    let Some(network) = Network::or_skip(name) else { return };
    let _web = web(&network);
    let Some(bench) = Bench::or_skip(name, shop(PEERS[0]), &network) else { return };
    let database = bench.path("run.db");
    let words = ["--package", "com.example.shop", "--db", &database, "--report", "out"];
    let script = "adb -s $ANDROID_SERIAL shell am instrument -w -r \
        com.example.shop.test/androidx.test.runner.AndroidJUnitRunner
        curl --silent --fail --data '{\"label\":\"by hand\"}' $OBSERVER_MARK_URL";
    let ended = bench.run(&words, Some(script)).end();
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("VIOLATED: com.example.shop violates CL MSS 5.1"), "{}", ended.stdout);
    assert!(ended.stdout.contains("adds(com.example.shop.CartTest)"), "{}", ended.stdout);
    // What the command wrote is not the report's.
    assert!(ended.stderr.contains("INSTRUMENTATION_STATUS: test=adds"), "{}", ended.stderr);
    let found = "SELECT step, count(*) FROM findings WHERE rule = 'cleartext-http' GROUP BY step";
    assert_eq!(by_step(&database, found), [("adds(com.example.shop.CartTest)".to_owned(), 1)]);
    let results = "SELECT name || ' ' || result, 1 FROM steps WHERE kind = 'test' ORDER BY start";
    let results: Vec<_> = by_step(&database, results).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        results,
        [
            "adds(com.example.shop.CartTest) passed",
            "rests(com.example.shop.CartTest) passed",
            "fails(com.example.shop.CartTest) failed",
        ]
    );
    assert_eq!(number(&database, "SELECT count(*) FROM steps WHERE name = 'by hand'"), 1);
    assert_eq!(number(&database, "SELECT count(*) FROM flows WHERE app = 'com.example.shop'"), 1);
    assert_eq!(number(&database, "SELECT clock_error_ns < 1000000000 FROM runs"), 1);
    let methods = "SELECT owner_method, count(*) FROM flows WHERE app = 'com.example.shop' GROUP BY 1";
    assert_eq!(by_step(&database, methods), [("ebpf".to_owned(), 1)]);
    for report in ["report.html", "report.sarif", "report.xml", "report.md", "report.json"] {
        let text = fs::read_to_string(bench.folder.join("out").join(report)).expect("a report");
        assert!(text.contains("cleartext-http"), "{report}");
    }
    assert_eq!(bench.agents(), [] as [String; 0]);
    let left: Vec<_> = fs::read_dir(bench.device.path("/data/local/tmp"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    assert!(left.iter().all(|name| name.starts_with("observer-")) && left.len() == 1, "{left:?}");
    // The second run finds the agent there, and its baseline knows the finding.
    let words = ["--package", "com.example.shop", "--db", &database, "--baseline", &database];
    let again = bench.run(&words, Some(script)).end();
    assert_eq!(again.code, Some(0), "nothing is new: {}{}", again.stdout, again.stderr);
    assert!(!again.stderr.contains("was put on"), "{}", again.stderr);
}

#[test]
fn a_link_that_breaks_loses_nothing() {
    let name = "a_link_that_breaks_loses_nothing";
    let Some(network) = Network::or_skip(name) else { return };
    let _web = web(&network);
    let Some(bench) = Bench::or_skip(name, shop(PEERS[0]), &network) else { return };
    let database = bench.path("run.db");
    let run = bench.run(&["--db", &database], Some("while [ ! -e done ]; do sleep 0.1; done"));
    run.begun();
    let fetch = |count: usize| {
        for _ in 0..count {
            let url = format!("http://{}:8080/", PEERS[0]);
            let words = ["curl", "--silent", "--max-time", "5", "--output", "/dev/null", &url];
            let status = bench.device.command(10_123, &words).expect("it runs").status().expect("curl");
            assert!(status.success());
        }
    };
    fetch(3);
    bench.device.cut_link();
    fetch(4);
    bench.device.restore_link().expect("its port is free");
    fetch(2);
    // adb looks for a device that was lost every ten seconds.
    until("the link", || bench.server.run(&["-s", &bench.device.serial(), "shell", "true"]).is_ok());
    std::thread::sleep(Duration::from_secs(2));
    // The whole server goes, too: the next command starts another.
    let _ = bench.server.run(&["kill-server"]);
    fetch(3);
    let _ = bench.server.connect(&bench.device);
    until("the link", || bench.server.run(&["-s", &bench.device.serial(), "shell", "true"]).is_ok());
    std::thread::sleep(Duration::from_secs(2));
    fs::write(bench.folder.join("done"), "").expect("a file");
    let ended = run.end();
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    let flows = "SELECT count(*) FROM flows WHERE app = 'com.example.shop' AND network_protocol = 'http'";
    assert_eq!(number(&database, flows), 12, "{}{}", ended.stdout, ended.stderr);
    assert_eq!(bench.agents(), [] as [String; 0]);
}

#[test]
fn what_dies_keeps_what_was_stored() {
    let name = "what_dies_keeps_what_was_stored";
    let Some(network) = Network::or_skip(name) else { return };
    let _web = web(&network);
    let fetch = |bench: &Bench| {
        let url = format!("http://{}:8080/", PEERS[0]);
        let words = ["curl", "--silent", "--max-time", "5", "--output", "/dev/null", &url];
        assert!(bench.device.command(10_123, &words).expect("it runs").status().expect("curl").success());
    };
    // Its tables are made when the run begins in it.
    let stored = |database: &str| -> i64 {
        let connection = Connection::open(database).expect("a database");
        let sql = "SELECT count(*) FROM flows WHERE network_protocol = 'http'";
        connection.query_row(sql, (), |row| row.get(0)).unwrap_or(0)
    };

    // The device dies: what came before is judged, and the run says that the rest is missing.
    {
        let Some(bench) = Bench::or_skip(name, shop(PEERS[0]), &network) else { return };
        let database = bench.path("device.db");
        let run = bench.run(&["--db", &database, "--linger", "3", "--fail-on", "never"], Some("sleep 12"));
        run.begun();
        fetch(&bench);
        until("the flow", || Path::new(&database).exists() && stored(&database) == 1);
        bench.device.kill();
        let ended = run.end();
        assert_eq!(ended.code, Some(4), "{}{}", ended.stdout, ended.stderr);
        assert_eq!(stored(&database), 1);
        assert!(ended.stderr.contains("link"), "{}", ended.stderr);
        assert!(ended.stderr.contains("the command still ran"), "{}", ended.stderr);
    }
    // The host's process is killed: the database keeps what it had, and the agent ends by itself.
    {
        let Some(bench) = Bench::or_skip(name, shop(PEERS[0]), &network) else { return };
        let database = bench.path("host.db");
        let run = bench.run(&["--db", &database, "--linger", "2"], None);
        run.begun();
        fetch(&bench);
        until("the flow", || Path::new(&database).exists() && stored(&database) == 1);
        run.signal(Signal::KILL);
        assert_eq!(run.end().code, None);
        assert_eq!((stored(&database), bench.agents().is_empty()), (1, false));
        until("the agent's end", || bench.agents().is_empty());
        assert_eq!(number(&database, "SELECT count(*) FROM runs WHERE status = 'unfinished'"), 1);
        // The next run goes on in the same database.
        let ended = bench.run(&["--db", &database], Some("sleep 0.2")).end();
        assert!(matches!(ended.code, Some(0 | 1 | 4)), "{}{}", ended.stdout, ended.stderr);
        assert_eq!(number(&database, "SELECT count(*) FROM runs"), 2);
    }
    // The agent is killed: the same, without a device that dies.
    {
        let Some(bench) = Bench::or_skip(name, shop(PEERS[0]), &network) else { return };
        let database = bench.path("agent.db");
        let run = bench.run(&["--db", &database, "--linger", "3", "--fail-on", "never"], Some("sleep 12"));
        run.begun();
        fetch(&bench);
        until("the flow", || Path::new(&database).exists() && stored(&database) == 1);
        let killed =
            bench.device.command(0, &["pkill", "-KILL", "-f", "agent --"]).expect("it runs").status();
        assert!(killed.expect("pkill").success());
        let ended = run.end();
        assert_eq!(ended.code, Some(4), "{}{}", ended.stdout, ended.stderr);
        assert_eq!(stored(&database), 1);
    }
    // The disk fills: the run fails, and what fitted is there.
    {
        let Some(bench) = Bench::or_skip(name, shop(PEERS[0]), &network) else { return };
        let small = bench.folder.join("small");
        fs::create_dir(&small).expect("a folder");
        let mount = |words: &[&str]| Command::new(words[0]).args(&words[1..]).arg(&small).status();
        assert!(mount(&["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs"]).expect("mount").success());
        let database = small.join("run.db").display().to_string();
        let run = bench.run(&["--db", &database], Some("while [ ! -e done ]; do sleep 0.1; done"));
        run.begun();
        fetch(&bench);
        until("the flow", || Path::new(&database).exists() && stored(&database) == 1);
        let mut fill = Command::new("dd");
        fill.args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}/full", small.display()));
        assert!(!fill.stderr(Stdio::null()).status().expect("dd").success(), "it is not full");
        for _ in 0..40 {
            fetch(&bench);
        }
        fs::write(bench.folder.join("done"), "").expect("a file");
        let ended = run.end();
        let kept = stored(&database);
        assert!(mount(&["umount", "--lazy"]).expect("umount").success());
        assert_eq!(ended.code, Some(3), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains("full"), "{}", ended.stderr);
        assert!(kept >= 1);
        until("the agent's end", || bench.agents().is_empty());
    }
}

#[test]
fn a_device_without_root_is_refused_in_one_sentence() {
    let name = "a_device_without_root_is_refused_in_one_sentence";
    let Some(network) = Network::or_skip(name) else { return };
    let Some(bench) = Bench::or_skip(name, Profile::play_image(), &network) else { return };
    let ended = bench.run(&["--quiet"], Some("true")).end();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("no root") && ended.stderr.contains("--capture host"), "{}", ended.stderr);
}

#[test]
fn an_agent_that_cannot_capture_says_why() {
    let name = "an_agent_that_cannot_capture_says_why";
    let Some(network) = Network::or_skip(name) else { return };
    let Some(bench) = Bench::or_skip(name, Profile::emulator(), &network) else { return };
    let ended = bench.run(&["--interface", "nosuch0"], Some("true")).end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("nosuch0"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("exit-code"), "{}", ended.stderr);
    assert_eq!(bench.agents(), [] as [String; 0]);
}

#[test]
fn what_the_host_captures_is_joined_with_the_devices_tables() {
    let name = "what_the_host_captures_is_joined_with_the_devices_tables";
    let Some(network) = Network::or_skip(name) else { return };
    let _web = web(&network);
    // Nothing is put on the device, and nothing of it is left.
    {
        let Some(bench) = Bench::or_skip(name, shop(PEERS[0]), &network) else { return };
        let pcap = bench.path("run.pcap");
        // What `emulator -tcpdump` writes: the guest's own packets, as they come.
        let mut tcpdump = network.app("tcpdump");
        tcpdump.args(["-i", "any", "-U", "-w", &pcap]).stderr(Stdio::null());
        let Ok(mut tcpdump) = tcpdump.spawn() else { return observer_tests::skip(name, "needs tcpdump") };
        until("tcpdump", || fs::metadata(&pcap).is_ok_and(|file| file.len() >= 24));
        let database = bench.path("host.db");
        let words = ["--capture", "host", "--tcpdump", &pcap, "--db", &database, "--fail-on", "never"];
        let run = bench.run(&words, Some("while [ ! -e done ]; do sleep 0.1; done"));
        run.begun();
        // A connection that stays open for a while is found in a table.
        let hold = format!(
            "import socket, time\nsock = socket.create_connection(('{}', 8080))\ntime.sleep(2)\n\
             sock.sendall(b'GET /held HTTP/1.0\\r\\n\\r\\n')\nsock.recv(99)",
            PEERS[0]
        );
        let app = bench.device.command(10_123, &["python3", "-c", &hold]).expect("it runs").status();
        assert!(app.expect("python3").success());
        std::thread::sleep(Duration::from_secs(1));
        fs::write(bench.folder.join("done"), "").expect("a file");
        let ended = run.end();
        let _ = tcpdump.kill();
        let _ = tcpdump.wait();
        let owned =
            "SELECT count(*) FROM flows WHERE app = 'com.example.shop' AND owner_confidence = 'polled'";
        let all = "SELECT count(*) FROM flows WHERE network_protocol = 'http'";
        assert_eq!(number(&database, all), 1, "{}{}", ended.stdout, ended.stderr);
        assert_eq!(number(&database, owned), 1, "{}{}", ended.stdout, ended.stderr);
        let files = fs::read_dir(bench.device.path("/data/local/tmp")).expect("a folder").count();
        assert_eq!(files, 0);
    }
}

#[test]
fn every_planted_behaviour_is_judged_right_through_adb() {
    let name = "every_planted_behaviour_is_judged_right_through_adb";
    let Some(stage) = Stage::or_skip(name) else { return };
    let scenario = Scenario::load();
    let list = scenario.packages();
    let packages = list.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (name, uid) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        Some(Package { name, uid, command: Vec::new() })
    });
    let profile = Profile { packages: packages.collect(), ..Profile::emulator() };
    let Some(bench) = Bench::or_skip(name, profile, &stage.network) else { return };
    let database = stage.path("through-adb.db");
    let words = [
        ["--db", &database],
        ["--policy", &stage.path("pki/policy.toml")],
        ["--ca", &stage.path("pki/root.pem")],
        ["--keylog", &stage.path("keys.log")],
        ["--fail-on", "never"],
    ];
    let run = bench.run(&words.concat(), Some("while [ ! -e done ]; do sleep 0.1; done"));
    run.begun();
    let mut labels = Vec::new();
    let mut step = |label: &str, moment: Moment| {
        let word = match moment {
            Moment::Begins => "started",
            Moment::Ends => "finished",
        };
        bench
            .device
            .log('I', "TestRunner", &format!("{word}: {label}(com.example.Scenario)"))
            .expect("its log");
        labels.push(label.to_owned());
    };
    let (acted, failed) = play(&stage, &scenario, &mut step);
    std::thread::sleep(Duration::from_secs(1));
    fs::write(bench.folder.join("done"), "").expect("a file");
    let ended = run.end();
    let steps = number(&database, "SELECT count(*) FROM steps WHERE kind = 'test'");
    demand(&scenario, &acted, &failed, keep(&database, "through-adb.db"), &ended.stderr);
    assert_eq!(usize::try_from(steps).expect("a number") * 2, labels.len(), "{labels:?}");
}
