//! The rows of a flow.

mod end;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::attribution::Owner;
use crate::decode::Transport;
use crate::observation::Flow;
use crate::protocol::tls::{Certificate, Role, Seen, Session};
use crate::report::community_id::CommunityId;
use crate::report::secrets::Secrets;
use crate::report::{exchange, json, names};

/// Owners and certificates whose rows are remembered; when there are more, all are forgotten and looked up again.
const REMEMBERED: usize = 1 << 16;

/// Writes the rows of one run.
pub(super) struct Inserter {
    run: i64,
    secrets: Secrets,
    /// From which of the run's flows on which difference leads from its number to its id: one entry, unless another
    /// process wrote flows between two batches.
    offsets: Vec<(u64, i64)>,
    /// The id of the flow that was written last.
    last: i64,
    /// Flows written.
    flows: u64,
    owners: BTreeMap<Arc<Owner>, i64>,
    certificates: HashMap<[u8; 32], i64>,
}

impl Inserter {
    pub(super) fn new(run: i64, secrets: Secrets) -> Self {
        Self {
            run,
            secrets,
            offsets: Vec::new(),
            last: -1,
            flows: 0,
            owners: BTreeMap::new(),
            certificates: HashMap::new(),
        }
    }

    /// Finds out, with the write lock held, which ids are free.
    pub(super) fn begin_batch(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let last: i64 =
            connection.query_row("SELECT coalesce(max(id), 0) FROM flows_v1", (), |row| row.get(0))?;
        if last != self.last {
            let next = self.flows.saturating_add(1);
            self.offsets.push((next, last.saturating_sub(int(self.flows))));
            self.last = last;
        }
        Ok(())
    }

    /// Says how far the run is, for those who read meanwhile or after a kill.
    pub(super) fn end_batch(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE runs_v1 SET flows = ? WHERE id = ?")?
            .execute((int(self.flows), self.run))?;
        Ok(())
    }

    /// The id of the run's flow `number`.
    fn flow_id(&self, number: u64) -> i64 {
        let offset =
            self.offsets.iter().rev().find(|(from, _)| *from <= number).map_or(0, |(_, offset)| *offset);
        int(number).saturating_add(offset)
    }

    /// Writes a flow and its facts; returns the number of rows.
    pub(super) fn flow(&mut self, connection: &Connection, flow: &Flow) -> rusqlite::Result<u64> {
        self.flows = flow.id;
        let id = self.flow_id(flow.id);
        self.last = id;
        let owner = flow.owner.as_ref().map(|owner| self.owner(connection, owner)).transpose()?;
        self.flow_row(connection, id, flow, owner)?;
        let mut rows = 1_u64;
        if let Some(session) = &flow.tls {
            tls_row(connection, id, session, &flow.layers)?;
            let chains = [(Role::Client, &session.client_chain), (Role::Server, &session.server_chain)];
            for (role, chain) in chains {
                rows = rows.saturating_add(self.chain(connection, id, role, chain.as_ref())?);
            }
            rows = rows.saturating_add(1);
        }
        rows = rows.saturating_add(self.http_rows(connection, id, flow)?);
        rows = rows.saturating_add(dns_rows(connection, id, flow)?);
        if flow.flow.owners.len() > 1 {
            rows = rows.saturating_add(owner_rows(connection, id, flow)?);
        }
        Ok(rows)
    }

    fn flow_row(
        &self,
        connection: &Connection,
        id: i64,
        flow: &Flow,
        owner: Option<i64>,
    ) -> rusqlite::Result<()> {
        let closed = &flow.flow;
        let tuple = &closed.info.five_tuple;
        let port = |port| matches!(tuple.transport, Transport::Tcp | Transport::Udp).then_some(port);
        let [from_originator, from_responder] = closed.counts;
        let layers = names::layers(flow);
        let tunnels: Vec<_> = closed.info.tunnels.iter().map(names::tunnel).collect();
        let tcp = closed.tcp.as_ref();
        connection
            .prepare_cached(
                "INSERT INTO flows_v1 VALUES \
                 (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                id,
                self.run,
                int(flow.id),
                int(closed.info.first_frame),
                int(closed.last_frame),
                closed.info.start.0,
                closed.end.0,
                names::TransportName(tuple.transport).to_string(),
                names::network(tuple.source.ip),
                CommunityId::new(tuple).to_string(),
                layers.last(),
                list(layers)?,
                names::protection(flow.protection),
                list(&tunnels)?,
                tuple.source.ip.to_string(),
                port(tuple.source.port),
                int(from_originator.packets),
                int(from_originator.bytes),
                tuple.destination.ip.to_string(),
                port(tuple.destination.port),
                int(from_responder.packets),
                int(from_responder.bytes),
                flow.domain.as_ref().map(|domain| domain.name.as_str()),
                flow.domain.as_ref().map(|domain| names::domain_basis(domain.basis)),
                tcp.map(|tcp| names::tcp_state(tcp.state)),
                tcp.map(|tcp| int(tcp.gaps)),
                tcp.map(|tcp| int(tcp.retransmissions)),
                owner,
            ])?;
        Ok(())
    }

    /// The id of an owner, which is written if it is new to the database.
    fn owner(&mut self, connection: &Connection, owner: &Arc<Owner>) -> rusqlite::Result<i64> {
        if let Some(id) = self.owners.get(owner) {
            return Ok(*id);
        }
        let fields = json_text(owner.as_ref())?;
        connection
            .prepare_cached("INSERT OR IGNORE INTO owners_v1 VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
            .execute(params![
                owner.name(),
                owner.uid,
                owner.user,
                owner.package,
                list(&owner.packages)?,
                owner.label,
                owner.pid,
                owner.process,
                names::method(owner.method),
                names::confidence(owner.confidence),
                fields,
            ])?;
        let id = connection
            .prepare_cached("SELECT id FROM owners_v1 WHERE fields = ?")?
            .query_row([fields], |row| row.get(0))?;
        if self.owners.len() >= REMEMBERED {
            self.owners.clear();
        }
        self.owners.insert(Arc::clone(owner), id);
        Ok(id)
    }

    fn chain(
        &mut self,
        connection: &Connection,
        flow: i64,
        role: Role,
        chain: Option<&Seen<Arc<[Arc<Certificate>]>>>,
    ) -> rusqlite::Result<u64> {
        let Some(chain) = chain else { return Ok(0) };
        let role = match role {
            Role::Client => "client",
            Role::Server => "server",
        };
        for (certificate, position) in chain.value.iter().zip(0_i64..) {
            let certificate = self.certificate(connection, certificate)?;
            connection.prepare_cached("INSERT INTO flow_certificates_v1 VALUES (?, ?, ?, ?)")?.execute((
                flow,
                role,
                position,
                certificate,
            ))?;
        }
        Ok(u64::try_from(chain.value.len()).unwrap_or(0))
    }

    /// The id of a certificate, which is written if it is new to the database.
    fn certificate(&mut self, connection: &Connection, certificate: &Certificate) -> rusqlite::Result<i64> {
        if let Some(id) = self.certificates.get(&certificate.sha256) {
            return Ok(*id);
        }
        let hash = HEXLOWER.encode(&certificate.sha256);
        let parsed = certificate.parsed.as_ref();
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO certificates_v1 VALUES \
                 (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                hash,
                parsed.map(|parsed| &parsed.subject),
                parsed.map(|parsed| &parsed.issuer),
                parsed.map(|parsed| &parsed.serial),
                parsed.map(|parsed| parsed.not_before.0),
                parsed.map(|parsed| parsed.not_after.0),
                parsed.map(|parsed| json_text(&parsed.san)).transpose()?,
                parsed.map(|parsed| HEXLOWER.encode(&parsed.spki_sha256)),
                parsed.map(|parsed| &parsed.public_key.algorithm),
                parsed.map(|parsed| parsed.public_key.bits),
                parsed.map(|parsed| &parsed.public_key.curve),
                parsed.map(|parsed| &parsed.signature_algorithm),
                parsed.map(|parsed| parsed.is_ca),
                parsed.map(|parsed| parsed.self_issued),
                certificate.der,
            ])?;
        let id = connection
            .prepare_cached("SELECT id FROM certificates_v1 WHERE hash_sha256 = ?")?
            .query_row([hash], |row| row.get(0))?;
        if self.certificates.len() >= REMEMBERED {
            self.certificates.clear();
        }
        self.certificates.insert(certificate.sha256, id);
        Ok(id)
    }

    fn http_rows(&self, connection: &Connection, id: i64, flow: &Flow) -> rusqlite::Result<u64> {
        let exchanges = exchange::http(flow);
        for exchange in &exchanges {
            let (request, response) =
                (exchange.request, exchange.response.map(|(_frame, response)| response));
            let path = request.map(|request| self.secrets.target(request));
            let url =
                request.zip(path.as_deref()).and_then(|(request, path)| json::full_url(flow, request, path));
            let headers = |fields| json::headers(fields, self.secrets).map(|headers| json_text(&headers));
            connection
                .prepare_cached("INSERT INTO http_v1 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    id,
                    int(exchange.frame),
                    request.map(|request| request.version).or(response.map(|response| response.version)),
                    request.map(|request| &request.method),
                    request.and_then(|request| request.host.as_deref()),
                    path,
                    url,
                    response.map(|response| response.status),
                    exchange.response.map(|(frame, _response)| int(frame)),
                    request.and_then(|request| headers(&request.headers)).transpose()?,
                    response.and_then(|response| headers(&response.headers)).transpose()?,
                ])?;
        }
        Ok(u64::try_from(exchanges.len()).unwrap_or(0))
    }
}

fn tls_row(
    connection: &Connection,
    id: i64,
    session: &Session,
    layers: &[&'static str],
) -> rusqlite::Result<()> {
    let client = session.client_hello.as_ref();
    let server = session.server_hello.as_ref();
    let hello = client.map(|hello| &*hello.value);
    let alerts = json::alerts(session);
    connection
        .prepare_cached(
            "INSERT INTO tls_v1 VALUES \
             (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id,
            json::version_protocol(session, layers),
            session.version().map(|version| names::VersionName(version).to_string()),
            server.map(|hello| hello.value.cipher_suite.to_string()),
            json::curve(session).map(|group| group.to_string()),
            server.and_then(|hello| hello.value.alpn.as_deref()),
            session.established(),
            session.resumed,
            client.map(|hello| int(hello.frame)),
            hello.and_then(|hello| hello.server_name.as_deref()),
            hello.map(|hello| json_text(&json::offered_versions(hello))).transpose()?,
            hello.map(|hello| json_text(&json::List(&hello.cipher_suites))).transpose()?,
            hello.map(|hello| list(&hello.alpn)).transpose()?,
            hello.map(|hello| json_text(&json::List(&hello.groups))).transpose()?,
            hello.map(|hello| json_text(&json::List(&hello.signature_schemes))).transpose()?,
            hello.map(|hello| &hello.ja3),
            hello.map(|hello| &hello.ja4),
            hello.map(json::ech),
            hello.map(|hello| hello.fallback_scsv),
            names::client_certificate(session.client_certificate()),
            json::certificate_basis(session),
            server.map(|hello| int(hello.frame)),
            json::certificate_requested(session),
            server.map(|hello| &hello.value.ja3s),
            list(&alerts)?,
        ])?;
    Ok(())
}

fn dns_rows(connection: &Connection, id: i64, flow: &Flow) -> rusqlite::Result<u64> {
    let exchanges = exchange::dns(flow);
    for exchange in &exchanges {
        let question = exchange.question;
        connection.prepare_cached("INSERT INTO dns_v1 VALUES (?, ?, ?, ?, ?, ?, ?)")?.execute(params![
            id,
            int(exchange.frame),
            question.map(|question| &question.name),
            question.map(|question| &question.kind),
            exchange.response.and_then(|(_frame, message)| message.response_code.as_deref()),
            exchange.response.map(|(frame, _message)| int(frame)),
            list(&json::answers(exchange))?,
        ])?;
    }
    Ok(u64::try_from(exchanges.len()).unwrap_or(0))
}

fn owner_rows(connection: &Connection, id: i64, flow: &Flow) -> rusqlite::Result<u64> {
    for (owner, position) in flow.flow.owners.iter().zip(0_i64..) {
        connection
            .prepare_cached("INSERT INTO owner_observations_v1 VALUES (?, ?, ?, ?, ?, ?, ?)")?
            .execute(params![
                id,
                position,
                owner.dialect.to_string(),
                owner.uid,
                owner.pid,
                owner.process,
                owner.label
            ])?;
    }
    Ok(u64::try_from(flow.flow.owners.len()).unwrap_or(0))
}

/// SQLite's integers are signed; what does not fit is cut to the largest.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn json_text(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A list as JSON; nothing for an empty one.
fn list<T: Serialize>(values: &[T]) -> rusqlite::Result<Option<String>> {
    if values.is_empty() { Ok(None) } else { json_text(&values).map(Some) }
}
