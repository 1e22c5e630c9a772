//! The command line, from end to end.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use observer_captures::path;
use serde_json::Value;
use tempfile::TempDir;

use super::program::{Ended, run};

/// The command, in a world without settings that change its output.
pub(super) fn observer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer-under-test"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "RUST_LOG", "TERM"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

fn analyze(words: &[&str]) -> Ended {
    run(observer().arg("analyze").args(words))
}

fn demo() -> String {
    path("demo.pcapng").display().to_string()
}

pub(super) fn file(directory: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = directory.path().join(name);
    fs::write(&path, bytes).expect("a file in a fresh directory");
    path.display().to_string()
}

/// What a failure looks like: one line that names the file, nothing on standard output, this exit code.
fn fails(words: &[&str], expected: i32, named: &str) -> String {
    let (code, stdout, stderr) = analyze(words);
    assert_eq!((code, stdout.as_str()), (Some(expected), ""), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("observer: ") && stderr.contains(named), "{stderr}");
    stderr
}

#[test]
fn wrong_usage_exits_with_2() {
    assert_eq!(run(&mut observer()).0, Some(2));
    assert_eq!(analyze(&[]).0, Some(2));
    assert_eq!(analyze(&[&demo(), "--format", "xml"]).0, Some(2));
    assert_eq!(analyze(&[&demo(), "--fail-on", "everything"]).0, Some(2));
}

#[test]
fn what_is_no_capture_is_said_in_one_line() {
    let directory = TempDir::new().expect("a directory");
    let missing = directory.path().join("missing.pcap").display().to_string();
    assert!(fails(&[&missing], 3, &missing).contains("No such file"));
    assert!(fails(&[&demo(), &missing], 3, &missing).contains("No such file"));
    let folder = directory.path().display().to_string();
    assert!(fails(&[&folder], 3, &folder).contains("directory"));
    let empty = file(&directory, "empty.pcap", b"");
    assert!(fails(&[&empty], 3, &empty).contains("empty"));
    let text = file(&directory, "text.pcap", b"#!/bin/sh\necho this is a script, not a capture\n");
    assert!(fails(&[&text], 3, &text).contains("not a capture file"));
}

#[test]
fn a_missing_folder_for_temporary_files_is_named() {
    let directory = TempDir::new().expect("a directory");
    let missing = directory.path().join("missing");
    let mut command = observer();
    command.args(["analyze", &demo(), "--format", "jsonl"]).env("TMPDIR", &missing);
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, stdout.as_str()), (Some(3), ""), "{stderr}");
    assert!(stderr.contains(&missing.display().to_string()) && stderr.contains("TMPDIR"), "{stderr}");
    // The text report needs none.
    assert_eq!(run(observer().args(["analyze", &demo()]).env("TMPDIR", &missing)).0, Some(1));
}

#[test]
fn a_truncated_file_yields_what_precedes_the_cut() {
    let directory = TempDir::new().expect("a directory");
    let whole = fs::read(path("demo.pcapng")).expect("the demo capture");
    let cut = file(&directory, "cut.pcapng", &whole[..whole.len() - 1000]);
    let (code, stdout, stderr) = analyze(&[&cut, "--format", "jsonl", "--fail-on", "never"]);
    assert!(matches!(code, Some(0 | 4)), "{code:?} {stderr}");
    assert!(stderr.contains(&cut), "{stderr}");
    let meta: Value = serde_json::from_str(stdout.lines().next().unwrap_or_default()).expect("a meta record");
    assert_eq!(meta["inputs"][0]["truncated"], true);
    assert!(records(&stdout, "flow").len() > 10);
}

#[test]
fn a_capture_of_only_arp_is_inconclusive() {
    let (code, _, stderr) = analyze(&[&path("link_types/arp-only.pcap").display().to_string()]);
    assert_eq!(code, Some(4));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("inconclusive") && stderr.contains("IP"), "{stderr}");
}

#[test]
fn the_report_says_who_breaks_what_and_leaves_the_platform_for_last() {
    let (_, stdout, _) = analyze(&[&demo()]);
    let first = stdout.split("high").next().unwrap_or_default().replace('\n', " ");
    for clause in ["com.example.shop violates CL MSS 5.1 and 5.4", "com.example.chat violates 5.5"] {
        assert!(first.starts_with("VIOLATED: ") && first.contains(clause), "{first}");
    }
    assert!(!first.contains("networkstack") && !first.contains("news"), "{first}");
    let place = |line: &str| stdout.find(line).unwrap_or_else(|| panic!("no {line:?} in:\n{stdout}"));
    assert!(place("\ncom.example.news") < place("\ncom.android.networkstack"));
    assert!(stdout.contains("the platform's own traffic, held against no app"), "{stdout}");
    let rows = stdout.lines().filter(|line| line.starts_with("  5.")).count();
    assert_eq!(rows, 4 * 9, "nine rows for each app:\n{stdout}");
}

#[test]
fn exit_codes_follow_the_findings() {
    let clean = path("tls/tls13-good.pcap").display().to_string();
    let bad = demo();
    assert_eq!(analyze(&[&bad]).0, Some(1));
    assert_eq!(analyze(&[&bad, "--fail-on", "never"]).0, Some(0));
    assert_eq!(analyze(&[&clean]).0, Some(0));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let of = |threads: &str| analyze(&[&demo(), "--format", "jsonl", "--threads", threads]).1;
    let one = of("1");
    assert!(one.lines().count() > 20);
    assert_eq!(one, of("8"));
    assert_eq!(one, of("8"));
    assert_eq!(analyze(&[&demo(), "--threads", "1"]).1, analyze(&[&demo(), "--threads", "8"]).1);
}

fn records(lines: &str, kind: &str) -> Vec<Value> {
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is a record"));
    records.filter(|record| record["type"] == kind).collect()
}

#[test]
fn jsonl_holds_the_records_in_order() {
    let (_, stdout, _) = analyze(&[&demo(), "--format", "jsonl"]);
    let mut kinds: Vec<_> = stdout
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).expect("a line is a record");
            record["type"].as_str().unwrap_or_default().to_owned()
        })
        .collect();
    kinds.dedup();
    assert_eq!(kinds.first().map(String::as_str), Some("meta"));
    assert_eq!(kinds.get(1).map(String::as_str), Some("flow"));
    assert_eq!(kinds.last().map(String::as_str), Some("summary"));
    let flows = records(&stdout, "flow");
    assert!(flows.iter().zip(1..).all(|(flow, id)| flow["id"] == id));
    let shop =
        flows.iter().find(|flow| flow["owner"]["package"] == "com.example.shop").expect("the shop's flow");
    assert_eq!(shop["owner"]["method"], "recorded");
    assert!(
        shop["network"]["community_id"].as_str().is_some_and(|id| id.starts_with("1:") && id.len() == 30)
    );
    assert!(!stdout.contains("null"), "an absent fact is an absent key");
}

#[test]
fn json_holds_the_same_records() {
    let (_, lines, _) = analyze(&[&demo(), "--format", "jsonl"]);
    let (_, document, _) = analyze(&[&demo(), "--format", "json"]);
    let document: Value = serde_json::from_str(&document).expect("a document");
    assert_eq!(document["flows"], Value::from(records(&lines, "flow")));
    assert_eq!(document["findings"], Value::from(records(&lines, "finding")));
    assert_eq!(document["verdicts"], Value::from(records(&lines, "verdict")));
    assert_eq!(document["summary"], records(&lines, "summary")[0]);
    assert_eq!(document["meta"], records(&lines, "meta")[0]);
}

#[test]
fn secrets_are_digests_unless_they_are_to_be_kept() {
    let capture = path("http/bearer-token.pcap").display().to_string();
    let headers = |more: &[&str]| {
        let mut words = vec![capture.as_str(), "--format", "jsonl"];
        words.extend(more);
        let flows = records(&analyze(&words).1, "flow");
        let http = flows.iter().find_map(|flow| flow["http"].get(0).cloned()).expect("a request");
        http["request_headers"]["authorization"].as_str().unwrap_or_default().to_owned()
    };
    let (hidden, kept) = (headers(&[]), headers(&["--keep-secrets"]));
    assert!(kept.starts_with("Bearer "), "{kept}");
    assert!(hidden.starts_with("sha256:") && hidden.ends_with(&format!(":{}", kept.len())), "{hidden}");
}

#[test]
fn colours_are_for_terminals() {
    let escapes = |words: &[&str]| analyze(words).1.contains('\x1b');
    assert!(!escapes(&[&demo()]), "a pipe has none");
    assert!(escapes(&[&demo(), "--color", "always"]));
    assert!(!escapes(&[&demo(), "--color", "never"]));
    let forced = run(observer().args(["analyze", &demo()]).env("CLICOLOR_FORCE", "1"));
    assert!(forced.1.contains('\x1b'));
    let refused = run(observer().args(["analyze", &demo()]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"));
    assert!(!refused.1.contains('\x1b'));
}

#[test]
fn the_report_fits_into_80_columns() {
    let (_, stdout, _) = analyze(&[&demo()]);
    let long: Vec<_> = stdout.lines().filter(|line| line.chars().count() > 80).collect();
    // The first lines name the input, whose path may be long.
    assert!(long.iter().all(|line| line.contains("demo.pcapng")), "{long:#?}");
    assert!(stdout.contains("frame.number in {"));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = observer()
        .args(["analyze", &demo(), "--format", "jsonl", "--fail-on", "never"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut first = String::new();
    let mut reader = BufReader::with_capacity(16, child.stdout.take().expect("a pipe"));
    reader.read_line(&mut first).expect("a line");
    drop(reader);
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn standard_input_is_a_capture() {
    let mut child = observer()
        .args(["analyze", "-", "--format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let bytes = fs::read(path("demo.pcapng")).expect("the demo capture");
    child.stdin.take().expect("a pipe").write_all(&bytes).expect("the command reads");
    let output = child.wait_with_output().expect("the command ends");
    let from_file = analyze(&[&demo(), "--format", "jsonl"]).1;
    let flows = |text: &str| records(text, "flow");
    assert_eq!(flows(&String::from_utf8_lossy(&output.stdout)), flows(&from_file));
}

fn database(directory: &TempDir) -> String {
    let db = directory.path().join("run.db").display().to_string();
    assert_eq!(analyze(&[&demo(), "--db", &db, "--format", "jsonl", "--fail-on", "never"]).0, Some(0));
    db
}

fn query(words: &[&str]) -> Ended {
    run(observer().arg("query").args(words))
}

#[test]
fn queries_answer_in_every_form() {
    let directory = TempDir::new().expect("a directory");
    let db = database(&directory);
    let sql = "SELECT app, count(*) AS flows FROM flows WHERE app = :app GROUP BY app";
    let ask = |form: &str| {
        let (code, stdout, stderr) = query(&[&db, sql, "-p", "app=com.example.shop", "--format", form]);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    let row: Value = serde_json::from_str(&ask("jsonl")).expect("one object");
    let flows = row["flows"].as_i64().expect("a number");
    assert!(flows > 0);
    assert_eq!(ask("csv"), format!("app,flows\ncom.example.shop,{flows}\n"));
    assert_eq!(serde_json::from_str::<Value>(&ask("json")).expect("an array"), Value::from(vec![row]));
    let table = ask("table");
    assert_eq!(
        table.lines().next().map(str::split_whitespace).map(Vec::from_iter),
        Some(vec!["APP", "FLOWS"])
    );
    assert_eq!(table.lines().count(), 2);
}

#[test]
fn every_saved_question_has_an_answer() {
    let directory = TempDir::new().expect("a directory");
    let db = database(&directory);
    let (code, list, _) = query(&["--list"]);
    assert_eq!(code, Some(0));
    assert!(list.lines().count() >= 10);
    for line in list.lines() {
        let (name, description) = line.split_once(' ').expect("a name and a description");
        assert!(description.trim().ends_with('.'), "{line}");
        let (code, _, stderr) = query(&[&db, name, "--format", "jsonl"]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{name}");
        assert_eq!(query(&[&db, name, "-p", "run=1"]).0, Some(0), "{name}");
    }
}

#[test]
fn questions_only_read() {
    let directory = TempDir::new().expect("a directory");
    let db = database(&directory);
    let before = fs::read(&db).expect("the database");
    let other = directory.path().join("other.db");
    for sql in [
        "DELETE FROM flows_v1",
        "DROP VIEW flows",
        "CREATE TEMP TABLE t (x)",
        "PRAGMA journal_mode = DELETE",
        "VACUUM",
        &format!("ATTACH '{}' AS other", other.display()),
        &format!("VACUUM INTO '{}'", other.display()),
        "BEGIN",
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "SELECT :missing",
        "SELECT load_extension('x')",
        "nonsense",
    ] {
        let (code, stdout, stderr) = query(&[&db, sql]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{sql}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert!(!other.exists());
    assert_eq!(fs::read(&db).expect("the database"), before);
    assert_eq!(query(&[&db, "SELECT 1", "-p", "unknown=1"]).0, Some(2));
}

#[test]
fn what_is_no_database_is_said_in_one_line() {
    let directory = TempDir::new().expect("a directory");
    let text =
        file(&directory, "text.db", &b"this is a text, long enough to hold a header of SQLite. ".repeat(20));
    let missing = directory.path().join("missing.db").display().to_string();
    for (db, words) in [(&text, "not an SQLite database"), (&missing, "No such file")] {
        let (code, stdout, stderr) = query(&[db, "apps"]);
        assert_eq!((code, stdout.as_str()), (Some(3), ""));
        assert!(stderr.contains(db.as_str()) && stderr.contains(words), "{stderr}");
    }
    assert!(!Path::new(&missing).exists(), "a question makes no database");
    let (code, _, stderr) = analyze(&[&demo(), "--db", &text]);
    assert_eq!(code, Some(3));
    assert!(stderr.contains("not an SQLite database"), "{stderr}");
    assert!(fs::read(&text).expect("the text").starts_with(b"this is a text"));
}

#[test]
fn words_after_the_files_filter_frames() {
    let flows = |words: &[&str]| {
        let mut all = vec![words[0], "--format", "jsonl", "--fail-on", "never"];
        all.extend(&words[1..]);
        records(&analyze(&all).1, "flow")
    };
    let demo = demo();
    let every = flows(&[&demo]);
    let dns = flows(&[&demo, "udp", "port", "53"]);
    let expected = every.iter().filter(|flow| flow["destination"]["port"] == 53).count();
    assert!(expected > 0 && expected < every.len());
    assert_eq!(dns.len(), expected);
    assert_eq!(flows(&[&demo, "--filter", "udp port 53"]), dns);
    assert_eq!(flows(&[&demo, "--", "udp", "port", "53"]), dns);
    let (code, stdout, stderr) = analyze(&[&demo, "port", "nonsense"]);
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(2), "", 1), "{stderr}");
    let (code, _, stderr) = analyze(&[&demo, "tcp", "port", "9"]);
    assert_eq!(code, Some(4));
    assert!(stderr.contains("filter"), "{stderr}");
}

#[test]
fn selectors_choose_among_owners() {
    let demo = demo();
    let of = |words: &[&str]| {
        let mut all = vec![demo.as_str(), "--format", "jsonl", "--fail-on", "never"];
        all.extend(words);
        let (code, stdout, stderr) = analyze(&all);
        (code, records(&stdout, "flow"), stderr)
    };
    let (_, every, _) = of(&[]);
    let (_, shop, _) = of(&["--package", "com.example.shop"]);
    let is_shops = |flow: &Value| flow["owner"]["package"] == "com.example.shop";
    assert_eq!(shop.len(), every.iter().filter(|flow| is_shops(flow)).count());
    assert!(!shop.is_empty() && shop.iter().all(is_shops));
    assert_eq!(of(&["--uid", "10123"]).1, shop);
    let (code, none, stderr) = of(&["--package", "com.nobody"]);
    assert_eq!((code, none.len()), (Some(4), 0));
    assert!(stderr.contains("asked for"), "{stderr}");
}

#[test]
fn requests_are_paired_with_their_responses() {
    let of =
        |name: &str| records(&analyze(&[&path(name).display().to_string(), "--format", "jsonl"]).1, "flow");
    let flows = of("http/pipelined.pcap");
    let exchanges = flows.iter().find_map(|flow| flow["http"].as_array()).expect("requests");
    assert!(exchanges.len() > 1);
    assert!(
        exchanges.iter().all(|exchange| exchange["method"].is_string() && exchange["status_code"].is_u64())
    );
    let flows = of("dns/a-aaaa-https.pcap");
    let questions: Vec<_> = flows.iter().filter_map(|flow| flow["dns"].as_array()).flatten().collect();
    assert!(!questions.is_empty());
    for question in questions {
        assert!(
            question["question"]["name"].is_string() && question["response_code"].is_string(),
            "{question}"
        );
    }
}

#[test]
fn names_from_the_network_cannot_command_the_terminal() {
    // A host name with an escape sequence in place of the demo's.
    let directory = TempDir::new().expect("a directory");
    let mut bytes = fs::read(path("http/cleartext-get.pcap")).expect("a capture");
    let place = bytes.windows(6).position(|window| window == b"Host: ").expect("a request") + 6;
    bytes[place..place + 4].copy_from_slice(b"\x1b[2J");
    let hostile = file(&directory, "hostile.pcap", &bytes);
    let (_, stdout, stderr) = analyze(&[&hostile]);
    assert!(!stdout.contains('\x1b') && !stderr.contains('\x1b'), "{stdout}");
    let db = directory.path().join("run.db").display().to_string();
    analyze(&[&hostile, "--db", &db, "--format", "json"]);
    let (_, stdout, _) = query(&[&db, "SELECT host, url_full, request_headers FROM http"]);
    assert!(!stdout.contains('\x1b'), "{stdout}");
}

#[test]
fn what_verbose_says_has_colours_only_where_they_are_wanted() {
    let (_, _, plain) = analyze(&[&demo(), "-v"]);
    assert!(plain.contains("analyzed") && !plain.contains('\u{1b}'), "{plain}");
    let (_, _, coloured) = analyze(&[&demo(), "-v", "--color", "always"]);
    assert!(coloured.contains('\u{1b}'), "{coloured}");
}
