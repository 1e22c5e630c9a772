//! `observer diff`: two releases of an app, as recorded, and as changed by hand.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::program::{database, observer};

fn change(database: &str, statement: &str) {
    let connection = rusqlite::Connection::open(database).expect("the database");
    // As the program that writes it: what leads nowhere is no error.
    connection.pragma_update(None, "foreign_keys", false).expect("a pragma");
    connection.execute_batch(statement).expect("the statement holds");
}

/// The text without the folder that the databases are in.
fn text(directory: &Path, words: &[&str]) -> (Option<i32>, String) {
    let (code, text, said) = observer(&[&["diff"], words].concat());
    assert_eq!(said, "");
    (code, text.replace(&format!("{}/", directory.display()), ""))
}

#[test]
fn the_same_traffic_is_no_change() {
    let directory = TempDir::new().unwrap();
    let (one, other) = (
        database(directory.path(), "a.db", "demo.pcapng", &[]),
        database(directory.path(), "b.db", "demo.pcapng", &[]),
    );
    let (code, text) = text(directory.path(), &[&one, &other]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("NOTHING GOT WORSE: 0 changes\n"), "{text}");
}

#[test]
fn a_release_that_made_it_worse() {
    let directory = TempDir::new().unwrap();
    let one = database(directory.path(), "a.db", "demo.pcapng", &[]);
    let other = database(directory.path(), "b.db", "demo.pcapng", &[]);
    // The release before: protected where this one is not, TLS 1.3 where this one has less, another certificate, another
    // host, an app more; a finding less.
    change(
        &one,
        "UPDATE flows_v1 SET network_protection = 'encrypted'
            WHERE destination_domain = 'api.shop.test' AND destination_port = 80;
         DELETE FROM findings_v1 WHERE rule IN ('cleartext-http', 'mixed-protection-host')
            AND host = 'api.shop.test';
         UPDATE verdicts_v1 SET verdict = 'no_violation_observed'
            WHERE requirement = 'cl-mss:5.1' AND owner IN (SELECT id FROM owners_v1 WHERE package = 'com.example.shop');
         UPDATE tls_v1 SET version = '1.3' WHERE version = '1.2';
         UPDATE owners_v1 SET name = 'com.example.old', package = 'com.example.old' WHERE package = 'com.example.news';
         UPDATE certificates_v1 SET issuer = 'CN=Before', hash_sha256 = 'b' || substr(hash_sha256, 2) WHERE is_ca IS NOT 1",
    );
    let words = [one.as_str(), other.as_str()];
    let (code, shown) = text(directory.path(), &words);
    assert_eq!(code, Some(1), "{shown}");
    insta::assert_snapshot!("review_text", shown);
    let (code, markdown) = text(directory.path(), &[&words[..], &["--format", "markdown"]].concat());
    assert_eq!(code, Some(1));
    insta::assert_snapshot!("review_markdown", markdown);
    let (code, json, _) = observer(&[&["diff"], &words[..], &["--format", "json"]].concat());
    assert_eq!(code, Some(1));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["type"], &json["schema"], &json["outcome"]),
        (&"review".into(), &"observer/1".into(), &"worse".into())
    );
    let shop = json["apps"].as_array().unwrap().iter().find(|app| app["app"] == "com.example.shop").unwrap();
    let protection =
        shop["changes"].as_array().unwrap().iter().find(|change| change["kind"] == "protection").unwrap();
    assert_eq!(protection["worse"], true);
    assert_eq!(
        (&protection["before"][0], &protection["after"][0]),
        (&"encrypted".into(), &"cleartext".into())
    );

    // The other way round nothing got worse, and what is missing is not called gone.
    let (code, back) = text(directory.path(), &[&other, &one]);
    assert_eq!(code, Some(0), "{back}");
    let back = back.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(back.contains("its far end was reached again, and it was not seen"), "{back}");
    assert!(back.contains("the app was not exercised"), "{back}");
    // Nobody minds findings: what weighs otherwise stays.
    assert_eq!(text(directory.path(), &[&words[..], &["--fail-on", "never"]].concat()).0, Some(1));
}

#[test]
fn captures_of_a_client_that_went_back_to_an_older_version() {
    let directory = TempDir::new().unwrap();
    let one = database(directory.path(), "a.db", "certificates/untrusted-accepted-tls13.pcap", &[]);
    let other = database(directory.path(), "b.db", "certificates/untrusted-accepted.pcap", &[]);
    let (code, text) = text(directory.path(), &[&one, &other]);
    assert_eq!(code, Some(1), "{text}");
    insta::assert_snapshot!("review_older_version", text);
}

#[test]
fn what_proves_nothing_is_inconclusive() {
    let directory = TempDir::new().unwrap();
    let page = database(directory.path(), "a.db", "tls/gnutls.pcap", &[]);
    let arp = database(directory.path(), "b.db", "link_types/arp-only.pcap", &[]);
    let (code, text) = text(directory.path(), &[&page, &arp]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.starts_with("INCONCLUSIVE: ") && text.contains("b.db, run 1, is inconclusive"), "{text}");
    assert!(text.contains("no far end was exercised in both runs"), "{text}");
}

#[test]
fn runs_are_named_and_a_run_is_not_compared_with_itself() {
    let directory = TempDir::new().unwrap();
    let runs = database(directory.path(), "runs.db", "http/cleartext-get.pcap", &[]);
    let (code, _, said) = observer(&["diff", &runs, &runs]);
    assert_eq!(code, Some(2));
    assert!(said.contains("against itself"), "{said}");
    database(directory.path(), "runs.db", "http/cleartext-get.pcap", &[]);
    let (code, text, _) = observer(&["diff", &format!("{runs}:1"), &runs]);
    assert_eq!(code, Some(0), "{text}");
    let (code, _, said) = observer(&["diff", &format!("{runs}:7"), &runs]);
    assert_eq!(code, Some(3));
    assert!(said.contains("no such run"), "{said}");
    let missing = directory.path().join("none.db").display().to_string();
    let (code, _, said) = observer(&["diff", &runs, &missing]);
    assert_eq!(code, Some(3));
    assert!(said.contains("none.db"), "{said}");
    let foreign = directory.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let (code, _, said) = observer(&["diff", &runs, &foreign.display().to_string()]);
    assert_eq!(code, Some(3));
    assert!(said.contains("not one of observer's"), "{said}");
}

#[test]
fn strange_names_do_not_reach_the_terminal() {
    let directory = TempDir::new().unwrap();
    let one = database(directory.path(), "a.db", "demo.pcapng", &[]);
    let other = database(directory.path(), "b.db", "demo.pcapng", &[]);
    change(
        &other,
        "UPDATE owners_v1 SET name = 'x' || char(27) || '[2J' || char(8238) || '</details>|@team' WHERE package = 'com.example.shop';
         UPDATE flows_v1 SET destination_domain = 'h' || char(7) || '|<img src=x>' WHERE destination_domain = 'api.shop.test'",
    );
    for form in ["text", "markdown"] {
        let (_, text, _) = observer(&["diff", &one, &other, "--format", form]);
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        assert!(text.contains("u{1b}") && (form == "text" || !text.contains("<img")), "{text}");
    }
}
