//! TLS 1.3 client certificates without keys, against captures whose truth is known: see `captures/recipes/client_flight.py`.
//!
//! The server names say what each client did; they were held against the decrypted handshakes when the captures were
//! recorded. The table of right, wrong and unknown answers stands in the documentation, and this test holds it there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use observer::observation::{Flow, FlowSink, SinkError};
use observer::pipeline::{self, Options};
use observer::protocol::tls::{Certainty, ClientCertificate, ClientFlight, Session};
use observer::source;

/// Stacks, and the captures of this folder that they made, by the beginning of the name.
const STACKS: &[(&str, &str)] = &[
    ("boringssl", "BoringSSL (curl_cffi)"),
    ("chromium", "BoringSSL (Chromium)"),
    ("curl", "OpenSSL (curl)"),
    ("gnutls", "GnuTLS"),
    ("go", "Go crypto/tls"),
    ("java", "JSSE (Java)"),
    ("node", "OpenSSL (Node)"),
    ("nss", "NSS (tstclnt)"),
    ("openssl-padding", "OpenSSL, padding its records"),
    ("openssl", "OpenSSL (s_client)"),
    ("python", "OpenSSL (Python)"),
    ("rustls", "rustls (uv)"),
    ("wolfssl", "wolfSSL"),
];

/// Where the table stands.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../observer/docs/client-certificates.md");

/// A flow of TLS 1.3: the first label of its server name, and what is said of it.
struct Answer {
    truth: String,
    said: ClientCertificate,
    resumed: bool,
    flight: Option<ClientFlight>,
    lengths: Vec<u16>,
}

#[derive(Default)]
struct Answers(Vec<Answer>);

impl FlowSink for Answers {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        self.0.extend(flow.tls.as_deref().and_then(answer));
        Ok(())
    }
}

fn answer(session: &Session) -> Option<Answer> {
    let name = session.client_hello.as_ref()?.value.server_name.clone()?;
    let truth = name.strip_suffix(".flight.test")?.to_owned();
    let (said, flight) = (session.client_certificate(), session.client_flight());
    Some(Answer { truth, said, resumed: session.resumed, flight, lengths: session.client_records.to_vec() })
}

impl Answer {
    /// What is true of the handshake; `None` where the client broke off before it said.
    fn expected(&self) -> Option<ClientCertificate> {
        match self.truth.as_str() {
            "resumed" | "early" if self.resumed => Some(ClientCertificate::ResumedUnknown),
            "sent" | "resumed" => Some(ClientCertificate::Sent),
            "declined" => Some(ClientCertificate::Declined),
            "not-sent" | "early" => Some(ClientCertificate::NotSent),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Row {
    right: [u32; 4],
    firm: u32,
    unknown: u32,
    wrong: u32,
}

fn answers(capture: &str) -> Vec<Answer> {
    let source = source::open(&[observer_captures::path(capture)]).expect("a capture");
    let mut answers = Answers::default();
    pipeline::analyze(source, &Options::default(), &mut [&mut answers], &mut |_, _| {}).expect("a run");
    answers.0
}

#[test]
fn every_stack_is_read_rightly_or_not_at_all() {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut problems = Vec::new();
    let folder = "client_flight/";
    for capture in observer_captures::all().iter().filter(|capture| capture.name.starts_with(folder)) {
        let name = capture.name.trim_start_matches(folder);
        let stack =
            STACKS.iter().filter(|(start, _)| name.starts_with(start)).max_by_key(|(start, _)| start.len());
        let row = rows.entry(stack.expect("a stack").1).or_default();
        for answer in answers(capture.name) {
            let firm = answer.flight.is_some_and(|flight| flight.certainty >= Some(Certainty::Firm));
            let kind = match answer.said {
                ClientCertificate::Sent => 0,
                ClientCertificate::Declined => 1,
                ClientCertificate::NotSent => 2,
                _ => 3,
            };
            if answer.said == ClientCertificate::Unknown {
                row.unknown += 1;
            } else if Some(answer.said) == answer.expected() {
                row.right[kind] += 1;
                row.firm += u32::from(firm && kind < 3);
            } else {
                row.wrong += 1;
                problems.push(format!(
                    "{name}: {} said of {}: {:?}",
                    answer.said as u8, answer.truth, answer.lengths
                ));
            }
        }
    }
    assert!(problems.is_empty(), "wrong answers:\n{}", problems.join("\n"));

    let mut table = String::from(
        "| stack of the client | sent | declined | not sent | resumed | firm | unknown | wrong |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (stack, Row { right: [sent, declined, bare, resumed], firm, unknown, wrong }) in rows {
        writeln!(
            table,
            "| {stack} | {sent} | {declined} | {bare} | {resumed} | {firm} | {unknown} | {wrong} |"
        )
        .expect("a string takes it");
    }
    let document = std::fs::read_to_string(DOCUMENT).expect("the document");
    assert!(document.contains(&table), "the document's table is not what was found:\n{table}");
}

/// Nobody is said to be sure of what padding hides.
#[test]
fn padded_records_are_never_taken_for_short_ones() {
    for answer in answers("client_flight/openssl-padding.pcap") {
        let expected = answer.expected();
        assert!(
            answer.said == ClientCertificate::Unknown || Some(answer.said) == expected,
            "{:?}",
            answer.lengths
        );
    }
}

/// A resumed session rests on the full handshake of the same app with the same host: in the run, or in an earlier one.
#[test]
fn a_resumed_session_is_looked_up() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let database = directory.path().join("run.db").display().to_string();
    let run = |filter: &str| {
        let file = observer_captures::path("client_flight/openssl-resumed.pcap").display().to_string();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_observer-under-test"));
        command.args(["-q", "analyze", &file, "--format", "jsonl", "--db", &database, filter]);
        let output = command.output().expect("the command starts");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let records = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let records: Vec<serde_json::Value> = records.collect();
        records
            .into_iter()
            .filter(|record| record["type"] == "flow")
            .map(|flow| flow["tls"]["client"]["certificate_original"].clone())
            .collect::<Vec<_>>()
    };
    let within = serde_json::json!({ "certificate": "sent", "flow": 1 });
    let originals = run("tcp");
    assert_eq!(originals, [serde_json::Value::Null, within.clone(), within]);
    // The second run holds no full handshake: the first run's is found in the database.
    let ports: Vec<u16> = resumed_ports();
    let filter = ports.iter().map(|port| format!("port {port}")).collect::<Vec<_>>().join(" or ");
    let before = serde_json::json!({ "certificate": "sent", "run": 1, "flow": 1 });
    assert_eq!(run(&filter), [before.clone(), before]);
}

/// What sessions rest on that are resumed in one file, by ticket, session id and PSK, is known from another, through the
/// database.
#[test]
fn a_resumed_session_is_looked_up_in_an_earlier_run() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let database = directory.path().join("run.db").display().to_string();
    let run = |name: &str, more: &[&str]| {
        let file = observer_captures::path(name).display().to_string();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_observer-under-test"));
        let output = command.args(["-q", "analyze", &file, "--format", "jsonl"]).args(more).output();
        let text = String::from_utf8(output.expect("the command starts").stdout).expect("UTF-8");
        let records = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        records.collect::<Vec<serde_json::Value>>()
    };
    let sessions = |records: &[serde_json::Value]| {
        let flows = records.iter().filter(|record| record["type"] == "flow");
        let client = flows.map(|flow| flow["tls"]["client"].clone());
        client
            .map(|client| (client["certificate"].clone(), client["certificate_original"].clone()))
            .collect::<Vec<_>>()
    };
    let declined = |records: &[serde_json::Value]| {
        let findings = records.iter().filter(|record| record["type"] == "finding");
        findings.filter(|finding| finding["rule"]["id"] == "client-certificate-declined").count()
    };
    let later = "mutual_tls/resumed-elsewhere.pcap";
    let alone = run(later, &[]);
    assert_eq!(sessions(&alone), vec![("resumed_unknown".into(), serde_json::Value::Null); 3]);
    assert_eq!(declined(&alone), 0);

    let full = run("mutual_tls/resumable.pcap", &["--db", &database]);
    let states: Vec<_> = sessions(&full).into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, ["sent", "declined", "sent"]);
    let resumed = run(later, &["--db", &database]);
    let expected = states.into_iter().zip(1..).map(|(state, flow)| {
        ("resumed_unknown".into(), serde_json::json!({ "certificate": state, "run": 1, "flow": flow }))
    });
    assert_eq!(sessions(&resumed), expected.collect::<Vec<_>>());
    assert_eq!(declined(&resumed), 1);
}

/// The clients' ports of the resumed sessions in that capture.
fn resumed_ports() -> Vec<u16> {
    #[derive(Default)]
    struct Ports(Vec<u16>);
    impl FlowSink for Ports {
        fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
            let resumed = flow.tls.as_deref().is_some_and(|session| session.resumed);
            self.0.extend(resumed.then_some(flow.flow.info.five_tuple.source.port));
            Ok(())
        }
    }
    let mut ports = Ports::default();
    let source = source::open(&[observer_captures::path("client_flight/openssl-resumed.pcap")]);
    let source = source.expect("a capture");
    pipeline::analyze(source, &Options::default(), &mut [&mut ports], &mut |_, _| {}).expect("a run");
    ports.0
}
