//! The `tls` part of a flow record.

use std::fmt::Display;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer};

use crate::observation::{Basis, Flow};
use crate::protocol::tls::{
    Alert, Certainty, Certificate, CipherSuite, ClientCertificate, ClientCertificateBasis, ClientHello, Ech,
    HandshakePacket, NamedGroup, Original, ParsedCertificate, PublicKey, Role, Seen, Session, Shape,
    SignatureScheme, TlsVersion, alert_description_name,
};
use crate::report::names::VersionName;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Prints as its `Display`.
pub(crate) struct Shown<T>(pub(super) T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A list whose members print as their `Display`.
pub(crate) struct List<'a, T>(pub(crate) &'a [T]);

impl<T: Display> Serialize for List<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Shown))
    }
}

#[derive(Serialize)]
pub(super) struct TlsRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version_protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Shown<VersionName>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<Shown<CipherSuite>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    curve: Option<Shown<NamedGroup>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_protocol: Option<&'a str>,
    established: bool,
    resumed: bool,
    client: Client<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Server<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alerts: Vec<AlertRecord>,
}

#[derive(Serialize)]
struct Client<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    /// The name in the open, where an Encrypted Client Hello hides the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    outer_server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported_versions: Option<Vec<Shown<VersionName>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported_ciphers: Option<List<'a, CipherSuite>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported_protocols: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported_groups: Option<List<'a, NamedGroup>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_algorithms: Option<List<'a, SignatureScheme>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ech: Option<Ech>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback_scsv: Option<bool>,
    certificate: ClientCertificate,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_basis: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_confidence: Option<Certainty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_evidence: Option<FlightRecord<'a>>,
    /// The full handshake that a resumed session rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_original: Option<OriginalRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate_chain: Vec<CertificateRecord<'a>>,
    #[serde(skip_serializing_if = "is_false")]
    accepted_server: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_server: Option<RejectionRecord>,
}

/// What the state of the client's certificate is concluded from.
#[derive(Serialize)]
pub(crate) struct FlightRecord<'a> {
    /// The messages that the records hold, or why nothing can be said.
    reading: &'static str,
    #[serde(skip_serializing_if = "<[HandshakePacket]>::is_empty")]
    client_packets: &'a [HandshakePacket],
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    client_records: &'a [u16],
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    server_records: &'a [u16],
    #[serde(skip_serializing_if = "is_zero")]
    padding: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_asked: Option<bool>,
    #[serde(skip_serializing_if = "is_false")]
    may_follow_later: bool,
}

#[derive(Serialize)]
pub(crate) struct OriginalRecord {
    certificate: ClientCertificate,
    /// The run in the database; none for the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<i64>,
    flow: u64,
}

/// What is known of the full handshake that a resumed session rests on.
pub(crate) fn original(session: &Session) -> Option<OriginalRecord> {
    let Original { state, run, flow } = session.original?;
    Some(OriginalRecord { certificate: state, run, flow })
}

#[derive(Serialize)]
struct RejectionRecord {
    shape: Shape,
    confidence: Certainty,
}

#[derive(Serialize)]
struct Server<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_requested: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_basis: Option<Basis>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate_chain: Vec<CertificateRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3s: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_client: Option<ClientRejectionRecord>,
}

/// That the server turned the client away for its certificate.
#[derive(Serialize)]
pub(crate) struct ClientRejectionRecord {
    shape: Shape,
    confidence: Certainty,
    frame: FrameNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<String>,
    /// What an encrypted one was known by.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<i64>,
}

#[derive(Serialize)]
pub(crate) struct AlertRecord {
    from: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    frame: FrameNumber,
    encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<Basis>,
}

#[derive(Serialize)]
struct CertificateRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    san: Option<&'a [String]>,
    hash: Hash,
    #[serde(skip_serializing_if = "Option::is_none")]
    spki_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<&'a PublicKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_algorithm: Option<&'a str>,
}

#[derive(Serialize)]
struct Hash {
    sha256: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

impl<'a> TlsRecord<'a> {
    pub(super) fn new(session: &'a Session, flow: &Flow) -> Self {
        let hello = session.server_hello.as_ref().map(|hello| &*hello.value);
        Self {
            version_protocol: version_protocol(session, &flow.layers),
            version: session.version().map(|version| Shown(VersionName(version))),
            cipher: hello.map(|hello| Shown(hello.cipher_suite)),
            curve: curve(session).map(Shown),
            next_protocol: session.alpn(),
            established: session.established(),
            resumed: session.resumed,
            client: client(session, flow),
            server: server(session),
            alerts: alerts(session),
        }
    }
}

/// `tls`, `ssl`, `dtls` or `quic`: by the negotiated version, else by what the client or the records say.
pub(crate) fn version_protocol(session: &Session, layers: &[&'static str]) -> Option<&'static str> {
    if layers.contains(&"quic") {
        return Some("quic");
    }
    let offered = || session.client_hello.as_ref().map(|hello| hello.value.legacy_version);
    let seen = || session.midstream.as_ref().map(|midstream| midstream.value);
    session.version().or_else(offered).or_else(seen).map(TlsVersion::protocol)
}

/// How something was read, where it did not cross the network like that.
pub(crate) fn basis(basis: Basis) -> Option<Basis> {
    (basis != Basis::Observed).then_some(basis)
}

/// The versions that a client offers.
pub(crate) fn offered_versions(hello: &ClientHello) -> Vec<Shown<VersionName>> {
    hello.offered_versions().into_iter().map(|version| Shown(VersionName(version))).collect()
}

/// The group of the key exchange.
pub(crate) fn curve(session: &Session) -> Option<NamedGroup> {
    let shared = session.server_hello.as_ref().and_then(|hello| hello.value.group);
    shared.or_else(|| session.server_key_exchange.as_ref().and_then(|exchange| exchange.value.group))
}

fn client<'a>(session: &'a Session, flow: &Flow) -> Client<'a> {
    let hello = session.client_hello.as_ref().map(|hello| &*hello.value);
    let certificate = session.client_certificate();
    Client {
        server_name: session.server_name(),
        outer_server_name: session.outer_server_name(),
        supported_versions: hello.map(offered_versions),
        supported_ciphers: hello.map(|hello| List(&hello.cipher_suites)),
        supported_protocols: hello.map(|hello| hello.alpn.as_slice()).filter(|list| !list.is_empty()),
        supported_groups: hello.map(|hello| &hello.groups[..]).filter(|list| !list.is_empty()).map(List),
        signature_algorithms: hello
            .map(|hello| &hello.signature_schemes[..])
            .filter(|list| !list.is_empty())
            .map(List),
        ja3: hello.map(|hello| hello.ja3.as_str()),
        ja4: hello.map(|hello| hello.ja4.as_str()),
        ech: hello.map(|_| session.ech),
        fallback_scsv: hello.map(|hello| hello.fallback_scsv),
        certificate,
        certificate_basis: session.client_certificate_basis().map(ClientCertificateBasis::name),
        certificate_confidence: certificate_confidence(session),
        certificate_evidence: certificate_evidence(session),
        certificate_original: original(session),
        certificate_chain: chain(session.client_chain.as_ref()),
        accepted_server: session.accepted_server(),
        rejected_server: flow
            .rejection()
            .map(|rejection| RejectionRecord { shape: rejection.shape, confidence: rejection.certainty }),
    }
}

/// How sure the state of the client's certificate is; `None` where it was not concluded.
pub(crate) fn certificate_confidence(session: &Session) -> Option<Certainty> {
    let concluded = session.client_chain.is_none() && !session.resumed;
    session.client_flight().filter(|_| concluded)?.certainty
}

/// What the state of the client's certificate is concluded from; `None` where it is not concluded.
pub(crate) fn certificate_evidence(session: &Session) -> Option<FlightRecord<'_>> {
    let concluded = session.client_chain.is_none() && !session.resumed;
    let flight = session.client_flight().filter(|_| concluded)?;
    Some(FlightRecord {
        reading: flight.reading,
        client_packets: &session.client_packets,
        client_records: &session.client_records,
        server_records: &session.server_records,
        padding: flight.padding,
        server_asked: flight.asked,
        may_follow_later: session.offers_later_certificate(),
    })
}

/// What the server said; `None` where nothing of it was seen.
fn server(session: &Session) -> Option<Server<'_>> {
    let hello = session.server_hello.as_ref().map(|hello| &*hello.value);
    if hello.is_none() && session.server_chain.is_none() && session.certificate_request.is_none() {
        return None;
    }
    Some(Server {
        certificate_requested: session.certificate_requested(),
        certificate_basis: session.server_chain.as_ref().and_then(|chain| basis(chain.basis)),
        certificate_chain: chain(session.server_chain.as_ref()),
        ja3s: hello.map(|hello| hello.ja3s.as_str()),
        rejected_client: rejected_client(session),
    })
}

/// Whether the server turned the client away for its certificate.
pub(crate) fn rejected_client(session: &Session) -> Option<ClientRejectionRecord> {
    let rejection = session.rejected_client?;
    let inferred = session.server_answer.as_ref().filter(|_| rejection.alert.is_none());
    Some(ClientRejectionRecord {
        shape: rejection.shape,
        confidence: rejection.certainty,
        frame: rejection.frame,
        alert: rejection.alert.map(description),
        record: inferred.map(|answer| answer.value.len),
        waited_ms: inferred.and_then(|_| session.waited()).map(|waited| waited / 1_000_000),
    })
}

fn chain(chain: Option<&Seen<Arc<[Arc<Certificate>]>>>) -> Vec<CertificateRecord<'_>> {
    chain.map(|chain| chain.value.iter().map(|certificate| record(certificate)).collect()).unwrap_or_default()
}

fn record(certificate: &Certificate) -> CertificateRecord<'_> {
    let parsed = certificate.parsed.as_ref();
    CertificateRecord {
        subject: parsed.map(|parsed| parsed.subject.as_str()),
        issuer: parsed.map(|parsed| parsed.issuer.as_str()),
        serial: parsed.map(|parsed| parsed.serial.as_str()),
        not_before: parsed.map(|parsed| parsed.not_before),
        not_after: parsed.map(|parsed| parsed.not_after),
        san: parsed.map(|parsed| parsed.san.as_slice()),
        hash: Hash { sha256: HEXLOWER.encode(&certificate.sha256) },
        spki_sha256: parsed.map(|parsed: &ParsedCertificate| HEXLOWER.encode(&parsed.spki_sha256)),
        public_key: parsed.map(|parsed| &parsed.public_key),
        signature_algorithm: parsed.map(|parsed| parsed.signature_algorithm.as_str()),
    }
}

/// The alerts of both sides.
pub(crate) fn alerts(session: &Session) -> Vec<AlertRecord> {
    session.alerts.iter().map(alert).collect()
}

fn description(code: u8) -> String {
    alert_description_name(code).map_or_else(|| format!("{code:#04x}"), str::to_owned)
}

fn alert(seen: &Seen<Alert>) -> AlertRecord {
    let alert = seen.value;
    AlertRecord {
        from: alert.from,
        level: alert.level_name(),
        description: alert.description.map(description),
        frame: seen.frame,
        encrypted: alert.is_encrypted(),
        basis: basis(seen.basis),
    }
}
