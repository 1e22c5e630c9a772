//! Tests that tell a running capture of themselves, and the flows of real apps in them.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use crate::capture::{Capture, Ended, OBSERVER};
use crate::network::{Network, PEERS, Talker};

/// Longer than the grace after a test.
const LONGER_THAN_GRACE: Duration = Duration::from_millis(400);

/// A server on the side of the peers that answers every line, until it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connects to a port of the peers, says a line and hears the answer; then again for each line that it is given.
const CLIENT: &str = "
import itertools, socket, sys
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in itertools.chain(['hello'], sys.stdin):
    peer.sendall(b'hello\\n')
    peer.recv(64)
    print('said', flush=True)
";

const SERVER: &str = "
import socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer((sys.argv[1], 0), Echo)
print(server.server_address[1], flush=True)
server.serve_forever()
";

fn server(network: &Network) -> (Server, String) {
    let mut command = network.peer("python3");
    let mut child =
        command.args(["-c", SERVER, PEERS[0]]).stdout(Stdio::piped()).spawn().expect("python3 starts");
    let mut port = String::new();
    let output = child.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut port).expect("text");
    (Server(child), port.trim().to_owned())
}

/// One connection, from its first line on.
fn connect(network: &Network, port: &str) -> Talker {
    let mut command = network.app("python3");
    let mut client = Talker::start(command.args(["-c", CLIENT, PEERS[0], port]));
    client.until("said");
    client
}

/// POSTs to where the capture said that it listens.
fn post(network: &Network, url: &str, body: &str) -> String {
    network.ask(&["curl", "-s", "--max-time", "5", "--data-raw", body, url])
}

fn step_of(ended: &Ended, local: &str) -> Vec<(String, String, Vec<String>)> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let flows = ended.of_type("flow");
    let port: u64 = local.parse().expect("a port");
    let to_server = flows.into_iter().filter(|flow| flow["destination"]["port"].as_u64() == Some(port));
    // As corrected by what came later.
    let of = |flow: &Value| {
        let corrected = ended.of_type("flow_step").into_iter().find(|one| one["flow"] == flow["id"]);
        corrected.map_or_else(|| flow["step"].clone(), |one| one["step"].clone())
    };
    let mut steps: Vec<_> = to_server
        .map(|flow| {
            let step = of(flow);
            let spans = step["spans"].as_array().cloned().unwrap_or_default();
            let start = flow["event"]["start"].as_str().unwrap_or_default().to_owned();
            (start, word(&step["began"]), word(&step["name"]), spans.iter().map(word).collect())
        })
        .collect();
    steps.sort();
    steps.into_iter().map(|(_, began, name, spans)| (began, name, spans)).collect()
}

#[test]
fn flows_belong_to_the_tests_that_harnesses_tell_of() {
    let Some(network) = Network::or_skip("flows_belong_to_the_tests_that_harnesses_tell_of") else { return };
    let (_server, port) = server(&network);
    let path = network.folder.path().join("run.db").display().to_string();
    let recording = network.folder.path().join("run.pcapng").display().to_string();
    let words = ["-i", "any", "--mark-listen=0", "--db", &path, "-w", &recording];
    let capture = Capture::start(&network, &words);
    let url = capture.line("markers are taken at ");
    let url = url.rsplit(' ').next().expect("the last word").to_owned();
    let socket = format!("/run/observer/{}.sock", capture.pid());
    let mark = |words: &[&str]| {
        let output = Command::new(OBSERVER).arg("mark").args(words).args(["--socket", &socket]).output();
        assert!(output.expect("it runs").status.success(), "{words:?}");
    };

    connect(&network, &port).end();
    sleep(LONGER_THAN_GRACE);
    assert_eq!(post(&network, &url, r#"{"kind":"begin","label":"log in"}"#), "ok\n");
    let mut spanning = connect(&network, &port);
    assert_eq!(post(&network, &url, "kind=end&label=log+in&result=passed"), "ok\n");
    sleep(LONGER_THAN_GRACE);
    connect(&network, &port).end();
    mark(&["--begin", "pay"]);
    connect(&network, &port).end();
    spanning.go_on();
    spanning.until("said");
    spanning.end();
    mark(&["--end", "--result", "failed"]);
    sleep(LONGER_THAN_GRACE);
    mark(&["look around"]);
    connect(&network, &port).end();
    let strange = network.ask(&["curl", "-s", "-H", "Origin: https://evil.example", "-d", "x", &url]);
    assert!(strange.starts_with("refused"), "{strange}");

    let ended = capture.interrupt();
    let expected = |began: &str, name: &str, spans: &[&str]| {
        (began.to_owned(), name.to_owned(), spans.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    };
    let expected = [
        expected("background", "-", &[]),
        expected("inside", "log in", &["pay"]),
        expected("background", "-", &[]),
        expected("inside", "pay", &[]),
        expected("inside", "look around", &[]),
    ];
    assert_eq!(step_of(&ended, &port), expected, "{}", ended.stderr);
    // Whoever set markers is not among the apps.
    let own = url.trim_start_matches("http://127.0.0.1:").trim_end_matches("/mark").to_owned();
    assert!(step_of(&ended, &own).is_empty());
    assert!(ended.one("summary")["notes"].to_string().contains("who set markers with the observer itself"));

    // The database and the recording say the same.
    let database = Connection::open(&path).expect("a database");
    let question =
        "SELECT step_began, coalesce(step, '-') FROM flows WHERE destination_port = ? ORDER BY event_start";
    let mut statement = database.prepare(question).expect("views");
    let rows = statement.query_map([&port], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
    let rows: Vec<_> = rows.expect("rows").map(Result::unwrap).collect();
    assert_eq!(rows, expected.clone().map(|(began, name, _)| (began, name)));
    let output = Command::new(OBSERVER)
        .args(["analyze", &recording, "--format", "jsonl", "--fail-on", "never"])
        .output()
        .expect("it runs");
    let records = String::from_utf8(output.stdout).expect("UTF-8");
    let records = records.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let again = Ended { status: output.status, stderr: String::new(), records };
    assert_eq!(step_of(&again, &port), expected);
}
