//! The rows of a flow.

mod news;

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use foldhash::fast::RandomState;

use super::rows::{Cell, Known, Rows, Table};
use crate::attribution::{Method, Owner};
use crate::decode::Transport;
use crate::observation::{Flow, Tunnel};
use crate::protocol::tls::{Certificate, ClientCertificateBasis, ClientHello, Role, Seen, Session};
use crate::protocol::{Fact, quic};
use crate::report::community_id::CommunityId;
use crate::report::names::VersionName;
use crate::report::secrets::Secrets;
use crate::report::{exchange, json, names};

/// Owners, certificates and lists whose rows are remembered; when there are more of one, all of it are forgotten and
/// looked up again.
const REMEMBERED: usize = 1 << 16;

/// Numbers of a kind of list, by what is in it: thousands of clients offer the same few, and naming every member again
/// is most of the work of a row.
type Lists<T> = HashMap<Box<[T]>, usize, RandomState>;

/// Turns the flows of one run into rows.
pub(super) struct Encoder {
    run: i64,
    secrets: Secrets,
    owners: BTreeMap<Arc<Owner>, usize>,
    certificates: HashMap<[u8; 32], usize, RandomState>,
    versions: Lists<u16>,
    ciphers: Lists<u16>,
    protocols: Lists<String>,
    groups: Lists<u16>,
    signatures: Lists<u16>,
    /// Lists of any kind.
    lists: usize,
    /// The list that is looked up.
    key: Vec<u16>,
}

impl Encoder {
    pub(super) fn new(run: i64, secrets: Secrets) -> Self {
        Self {
            run,
            secrets,
            owners: BTreeMap::new(),
            certificates: HashMap::default(),
            versions: HashMap::default(),
            ciphers: HashMap::default(),
            protocols: HashMap::default(),
            groups: HashMap::default(),
            signatures: HashMap::default(),
            lists: 0,
            key: Vec::new(),
        }
    }

    /// The rows of a flow and its facts.
    pub(super) fn flow(&mut self, rows: &mut Rows, flow: &Flow) -> serde_json::Result<()> {
        rows.last_flow = flow.id;
        let owner = flow.owner.as_ref().map(|owner| self.owner(rows, owner)).transpose()?;
        self.flow_row(rows, flow, owner)?;
        if let Some(session) = &flow.tls {
            self.tls_row(rows, flow, session)?;
            let chains = [(Role::Client, &session.client_chain), (Role::Server, &session.server_chain)];
            for (role, chain) in chains {
                self.chain(rows, flow.id, role, chain.as_ref())?;
            }
        }
        self.http_rows(rows, flow)?;
        dns_rows(rows, flow)?;
        word_rows(rows, flow);
        if let Some(connection) = quic::Connection::fold(&flow.observations) {
            quic_row(rows, flow, &connection)?;
        }
        if flow.flow.owners.len() > 1 || !flow.contradicting.is_empty() {
            owner_rows(rows, flow);
        }
        Ok(())
    }

    fn flow_row(&self, rows: &mut Rows, flow: &Flow, owner: Option<usize>) -> serde_json::Result<()> {
        let closed = &flow.flow;
        let tuple = &closed.info.five_tuple;
        let port =
            |port: u16| matches!(tuple.transport, Transport::Tcp | Transport::Udp).then_some(u64::from(port));
        let [from_originator, from_responder] = closed.counts;
        let layers = names::layers(flow);
        let tunnels: Vec<_> = closed.info.tunnels.iter().map(crate::decode::Tunnel::name).collect();
        let tcp = closed.tcp.as_ref();
        rows.cell(Cell::Flow(flow.id))
            .signed(self.run)
            .int(flow.id)
            .int(closed.info.first_frame)
            .int(closed.last_frame)
            .signed(closed.info.start.0)
            .signed(closed.end.0);
        match tuple.transport {
            Transport::Tcp => rows.word("tcp"),
            Transport::Udp => rows.word("udp"),
            other => rows.shown(Some(names::TransportName(other))),
        };
        rows.word(names::network(tuple.source.ip))
            .written(|bytes| CommunityId::new(tuple).push_to(bytes))
            .word(layers.last().copied())
            .json(filled(layers))?
            .word(names::protection(flow.protection))
            .json(filled(&tunnels))?
            .address(tuple.source.ip)
            .int(port(tuple.source.port))
            .int(from_originator.packets)
            .int(from_originator.bytes)
            .address(tuple.destination.ip)
            .int(port(tuple.destination.port))
            .int(from_responder.packets)
            .int(from_responder.bytes)
            .text(flow.domain.as_ref().map(|domain| domain.name.as_str()))
            .word(flow.domain.as_ref().map(|domain| names::domain_basis(domain.basis)))
            .word(tcp.map(|tcp| names::tcp_state(tcp.state)))
            .int(tcp.map(|tcp| tcp.gaps))
            .int(tcp.map(|tcp| tcp.retransmissions))
            .cell(owner.map_or(Cell::Null, |number| Cell::Known(Known::Owner, number)))
            .end(Table::Flows);
        Ok(())
    }

    /// The number of an owner, which gets a row if it is new.
    pub(super) fn owner(&mut self, rows: &mut Rows, owner: &Arc<Owner>) -> serde_json::Result<usize> {
        if let Some(number) = self.owners.get(owner) {
            return Ok(*number);
        }
        if self.owners.len() >= REMEMBERED {
            self.owners.clear();
            rows.forget(Known::Owner);
        }
        rows.text(owner.name().as_str())
            .int(owner.uid.map(u64::from))
            .text(owner.user.as_deref())
            .text(owner.package.as_deref())
            .json(filled(&owner.packages))?
            .text(owner.label.as_deref())
            .int(owner.pid.map(u64::from))
            .text(owner.process.as_deref())
            .word(names::method(owner.method))
            .word(names::confidence(owner.confidence))
            .json(Some(owner.as_ref()))?
            .end(Table::Known(Known::Owner));
        let number = self.owners.len();
        self.owners.insert(Arc::clone(owner), number);
        Ok(number)
    }

    fn tls_row(&mut self, rows: &mut Rows, flow: &Flow, session: &Session) -> serde_json::Result<()> {
        let client = session.client_hello.as_ref();
        let server = session.server_hello.as_ref();
        let hello = client.map(|hello| &*hello.value);
        let lists = match hello {
            Some(hello) => self.lists(rows, hello)?,
            None => [const { Cell::Null }; 5],
        };
        let certificate = session.client_certificate();
        let (rejection, rejected) = (flow.rejection(), session.rejected_client);
        rows.cell(Cell::Flow(flow.id))
            .word(json::version_protocol(session, &flow.layers))
            .shown(session.version().map(VersionName))
            .shown(server.map(|hello| hello.value.cipher_suite))
            .shown(json::curve(session))
            .text(session.alpn())
            .flag(session.established())
            .flag(session.resumed)
            .int(client.map(|hello| hello.frame))
            .text(session.server_name());
        for list in lists {
            rows.cell(list);
        }
        rows.text(hello.map(|hello| hello.ja3.as_str()))
            .text(hello.map(|hello| hello.ja4.as_str()))
            .word(hello.map(|_| names::ech(session.ech)))
            .flag(hello.map(|hello| hello.fallback_scsv))
            .word(names::client_certificate(certificate))
            .word(session.client_certificate_basis().map(ClientCertificateBasis::name))
            .int(server.map(|hello| hello.frame))
            .flag(session.certificate_requested())
            .text(server.map(|hello| hello.value.ja3s.as_str()))
            .json(filled(&json::alerts(session)))?
            .text(session.outer_server_name())
            .word(json::certificate_confidence(session).map(names::certainty))
            .json(json::certificate_evidence(session))?
            .json(json::original(session))?
            .flag(session.accepted_server().then_some(true))
            .word(rejection.map(|rejection| names::shape(rejection.shape)))
            .word(rejection.map(|rejection| names::certainty(rejection.certainty)))
            .word(rejected.map(|rejection| names::shape(rejection.shape)))
            .word(rejected.map(|rejection| names::certainty(rejection.certainty)))
            .int(rejected.map(|rejection| rejection.frame))
            .end(Table::Tls);
        Ok(())
    }

    /// What a client offers: versions, cipher suites, application protocols, groups, signature schemes.
    fn lists(&mut self, rows: &mut Rows, hello: &ClientHello) -> serde_json::Result<[Cell; 5]> {
        if self.lists >= REMEMBERED {
            for lists in [&mut self.versions, &mut self.ciphers, &mut self.groups, &mut self.signatures] {
                lists.clear();
            }
            self.protocols.clear();
            self.lists = 0;
            rows.forget(Known::List);
        }
        let Self { lists, key, .. } = self;
        let offered = hello.offered_versions();
        fill(key, offered.iter().map(|version| version.0));
        let versions = list(&mut self.versions, lists, key, rows, |rows| {
            rows.json(Some(json::offered_versions(hello))).map(|_| ())
        })?;
        fill(key, hello.cipher_suites.iter().map(|suite| suite.0));
        let ciphers = list(&mut self.ciphers, lists, key, rows, |rows| {
            rows.json(Some(json::List(&hello.cipher_suites))).map(|_| ())
        })?;
        let protocols = match filled(&hello.alpn) {
            Some(alpn) => {
                list(&mut self.protocols, lists, alpn, rows, |rows| rows.json(Some(alpn)).map(|_| ()))?
            }
            None => Cell::Null,
        };
        fill(key, hello.groups.iter().map(|group| group.0));
        let groups = list(&mut self.groups, lists, key, rows, |rows| {
            rows.json(Some(json::List(&hello.groups))).map(|_| ())
        })?;
        fill(key, hello.signature_schemes.iter().map(|scheme| scheme.0));
        let signatures = list(&mut self.signatures, lists, key, rows, |rows| {
            rows.json(Some(json::List(&hello.signature_schemes))).map(|_| ())
        })?;
        Ok([versions, ciphers, protocols, groups, signatures])
    }

    fn chain(
        &mut self,
        rows: &mut Rows,
        flow: u64,
        role: Role,
        chain: Option<&Seen<Arc<[Arc<Certificate>]>>>,
    ) -> serde_json::Result<()> {
        let Some(chain) = chain else { return Ok(()) };
        let role = match role {
            Role::Client => "client",
            Role::Server => "server",
        };
        for (certificate, position) in chain.value.iter().zip(0_i64..) {
            let number = self.certificate(rows, certificate)?;
            rows.cell(Cell::Flow(flow))
                .word(role)
                .signed(position)
                .cell(Cell::Known(Known::Certificate, number))
                .end(Table::FlowCertificates);
        }
        Ok(())
    }

    /// The number of a certificate, which gets a row if it is new.
    fn certificate(&mut self, rows: &mut Rows, certificate: &Certificate) -> serde_json::Result<usize> {
        if let Some(number) = self.certificates.get(&certificate.sha256) {
            return Ok(*number);
        }
        if self.certificates.len() >= REMEMBERED {
            self.certificates.clear();
            rows.forget(Known::Certificate);
        }
        let parsed = certificate.parsed.as_ref();
        let key = parsed.map(|parsed| &parsed.public_key);
        rows.text(HEXLOWER.encode(&certificate.sha256).as_str())
            .text(parsed.map(|parsed| parsed.subject.as_str()))
            .text(parsed.map(|parsed| parsed.issuer.as_str()))
            .text(parsed.map(|parsed| parsed.serial.as_str()))
            .signed(parsed.map(|parsed| parsed.not_before.0))
            .signed(parsed.map(|parsed| parsed.not_after.0))
            .json(parsed.map(|parsed| &parsed.san))?
            .text(parsed.map(|parsed| HEXLOWER.encode(&parsed.spki_sha256)).as_deref())
            .text(key.map(|key| key.algorithm.as_str()))
            .int(key.and_then(|key| key.bits.map(u64::from)))
            .text(key.and_then(|key| key.curve.as_deref()))
            .text(parsed.map(|parsed| parsed.signature_algorithm.as_str()))
            .flag(parsed.map(|parsed| parsed.is_ca))
            .flag(parsed.map(|parsed| parsed.self_issued))
            .blob(&certificate.der)
            .end(Table::Known(Known::Certificate));
        let number = self.certificates.len();
        self.certificates.insert(certificate.sha256, number);
        Ok(number)
    }

    fn http_rows(&self, rows: &mut Rows, flow: &Flow) -> serde_json::Result<()> {
        for exchange in exchange::http(flow) {
            let (request, response) =
                (exchange.request, exchange.response.map(|(_frame, response)| response));
            let path = request.map(|request| self.secrets.target(request));
            let url =
                request.zip(path.as_deref()).and_then(|(request, path)| json::full_url(flow, request, path));
            let headers = |fields| json::headers(fields, self.secrets);
            rows.cell(Cell::Flow(flow.id))
                .int(exchange.frame)
                .text(
                    request.and_then(|request| request.version).or(response.map(|response| response.version)),
                )
                .text(request.map(|request| request.method.as_str()))
                .text(request.and_then(|request| request.host.as_deref()))
                .text(path.as_deref())
                .text(url.as_deref())
                .int(response.map(|response| u64::from(response.status)))
                .int(exchange.response.map(|(frame, _response)| frame))
                .json(request.and_then(|request| headers(&request.headers)))?
                .json(response.and_then(|response| headers(&response.headers)))?
                .word(Some(exchange.basis.name()))
                .end(Table::Http);
        }
        Ok(())
    }
}

/// The list `key` as a cell; `write` appends the text of one that is new.
fn list<T: Clone + Eq + Hash>(
    known: &mut Lists<T>,
    count: &mut usize,
    key: &[T],
    rows: &mut Rows,
    write: impl FnOnce(&mut Rows) -> serde_json::Result<()>,
) -> serde_json::Result<Cell>
where
    Box<[T]>: Borrow<[T]>,
{
    if let Some(number) = known.get(key) {
        return Ok(Cell::Known(Known::List, *number));
    }
    write(rows)?;
    rows.end(Table::Known(Known::List));
    let number = *count;
    known.insert(key.into(), number);
    *count = number.saturating_add(1);
    Ok(Cell::Known(Known::List, number))
}

fn fill(key: &mut Vec<u16>, values: impl Iterator<Item = u16>) {
    key.clear();
    key.extend(values);
}

fn dns_rows(rows: &mut Rows, flow: &Flow) -> serde_json::Result<()> {
    for exchange in exchange::dns(flow) {
        let question = exchange.question;
        rows.cell(Cell::Flow(flow.id))
            .int(exchange.frame)
            .text(question.map(|question| question.name.as_str()))
            .text(question.map(|question| &*question.kind))
            .text(exchange.response.and_then(|(_frame, message)| message.response_code.as_deref()))
            .int(exchange.response.map(|(frame, _message)| frame))
            .json(filled(&json::answers(&exchange)))?
            .end(Table::Dns);
    }
    Ok(())
}

/// What protocols say in words that they share.
fn word_rows(rows: &mut Rows, flow: &Flow) {
    if let Some(Tunnel { target, granted }) = &flow.proxy {
        rows.cell(Cell::Flow(flow.id))
            .word(target.protocol)
            .text(target.host.as_str())
            .int(u64::from(target.port))
            .flag(*granted)
            .end(Table::Proxies);
    }
    for observation in flow.observations.iter() {
        match &observation.fact {
            Fact::Upgrade(fact) => rows
                .cell(Cell::Flow(flow.id))
                .int(observation.frame)
                .word(fact.protocol)
                .word(names::upgrade_step(fact.step))
                .word(observation.basis.name())
                .end(Table::Upgrades),
            Fact::Login(fact) => rows
                .cell(Cell::Flow(flow.id))
                .int(observation.frame)
                .word(fact.protocol)
                .text(fact.mechanism.as_str())
                .word(names::exposure(fact.exposure))
                .word(observation.basis.name())
                .end(Table::Logins),
            Fact::Property(fact) => rows
                .cell(Cell::Flow(flow.id))
                .int(observation.frame)
                .word(fact.protocol)
                .word(fact.name)
                .text(fact.value.as_str())
                .word(observation.basis.name())
                .end(Table::Properties),
            Fact::Unrecognised(fact) => rows
                .cell(Cell::Flow(flow.id))
                .int(observation.frame)
                .word(names::likeness(fact.likeness))
                .word(fact.kind)
                .int(fact.evidence.map(|evidence| u64::from(evidence.items)))
                .int(fact.evidence.map(|evidence| u64::from(evidence.bits)))
                .int(u64::try_from(fact.sampled).unwrap_or(u64::MAX))
                .real(fact.printable)
                .real(fact.entropy)
                .end(Table::Unrecognised),
            _ => {}
        }
    }
}

/// What QUIC shows beside its handshake.
fn quic_row(rows: &mut Rows, flow: &Flow, connection: &quic::Connection) -> serde_json::Result<()> {
    let google = connection.google.as_ref();
    let versions: Vec<_> = connection.offered_versions.iter().map(ToString::to_string).collect();
    rows.cell(Cell::Flow(flow.id))
        .shown(connection.version)
        .shown(connection.first_version)
        .json(filled(&versions))?
        .flag(connection.retry)
        .flag(connection.token)
        .flag(connection.zero_rtt)
        .json(connection.close.as_ref().map(json::CloseRecord::new))?
        .text(google.and_then(|hello| hello.server_name.as_deref()))
        .text(google.and_then(|hello| hello.user_agent.as_deref()))
        .json(connection.continues.as_ref().map(json::ContinuesRecord::new))?
        .end(Table::Quic);
    Ok(())
}

fn owner_rows(rows: &mut Rows, flow: &Flow) {
    for (owner, position) in flow.flow.owners.iter().zip(0_i64..) {
        rows.cell(Cell::Flow(flow.id))
            .signed(position)
            .shown(Some(owner.dialect))
            .int(owner.uid.map(u64::from))
            .int(owner.pid.map(u64::from))
            .text(owner.process.as_deref())
            .text(owner.label.as_deref())
            .end(Table::OwnerObservations);
    }
    // What the running system says comes after what the frames say.
    let asked = flow.owner.iter().map(AsRef::as_ref).chain(&flow.contradicting);
    let asked = asked.filter(|owner| owner.method != Method::Recorded);
    let after = i64::try_from(flow.flow.owners.len()).unwrap_or(i64::MAX);
    for (owner, position) in asked.zip(after..) {
        rows.cell(Cell::Flow(flow.id))
            .signed(position)
            .word(names::method(owner.method))
            .int(owner.uid.map(u64::from))
            .int(owner.pid.map(u64::from))
            .text(owner.process.as_deref())
            .text(owner.label.as_deref())
            .end(Table::OwnerObservations);
    }
}

/// A list that holds something.
fn filled<T>(values: &[T]) -> Option<&[T]> {
    (!values.is_empty()).then_some(values)
}
