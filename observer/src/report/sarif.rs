//! SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"): for code scanning and for readers of SARIF.
//!
//! A result lies in a capture file; its region's `startLine` is the number of a frame, because readers demand a line and a
//! capture has none. `logicalLocations` name the app and the far end. Every requirement is a taxon of its standard.
//! `partialFingerprints` make a result the same one in the next run.
//!
//! With a baseline every result has a `baselineState` (§3.27.24): `new`, `unchanged`, or `updated` where it got worse. What
//! the baseline has and this run has not is `absent`, of kind `open` and without a level (§3.27.9, §3.27.10): that it was not
//! seen does not say that it is gone, and readers that know no baseline raise no alarm over it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::remedy::remedy;
use super::stored::{StoredApp, StoredFinding, StoredRun, endpoint};
use crate::assess::baseline::{KnownFinding, Standing};
use crate::requirements::{self, Requirement};
use crate::rules::{RULES, RuleInfo, Severity};

/// The schema that the document names.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Writes `run` as one document.
///
/// # Errors
/// Those of `out`.
pub fn render(run: &StoredRun, out: &mut dyn Write) -> io::Result<()> {
    let taxonomies = Taxonomies::new();
    let mut results = Vec::new();
    for app in &run.apps {
        for finding in app.findings.iter().chain(&app.suppressed) {
            results.push(result(run, app, finding, &taxonomies));
        }
    }
    let absent = run.baseline.iter().flat_map(|compared| &compared.absent);
    results.extend(absent.map(|finding| absent_result(run, finding)));
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver(run, &taxonomies) },
            "invocations": [invocation(run)],
            "artifacts": artifacts(run),
            "columnKind": "unicodeCodePoints",
            "taxonomies": taxonomies.to_json(),
            "results": results,
            "properties": run_properties(run),
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

fn run_properties(run: &StoredRun) -> Value {
    let mut properties = Map::new();
    properties.insert("observer/run".to_owned(), run.run.into());
    properties.insert("observer/frames".to_owned(), run.frames.into());
    properties.insert("observer/flows".to_owned(), run.flows.into());
    if let Some(compared) = &run.baseline {
        let baseline = json!({
            "path": compared.origin.path,
            "run": compared.origin.run,
            "notSeen": compared.not_seen,
        });
        properties.insert("observer/baseline".to_owned(), baseline);
    }
    Value::Object(properties)
}

fn driver(run: &StoredRun, taxonomies: &Taxonomies) -> Value {
    let rules: Vec<_> = RULES.iter().map(|rule| descriptor(rule.info(), taxonomies)).collect();
    json!({
        "name": "observer",
        "version": run.tool_version,
        "informationUri": env!("CARGO_PKG_REPOSITORY"),
        "rules": rules,
        "supportedTaxonomies": taxonomies.names().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
    })
}

fn descriptor(rule: &RuleInfo, taxonomies: &Taxonomies) -> Value {
    let remedy = remedy(rule.id);
    let mut help = rule.explanation.trim().to_owned();
    if let Some(remedy) = remedy {
        help.push_str("\n## Remedy\n");
        help.push_str(remedy.text);
        if let Some(snippet) = remedy.snippet(None) {
            help.push_str(&format!("\n\n```\n{snippet}\n```"));
        }
    }
    let relationships: Vec<_> = rule
        .requirements
        .iter()
        .filter_map(|id| taxonomies.reference(id))
        .map(|target| json!({ "target": target, "kinds": ["relevant"] }))
        .collect();
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.summary },
        "fullDescription": { "text": format!("{}.", rule.summary) },
        "help": { "text": help, "markdown": help },
        "defaultConfiguration": { "level": level(rule.severity) },
        "relationships": relationships,
        "properties": {
            "tags": ["security", "network"],
            "security-severity": security_severity(rule.severity),
            "problem.severity": level(rule.severity),
        },
    })
}

fn invocation(run: &StoredRun) -> Value {
    let mut invocation = json!({ "executionSuccessful": run.finished });
    let mut told = Vec::new();
    if let Some(reason) = &run.inconclusive {
        told.push(json!({
            "level": "warning",
            "descriptor": { "id": "inconclusive" },
            "message": { "text": format!("inconclusive: {reason}") },
        }));
    }
    told.extend(run.all_notes().map(|note| json!({ "level": "note", "message": { "text": note } })));
    told.extend(run.lost.iter().map(|(what, count)| {
        json!({ "level": "warning", "message": { "text": format!("lost: {what}: {count}") } })
    }));
    told.extend(run.left_out.iter().map(|(what, count)| {
        json!({ "level": "note", "message": { "text": format!("left out of this report: {what}: {count}") } })
    }));
    if !run.finished {
        told.push(json!({ "level": "error", "message": { "text": "the run was not written to its end" } }));
    }
    if let Value::Object(object) = &mut invocation {
        if !told.is_empty() {
            object.insert("toolExecutionNotifications".to_owned(), told.into());
        }
        if let Some(started) = run.started {
            object.insert("startTimeUtc".to_owned(), started.to_string().into());
        }
    }
    invocation
}

fn artifacts(run: &StoredRun) -> Vec<Value> {
    let artifact = |path: &str| json!({ "location": { "uri": uri(path) }, "roles": ["analysisTarget"] });
    run.inputs.iter().map(|input| artifact(&input.path)).collect()
}

fn result(run: &StoredRun, app: &StoredApp, finding: &StoredFinding, taxonomies: &Taxonomies) -> Value {
    let index = RULES.iter().position(|rule| rule.info().id == finding.rule);
    let name = run.name(app);
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "kind": "fail",
        "message": { "text": format!("{name}: {}", finding.message) },
        "locations": locations(run, name, finding),
        "partialFingerprints": { "observerFinding/v1": finding.fingerprint },
        "taxa": finding.requirements.iter().filter_map(|id| taxonomies.reference(id)).collect::<Vec<_>>(),
        "properties": properties(app, finding),
    });
    if let Value::Object(object) = &mut result {
        if let Some(index) = index {
            object.insert("ruleIndex".to_owned(), index.into());
        }
        if let Some(standing) = finding.baseline {
            object.insert("baselineState".to_owned(), baseline_state(standing).into());
        }
        if let Some(reason) = &finding.suppressed {
            let suppression = json!({ "kind": "external", "status": "accepted", "justification": reason });
            object.insert("suppressions".to_owned(), vec![suppression].into());
        }
    }
    result
}

/// A finding that the baseline has and this run has not.
fn absent_result(run: &StoredRun, finding: &KnownFinding) -> Value {
    let name = finding.app.as_deref().unwrap_or("unattributed traffic");
    let far_end = endpoint(&finding.host, Some(finding.port));
    let mut location = json!({
        "logicalLocations": [{
            "name": far_end,
            "fullyQualifiedName": format!("{name} to {far_end}"),
            "kind": "resource",
        }],
        "message": { "text": "not seen in this capture" },
    });
    if let (Value::Object(object), Some(input)) = (&mut location, run.inputs.first()) {
        let physical = json!({ "artifactLocation": { "uri": uri(&input.path) } });
        object.insert("physicalLocation".to_owned(), physical);
    }
    let mut result = json!({
        "ruleId": finding.rule,
        "level": "none",
        "kind": "open",
        "baselineState": "absent",
        "message": { "text": format!("{name}: not seen again: {}", finding.message) },
        "locations": [location],
        "partialFingerprints": { "observerFinding/v1": finding.fingerprint },
        "properties": { "baselineSeverity": finding.severity.as_str() },
    });
    let index = RULES.iter().position(|rule| rule.info().id == finding.rule);
    if let (Value::Object(object), Some(index)) = (&mut result, index) {
        object.insert("ruleIndex".to_owned(), index.into());
    }
    result
}

/// SARIF's word for what a result is beside the baseline.
fn baseline_state(standing: Standing) -> &'static str {
    match standing {
        Standing::Known => "unchanged",
        Standing::Worse => "updated",
        Standing::New => "new",
    }
}

/// One location for each place, the first the one that it was seen in first.
fn locations(run: &StoredRun, app: &str, finding: &StoredFinding) -> Vec<Value> {
    let logical = json!([{
        "name": finding.endpoint(),
        "fullyQualifiedName": format!("{app} to {}", finding.endpoint()),
        "kind": "resource",
    }]);
    // The frames of several files are counted through.
    let mut first = 0_u64;
    let mut files = Vec::new();
    for input in &run.inputs {
        let end = first.saturating_add(input.frames);
        files.push((first, end, uri(&input.path)));
        first = end;
    }
    let places = finding.places.iter().map(|(flow, frame)| {
        let file = files.iter().find(|(first, end, _)| frame > first && frame <= end).or(files.first());
        let mut location = json!({
            "logicalLocations": logical,
            "message": { "text": format!("frame {frame}, flow {flow}") },
        });
        if let (Value::Object(object), Some((_, _, uri))) = (&mut location, file) {
            let physical = json!({
                "artifactLocation": { "uri": uri },
                "region": { "startLine": frame },
            });
            object.insert("physicalLocation".to_owned(), physical);
        }
        location
    });
    places.collect()
}

fn properties(app: &StoredApp, finding: &StoredFinding) -> Value {
    let mut properties = Map::new();
    properties.insert("confidence".to_owned(), finding.confidence.as_str().into());
    properties.insert("blame".to_owned(), finding.blame.as_str().into());
    properties.insert("wiresharkFilter".to_owned(), finding.filter().into());
    properties.insert("evidence".to_owned(), Value::Object(finding.evidence.clone()));
    properties.insert("security-severity".to_owned(), security_severity(finding.severity).into());
    properties.extend(app.uid.map(|uid| ("uid".to_owned(), uid.into())));
    properties.extend(finding.step.as_ref().map(|step| ("step".to_owned(), step.as_str().into())));
    properties.extend(finding.began.map(|began| ("stepBegan".to_owned(), began.as_str().into())));
    if !finding.steps.is_empty() {
        properties.insert("steps".to_owned(), finding.steps.clone().into());
    }
    Value::Object(properties)
}

/// SARIF's level of a severity.
fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// The number from 0 to 10 by which code scanning sorts: in the middle of the range that it gives each word.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Info => "0.0",
    }
}

/// A path as a URI reference (RFC 3986 §3.3): what is not unreserved is written with `%`.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    // An absolute path needs a scheme, and with one it is the same in every folder.
    if uri.starts_with('/') { format!("file://{uri}") } else { uri }
}

/// The standards whose rows rules name, each a taxonomy.
struct Taxonomies {
    /// By the prefix of the rows: the rows' numbers in the taxonomy.
    rows: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Taxonomies {
    fn new() -> Self {
        let mut rows: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
        for id in RULES.iter().flat_map(|rule| rule.info().requirements) {
            if let Some((standard, _)) = id.split_once(':') {
                let rows = rows.entry(standard).or_default();
                if !rows.contains(id) {
                    rows.push(id);
                }
            }
        }
        Self { rows }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.rows.keys().copied()
    }

    /// A reference to the row called `id`.
    fn reference(&self, id: &str) -> Option<Value> {
        let (standard, number) = id.split_once(':')?;
        let index = self.rows.get(standard)?.iter().position(|row| *row == id)?;
        Some(json!({ "id": number, "index": index, "toolComponent": { "name": standard } }))
    }

    fn to_json(&self) -> Vec<Value> {
        let taxon = |id: &&str| {
            let number = id.split_once(':').map_or(*id, |(_, number)| number);
            let mut taxon = json!({ "id": number });
            if let (Value::Object(object), Some(row)) = (&mut taxon, requirements::find(id)) {
                object.insert("shortDescription".to_owned(), json!({ "text": row.gist }));
            }
            taxon
        };
        let taxonomy = |(standard, rows): (&&'static str, &Vec<&'static str>)| {
            let row: Option<&'static Requirement> = rows.iter().find_map(|id| requirements::find(id));
            let mut taxonomy = json!({
                "name": standard,
                "taxa": rows.iter().map(taxon).collect::<Vec<_>>(),
            });
            if let (Value::Object(object), Some(row)) = (&mut taxonomy, row) {
                object.insert("fullName".to_owned(), row.standard.name.into());
                object.insert("version".to_owned(), row.standard.version.into());
            }
            taxonomy
        };
        self.rows.iter().map(taxonomy).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_reference() {
        assert_eq!(uri("captures/a b%.pcap"), "captures/a%20b%25.pcap");
        assert_eq!(uri("/tmp/x.pcap"), "file:///tmp/x.pcap");
        assert_eq!(uri("-"), "-");
    }

    #[test]
    fn places_lie_in_the_file_that_their_frame_is_of() {
        let input = |path: &str, frames| super::super::stored::StoredInput {
            path: path.to_owned(),
            frames,
            ..Default::default()
        };
        let mut run = super::super::stored::tests::hostile_run();
        run.inputs = vec![input("a.pcap", 3), input("b.pcap", 3)];
        let finding = StoredFinding { places: vec![(1, 3), (1, 4)], ..run.apps[0].findings[0].clone() };
        let uris: Vec<_> = locations(&run, "app", &finding)
            .iter()
            .map(|place| place["physicalLocation"]["artifactLocation"]["uri"].clone())
            .collect();
        assert_eq!(uris, ["a.pcap", "b.pcap"]);
    }
}
