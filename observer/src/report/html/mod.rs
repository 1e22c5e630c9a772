//! One self-contained HTML file: the verdicts first, pictures drawn from the data, every finding with its evidence.
//!
//! It needs nothing from elsewhere and lets nothing in: a content security policy allows its own style and script by
//! their hashes and no request at all. Whatever came from the network or an app is escaped by the template engine, and
//! controls in it are spelled out ([`plain`]).

mod charts;
mod map;
mod prose;
mod steps;
mod timeline;

use std::io::{self, Write};

use askama::Template;
use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

use super::plain::plain;
use super::remedy::remedy;
use super::stored::{StoredApp, StoredFinding, StoredRun};
use super::wording::{self, cl_mss, count, list, size, title};
use crate::assess::Judgement;
use crate::assess::baseline::Standing;
use crate::report::names;
use crate::requirements;
use crate::rules::Severity;

use self::charts::Chart;
use self::map::Map;
use self::prose::Part;
use self::steps::StepView;
use self::timeline::Timeline;

const STYLE: &str = include_str!("../../../templates/report.css");
const SCRIPT: &str = include_str!("../../../templates/report.js");

/// Columns of the table of verdicts.
const COLUMNS: usize = 8;

/// Characters of an app's name in the heads of tables and in pictures.
const NAME: usize = 36;

/// What bytes may be worth, in the order of the legend.
const PROTECTIONS: [&str; 5] = ["cleartext", "opportunistic", "opaque", "encrypted", "empty"];

/// Writes `run`, whose findings weigh from `fail_on` on.
///
/// # Errors
/// Those of `out`.
pub fn render(run: &StoredRun, fail_on: Option<Severity>, out: &mut dyn Write) -> io::Result<()> {
    let page = Page::new(run, fail_on).render().map_err(io::Error::other)?;
    // Over the whole page, so that no text can be forgotten.
    page.lines().try_for_each(|line| writeln!(out, "{}", plain(line)))
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    version: String,
    run: i64,
    style: &'static str,
    style_hash: String,
    script: &'static str,
    script_hash: String,
    headline: String,
    outcome: &'static str,
    inputs: Vec<String>,
    doubts: Vec<String>,
    matrix: Matrix,
    timeline: Timeline,
    map: Map,
    tests: Vec<StepView>,
    charts: Vec<Chart>,
    findings: Vec<FindingView>,
    severities: Vec<&'static str>,
    apps: Vec<Choice>,
    steps: Vec<String>,
    protections: [&'static str; 5],
    sections: Vec<Section>,
    endpoints: Vec<EndpointView>,
    excused: Vec<(String, String, String, String)>,
    left_out: Vec<String>,
}

/// An app by its number on the page.
struct Choice {
    number: usize,
    name: String,
}

/// The verdicts on CL MSS: a row a requirement, a column an app.
struct Matrix {
    apps: Vec<Choice>,
    rows: Vec<MatrixRow>,
    left_out: usize,
}

struct MatrixRow {
    number: String,
    title: &'static str,
    cells: Vec<Cell>,
}

struct Cell {
    class: &'static str,
    word: &'static str,
}

struct FindingView {
    number: usize,
    severity: &'static str,
    rule: String,
    app: String,
    app_number: usize,
    step: String,
    endpoint: String,
    /// What it is instead, where it is held against no app; empty otherwise.
    held: String,
    /// What it is beside the baseline; empty without one.
    standing: &'static str,
    message: String,
    facts: Vec<(String, String)>,
    filter: String,
    remedy: Option<&'static str>,
    snippet: Option<String>,
    requirements: Vec<RequirementView>,
    others: String,
    explanation: Vec<Part>,
}

struct RequirementView {
    name: String,
    gist: &'static str,
}

struct Section {
    number: usize,
    name: String,
    about: String,
    verdicts: Vec<VerdictView>,
    others: String,
}

struct VerdictView {
    number: String,
    title: &'static str,
    class: &'static str,
    word: &'static str,
    reason: String,
}

struct EndpointView {
    app: String,
    app_number: usize,
    name: String,
    protection: String,
    protocol: String,
    tls: String,
    flows: u64,
    sent: String,
    received: String,
}

impl Page {
    fn new(run: &StoredRun, fail_on: Option<Severity>) -> Self {
        let apps: Vec<_> = run
            .apps
            .iter()
            .enumerate()
            .map(|(number, app)| Choice { number, name: run.name(app).to_owned() })
            .collect();
        let mut findings = Vec::new();
        for (number, app) in run.apps.iter().enumerate() {
            findings.extend(app.findings.iter().map(|finding| (number, app, finding)));
        }
        findings.sort_by_key(|(_, _, finding)| {
            (!finding.is_held(), finding.is_known(), std::cmp::Reverse(finding.severity))
        });
        let findings: Vec<_> = findings
            .into_iter()
            .enumerate()
            .map(|(number, (app_number, app, finding))| {
                FindingView::new(number, app_number, run, app, finding)
            })
            .collect();
        let mut severities: Vec<_> =
            run.apps.iter().flat_map(|app| &app.findings).map(|finding| finding.severity).collect();
        severities.sort_by_key(|severity| std::cmp::Reverse(*severity));
        severities.dedup();
        Self {
            version: run.tool_version.clone(),
            run: run.run,
            style: STYLE,
            style_hash: hash(STYLE),
            script: SCRIPT,
            script_hash: hash(SCRIPT),
            headline: run.headline(fail_on),
            outcome: outcome(run),
            inputs: inputs(run),
            doubts: doubts(run),
            matrix: Matrix::new(run),
            timeline: Timeline::new(run),
            map: Map::new(run),
            tests: run.steps.iter().map(StepView::new).collect(),
            charts: charts::all(run),
            findings,
            severities: severities.into_iter().map(Severity::as_str).collect(),
            apps,
            steps: {
                let shown = run.apps.iter().flat_map(|app| &app.findings).filter_map(|one| one.step.clone());
                let mut steps: Vec<_> = shown.collect();
                steps.sort();
                steps.dedup();
                steps
            },
            protections: PROTECTIONS,
            sections: run
                .apps
                .iter()
                .enumerate()
                .map(|(number, app)| Section::new(number, run, app))
                .collect(),
            endpoints: endpoints(run),
            excused: excused(run),
            left_out: run.left_out.iter().map(|(what, many)| format!("{many} {what}")).collect(),
        }
    }
}

/// A source expression of a content security policy (CSP3 §2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(&Sha256::digest(text)))
}

/// The class of the headline.
fn outcome(run: &StoredRun) -> &'static str {
    let any = |judgement| run.apps.iter().any(|app| app.judgement() == Some(judgement));
    if any(Judgement::Violated) {
        "violated"
    } else if run.inconclusive.is_some() || !run.finished {
        "inconclusive"
    } else {
        "no_violation_observed"
    }
}

fn inputs(run: &StoredRun) -> Vec<String> {
    let line = |input: &super::stored::StoredInput| {
        let mut line = format!("{}: {}", input.path, count(input.frames, "frame"));
        if let (Some(first), Some(last)) = (input.first, input.last) {
            let seconds = last.since(first).as_secs_f64();
            line.push_str(&format!(" from {}, {}", minute(first), wording::duration(seconds)));
        }
        line
    };
    run.inputs.iter().map(line).collect()
}

/// A time to the second, e.g. `2026-11-22 00:15:54 UTC`.
fn minute(time: crate::time::Timestamp) -> String {
    let text = time.to_string();
    let seconds = text.split('.').next().unwrap_or(&text).trim_end_matches('Z');
    format!("{} UTC", seconds.replace('T', " "))
}

fn doubts(run: &StoredRun) -> Vec<String> {
    let mut doubts = Vec::new();
    if !run.finished {
        doubts.push("The run was not written to its end: verdicts are missing.".to_owned());
    }
    doubts.extend(run.inconclusive.as_ref().map(|reason| format!("Inconclusive: {}.", reason)));
    doubts.extend(run.lost.iter().map(|(what, many)| format!("Lost on the way ({}): {many}.", what)));
    if run.unattributed_flows > 0 {
        let flows = count(run.unattributed_flows, "flow");
        doubts.push(format!("Without an owner: {flows}, {}.", size(run.unattributed_bytes)));
    }
    doubts.extend(run.all_notes().map(|note| format!("{}.", note)));
    doubts
}

impl Matrix {
    fn new(run: &StoredRun) -> Self {
        let judged: Vec<_> = run.apps.iter().enumerate().filter(|(_, app)| app.is_judged()).collect();
        let shown = judged.iter().take(COLUMNS);
        let numbers = requirements::all().filter_map(|row| Some((row.id, cl_mss(row.id)?)));
        let rows = numbers.map(|(id, number)| MatrixRow {
            number: number.to_owned(),
            title: title(number),
            cells: shown
                .clone()
                .map(|(_, app)| {
                    let verdict = app.verdicts.iter().find(|verdict| verdict.requirement == id);
                    let judged = verdict.map_or(Judgement::NotExercised, |verdict| verdict.judgement);
                    Cell { class: names::judgement(judged), word: word(judged) }
                })
                .collect(),
        });
        Self {
            rows: rows.collect(),
            apps: shown
                .clone()
                .map(|(number, app)| Choice { number: *number, name: shortened(run.name(app), NAME) })
                .collect(),
            left_out: judged.len().saturating_sub(COLUMNS),
        }
    }
}

fn word(judged: Judgement) -> &'static str {
    match judged {
        Judgement::Violated => "VIOLATED",
        other => other.in_words(),
    }
}

/// The class of a protection; a word of a later version is drawn as the worst.
fn class(protection: &str) -> &'static str {
    PROTECTIONS.into_iter().find(|known| *known == protection).unwrap_or("cleartext")
}

/// The first characters of a name that is too long.
fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

impl FindingView {
    fn new(
        number: usize,
        app_number: usize,
        run: &StoredRun,
        app: &StoredApp,
        finding: &StoredFinding,
    ) -> Self {
        let info = finding.info();
        let remedy = remedy(&finding.rule);
        let (ours, others): (Vec<&String>, Vec<&String>) =
            finding.requirements.iter().partition(|id| requirements::find(id).is_some());
        let view = |id: &&String| {
            let row = requirements::find(id);
            let (_, number) = id.split_once(':').unwrap_or(("", id));
            RequirementView {
                name: row.map_or_else(|| (*id).clone(), |row| format!("{} {number}", row.standard.name)),
                gist: row.map_or("", |row| row.gist),
            }
        };
        Self {
            number,
            severity: finding.severity.as_str(),
            rule: finding.rule.clone(),
            app: run.name(app).to_owned(),
            app_number,
            step: finding.step.clone().unwrap_or_default(),
            endpoint: finding.endpoint(),
            held: if finding.is_held() { String::new() } else { finding.blame.replace('_', " ") },
            standing: finding.baseline.map(Standing::as_str).unwrap_or_default(),
            message: finding.message.clone(),
            facts: facts(finding),
            filter: finding.filter(),
            remedy: remedy.map(|remedy| remedy.text),
            snippet: remedy.and_then(|remedy| remedy.snippet(finding.host.as_deref())),
            requirements: ours.iter().map(view).collect(),
            others: list(&others.iter().map(|id| id.replacen(':', " ", 1)).collect::<Vec<_>>()),
            explanation: info.map(|info| prose::parts(info.explanation)).unwrap_or_default(),
        }
    }
}

/// What is known of a finding, as terms and their values.
fn facts(finding: &StoredFinding) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    fact("Confidence", finding.confidence.clone());
    if finding.host.is_some() {
        fact("Address", super::stored::endpoint(&finding.ip, Some(finding.port)));
    }
    if let Some(step) = finding.step_in_words() {
        fact("Step", step);
    }
    if let Some(at) = finding.at {
        fact("Flow began", at.to_string());
    }
    let places: Vec<_> =
        finding.places.iter().map(|(flow, frame)| format!("frame {frame} of flow {flow}")).collect();
    fact("Seen in", list(&places));
    for (name, value) in &finding.evidence {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        fact(&name.replace('_', " "), value);
    }
    facts
}

impl Section {
    fn new(number: usize, run: &StoredRun, app: &StoredApp) -> Self {
        let mut about = Vec::new();
        about.extend(app.label.as_deref().map(|label| label.to_owned()));
        about.extend(app.uid.map(|uid| format!("uid {uid}")));
        about.push(format!("{}, {}", count(app.flow_count, "flow"), size(app.bytes)));
        if !app.methods.is_empty() {
            about.push(format!("owner by {}", list(&app.methods)));
        }
        let (ours, others): (Vec<_>, Vec<_>) =
            app.verdicts.iter().partition(|verdict| cl_mss(&verdict.requirement).is_some());
        let verdicts = ours.into_iter().map(|verdict| {
            let number = cl_mss(&verdict.requirement).unwrap_or_default();
            VerdictView {
                number: number.to_owned(),
                title: title(number),
                class: names::judgement(verdict.judgement),
                word: word(verdict.judgement),
                reason: verdict.reason.clone(),
            }
        });
        let counts = wording::JUDGEMENTS.into_iter().filter_map(|judged| {
            let many = others.iter().filter(|verdict| verdict.judgement == judged).count();
            (many > 0).then(|| format!("{many} {}", judged.in_words()))
        });
        Self {
            number,
            name: run.name(app).to_owned(),
            about: about.join(", "),
            verdicts: verdicts.collect(),
            others: list(&counts.collect::<Vec<_>>()),
        }
    }
}

fn endpoints(run: &StoredRun) -> Vec<EndpointView> {
    let mut views = Vec::new();
    for (app_number, app) in run.apps.iter().enumerate() {
        for endpoint in &app.endpoints {
            let tls: Vec<_> = endpoint.versions.iter().chain(&endpoint.ciphers).cloned().collect();
            views.push(EndpointView {
                app: run.name(app).to_owned(),
                app_number,
                name: endpoint.name(),
                protection: endpoint.protection.clone(),
                protocol: endpoint.protocol.clone().unwrap_or_else(|| endpoint.transport.clone()),
                tls: tls.join(", "),
                flows: endpoint.flows,
                sent: size(endpoint.sent),
                received: size(endpoint.received),
            });
        }
    }
    views
}

fn excused(run: &StoredRun) -> Vec<(String, String, String, String)> {
    let mut rows = Vec::new();
    for app in &run.apps {
        for finding in &app.suppressed {
            rows.push((
                finding.rule.clone(),
                run.name(app).to_owned(),
                finding.endpoint(),
                finding.suppressed.clone().unwrap_or_default(),
            ));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::stored::tests::hostile_run;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let mut out = Vec::new();
        render(&hostile_run(), Some(Severity::High), &mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</script").count(), 1);
        assert!(!page.contains("<img"), "an element got in");
        // A quote that is not escaped ends an attribute, and what follows is another one.
        assert!(!page.contains("\" onerror") && !page.contains("' onerror"));
        assert!(page.contains("onerror"), "the text is shown all the same");
        assert!(
            !page.contains('\u{202e}') && !page.contains('\u{7}'),
            "what a reader cannot see is spelled out"
        );
    }

    #[test]
    fn the_policy_names_the_hashes_of_style_and_script() {
        let mut out = Vec::new();
        render(&StoredRun::default(), None, &mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
            let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
            let (text, _) = rest.split_once(&format!("</{tag}>")).unwrap();
            // The engine writes `+` and `=` as they are, or as references that mean the same.
            let page = page.replace("&#43;", "+").replace("&#61;", "=").replace("&#x2b;", "+");
            assert!(page.contains(&format!("{directive} '{}'", hash(text))), "{tag}");
        }
    }
}
