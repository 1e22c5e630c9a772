//! `observer report`: what is read back from a database, in every form.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::program::{self, observer};

/// A database with one run over a capture.
fn database(directory: &Path, capture: &str) -> String {
    program::database(directory, "run.db", capture, &[])
}

fn report(database: &str, form: &str) -> String {
    let (code, text, said) = observer(&["report", database, "--format", form]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{form}");
    text
}

#[test]
fn markdown_and_junit_of_the_demo() {
    let directory = TempDir::new().unwrap();
    let database = database(directory.path(), "demo.pcapng");
    insta::assert_snapshot!("report_markdown", report(&database, "markdown"));
    insta::assert_snapshot!("report_junit", report(&database, "junit"));
}

#[test]
fn the_page_has_what_the_run_has_and_asks_for_nothing() {
    let directory = TempDir::new().unwrap();
    let database = database(directory.path(), "demo.pcapng");
    let page = report(&database, "html");
    let stored: Value = serde_json::from_str(&report(&database, "json")).unwrap();
    let apps = stored["apps"].as_array().unwrap();
    let all = |key: &str| apps.iter().map(|app| app[key].as_array().unwrap().len()).sum::<usize>();
    assert_eq!(page.matches("<details class=\"finding\"").count(), all("findings"));
    assert_eq!(page.matches("<tr data-item").count(), all("endpoints"));
    assert_eq!(page.matches(" height=\"6\"><title>flow ").count(), all("flows"));
    // In text from outside, quotes are references: these are elements and attributes of the page itself.
    for outside in [" src=\"", "@import", "url(", "<link", "<iframe", "<object", "<base"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // Links lead to standards, and only where somebody follows them.
    for (at, _) in page.match_indices("href=\"") {
        let target = &page[at + 6..];
        assert!(target.starts_with('#') || target.starts_with("https://"), "{}", &target[..40]);
    }
}

#[test]
fn sarif_is_valid_and_its_references_lead_somewhere() {
    let directory = TempDir::new().unwrap();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/integration/schemas/sarif-2.1.0.json");
    let mut schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    // The published pattern has a bracket too many, which a strict reader of expressions refuses.
    for holder in ["run", "toolComponent"] {
        let pattern = format!("/definitions/{holder}/properties/language/pattern");
        *schema.pointer_mut(&pattern).unwrap() = "^[a-zA-Z]{2}".into();
    }
    let validator = jsonschema::validator_for(&schema).unwrap();
    for capture in ["demo.pcapng", "headers/bare.pcap", "dns/a-aaaa-https.pcap"] {
        let database = database(directory.path(), capture);
        let document: Value = serde_json::from_str(&report(&database, "sarif")).unwrap();
        let problems: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(problems, Vec::<String>::new(), "{capture}");
        // Beside the run before: new results, and absent ones. The first run has none before it.
        let (_, beside, _) = observer(&["report", &database, "--format", "sarif", "--baseline", &database]);
        if capture == "demo.pcapng" {
            assert_eq!(beside, "");
        } else {
            let beside: Value = serde_json::from_str(&beside).unwrap();
            let problems: Vec<_> = validator.iter_errors(&beside).map(|error| error.to_string()).collect();
            assert_eq!(problems, Vec::<String>::new(), "{capture} beside the run before");
            let results = beside["runs"][0]["results"].as_array().unwrap();
            assert!(results.iter().any(|result| result["baselineState"] == "absent"), "{capture}");
            assert!(results.iter().all(|result| result["baselineState"].is_string()), "{capture}");
        }
        let run = &document["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let taxonomies = run["taxonomies"].as_array().unwrap();
        let taxon = |reference: &Value| {
            let name = &reference["toolComponent"]["name"];
            let taxonomy = taxonomies.iter().find(|taxonomy| taxonomy["name"] == *name).unwrap();
            let index = usize::try_from(reference["index"].as_u64().unwrap()).unwrap();
            assert_eq!(taxonomy["taxa"][index]["id"], reference["id"]);
        };
        for rule in rules {
            rule["relationships"].as_array().unwrap().iter().for_each(|relation| taxon(&relation["target"]));
        }
        for result in run["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(!result["taxa"].as_array().unwrap().is_empty(), "{result}");
            result["taxa"].as_array().unwrap().iter().for_each(taxon);
            for location in result["locations"].as_array().unwrap() {
                assert_eq!(location["physicalLocation"]["artifactLocation"]["uri"], capture);
                assert!(location["physicalLocation"]["region"]["startLine"].as_u64() >= Some(1));
            }
        }
    }
}

#[test]
fn all_forms_are_written_at_once_and_the_exit_code_is_asked_for() {
    let directory = TempDir::new().unwrap();
    let database = database(directory.path(), "demo.pcapng");
    let folder = directory.path().join("deep/out");
    let out = folder.display().to_string();
    let (code, text, said) = observer(&["report", &database, "--all", &out]);
    assert_eq!((code, text.as_str(), said.as_str()), (Some(0), "", ""));
    for name in ["report.html", "report.sarif", "report.xml", "report.md", "report.json"] {
        assert!(fs::metadata(folder.join(name)).unwrap().len() > 1000, "{name}");
    }
    let code = |words: &[&str]| observer(&[&["report", &database, "--format", "json"], words].concat()).0;
    assert_eq!(code(&["--exit-code"]), Some(1));
    assert_eq!(code(&["--exit-code", "--fail-on", "critical"]), Some(0));
    assert_eq!(code(&["--run", "7"]), Some(3));
    let empty = self::database(directory.path(), "link_types/arp-only.pcap");
    assert_eq!(observer(&["report", &empty, "--format", "json", "--exit-code"]).0, Some(4));
}

#[test]
fn what_is_no_database_and_what_cannot_be_written_is_said() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("none.db").display().to_string();
    let (code, _, said) = observer(&["report", &missing, "--format", "html"]);
    assert_eq!(code, Some(3));
    assert!(said.contains("none.db"), "{said}");
    let (code, _, said) = observer(&["report", "demo.pcapng", "--format", "html"]);
    assert_eq!(code, Some(3));
    assert!(said.contains("demo.pcapng"), "{said}");
    let database = database(directory.path(), "demo.pcapng");
    let nowhere = directory.path().join("no/such/folder/report.html").display().to_string();
    let (code, _, said) = observer(&["report", &database, "--format", "html", "-o", &nowhere]);
    assert_eq!(code, Some(3));
    assert!(said.contains("no/such/folder"), "{said}");
}

#[test]
fn a_database_of_an_older_version_is_named_as_one() {
    let directory = TempDir::new().unwrap();
    let path = database(directory.path(), "demo.pcapng");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let (code, _, said) = observer(&["report", &path, "--format", "json"]);
    assert_eq!(code, Some(3));
    assert!(said.contains("schema 9, which is older than this version's"), "{said}");
}

#[test]
fn findings_say_in_which_step_they_began() {
    let directory = TempDir::new().unwrap();
    let path = database(directory.path(), "demo.pcapng");
    let connection = rusqlite::Connection::open(&path).unwrap();
    // Steps as a capture records them: one from the beginning, one from the second before the weather app's flow.
    let start: i64 = connection
        .query_row("SELECT min(event_start) FROM flows_v1 JOIN owners_v1 ON owners_v1.id = owner WHERE package = 'com.example.weather'", (), |row| row.get(0))
        .unwrap();
    for (at, label) in [(0, "login"), (start - 1, "<b>forecast</b>")] {
        connection.execute("INSERT INTO markers_v1 (run, at, label) VALUES (1, ?, ?)", (at, label)).unwrap();
    }
    drop(connection);
    let stored: Value = serde_json::from_str(&report(&path, "json")).unwrap();
    assert_eq!(stored["steps"][0]["name"], "login");
    assert_eq!(stored["steps"][0]["end"], stored["steps"][1]["start"]);
    let findings = |app: &str| {
        let app = stored["apps"].as_array().unwrap().iter().find(|known| known["name"] == app).unwrap();
        app["findings"].as_array().unwrap().iter().map(|finding| finding["step"].clone()).collect::<Vec<_>>()
    };
    assert!(findings("com.example.shop").iter().all(|step| step == "login"));
    assert!(findings("com.example.weather").iter().all(|step| step == "<b>forecast</b>"));
    assert!(!report(&path, "html").contains("<b>forecast"));
    assert!(!report(&path, "markdown").contains("<b>forecast"));
}
