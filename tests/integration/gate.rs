//! The gate: what fails a run, beside a baseline, with exceptions, and where nothing can be concluded.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::program::{Ended, database, observer};

/// What the demo does, in this order: 6 findings of weight, all of apps.
const DEMO: &str = "demo.pcapng";
/// A page over HTTP, of nobody known.
const PAGE: &str = "http/cleartext-get.pcap";

fn analyze(capture: &str, words: &[&str]) -> Ended {
    observer(&[&["-q", "analyze", capture], words].concat())
}

/// A policy with one exception for the page, and another that fits nothing.
fn policy(directory: &Path, until: &str) -> String {
    let path = directory.join("policy.toml");
    let text = format!(
        "[[exception]]\nrule = \"cleartext-http\"\nhost = \"news.test\"\nreason = \"the <b>news</b> are public\"\n\
         until = {until}\n[[exception]]\nrule = \"weak-group\"\nhost = \"old.test\"\nreason = \"soon\"\nuntil = {until}\n"
    );
    fs::write(&path, text).expect("the file is written");
    path.display().to_string()
}

fn report(database: &str, form: &str, words: &[&str]) -> String {
    let (code, text, said) = observer(&[&["report", database, "--format", form], words].concat());
    assert_eq!(code, Some(0), "{said}");
    text
}

fn records(lines: &str, kind: &str) -> Vec<Value> {
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    records.filter(|record| record["type"] == kind).collect()
}

/// Sets what a run in a database has, as another run had left it.
fn change(database: &str, statement: &str) {
    let connection = rusqlite::Connection::open(database).expect("the database");
    // As the program that writes it: what leads nowhere is no error.
    connection.pragma_update(None, "foreign_keys", false).expect("a pragma");
    connection.execute_batch(statement).expect("the statement holds");
}

#[test]
fn only_what_is_new_beside_the_baseline_fails() {
    let directory = TempDir::new().unwrap();
    let old = database(directory.path(), "old.db", DEMO, &[]);
    assert_eq!(analyze(DEMO, &[]).0, Some(1));
    let (code, text, _) = analyze(DEMO, &["--baseline", &old]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("VIOLATED: "), "a known violation is one: {text}");
    assert!(text.contains("\nno new findings; 13 known (baseline "), "{text}");
    assert!(text.contains("cleartext-http (certain, known)"), "{text}");

    // One that the baseline has not, one that was less severe there, one that is not seen any more.
    change(
        &old,
        "DELETE FROM findings_v1 WHERE rule = 'cleartext-secret-in-url';
         UPDATE findings_v1 SET severity = 'low' WHERE rule = 'mixed-protection-host';
         UPDATE findings_v1 SET fingerprint = 'other', host = 'gone.test' WHERE rule = 'cleartext-http'",
    );
    let (code, lines, _) = analyze(DEMO, &["--baseline", &format!("{old}:1"), "--format", "jsonl"]);
    assert_eq!(code, Some(1));
    let mut standings: Vec<_> = records(&lines, "finding")
        .iter()
        .filter(|finding| finding["baseline"] != "known")
        .map(|finding| {
            (
                finding["rule"]["id"].as_str().unwrap().to_owned(),
                finding["baseline"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    standings.sort();
    let expected = [
        ("cleartext-http", "new"),
        ("cleartext-http", "new"),
        ("cleartext-secret-in-url", "new"),
        ("mixed-protection-host", "worse"),
    ];
    let expected: Vec<_> = expected.map(|(rule, word)| (rule.to_owned(), word.to_owned())).into();
    assert_eq!(standings, expected);
    let summary = &records(&lines, "summary")[0]["baseline"];
    assert_eq!((&summary["path"], &summary["run"]), (&Value::from(old.as_str()), &Value::from(1)));
    assert_eq!(summary["absent"][0]["host"], "gone.test");
}

#[test]
fn every_report_marks_what_is_known_and_the_run_remembers_its_baseline() {
    let directory = TempDir::new().unwrap();
    let old = database(directory.path(), "old.db", DEMO, &[]);
    change(
        &old,
        "UPDATE findings_v1 SET fingerprint = 'gone' WHERE rule = 'cleartext-secret-in-url';
         UPDATE findings_v1 SET severity = 'low' WHERE rule = 'mixed-protection-host'",
    );
    // Once with the baseline at the analysis, once at the report: they say the same.
    let new = database(directory.path(), "new.db", DEMO, &["--baseline", &old]);
    let plain = database(directory.path(), "plain.db", DEMO, &[]);
    for form in ["json", "junit", "markdown", "html", "sarif"] {
        let kept = report(&new, form, &[]);
        assert_eq!(kept, report(&new, form, &["--baseline", &old]), "{form}");
        let later = report(&plain, form, &["--baseline", &old]);
        let timeless = |text: &str| {
            text.lines()
                .filter(|line| !line.contains("started") && !line.contains("startTimeUtc"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(timeless(&kept), timeless(&later), "{form}");
    }
    let junit = report(&new, "junit", &[]);
    assert_eq!(junit.matches("<failure").count(), 2, "one endpoint, two requirements: {junit}");
    assert!(junit.contains("Known: the baseline has it") && junit.contains("Worse: the baseline"), "{junit}");
    let markdown = report(&new, "markdown", &[]);
    assert!(
        markdown.contains("<b>HIGH</b> (known)") && markdown.contains("<b>HIGH</b> (worse)"),
        "{markdown}"
    );
    assert!(markdown.contains("2 new high findings; 11 known; 1 of the baseline not seen"), "{markdown}");
    let page = report(&new, "html", &[]);
    assert!(
        page.contains("<span class=\"dim\">(new)</span>") && page.contains("2 new high findings; 11 known")
    );

    let sarif: Value = serde_json::from_str(&report(&new, "sarif", &[])).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let count = |state: &str| results.iter().filter(|result| result["baselineState"] == state).count();
    assert_eq!((count("new"), count("updated"), count("absent")), (1, 1, 1));
    assert_eq!(count("unchanged"), results.len() - 3);
    let absent = results.iter().find(|result| result["baselineState"] == "absent").unwrap();
    assert_eq!((&absent["kind"], &absent["level"]), (&"open".into(), &"none".into()));

    let gate =
        |words: &[&str]| observer(&[&["report", &new, "--format", "json", "--exit-code"], words].concat()).0;
    assert_eq!(gate(&[]), Some(1));
    assert_eq!(gate(&["--fail-on", "critical"]), Some(0));
    assert_eq!(gate(&["--baseline", &plain]), Some(0));
    let (_, rows, _) =
        observer(&["query", &new, "SELECT DISTINCT baseline FROM findings ORDER BY 1", "--format", "csv"]);
    assert_eq!(rows.split_whitespace().collect::<Vec<_>>(), ["baseline", "known", "new", "worse"]);
}

#[test]
fn a_baseline_in_the_same_database_is_the_run_before() {
    let directory = TempDir::new().unwrap();
    let runs = database(directory.path(), "runs.db", PAGE, &[]);
    let gate =
        |words: &[&str]| observer(&[&["report", &runs, "--format", "json", "--exit-code"], words].concat());
    let (code, _, said) = gate(&["--baseline", &runs]);
    assert_eq!(code, Some(3), "a run is not its own baseline");
    assert!(said.contains("no such run"), "{said}");
    assert_eq!(gate(&["--baseline", &format!("{runs}:1")]).0, Some(2));
    assert_eq!(analyze(PAGE, &["--db", &runs, "--baseline", &runs]).0, Some(0));
    assert_eq!(gate(&["--baseline", &runs]).0, Some(0));
    assert_eq!(gate(&["--run", "1", "--baseline", &runs]).0, Some(3), "what came later is no baseline");
    assert_eq!(gate(&["--run", "1", "--baseline", &format!("{runs}:2")]).0, Some(0), "unless it is named");
    let missing = directory.path().join("none.db").display().to_string();
    let (code, text, said) = analyze(PAGE, &["--baseline", &missing]);
    assert_eq!((code, text.as_str()), (Some(3), ""));
    assert!(said.contains("none.db"), "{said}");
    let (code, _, said) = analyze(PAGE, &["--baseline", &format!("{runs}:9")]);
    assert_eq!(code, Some(3));
    assert!(said.contains("no such run"), "{said}");
}

#[test]
fn a_baseline_of_something_else_or_of_an_older_version_is_said() {
    let directory = TempDir::new().unwrap();
    let demo = database(directory.path(), "demo.db", DEMO, &[]);
    let (code, text, _) =
        analyze(PAGE, &["--baseline", &demo, "--policy", &policy(directory.path(), "2100-01-01")]);
    assert_eq!(code, Some(0), "the exception holds: {text}");
    let text = text.replace("\n      ", " ");
    assert!(text.contains("judged in the baseline, but not here: com.example.chat"), "{text}");
    let (_, text, _) = analyze(PAGE, &["--baseline", &demo, "--tls-policy", "mozilla-6.0-intermediate"]);
    assert!(text.replace("\n      ", " ").contains("another recommendation on TLS"), "{text}");
    // A baseline that lost frames: what is new may have been there.
    change(&demo, "UPDATE runs_v1 SET inconclusive = 'it lost frames'");
    let (_, text, _) = analyze(DEMO, &["--baseline", &demo]);
    assert!(text.contains("the baseline is inconclusive"), "{text}");
    // As the version wrote it that had ten migrations: it is read, and what it does not say is unknown.
    change(
        &demo,
        "DROP VIEW runs; DROP VIEW findings; DROP TABLE finding_baselines_v1;
         ALTER TABLE runs_v1 DROP COLUMN judged_by; ALTER TABLE runs_v1 DROP COLUMN baseline; PRAGMA user_version = 10",
    );
    let (code, text, _) = analyze(DEMO, &["--baseline", &demo]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("what the baseline was judged by is unknown"), "{text}");
}

#[test]
fn an_inconclusive_run_never_passes() {
    let directory = TempDir::new().unwrap();
    let old = database(directory.path(), "old.db", DEMO, &[]);
    assert_eq!(analyze("link_types/arp-only.pcap", &["--baseline", &old]).0, Some(4));
    // All findings known, but the capture is damaged: what was not read may hold new ones.
    let whole = fs::read(observer_captures::path(DEMO)).unwrap();
    let cut = directory.path().join("damaged.pcapng");
    fs::write(&cut, [&whole[..whole.len() - 1000], &[0xff; 1000][..]].concat()).unwrap();
    let damaged = database(directory.path(), "damaged.db", &cut.display().to_string(), &["--baseline", &old]);
    let gate = |words: &[&str]| {
        observer(&[&["report", &damaged, "--format", "json", "--exit-code"], words].concat()).0
    };
    assert_eq!(gate(&[]), Some(4));
    assert_eq!(gate(&["--fail-on", "never"]), Some(4));
    change(&old, "DELETE FROM findings_v1 WHERE rule = 'cleartext-http'");
    assert_eq!(gate(&["--baseline", &old]), Some(1), "a new finding is certain whatever was lost");
}

#[test]
fn more_traffic_without_an_owner_than_allowed_is_inconclusive() {
    let lookups = "dns/a-aaaa-https.pcap";
    assert_eq!(analyze(lookups, &[]).0, Some(0), "a capture that knows no owners is judged as a whole");
    let (code, text, said) = analyze(lookups, &["--max-unattributed", "5"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(said.contains("have no owner"), "{said}");
    assert_eq!(analyze(lookups, &["--max-unattributed", "100"]).0, Some(0));
    assert_eq!(analyze(lookups, &["--max-unattributed", "101"]).0, Some(2));
    assert_eq!(analyze(DEMO, &["--fail-on", "never", "--max-unattributed", "0"]).0, Some(0), "all are owned");
}

#[test]
fn what_an_exception_excuses_is_in_every_report() {
    let directory = TempDir::new().unwrap();
    let holds = policy(directory.path(), "2100-01-01");
    let (code, text, _) = analyze(PAGE, &["--policy", &holds]);
    assert_eq!(code, Some(0), "{text}");
    let shown = "the <b>news</b> are public (until 2100-01-01)";
    assert!(text.contains("Excused findings") && text.replace("\n    ", " ").contains(shown), "{text}");
    let idle =
        "the exception for weak-group at old.test, which ends on 2100-01-01, excuses nothing in this capture";
    assert!(text.replace("\n      ", " ").contains(idle), "{text}");

    let run = database(directory.path(), "run.db", PAGE, &["--policy", &holds]);
    let junit = report(&run, "junit", &[]);
    assert!(junit.contains("<skipped message=\"excused: cleartext-http: the &lt;b&gt;news"), "{junit}");
    let markdown = report(&run, "markdown", &[]);
    assert!(markdown.contains("- cleartext-http at news.test:80: the &lt;b&gt;news"), "{markdown}");
    assert!(
        markdown.contains("until 2100-01-01") && markdown.contains("1 finding that is excused"),
        "{markdown}"
    );
    let page = report(&run, "html", &[]);
    assert!(page.contains("Held against nobody") && page.contains("(until 2100-01-01)"));
    let sarif: Value = serde_json::from_str(&report(&run, "sarif", &[])).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let excused = results.iter().find(|result| result["ruleId"] == "cleartext-http").unwrap();
    assert_eq!(excused["suppressions"][0]["justification"], shown);
    let (_, lines, _) = analyze(PAGE, &["--policy", &holds, "--format", "jsonl"]);
    assert_eq!(records(&lines, "suppressed")[0]["reason"], shown);

    let over = policy(directory.path(), "2000-01-01");
    assert_eq!(analyze(PAGE, &["--policy", &over]).0, Some(1), "it counts again");
    // Excused in the baseline is not known: the excuse had an end.
    let (code, lines, _) = analyze(PAGE, &["--policy", &over, "--baseline", &run, "--format", "jsonl"]);
    assert_eq!(code, Some(1));
    let standing = |rule: &str| {
        records(&lines, "finding").iter().find(|finding| finding["rule"]["id"] == rule).unwrap()["baseline"]
            .clone()
    };
    assert_eq!((standing("cleartext-http"), standing("missing-csp")), ("new".into(), "known".into()));
}
