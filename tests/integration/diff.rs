//! `observer diff --interception`: ten real clients before and under interception, see `captures/recipes/interception.py`.
//!
//! What each client did is known from its exit status, which the recipe checks; how its refusal looks on the wire is
//! written down here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::program::observer;

/// The shape of a refusal, or `accepted`: under an unknown authority and under one that is installed, first in TLS
/// 1.3, then in TLS 1.2.
const CLIENTS: &[(&str, &str, [&str; 4])] = &[
    ("uid 10201", "curl", ["plaintext_alert", "accepted", "plaintext_alert", "accepted"]),
    ("uid 10202", "curl -k", ["accepted", "accepted", "accepted", "accepted"]),
    (
        "uid 10203",
        "curl --pinnedpubkey",
        ["plaintext_alert", "after_handshake", "plaintext_alert", "after_handshake"],
    ),
    ("uid 10204", "Python", ["plaintext_alert", "accepted", "plaintext_alert", "accepted"]),
    ("uid 10205", "Node", ["silence", "accepted", "after_handshake", "accepted"]),
    ("uid 10206", "Go", ["encrypted_alert", "accepted", "plaintext_alert", "accepted"]),
    ("uid 10207", "Java", ["silence", "accepted", "silence", "accepted"]),
    (
        "uid 10208",
        "OkHttp with CertificatePinner",
        ["encrypted_alert", "after_handshake", "plaintext_alert", "after_handshake"],
    ),
    ("uid 10209", "BoringSSL (curl_cffi)", ["after_handshake", "accepted", "after_handshake", "accepted"]),
    ("uid 10210", "GnuTLS", ["encrypted_alert", "accepted", "plaintext_alert", "accepted"]),
];

/// The runs that the columns of [`CLIENTS`] stand for, and whether the authority is installed in them.
const RUNS: [(&str, bool); 4] =
    [("untrusted", false), ("installed", true), ("untrusted-tls12", false), ("installed-tls12", true)];

/// A database with one run over a capture of the folder.
fn database(directory: &Path, capture: &str) -> String {
    let database = directory.join(format!("{capture}.db")).display().to_string();
    let file = observer_captures::path(&format!("interception/{capture}.pcap")).display().to_string();
    let (code, _, said) = observer(&["-q", "analyze", &file, "--db", &database]);
    assert!(matches!(code, Some(0 | 1)), "{said}");
    database
}

/// The interceptor's authority, out of a chain that was shown in TLS 1.2.
fn authority(directory: &Path, database: &str) -> PathBuf {
    let question =
        "SELECT hex(der) AS der FROM certificates WHERE is_ca = 1 AND subject LIKE '%Interception%'";
    let (_, said, _) = observer(&["query", database, question, "--format", "json"]);
    let rows: Value = serde_json::from_str(&said).expect("rows");
    let der = rows[0]["der"].as_str().expect("the authority's certificate");
    let der = data_encoding::HEXUPPER.decode(der.as_bytes()).expect("hex");
    let pem = directory.join("authority.pem");
    let body = data_encoding::BASE64.encode(&der);
    std::fs::write(&pem, format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"))
        .expect("the file is written");
    pem
}

fn tally(side: &Value) -> String {
    match (
        side["accepted"].as_u64(),
        side["rejected"].as_object().map(|shapes| shapes.keys().collect::<Vec<_>>()),
    ) {
        (Some(1..), _) => "accepted".to_owned(),
        (_, Some(shapes)) if shapes.len() == 1 => shapes[0].clone(),
        _ => "open".to_owned(),
    }
}

#[test]
fn every_client_is_judged_by_what_it_did() {
    let directory = TempDir::new().expect("a directory");
    let baseline = database(directory.path(), "baseline");
    let ca = authority(directory.path(), &database(directory.path(), "installed-tls12"));
    for (column, (run, installed)) in RUNS.into_iter().enumerate() {
        let under = database(&directory.path().join("."), run);
        let ca = ca.display().to_string();
        let mut words = vec!["diff", "--interception", &baseline, &under, "--format", "json"];
        if installed {
            words.extend(["--test-ca", &ca]);
        }
        let (code, said, complaint) = observer(&words);
        assert_eq!(code, Some(1), "{complaint}");
        let record: Value = serde_json::from_str(&said).expect("JSON");
        let endpoints = record["endpoints"].as_array().expect("endpoints");
        let endpoints: BTreeMap<&str, &Value> =
            endpoints.iter().map(|one| (one["app"].as_str().expect("an app"), one)).collect();
        assert_eq!(endpoints.len(), CLIENTS.len());
        for (app, name, shapes) in CLIENTS {
            let (one, shape) = (endpoints[app], shapes[column]);
            assert_eq!(tally(&one["baseline"]), "accepted", "{name} in the baseline");
            assert_eq!(tally(&one["interception"]), shape, "{name} in {run}");
            let tested = if installed { "pinning" } else { "validation" };
            let answer = if shape == "accepted" { "fails" } else { "holds" };
            assert_eq!(one[tested]["answer"], answer, "{name} in {run}");
            if installed || shape != "accepted" {
                let other = if installed { "validation" } else { "pinning" };
                assert_eq!(one[other]["answer"], "inconclusive", "{name} in {run}");
            }
            let certain = one[tested]["confidence"] == "certain";
            assert_eq!(certain, shape == "plaintext_alert", "{name} in {run}");
        }
    }
}

#[test]
fn a_run_that_was_not_intercepted_proves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let baseline = database(directory.path(), "baseline");
    let installed = database(directory.path(), "installed-tls12");
    let ca = authority(directory.path(), &installed).display().to_string();
    // The interceptor's certificates in both runs: they are the real ones then.
    let (code, text, _) = observer(&["diff", &installed, &installed, "--test-ca", &ca]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("were not intercepted"), "{text}");
    let (code, _, complaint) = observer(&["diff", &baseline, &installed, "--baseline-run", "7"]);
    assert_eq!(code, Some(3));
    assert!(complaint.contains("no such run"), "{complaint}");
    // As before there was a review; and as runs are named now.
    let (code, text, _) = observer(&["diff", &baseline, &installed, "--baseline-run", "1"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("5.5 validation"), "{text}");
    let named = format!("{baseline}:1");
    assert_eq!(observer(&["diff", "--interception", &named, &installed]), (code, text, String::new()));
    let (code, ..) = observer(&["diff", &baseline]);
    assert_eq!(code, Some(2));
    let (code, _, said) =
        observer(&["diff", "--interception", &baseline, &installed, "--format", "markdown"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("no Markdown"), "{said}");
}
