//! In which test each flow of a capture began: from the files that a test run leaves behind.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::program::observer;

/// A file beside this one.
fn fixture(name: &str) -> String {
    format!("{}/integration/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The demo's records with the tests of `words`.
fn records(words: &[&str]) -> Vec<Value> {
    let (code, text, said) = observer(&[&["analyze", "demo.pcapng", "--format", "jsonl"], words].concat());
    assert_eq!(code, Some(1), "{said}");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn of_type<'a>(records: &'a [Value], name: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["type"] == name).collect()
}

/// App, host, step and how it began, of each flow of an app.
fn flows(records: &[Value]) -> Vec<String> {
    let mut shown = Vec::new();
    for flow in of_type(records, "flow") {
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        if let Some(host) = flow["destination"]["domain"].as_str() {
            let step = &flow["step"];
            shown.push(format!("{host} {} {}", word(&step["began"]), word(&step["name"])));
        }
    }
    shown
}

#[test]
fn a_log_says_in_which_test_each_flow_began() {
    let records = records(&["--logcat", &fixture("demo-logcat.txt")]);
    assert_eq!(
        flows(&records),
        [
            "connectivitycheck.gstatic.com background -",
            "img.shop.test inside login(com.example.shop.ShopTest)",
            "shop.test inside login(com.example.shop.ShopTest)",
            // 60 ms after the test's end.
            "api.shop.test grace login(com.example.shop.ShopTest)",
            "api.shop.test inside cart[0: guest](com.example.shop.ShopTest)",
            "chat.test background -",
            "sync.chat.test background -",
            "weather.test inside forecast(com.example.weather.WeatherTest)",
            "news.test inside news(com.example.news.NewsTest)",
        ]
    );
    let steps: Vec<_> = of_type(&records, "step")
        .iter()
        .map(|step| {
            let findings = &step["findings"];
            let name = step["name"].as_str().unwrap_or("(background)");
            let result = step["result"].as_str().unwrap_or("-");
            format!("{name} {result} {} {}h{}m", step["flows"], findings["high"], findings["medium"])
        })
        .collect();
    insta::assert_debug_snapshot!("steps_of_the_demo", steps);
    let findings: Vec<_> = of_type(&records, "finding")
        .iter()
        .map(|finding| format!("{} {}", finding["rule"]["id"].as_str().unwrap_or("-"), finding["step"]))
        .collect();
    insta::assert_debug_snapshot!("findings_of_the_demo_by_step", findings);
    // What the flows come to is the same with tests and without.
    let without = self::records(&[]);
    assert_eq!(of_type(&records, "verdict"), of_type(&without, "verdict"));
    assert!(of_type(&without, "flow").iter().all(|flow| flow.get("step").is_none()));
    let notes = of_type(&records, "summary")[0]["notes"].to_string();
    assert!(
        notes.contains("times without a year or a zone, read as of the year of the capture and of UTC: 11"),
        "{notes}"
    );
}

#[test]
fn all_forms_say_the_same_of_a_step() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("run.db").display().to_string();
    let log = fixture("demo-logcat.txt");
    let records = records(&["--logcat", &log, "--db", &database]);
    let (_, answer, said) = observer(&["query", &database, "steps", "--format", "jsonl"]);
    let rows: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).expect(&said)).collect();
    let (_, text, _) = observer(&["report", &database, "--format", "json"]);
    let stored: Value = serde_json::from_str(&text).unwrap();
    let stored = stored["steps"].as_array().unwrap();
    let streamed = of_type(&records, "step");
    assert_eq!((rows.len(), stored.len()), (streamed.len(), streamed.len()));
    for ((streamed, row), stored) in streamed.iter().zip(&rows).zip(stored) {
        assert_eq!(streamed["flows"], row["flows"], "{streamed} {row}");
        assert_eq!(streamed["flows"], stored["flows"], "{streamed} {stored}");
        assert_eq!(streamed["result"], row["result"]);
        for severity in ["critical", "high", "medium", "low", "info"] {
            assert_eq!(streamed["findings"][severity], row[severity], "{streamed} {row}");
            let kept = stored["findings"].get(severity).cloned().unwrap_or(Value::from(0));
            assert_eq!(streamed["findings"][severity], kept, "{streamed} {stored}");
        }
    }
    // Each flow, by the views.
    let question = "SELECT number, step, step_began, step_spans FROM flows ORDER BY number";
    let (_, answer, said) = observer(&["query", &database, question, "--format", "jsonl"]);
    for (line, flow) in answer.lines().zip(of_type(&records, "flow")) {
        let row: Value = serde_json::from_str(line).expect(&said);
        assert_eq!(row["step"], flow["step"]["name"], "{row} {flow}");
        assert_eq!(row["step_began"], flow["step"]["began"], "{row} {flow}");
        let spans = flow["step"].get("spans_count").cloned().unwrap_or(Value::from(0));
        assert_eq!(row["step_spans"], spans, "{row} {flow}");
    }
    let (_, page, _) = observer(&["report", &database, "--format", "html"]);
    assert!(page.contains("Tests and steps") && page.contains("cart[0: guest](com.example.shop.ShopTest)"));
    let (_, text, _) = observer(&["analyze", "demo.pcapng", "--logcat", &log]);
    assert!(text.contains("step cart[0: guest](com.example.shop.ShopTest)\n"), "{text}");
    let tests = text.lines().skip_while(|line| !line.starts_with("Tests"));
    let tests: Vec<_> = tests.take_while(|line| !line.is_empty()).collect();
    insta::assert_snapshot!("tests_in_the_report", tests.join("\n"));
}

#[test]
fn other_witnesses_are_placed_by_their_clock() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    // Two seconds behind the device.
    let class = "INSTRUMENTATION_STATUS: class=com.example.shop.ShopTest";
    let lines = [
        ("52.400", class),
        ("52.400", "INSTRUMENTATION_STATUS: test=login"),
        ("52.400", "INSTRUMENTATION_STATUS_CODE: 1"),
        ("53.300", class),
        ("53.300", "INSTRUMENTATION_STATUS: test=login"),
        ("53.300", "INSTRUMENTATION_STATUS_CODE: 0"),
    ];
    // 2026-11-22 00:15:00 UTC.
    let stamped: String = lines
        .iter()
        .map(|(second, line)| {
            let (second, rest) = second.split_once('.').unwrap();
            format!("{}.{rest} {line}\n", 1_795_306_500 + second.parse::<i64>().unwrap())
        })
        .collect();
    let instrument = write("instrument.txt", &stamped);
    let inside = "img.shop.test inside login(com.example.shop.ShopTest)".to_owned();
    assert!(flows(&records(&["--instrument", &instrument, "--clock-offset", "2"])).contains(&inside));
    assert!(!flows(&records(&["--instrument", &instrument])).contains(&inside));
    let junit = write(
        "results.xml",
        r#"<testsuite name="T" timestamp="2026-11-22T01:15:54.4+01:00"><testcase name="login" classname="com.example.shop.ShopTest" time="0.9"/></testsuite>"#,
    );
    let inferred = records(&["--junit", &junit]);
    assert!(flows(&inferred).contains(&inside));
    assert_eq!(of_type(&inferred, "step")[0]["basis"], "inferred");
    let bare = write("bare.txt", "INSTRUMENTATION_STATUS_CODE: 1\n");
    let (code, _, said) = observer(&["analyze", "demo.pcapng", "--instrument", &bare]);
    assert_eq!(code, Some(3));
    assert!(said.contains("bare.txt: line 1 has no time"), "{said}");
}
