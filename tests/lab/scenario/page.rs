//! The page of the scenario, `observer/docs/scenario.md`: written from the description, so that it says what is tested.

use std::fmt::Write as _;
use std::path::Path;

use super::description::{App, Scenario};

/// The page, relative to this package.
const PAGE: &str = "../observer/docs/scenario.md";

const INTRODUCTION: &str = "\
# The planted behaviours

Written from `tests/lab/scenario/apps.toml`; do not edit. `UPDATE_SCENARIO=1 cargo test -p observer-tests --test lab page` writes it
anew.

Real programs under the uids of Android apps talk to real servers, in network namespaces, while `observer capture` watches
(`tests/lab/scenario.rs`). What each does is known, so that every verdict and every finding has an expectation: a finding that
is not in the table is a false alarm and fails the test, and one that does not come is a miss and fails it, too.

Verdicts on CL MSS 5.1 to 5.9: **V** violated, N no violation observed, x not exercised, o not observable in this traffic,
i inconclusive. An app without traffic has no verdict, nor has the platform.

";

/// The page as it ought to be.
fn render(scenario: &Scenario) -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str(
        "| app | uid | what it does | 5.1 | 5.2 | 5.3 | 5.4 | 5.5 | 5.6 | 5.7 | 5.8 | 5.9 | findings |\n",
    );
    page.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for app in &scenario.apps {
        let App { uid, does, .. } = app;
        let name =
            if app.platform { format!("the platform: {}", app.name) } else { format!("`{}`", app.name) };
        write!(page, "| {name} | {uid} | {does} |").expect("a string");
        for index in 0..super::description::REQUIREMENTS.len() {
            let cell = match app.verdicts.chars().nth(index) {
                Some('V') => "**V**".to_owned(),
                Some('N') => "N".to_owned(),
                Some(other) => other.to_ascii_lowercase().to_string(),
                None => String::new(),
            };
            write!(page, " {cell} |").expect("a string");
        }
        let findings = app.findings.iter().map(|finding| shown(finding, ""));
        let excused = app.excused.iter().map(|finding| shown(finding, ", excused"));
        let listens = app.listens.iter().map(|port| format!("port {port} is listed"));
        let all: Vec<String> = findings.chain(excused).chain(listens).collect();
        writeln!(page, " {} |", all.join(", ")).expect("a string");
    }
    page
}

fn shown(finding: &str, how: &str) -> String {
    let (rule, severity) = finding.split_once(' ').unwrap_or((finding, ""));
    format!("`{rule}` ({severity}{how})")
}

#[test]
fn the_page_says_what_is_tested() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = render(&Scenario::load());
    if std::env::var_os("UPDATE_SCENARIO").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "observer/docs/scenario.md is not what apps.toml says: see its head");
}
