//! The HTML report in a real browser: no accessibility violation, no script that did not come with it, filters that filter.
//!
//! Headless Chromium opens the page with axe-core (`AXE_JS` names the file) and a script that works the filters, and prints
//! what became of it. Without either, the tests say that they are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// What Chromium is called, here and there.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The element that the answer is left in.
const ANSWER: &str = "answer-of-the-test";

fn browser() -> Option<&'static str> {
    let runs =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
    BROWSERS.into_iter().find(|name| runs(name))
}

/// The report on the demo, with two steps of a test, one of which is named to do harm.
fn page(directory: &Path) -> String {
    let database = directory.join("run.db");
    let observer = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_observer-under-test"));
        command.args(words).arg(&database).current_dir(observer_captures::root()).output().expect("it starts")
    };
    let out = observer(&["-q", "analyze", "demo.pcapng", "--db"]);
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    let connection = rusqlite::Connection::open(&database).expect("a database");
    let middle: i64 = connection
        .query_row("SELECT (min(event_start) + max(event_start)) / 2 FROM flows_v1", (), |row| row.get(0))
        .expect("flows");
    for (at, label) in [(0, "first"), (middle, "\"><script>document.title = 'harm'</script>")] {
        connection
            .execute("INSERT INTO markers_v1 (run, at, label) VALUES (1, ?, ?)", (at, label))
            .expect("a marker");
    }
    drop(connection);
    let out = observer(&["report", "--format", "html"]);
    assert!(out.status.success());
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// What the browser makes of `page`, after its scripts have run for up to a minute of the page's own time.
fn dom(browser: &str, directory: &Path, page: &str) -> String {
    let file = directory.join("page.html");
    fs::write(&file, page).expect("a file");
    let out = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", directory.join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("the browser starts");
    assert!(!out.stdout.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// Opens `page` with `script` at its end, which sets `answer`; the answer.
fn ask(browser: &str, directory: &Path, page: &str, script: &str) -> Value {
    let close = "</body>";
    let script = format!(
        "<script>(async () => {{ {script} }})().catch((error) => ({{ error: String(error) }})).then((answer) => {{
            const place = document.createElement('pre');
            place.id = '{ANSWER}';
            place.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(answer))));
            document.body.append(place);
        }});</script>{close}"
    );
    let (before, after) = page.rsplit_once(close).expect("a page");
    let dom = dom(browser, directory, &format!("{before}{script}{after}"));
    let answer =
        dom.split_once(&format!("<pre id=\"{ANSWER}\">")).and_then(|(_, rest)| rest.split_once("</pre>"));
    assert!(answer.is_some(), "no answer: {dom}");
    let (answer, _) = answer.expect("an answer");
    serde_json::from_slice(&data_encoding::BASE64.decode(answer.as_bytes()).expect("base64")).expect("JSON")
}

/// The page without its policy, which forbids any script but its own.
fn opened(page: &str) -> String {
    let (before, rest) = page.split_once("<meta http-equiv=\"Content-Security-Policy\"").expect("a policy");
    let (_, after) = rest.split_once('>').expect("a whole element");
    format!("{before}{after}")
}

#[test]
fn nobody_is_shut_out() {
    let axe = std::env::var_os("AXE_JS").map(PathBuf::from).and_then(|path| fs::read_to_string(path).ok());
    let (Some(browser), Some(axe)) = (browser(), axe) else {
        return observer_tests::skip("nobody_is_shut_out", "needs Chromium and AXE_JS");
    };
    let directory = TempDir::new().unwrap();
    let page = opened(&page(directory.path()));
    for details in ["closed", "open"] {
        let script = format!(
            "{axe};
            for (const one of document.querySelectorAll('details')) {{ one.open = '{details}' === 'open'; }}
            const found = await axe.run(document);
            return {{
                passes: found.passes.length,
                violations: found.violations.map((one) => one.id + ': ' + one.nodes[0].html),
            }};"
        );
        let answer = ask(browser, directory.path(), &page, &script);
        assert_eq!(answer["violations"], Value::Array(Vec::new()), "{details}: {answer}");
        assert!(answer["passes"].as_u64() > Some(20), "{answer}");
    }
}

#[test]
fn filters_show_what_they_say() {
    let Some(browser) = browser() else {
        return observer_tests::skip("filters_show_what_they_say", "needs Chromium");
    };
    let directory = TempDir::new().unwrap();
    let page = opened(&page(directory.path()));
    let script = "
        const form = document.querySelector('form[data-governs=findings]');
        const items = [...document.querySelectorAll('#findings > details')];
        const set = (name, value) => {
            form.elements[name].value = value;
            form.dispatchEvent(new Event('input', { bubbles: true }));
            const shown = items.filter((item) => !item.hidden);
            return [shown.length, form.querySelector('output').textContent, shown.map((item) => item.dataset)];
        };
        const answer = { all: items.length };
        answer.high = set('severity', 'high');
        answer.shop = set('app', '0');
        answer.words = set('text', 'TOKEN cart');
        set('text', ''); set('severity', ''); set('app', '');
        answer.step = set('step', 'first');
        answer.none = set('text', 'zzqqx');
        answer.title = document.title;
        location.hash = '#' + items[0].id;
        await new Promise((done) => setTimeout(done, 100));
        answer.opened = items[0].open;
        return answer;";
    let answer = ask(browser, directory.path(), &page, script);
    let all = answer["all"].as_u64().unwrap();
    let high = answer["high"][0].as_u64().unwrap();
    assert!(high > 0 && high < all, "{answer}");
    assert_eq!(answer["high"][1], format!("{high} of {all}"));
    assert!(answer["high"][2].as_array().unwrap().iter().all(|item| item["severity"] == "high"), "{answer}");
    assert!(answer["shop"][2].as_array().unwrap().iter().all(|item| item["app"] == "0"), "{answer}");
    assert_eq!(answer["words"][0], 1, "{answer}");
    let first = answer["step"][0].as_u64().unwrap();
    assert!(first > 0 && first < all, "{answer}");
    assert_eq!(answer["none"][1], format!("0 of {all}"));
    assert_ne!(answer["title"], "harm");
    assert_eq!(answer["opened"], true);
}

#[test]
fn the_policy_lets_no_other_script_run() {
    let Some(browser) = browser() else {
        return observer_tests::skip("the_policy_lets_no_other_script_run", "needs Chromium");
    };
    let directory = TempDir::new().unwrap();
    let page = page(directory.path());
    let harm = "<script>document.body.append('harm' + 'ed')</script>";
    let dump = |page: &str| {
        let (before, after) = page.rsplit_once("</body>").unwrap();
        dom(browser, directory.path(), &format!("{before}{harm}</body>{after}"))
    };
    let guarded = dump(&page);
    assert!(!guarded.contains("harmed"));
    // Its own script ran: the filters have counted.
    let (_, counted) = guarded.split_once("<output aria-live=\"polite\">").unwrap();
    let (counted, _) = counted.split_once("</output>").unwrap();
    assert!(counted.contains(" of "), "{counted}");
    assert!(dump(&opened(&page)).contains("harmed"), "without the policy the script runs");
}
