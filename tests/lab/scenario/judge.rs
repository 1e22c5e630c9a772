//! What came out against what was expected. It reads a run's database, whoever made that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rusqlite::Connection;

use super::description::{App, REQUIREMENTS, verdict};

/// What a run says of one uid.
#[derive(Debug, Default)]
struct Said {
    name: String,
    /// By requirement: the verdict and its reason.
    verdicts: BTreeMap<String, (String, String)>,
    /// Rule and severity, with where and why.
    findings: BTreeMap<String, String>,
    /// The same of what the policy excuses.
    excused: BTreeMap<String, String>,
    /// Whom findings are held against.
    blames: BTreeSet<String>,
    ports: BTreeSet<u16>,
}

/// A run's results.
#[derive(Debug, Default)]
pub(crate) struct Results {
    by_uid: BTreeMap<u32, Said>,
    /// Findings of nobody.
    unowned: Vec<String>,
    /// What makes the whole run inconclusive.
    doubt: Option<String>,
}

/// How much was held against the expectations, and a line for whatever is not as expected.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) right: usize,
    pub(crate) wrong: String,
}

impl Results {
    /// Reads the last run of a database.
    pub(crate) fn read(database: &Connection) -> rusqlite::Result<Self> {
        let doubt =
            database.query_row("SELECT inconclusive FROM runs ORDER BY id DESC", [], |row| row.get(0))?;
        let mut results = Self { doubt, ..Self::default() };
        let mut rows = database.prepare(
            "SELECT owners.uid, owners.name, requirement, verdict, reason FROM verdicts
             LEFT JOIN owners ON owners.id = verdicts.owner
             WHERE run = (SELECT max(id) FROM runs) AND requirement LIKE 'cl-mss:%'",
        )?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(said) = results.said(row.get(0)?, row.get(1)?) {
                said.verdicts.insert(row.get(2)?, (row.get(3)?, row.get(4)?));
            }
        }
        results.findings(database, "SELECT findings.*, owners.uid FROM findings", false)?;
        results.findings(
            database,
            "SELECT suppressed_findings.*, 'nobody' AS blame, owners.uid FROM suppressed_findings",
            true,
        )?;
        let mut rows = database.prepare(
            "SELECT owner_uid, owner_name, port FROM listeners
             WHERE run = (SELECT max(id) FROM runs) AND transport = 'tcp'",
        )?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(said) = results.said(row.get(0)?, row.get(1)?) {
                said.ports.insert(row.get(2)?);
            }
        }
        Ok(results)
    }

    fn said(&mut self, uid: Option<u32>, name: Option<String>) -> Option<&mut Said> {
        let said = self.by_uid.entry(uid?).or_default();
        if let Some(name) = name {
            said.name = name;
        }
        Some(said)
    }

    fn findings(&mut self, database: &Connection, select: &str, excused: bool) -> rusqlite::Result<()> {
        let table = if excused { "suppressed_findings" } else { "findings" };
        let words = format!(
            "{select} LEFT JOIN owners ON owners.id = {table}.owner
             WHERE {table}.run = (SELECT max(id) FROM runs)"
        );
        let mut rows = database.prepare(&words)?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (rule, severity): (String, String) = (row.get("rule")?, row.get("severity")?);
            let host: Option<String> = row.get("host")?;
            let (ip, message): (String, String) = (row.get("ip")?, row.get("message")?);
            let finding = format!("{rule} {severity}");
            let why = format!("{}: {message}", host.unwrap_or(ip));
            let Some(said) = self.said(row.get("uid")?, row.get("app")?) else {
                self.unowned.push(format!("{finding}: {why}"));
                continue;
            };
            said.blames.insert(row.get("blame")?);
            let list = if excused { &mut said.excused } else { &mut said.findings };
            list.insert(finding, why);
        }
        Ok(())
    }

    /// Holds the results against what is expected of the apps that acted.
    pub(crate) fn judge(&self, acted: &[&App]) -> Judged {
        let mut judged = Judged::default();
        judged.check("the run", self.doubt.is_none(), || format!("is inconclusive: {:?}", self.doubt));
        for finding in &self.unowned {
            judged.check("nobody", false, || format!("false alarm: {finding}"));
        }
        for uid in self.by_uid.keys().filter(|uid| !acted.iter().any(|app| app.uid == **uid)) {
            let Some(said) = self.by_uid.get(uid) else { continue };
            let silent = said.findings.is_empty() && said.verdicts.is_empty();
            judged.check(&format!("{} ({uid})", said.name), silent, || format!("did nothing: {said:?}"));
        }
        let nothing = Said::default();
        for app in acted {
            judged.app(app, self.by_uid.get(&app.uid).unwrap_or(&nothing));
        }
        judged
    }
}

impl Judged {
    fn check(&mut self, who: &str, holds: bool, what: impl FnOnce() -> String) {
        if holds {
            self.right += 1;
        } else {
            let _ = writeln!(self.wrong, "{who}: {}", what());
        }
    }

    fn app(&mut self, app: &App, said: &Said) {
        let who = format!("{} ({})", app.name, app.uid);
        if !app.platform && !app.verdicts.is_empty() {
            self.check(&who, said.name == app.shown(), || format!("is called {:?}", said.name));
        }
        for (index, requirement) in REQUIREMENTS.iter().enumerate() {
            let expected = app.verdicts.chars().nth(index).and_then(verdict);
            let found = said.verdicts.get(*requirement);
            let verdict = found.map(|(verdict, _)| verdict.as_str());
            self.check(&who, expected == verdict, || {
                let because = found.map(|(_, reason)| reason.as_str()).unwrap_or_default();
                format!("{requirement} is {verdict:?} in place of {expected:?}: {because}")
            });
        }
        for (expected, found, how) in
            [(&app.findings, &said.findings, ""), (&app.excused, &said.excused, "excused ")]
        {
            for finding in expected {
                self.check(&who, found.contains_key(finding), || format!("missed: {how}{finding}"));
            }
            for (finding, why) in found {
                self.check(&who, expected.contains(finding), || {
                    format!("false alarm: {how}{finding}: {why}")
                });
            }
        }
        if !app.findings.is_empty() {
            let blame = if app.platform { "platform" } else { "app" };
            self.check(&who, said.blames.iter().eq([blame]), || format!("held against {:?}", said.blames));
        }
        for port in &app.listens {
            self.check(&who, said.ports.contains(port), || format!("port {port} is not listed"));
        }
    }
}
