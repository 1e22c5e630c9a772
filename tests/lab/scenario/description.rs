//! What the scenario's apps do and what is expected of them, as `apps.toml` has it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use observer::rules;
use serde::Deserialize;

/// The requirements that an app has verdicts on, in the order of [`App::verdicts`].
pub(crate) const REQUIREMENTS: [&str; 9] = [
    "cl-mss:5.1",
    "cl-mss:5.2",
    "cl-mss:5.3",
    "cl-mss:5.4",
    "cl-mss:5.5",
    "cl-mss:5.6",
    "cl-mss:5.7",
    "cl-mss:5.8",
    "cl-mss:5.9",
];

/// The file.
const APPS: &str = include_str!("apps.toml");

/// All apps, in the order in which they act.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    #[serde(rename = "app")]
    pub(crate) apps: Vec<App>,
}

/// An app, or a part of the platform.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct App {
    /// Its package; of the platform, what part it is.
    pub(crate) name: String,
    /// The uid that it runs under.
    pub(crate) uid: u32,
    /// Other packages of the same uid.
    pub(crate) beside: Vec<String>,
    /// In words.
    pub(crate) does: String,
    /// The line of sh that does it.
    pub(crate) run: String,
    /// What a neighbour runs on the peers' side as soon as the app says that it listens.
    pub(crate) visit: Option<String>,
    /// Programs, and modules of Python as `python3:NAME`, without which it is left out.
    pub(crate) needs: Vec<String>,
    /// Whether it goes on until all others have ended.
    pub(crate) lasts: bool,
    /// The step of a test that it acts in.
    pub(crate) step: Option<String>,
    /// Whether nothing is held against it.
    pub(crate) platform: bool,
    /// A letter for each of [`REQUIREMENTS`], see [`verdict`]; empty where there is no verdict at all.
    pub(crate) verdicts: String,
    /// Rule and severity of all findings.
    pub(crate) findings: BTreeSet<String>,
    /// Those that the policy excuses.
    pub(crate) excused: BTreeSet<String>,
    /// Ports of TCP that it must be seen to wait on.
    pub(crate) listens: Vec<u16>,
}

impl Scenario {
    /// The scenario.
    pub(crate) fn load() -> Self {
        toml::from_str(APPS).expect("apps.toml is a scenario")
    }

    /// The list of packages that Android has of these apps.
    pub(crate) fn packages(&self) -> String {
        let mut list = String::new();
        // Other users, and sandboxes, stand under the uid of the first user.
        let owners = self.apps.iter().filter(|app| !app.platform && (10_000..20_000).contains(&app.uid));
        for app in owners {
            for package in std::iter::once(&app.name).chain(&app.beside) {
                let uid = app.uid;
                let rest = "default:targetSdkVersion=34 3003 0 1 1 com.android.vending";
                writeln!(list, "{package} {uid} 0 /data/user/0/{package} {rest}").expect("a string");
            }
        }
        list
    }
}

impl App {
    /// What a report calls it.
    pub(crate) fn shown(&self) -> String {
        let mut packages: Vec<&str> =
            std::iter::once(&self.name).chain(&self.beside).map(String::as_str).collect();
        packages.sort_unstable();
        packages.join("+")
    }
}

/// The verdict that a letter stands for, as databases write it.
pub(crate) fn verdict(letter: char) -> Option<&'static str> {
    Some(match letter {
        'V' => "violated",
        'N' => "no_violation_observed",
        'X' => "not_exercised",
        'O' => "not_observable",
        'I' => "inconclusive",
        _ => return None,
    })
}

#[test]
fn every_expectation_can_be_met() {
    let scenario = Scenario::load();
    let mut uids = BTreeSet::new();
    for app in &scenario.apps {
        let name = &app.name;
        assert!(uids.insert(app.uid), "{name}: uid {} twice", app.uid);
        assert!(!app.does.is_empty() && !app.run.is_empty(), "{name} does nothing");
        assert!([0, REQUIREMENTS.len()].contains(&app.verdicts.len()), "{name}: {}", app.verdicts);
        assert!(app.verdicts.chars().all(|letter| verdict(letter).is_some()), "{name}: {}", app.verdicts);
        assert!(!app.platform || app.verdicts.is_empty(), "{name}: the platform has no verdicts");
        let mut broken: BTreeSet<&str> = BTreeSet::new();
        for finding in app.findings.iter().chain(&app.excused) {
            let (rule, severity) = finding.split_once(' ').expect("a rule and a severity");
            let rule = rules::find(rule).unwrap_or_else(|| panic!("{name}: no rule {rule}"));
            let severities = ["critical", "high", "medium", "low", "info"];
            let rank = severities.iter().position(|known| *known == severity);
            let rank = rank.unwrap_or_else(|| panic!("{name}: no severity {severity}"));
            if app.findings.contains(finding) && rank <= 2 {
                broken.extend(rule.requirements);
            }
        }
        // From medium on a finding breaks what its rule bears on, and nothing else breaks anything.
        for (requirement, letter) in REQUIREMENTS.iter().zip(app.verdicts.chars()) {
            assert_eq!(broken.contains(requirement), letter == 'V', "{name}: {requirement}");
        }
    }
    assert!(scenario.apps.len() >= 25);
}
