//! Planted violations, and apps without any: every verdict and every finding against what is known of each app.
//!
//! `scenario/apps.toml` describes the apps, [`stage`] lets them act, [`judge`] compares; this file captures.

pub(crate) mod description;
mod judge;
mod page;
pub(crate) mod stage;

use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

use crate::capture::{Capture, OBSERVER};

use self::description::{App, Scenario};
use self::judge::Results;
use self::stage::Stage;

/// The point of an app's act that is made known to a capture.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    Begins,
    Ends,
}

/// Lets all apps act, one after the other; those that could, and complaints of those that failed. `step` hears of the apps
/// that act in a step of a test.
pub(crate) fn play<'a>(
    stage: &Stage,
    scenario: &'a Scenario,
    step: &mut dyn FnMut(&str, Moment),
) -> (Vec<&'a App>, String) {
    let (mut acted, mut lasting, mut failed) = (Vec::new(), Vec::new(), String::new());
    let mut complain = |app: &App, complaint: Option<String>| {
        if let Some(complaint) = complaint {
            failed.push_str(&format!("{} failed: {complaint}\n", app.name));
        }
    };
    for app in &scenario.apps {
        if let Some(lack) = stage.lacks(app) {
            observer_tests::skip(&format!("the scenario's {}", app.name), &lack);
            continue;
        }
        if let Some(label) = &app.step {
            step(label, Moment::Begins);
        }
        let acting = stage.start(app);
        if let Some(words) = &app.visit {
            let visit = stage.visit(words);
            let text = String::from_utf8_lossy(&visit.stderr).into_owned();
            complain(app, (!visit.status.success()).then(|| format!("its neighbour: {text}")));
        }
        if app.lasts {
            lasting.push((app, acting));
        } else {
            complain(app, acting.end());
        }
        if let Some(label) = &app.step {
            step(label, Moment::Ends);
        }
        acted.push(app);
    }
    for (app, acting) in lasting {
        complain(app, acting.end());
    }
    (acted, failed)
}

/// A copy of a run's database that outlives the stage: whoever looks into what is wrong asks it.
pub(crate) fn keep(database: &str, name: &str) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::copy(database, &kept).expect("a copy");
    kept
}

/// Makes sure that all apps did what they are to do, and were judged right.
pub(crate) fn demand(scenario: &Scenario, acted: &[&App], failed: &str, database: PathBuf, said: &str) {
    let connection = Connection::open(&database).expect("a database");
    let judged = Results::read(&connection).expect("the views that questions use").judge(acted);
    assert!(
        failed.is_empty() && judged.wrong.is_empty(),
        "{} of {} apps acted; {} points right, but\n{failed}{}{said}{} has the run",
        acted.len(),
        scenario.apps.len(),
        judged.right,
        judged.wrong,
        database.display()
    );
}

#[test]
fn every_planted_behaviour_is_judged_right() {
    let Some(stage) = Stage::or_skip("every_planted_behaviour_is_judged_right") else { return };
    let scenario = Scenario::load();
    let database = stage.path("run.db");
    let words = [
        ["--db", &database],
        ["--packages", &stage.path("packages.list")],
        ["--policy", &stage.path("pki/policy.toml")],
        ["--ca", &stage.path("pki/root.pem")],
        ["--keylog", &stage.path("keys.log")],
    ];
    let capture = Capture::start(&stage.network, &words.concat());
    let socket = format!("/run/observer/{}.sock", capture.pid());
    let mut labels = Vec::new();
    let mut step = |label: &str, moment: Moment| {
        let label = format!("{label}: {moment:?}");
        let mark = Command::new(OBSERVER).args(["mark", &label, "--socket", &socket]).output();
        let mark = mark.expect("it runs");
        assert!(mark.status.success(), "{label}: {}", String::from_utf8_lossy(&mark.stderr));
        labels.push(label);
    };
    let (acted, failed) = play(&stage, &scenario, &mut step);
    let ended = capture.interrupt();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let database = keep(&database, "scenario.db");
    demand(&scenario, &acted, &failed, database, &ended.stderr);
    let marks =
        ended.of_type("marker").into_iter().map(|marker| marker["label"].as_str().unwrap_or_default());
    assert!(!labels.is_empty() && marks.eq(labels.iter().map(String::as_str)), "{labels:?}");
}
