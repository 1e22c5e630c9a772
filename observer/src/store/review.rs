//! Two runs, read side by side in the order of what is compared: neither has to fit into memory.

use std::cmp::Ordering;
use std::path::Path;

use rusqlite::{Connection, Row, Rows};

use super::baseline::{compared, doubt, find, weight};
use super::stored::{judgement, severity, unsigned};
use super::{StoreError, open};
use crate::assess::Judgement;
use crate::assess::baseline::Origin;
use crate::assess::review::{
    Aspect, Endpoint, FindingState, Leaf, MAX_PORTS, MAX_VALUES, Review, Reviewer, Side,
};
use crate::rules::Severity;
use crate::time::Timestamp;

const APPS: &str = "
    SELECT owner.name, count(*) FROM flows_v1 AS flow LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner
    WHERE flow.run = ? GROUP BY 1 ORDER BY 1";

/// An app in two profiles of a device has two verdicts: the row of the least number is told.
const VERDICTS: &str = "
    SELECT owner.name, requirement, verdict, min(CASE verdict WHEN 'violated' THEN 0 WHEN 'inconclusive' THEN 1
        WHEN 'no_violation_observed' THEN 2 WHEN 'not_exercised' THEN 3 ELSE 4 END)
    FROM verdicts_v1 AS verdict LEFT JOIN owners_v1 AS owner ON owner.id = verdict.owner
    WHERE verdict.run = ? GROUP BY 1, 2 ORDER BY 1, 2";

const FINDINGS: &str = "
    SELECT fingerprint, rule, severity, owner.name, coalesce(finding.host, finding.ip), finding.port, message, blame,
        suppressed
    FROM findings_v1 AS finding LEFT JOIN owners_v1 AS owner ON owner.id = finding.owner
    WHERE finding.run = ? ORDER BY fingerprint, finding.id";

/// What was seen of each far end, a value a row.
const ENDPOINTS: &str = "
    WITH seen AS (
        SELECT flow.id, owner.name AS app, coalesce(destination_domain, destination_ip) AS host,
            destination_port AS port, network_transport AS transport, network_protocol AS protocol,
            network_protection AS protection, tls.version_protocol, tls.version, tls.cipher, tls.curve,
            tls.next_protocol, tls.client_certificate, coalesce(tls.established, 0) AS established
        FROM flows_v1 AS flow
            LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner
            LEFT JOIN tls_v1 AS tls ON tls.flow = flow.id
        WHERE flow.run = ?
    )
    SELECT app, host, port, transport, aspect, value FROM (
        SELECT app, host, port, transport, 'protection' AS aspect, protection AS value FROM seen
        UNION ALL SELECT app, host, port, transport, 'protocol', protocol FROM seen
        UNION ALL SELECT app, host, port, transport, 'version', upper(version_protocol) || ' ' || version FROM seen
            WHERE established
        UNION ALL SELECT app, host, port, transport, 'cipher', cipher FROM seen WHERE established
        UNION ALL SELECT app, host, port, transport, 'curve', curve FROM seen WHERE established
        UNION ALL SELECT app, host, port, transport, 'alpn', next_protocol FROM seen WHERE established
        UNION ALL SELECT app, host, port, transport, 'client', client_certificate FROM seen WHERE established
        UNION ALL
        SELECT app, host, port, transport, 'leaf', json_array(hash_sha256, coalesce(subject, ''), coalesce(issuer, ''),
            coalesce(spki_sha256, ''), coalesce(certificate.not_after, 0))
        FROM seen JOIN flow_certificates_v1 AS shown ON shown.flow = seen.id
            JOIN certificates_v1 AS certificate ON certificate.id = shown.certificate
        WHERE shown.role = 'server' AND shown.position = 0
    ) WHERE value IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6";

/// What differs between a run in one database and a run in another, or in the same: those with the numbers, else the
/// last that were written to their end. Findings weigh from `fail_on` on.
///
/// # Errors
/// When one is no database of this program, or has no such run that was written to its end.
pub fn review(
    before: (&Path, Option<i64>),
    after: (&Path, Option<i64>),
    fail_on: Option<Severity>,
) -> Result<Review, StoreError> {
    let (before, after) = (Half::open(before)?, Half::open(after)?);
    let mut reviewer = Reviewer::new(fail_on);
    join(&before, &after, APPS, each(app_flows), each(app_flows), |app: Option<String>, one, other| {
        reviewer.app(app.as_deref(), one.unwrap_or(0), other.unwrap_or(0));
    })?;
    join(&before, &after, VERDICTS, each(verdict), each(verdict), |key, one, other| {
        let (app, requirement): (Option<String>, String) = key;
        reviewer.verdict(app.as_deref(), &requirement, one, other);
    })?;
    let (mut one, mut other) = (Findings::default(), Findings::default());
    join(
        &before,
        &after,
        FINDINGS,
        move |rows| one.next(rows),
        move |rows| other.next(rows),
        |_fingerprint, one, other| reviewer.finding(one, other),
    )?;
    let (mut one, mut other) = (Endpoints::default(), Endpoints::default());
    join(
        &before,
        &after,
        ENDPOINTS,
        move |rows| one.next(rows),
        move |rows| other.next(rows),
        |(app, host): (Option<String>, String), one: Option<Group>, other: Option<Group>| {
            let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
            reviewer.leave_out("far ends of hosts with many", one.ports.saturating_add(other.ports));
            reviewer.leave_out("values of far ends with many", one.values.saturating_add(other.values));
            reviewer.endpoints(app.as_deref(), &host, &one.endpoints, &other.endpoints);
        },
    )?;
    let (before, after) = (before.side()?, after.side()?);
    Ok(reviewer.finish(before, after))
}

/// One of the runs.
struct Half<'a> {
    connection: Connection,
    path: &'a Path,
    run: i64,
}

impl<'a> Half<'a> {
    fn open((path, run): (&'a Path, Option<i64>)) -> Result<Self, StoreError> {
        let connection = open::for_reading(path)?;
        let found = find(&connection, run, None).map_err(|error| StoreError::new(path, error))?;
        let Some(run) = found else { return Err(StoreError::NoRun { path: path.to_owned() }) };
        Ok(Self { connection, path, run })
    }

    fn side(&self) -> Result<Side, StoreError> {
        let read = || {
            let flows = "SELECT flows FROM runs_v1 WHERE id = ?";
            Ok(Side {
                origin: Origin { path: self.path.display().to_string(), run: self.run },
                flows: self.connection.query_row(flows, [self.run], |row| unsigned(row, 0))?,
                inconclusive: doubt(&self.connection, self.run)?,
                judged_by: compared(&self.connection, self.run)?.judged_by,
            })
        };
        read().map_err(|error| self.error(error))
    }

    fn error(&self, error: rusqlite::Error) -> StoreError {
        StoreError::new(self.path, error)
    }
}

/// Walks through the answers of both runs to `question` side by side; each reader hands out items in the order of their
/// keys, as the question does.
fn join<K: Ord, T>(
    before: &Half<'_>,
    after: &Half<'_>,
    question: &str,
    mut read_before: impl FnMut(&mut Rows<'_>) -> rusqlite::Result<Option<(K, T)>>,
    mut read_after: impl FnMut(&mut Rows<'_>) -> rusqlite::Result<Option<(K, T)>>,
    mut take: impl FnMut(K, Option<T>, Option<T>),
) -> Result<(), StoreError> {
    let mut statement = before.connection.prepare(question).map_err(|error| before.error(error))?;
    let mut old = statement.query([before.run]).map_err(|error| before.error(error))?;
    let mut statement = after.connection.prepare(question).map_err(|error| after.error(error))?;
    let mut new = statement.query([after.run]).map_err(|error| after.error(error))?;
    let mut next_old = || read_before(&mut old).map_err(|error| before.error(error));
    let mut next_new = || read_after(&mut new).map_err(|error| after.error(error));
    let (mut one, mut other) = (next_old()?, next_new()?);
    loop {
        let order = match (&one, &other) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let old = if order.is_le() { std::mem::replace(&mut one, next_old()?) } else { None };
        let new = if order.is_ge() { std::mem::replace(&mut other, next_new()?) } else { None };
        match (old, new) {
            (Some((key, old)), Some((_, new))) => take(key, Some(old), Some(new)),
            (Some((key, old)), None) => take(key, Some(old), None),
            (None, Some((key, new))) => take(key, None, Some(new)),
            (None, None) => return Ok(()),
        }
    }
}

/// A reader of answers of which each row is an item.
fn each<K, T>(
    read: impl Fn(&Row<'_>) -> rusqlite::Result<(K, T)>,
) -> impl FnMut(&mut Rows<'_>) -> rusqlite::Result<Option<(K, T)>> {
    move |rows| rows.next()?.map(&read).transpose()
}

fn app_flows(row: &Row<'_>) -> rusqlite::Result<(Option<String>, u64)> {
    Ok((row.get(0)?, unsigned(row, 1)?))
}

fn verdict(row: &Row<'_>) -> rusqlite::Result<((Option<String>, String), Judgement)> {
    Ok(((row.get(0)?, row.get(1)?), judgement(&row.get::<_, String>(2)?)))
}

/// Findings, those with one fingerprint as one: the weightiest.
#[derive(Default)]
struct Findings {
    ahead: Option<(String, FindingState)>,
}

impl Findings {
    fn next(&mut self, rows: &mut Rows<'_>) -> rusqlite::Result<Option<(String, FindingState)>> {
        let mut held = self.ahead.take();
        while let Some(row) = rows.next()? {
            let (fingerprint, finding) = finding(row)?;
            match &mut held {
                None => held = Some((fingerprint, finding)),
                Some((known, weightiest)) if *known == fingerprint => {
                    if (weightiest.weight, weightiest.severity) < (finding.weight, finding.severity) {
                        *weightiest = finding;
                    }
                }
                Some(_) => {
                    self.ahead = Some((fingerprint, finding));
                    break;
                }
            }
        }
        Ok(held)
    }
}

fn finding(row: &Row<'_>) -> rusqlite::Result<(String, FindingState)> {
    let finding = FindingState {
        rule: row.get(1)?,
        severity: severity(&row.get::<_, String>(2)?),
        weight: weight(row, 7, 8)?,
        app: row.get(3)?,
        host: row.get(4)?,
        port: row.get(5)?,
        message: row.get(6)?,
    };
    Ok((row.get(0)?, finding))
}

/// An app and a name or address.
type Contact = (Option<String>, String);

/// A row of the answer on far ends.
type Value = (Contact, Option<u16>, String, String, String);

/// The far ends of one app with one name or address.
#[derive(Default)]
struct Group {
    endpoints: Vec<Endpoint>,
    /// Ports that a bound left out, and the last of them.
    ports: u64,
    left_out: Option<(Option<u16>, String)>,
    /// Values that a bound left out.
    values: u64,
}

/// Far ends, by app and name.
#[derive(Default)]
struct Endpoints {
    ahead: Option<Value>,
}

impl Endpoints {
    fn next(&mut self, rows: &mut Rows<'_>) -> rusqlite::Result<Option<(Contact, Group)>> {
        let mut held: Option<(Contact, Group)> = None;
        loop {
            let value = match self.ahead.take() {
                Some(value) => Some(value),
                None => rows.next()?.map(value).transpose()?,
            };
            let Some(value) = value else { return Ok(held) };
            match &mut held {
                None => {
                    let mut group = Group::default();
                    let contact = value.0.clone();
                    group.add(value);
                    held = Some((contact, group));
                }
                Some((contact, group)) if *contact == value.0 => group.add(value),
                Some(_) => {
                    self.ahead = Some(value);
                    return Ok(held);
                }
            }
        }
    }
}

fn value(row: &Row<'_>) -> rusqlite::Result<Value> {
    Ok(((row.get(0)?, row.get(1)?), row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

impl Group {
    fn add(&mut self, (_, port, transport, aspect, value): Value) {
        let is_last = |endpoint: &Endpoint| endpoint.port == port && endpoint.transport == transport;
        if !self.endpoints.last().is_some_and(is_last) {
            if self.endpoints.len() >= MAX_PORTS {
                let key = Some((port, transport));
                self.ports = self.ports.saturating_add(u64::from(self.left_out != key));
                self.left_out = key;
                return;
            }
            self.endpoints.push(Endpoint { port, transport, ..Endpoint::default() });
        }
        let Some(endpoint) = self.endpoints.last_mut() else { return };
        let aspect = match aspect.as_str() {
            "alpn" => Aspect::NextProtocol,
            "cipher" => Aspect::Cipher,
            "client" => Aspect::ClientCertificate,
            "curve" => Aspect::Curve,
            "protection" => Aspect::Protection,
            "protocol" => Aspect::Protocol,
            "version" => Aspect::Version,
            _ => {
                if endpoint.leaves.len() >= MAX_VALUES {
                    self.values = self.values.saturating_add(1);
                } else {
                    endpoint.leaves.extend(leaf(&value));
                }
                return;
            }
        };
        let values = endpoint.values.entry(aspect).or_default();
        if values.len() >= MAX_VALUES {
            self.values = self.values.saturating_add(1);
        } else {
            values.insert(value);
        }
    }
}

fn leaf(value: &str) -> Option<Leaf> {
    let (sha256, subject, issuer, spki_sha256, not_after): (String, String, String, String, i64) =
        serde_json::from_str(value).ok()?;
    let day = Timestamp(not_after).to_string();
    let not_after = day.split('T').next().unwrap_or(&day).to_owned();
    Some(Leaf { sha256, subject, issuer, spki_sha256, not_after })
}
