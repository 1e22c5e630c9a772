//! Everything that is known of what is selected.

use rusqlite::types::ToSql;

use super::ask::{each, number, one, severity, texts};
use super::condition::step_at;
use super::read::Reader;
use super::rows::{AppKey, Detail, Selected};
use crate::report::remedy::remedy;
use crate::report::stored::endpoint;
use crate::report::wording::{count, number as grouped, size};
use crate::store::QueryError;
use crate::time::Timestamp;
use crate::{requirements, rules};

/// Findings that are listed.
const MAX_FINDINGS: usize = 50;

/// Frames that are named one by one.
const MAX_FRAMES: usize = 20;

/// The details of what is selected; one line that says so if it is gone.
pub(super) fn details(reader: &Reader, selected: &Selected) -> Result<Vec<Detail>, QueryError> {
    let lines = match selected {
        Selected::App(key) => app(reader, key)?,
        Selected::Flow(id) => flow(reader, *id)?,
        Selected::Finding(id) => finding(reader, *id)?,
    };
    Ok(if lines.is_empty() { vec![Detail::Text("It is no longer there.".to_owned())] } else { lines })
}

fn pair(name: &'static str, value: impl Into<Option<String>>) -> Option<Detail> {
    value.into().map(|value| Detail::Pair(name, value))
}

fn flow(reader: &Reader, id: i64) -> Result<Vec<Detail>, QueryError> {
    let question = format!(
        "SELECT number, frames_first, frames_last, event_start, event_end, network_transport, network_layers,
            network_protection, network_tunnel, source_ip, source_port, destination_ip, destination_port,
            destination_domain, destination_domain_basis, source_packets, source_bytes, destination_packets,
            destination_bytes, tcp_state, tcp_gaps, owner.name, owner.uid, owner.label, owner.process, owner.method,
            owner.confidence, upper(version_protocol) || ' ' || version, cipher, curve, next_protocol, client_ja4,
            client_certificate, {}
        FROM flows_v1 AS flow LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner
            LEFT JOIN tls_v1 AS tls ON tls.flow = flow.id
        WHERE flow.id = :id",
        step_at("flow.event_start")
    );
    let bound: [(&str, &dyn ToSql); 2] = [(":id", &id), (":run", &reader.run())];
    let lines = one(reader.database(), &question, &bound, |row| {
        let text = |column| row.get::<_, Option<String>>(column);
        let count = |column| Ok::<_, rusqlite::Error>(number(row, column)?.unwrap_or(0));
        let layers = texts(text(6)?);
        let (transport, source, destination) = (text(5)?, text(9)?, text(11)?);
        let (source_port, port): (Option<u16>, Option<u16>) = (row.get(10)?, row.get(12)?);
        let far = text(13)?.map(|domain| match text(14) {
            Ok(Some(basis)) => format!("{domain} (by {})", basis.replace('_', " ")),
            _ => domain,
        });
        let ends = [(source.clone(), source_port), (destination.clone(), port)]
            .map(|(ip, port)| endpoint(&ip.unwrap_or_default(), port));
        let [from, to] = ends;
        let owner = text(21)?.map(|name| match row.get::<_, Option<u32>>(22) {
            Ok(Some(uid)) => format!("{name}, uid {uid}"),
            _ => name,
        });
        let found = text(25)?.zip(text(26)?).map(|(method, confidence)| format!("{method} ({confidence})"));
        let traffic = |packets, bytes| {
            Ok::<_, rusqlite::Error>(format!("{} packets, {}", grouped(count(packets)?), size(count(bytes)?)))
        };
        let lines = [
            Some(Detail::Title(format!("Flow {}", count(0)?))),
            pair("app", owner.unwrap_or_else(|| "unattributed".to_owned())),
            pair("label", text(23)?),
            pair("process", text(24)?),
            pair("owner by", found),
            pair("host", far),
            pair("from", from),
            pair("to", to),
            pair("began", Timestamp(row.get(3)?).to_string()),
            pair("ended", Timestamp(row.get(4)?).to_string()),
            pair("step", text(33)?),
            pair("protocols", (!layers.is_empty()).then(|| layers.join(" in "))),
            pair("protection", text(7)?),
            pair("version", text(27)?),
            pair("cipher", text(28)?),
            pair("group", text(29)?),
            pair("ALPN", text(30)?),
            pair("JA4", text(31)?),
            pair("client cert", text(32)?.map(|word| word.replace('_', " "))),
            pair("tunnel", text(8)?),
            pair("TCP", text(19)?.map(|word| word.replace('_', " "))),
            pair("gaps", number(row, 20)?.filter(|gaps| *gaps > 0).map(|gaps| gaps.to_string())),
            pair("sent", traffic(15, 16)?),
            pair("received", traffic(17, 18)?),
            pair("frames", format!("{} to {}", count(1)?, count(2)?)),
            Some(Detail::Title("Wireshark".to_owned())),
            Some(Detail::Code(display_filter(
                &[source.unwrap_or_default(), destination.unwrap_or_default()],
                transport.as_deref().unwrap_or_default(),
                source_port.zip(port),
                (count(1)?, count(2)?),
            ))),
        ];
        Ok(lines.into_iter().flatten().collect::<Vec<_>>())
    })?;
    let Some(mut lines) = lines else { return Ok(Vec::new()) };
    let findings = format!(
        "SELECT severity, rule, message, 0 FROM {} WHERE flow = :id AND run = :run ORDER BY id LIMIT :limit",
        reader.stage().findings()
    );
    lines.extend(listed(reader, "Findings that begin here", &findings, (":id", &id))?);
    Ok(lines)
}

/// A display filter of Wireshark for one flow.
fn display_filter(
    addresses: &[String; 2],
    transport: &str,
    ports: Option<(u16, u16)>,
    frames: (u64, u64),
) -> String {
    let mut parts = Vec::new();
    for address in addresses {
        parts.push(format!("{} == {address}", if address.contains(':') { "ipv6.addr" } else { "ip.addr" }));
    }
    if let (Some((source, destination)), "tcp" | "udp") = (ports, transport) {
        parts.push(format!("{transport}.port == {source}"));
        parts.push(format!("{transport}.port == {destination}"));
    }
    parts.push(format!("frame.number >= {}", frames.0));
    parts.push(format!("frame.number <= {}", frames.1));
    parts.join(" && ")
}

fn finding(reader: &Reader, id: i64) -> Result<Vec<Detail>, QueryError> {
    let question = format!(
        "SELECT severity, rule, finding.confidence, owner.name, owner.uid, blame, host, ip, port, message, requirements,
            evidence, suppressed, frames, flow.number, {}
        FROM {} AS finding LEFT JOIN owners_v1 AS owner ON owner.id = finding.owner
            LEFT JOIN flows_v1 AS flow ON flow.id = finding.flow
        WHERE finding.id = :id",
        step_at("flow.event_start"),
        reader.stage().findings()
    );
    let bound: [(&str, &dyn ToSql); 2] = [(":id", &id), (":run", &reader.run())];
    let lines = one(reader.database(), &question, &bound, |row| {
        let text = |column| row.get::<_, Option<String>>(column);
        let rule: String = row.get(1)?;
        let host = text(6)?;
        let ip: String = row.get(7)?;
        let port: u16 = row.get(8)?;
        let owner = text(3)?.map(|name| match row.get::<_, Option<u32>>(4) {
            Ok(Some(uid)) => format!("{name}, uid {uid}"),
            _ => name,
        });
        let blame =
            text(5)?.map_or_else(|| "settled when the run ends".to_owned(), |blame| blame.replace('_', " "));
        let mut lines: Vec<_> = [
            Some(Detail::Finding(severity(&row.get::<_, String>(0)?), rule.clone())),
            rules::find(&rule).map(|info| Detail::Text(info.summary.to_owned())),
            Some(Detail::Text(row.get(9)?)),
            pair("Wireshark", frames(text(13)?.as_deref())),
            pair("confidence", text(2)?),
            pair("app", owner.unwrap_or_else(|| "unattributed".to_owned())),
            pair("held against", blame),
            pair("excused", text(12)?),
            pair("host", endpoint(host.as_deref().unwrap_or(&ip), Some(port))),
            pair("address", host.is_some().then(|| ip.clone())),
            pair("step", text(15)?),
            pair("flow", number(row, 14)?.map(|flow| flow.to_string())),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let Some(remedy) = remedy(&rule) {
            lines.push(Detail::Title("What to do".to_owned()));
            lines.push(Detail::Text(remedy.text.to_owned()));
            let snippet = remedy.snippet(host.as_deref()).unwrap_or_default();
            lines.extend(snippet.lines().map(|line| Detail::Code(line.to_owned())));
        }
        let broken = texts(text(10)?);
        if !broken.is_empty() {
            lines.push(Detail::Title("Requirements".to_owned()));
        }
        lines.extend(broken.into_iter().map(|id| {
            let gist = requirements::find(&id).map_or(String::new(), |row| format!(": {}", row.gist));
            Detail::Text(format!("{id}{gist}"))
        }));
        let details: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&row.get::<_, String>(11)?).unwrap_or_default();
        if !details.is_empty() {
            lines.push(Detail::Title("It rests on".to_owned()));
            lines.extend(details.iter().map(|(name, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Detail::Text(format!("{name}: {value}"))
            }));
        }
        Ok(lines)
    })?;
    Ok(lines.unwrap_or_default())
}

/// The frames that show a finding, as a display filter of Wireshark.
fn frames(json: Option<&str>) -> Option<String> {
    let mut frames: Vec<u64> = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    frames.sort_unstable();
    frames.dedup();
    let hidden = u64::try_from(frames.len().saturating_sub(MAX_FRAMES)).unwrap_or(u64::MAX);
    frames.truncate(MAX_FRAMES);
    let names: Vec<_> = frames.iter().map(u64::to_string).collect();
    let more = if hidden > 0 { format!(" and {}", count(hidden, "more frame")) } else { String::new() };
    (!names.is_empty()).then(|| format!("frame.number in {{{}}}{more}", names.join(", ")))
}

fn app(reader: &Reader, key: &AppKey) -> Result<Vec<Detail>, QueryError> {
    let (name, uid) = key;
    let bound: [(&str, &dyn ToSql); 2] = [(":name", name), (":uid", uid)];
    let known = "SELECT label, package, packages, user, process, method, confidence FROM owners_v1
        WHERE name = :name AND uid IS :uid ORDER BY id DESC LIMIT 1";
    let known = one(reader.database(), known, &bound, |row| {
        let text = |column| row.get::<_, Option<String>>(column);
        let packages = texts(text(2)?);
        Ok([
            pair("label", text(0)?),
            pair("package", text(1)?),
            pair("packages", (packages.len() > 1).then(|| packages.join(", "))),
            pair("user", text(3)?),
            pair("process", text(4)?),
            pair("owner by", text(5)?.zip(text(6)?).map(|(method, sure)| format!("{method} ({sure})"))),
        ])
    })?;
    let title = Detail::Title(name.clone().unwrap_or_else(|| "Traffic without an owner".to_owned()));
    let mut lines = vec![title];
    lines.extend(pair("uid", uid.map(|uid| uid.to_string())));
    lines.extend(known.into_iter().flatten().flatten());
    let findings = format!(
        "SELECT severity, rule, message, suppressed IS NOT NULL FROM {} AS finding
            LEFT JOIN owners_v1 AS owner ON owner.id = finding.owner
        WHERE run = :run AND owner.name IS :name AND owner.uid IS {}
        ORDER BY suppressed IS NOT NULL, CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2
            WHEN 'low' THEN 3 ELSE 4 END, finding.id LIMIT :limit",
        reader.stage().findings(),
        uid.map_or_else(|| "NULL".to_owned(), |uid| uid.to_string())
    );
    lines.extend(listed(reader, "Findings, whatever the filter", &findings, (":name", name))?);
    Ok(lines)
}

/// A list of findings under a title; nothing if there are none.
fn listed(
    reader: &Reader,
    title: &str,
    question: &str,
    bound: (&str, &dyn ToSql),
) -> Result<Vec<Detail>, QueryError> {
    let mut lines = Vec::new();
    let most = i64::try_from(MAX_FINDINGS).unwrap_or(i64::MAX).saturating_add(1);
    let bound: [(&str, &dyn ToSql); 3] = [bound, (":run", &reader.run()), (":limit", &most)];
    each(reader.database(), question, &bound, &[], |row| {
        let excused = if row.get::<_, bool>(3)? { " (excused)" } else { "" };
        let words = format!("{}{excused}: {}", row.get::<_, String>(1)?, row.get::<_, String>(2)?);
        lines.push(Detail::Finding(severity(&row.get::<_, String>(0)?), words));
        Ok(())
    })?;
    if lines.len() > MAX_FINDINGS {
        lines.truncate(MAX_FINDINGS);
        lines.push(Detail::Text("and more".to_owned()));
    }
    if !lines.is_empty() {
        lines.insert(0, Detail::Title(title.to_owned()));
    }
    Ok(lines)
}
