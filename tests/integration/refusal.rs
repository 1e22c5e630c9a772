//! Servers that turn clients away for their certificate, against captures whose truth is known: see
//! `captures/recipes/refusal.py`. The table of what is found stands in the documentation, and this test holds it there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use observer::observation::{Flow, FlowSink, SinkError};
use observer::pipeline::{self, Options};
use observer::protocol::tls::{Certainty, ClientCertificate, Session};
use observer::rules::Digest;
use observer::source;

/// The captures of this folder, and the server in each.
const SERVERS: &[(&str, &str)] = &[
    ("closes-later", "OpenSSL (Python), which closes after 3 s"),
    ("gnutls", "GnuTLS"),
    ("go", "Go crypto/tls"),
    ("java", "JSSE (Java)"),
    ("node", "OpenSSL (Node)"),
    ("nss", "NSS"),
    ("openssl", "OpenSSL (s_server)"),
];

/// Other captures in which a server turns a client away.
const ELSEWHERE: &[&str] = &[
    "client_flight/openssl-insists.pcap",
    "mutual_tls/required-missing-tls13.pcap",
    "mutual_tls/required-missing.pcap",
];

/// Where the table stands.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../observer/docs/client-certificates.md");

/// What is said of a flow whose server name tells the truth.
struct Answer {
    truth: String,
    certificate: ClientCertificate,
    rejected: Option<Certainty>,
}

#[derive(Default)]
struct Answers {
    named: Vec<Answer>,
    rejections: usize,
}

impl FlowSink for Answers {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        let Some(session) = flow.tls.as_deref() else { return Ok(()) };
        self.rejections += usize::from(session.rejected_client.is_some());
        self.named.extend(answer(session));
        Ok(())
    }
}

fn answer(session: &Session) -> Option<Answer> {
    let name = session.client_hello.as_ref()?.value.server_name.clone()?;
    let truth = name.strip_suffix(".flight.test")?.to_owned();
    let rejected = session.rejected_client.map(|rejection| rejection.certainty);
    Some(Answer { truth, certificate: session.client_certificate(), rejected })
}

fn answers(capture: &str) -> Answers {
    let mut answers = Answers::default();
    // Some captures are damaged on purpose.
    let Ok(source) = source::open(&[observer_captures::path(capture)]) else { return answers };
    pipeline::analyze(source, &Options::default(), &mut [&mut answers], &mut |_, _| {}).expect("a run");
    answers
}

#[derive(Default)]
struct Row {
    refused: u32,
    foreign: u32,
    admitted: u32,
    unsaid: u32,
    wrong: u32,
}

#[test]
fn every_server_is_read_rightly_or_not_at_all() {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut problems = Vec::new();
    let folder = "refusal/";
    for capture in observer_captures::all().iter().filter(|capture| capture.name.starts_with(folder)) {
        let name = capture.name.trim_start_matches(folder).trim_end_matches(".pcap");
        let server = SERVERS.iter().find(|(file, _)| *file == name).expect("a server").1;
        let row = rows.entry(server).or_default();
        for Answer { truth, certificate, rejected } in answers(capture.name).named {
            match (truth.as_str(), certificate, rejected) {
                ("refused", ClientCertificate::Declined, Some(_)) => row.refused += 1,
                ("foreign", ClientCertificate::Sent, Some(_)) => row.foreign += 1,
                ("admitted", ClientCertificate::Declined, None) => row.admitted += 1,
                ("refused" | "foreign", _, None) => row.unsaid += 1,
                _ => {
                    row.wrong += 1;
                    problems.push(format!("{name}: {truth}, {certificate:?}, {rejected:?}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "wrong answers:\n{}", problems.join("\n"));

    let mut table = String::from(
        "| stack of the server | no certificate | unknown authority | let in | not said | wrong |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for (server, Row { refused, foreign, admitted, unsaid, wrong }) in rows {
        writeln!(table, "| {server} | {refused} | {foreign} | {admitted} | {unsaid} | {wrong} |")
            .expect("a string takes it");
    }
    let document = std::fs::read_to_string(DOCUMENT).expect("the document");
    assert!(document.contains(&table), "the document's table is not what was found:\n{table}");
}

/// No other capture holds a server that turns a client away.
#[test]
fn nobody_else_is_said_to_be_turned_away() {
    let expected: BTreeSet<&str> = ELSEWHERE.iter().copied().collect();
    let found: BTreeSet<&str> = observer_captures::all()
        .iter()
        .filter(|capture| !capture.name.starts_with("refusal/"))
        .filter(|capture| answers(capture.name).rejections > 0)
        .map(|capture| capture.name)
        .collect();
    assert_eq!(found, expected);
}

/// First frames of flows, and whether their handshakes failed, and by a client that only hung up.
#[derive(Default)]
struct Failures(Vec<(u64, bool, bool)>);

impl FlowSink for Failures {
    fn flow(&mut self, flow: &Flow) -> Result<(), SinkError> {
        let digest = Digest::of(flow);
        self.0.extend(digest.tls.map(|tls| (digest.first_frame, tls.failed, tls.hung_up)));
        Ok(())
    }
}

#[test]
fn a_client_that_hangs_up_says_less_than_an_alert() {
    let failures = |name: &str| {
        let source = source::open(&[observer_captures::path(name)]).unwrap();
        let mut failures = Failures::default();
        let options = Options::default();
        pipeline::analyze(source, &options, &mut [&mut failures], &mut |_, _| {}).unwrap();
        failures.0
    };
    // Of ten stacks that refuse a server or not, one says nothing (frame 96).
    let said = failures("interception/untrusted-tls12.pcap");
    let failed: Vec<_> = said.iter().filter(|(_, failed, _)| *failed).map(|(at, ..)| *at).collect();
    let hung_up: Vec<_> = said.iter().filter(|(.., hung_up)| *hung_up).map(|(at, ..)| *at).collect();
    assert_eq!((failed, hung_up), (vec![5, 38, 51, 81, 96, 110, 139], vec![96]));
    // A connection that was made in advance, and not used.
    let called_off = failures("client_flight/chromium.pcap");
    assert_eq!(called_off.iter().filter(|(.., hung_up)| *hung_up).count(), 1);
}
