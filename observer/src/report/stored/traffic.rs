//! With whom an app of a stored run spoke, how, and when.

use serde::Serialize;

use crate::report::steps::Began;
use crate::time::Timestamp;

/// `host:port`, with brackets around an IPv6 address.
#[must_use]
pub fn endpoint(host: &str, port: Option<u16>) -> String {
    match port {
        None | Some(0) => host.to_owned(),
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
    }
}

/// A far end of one app, by protection.
#[derive(Clone, Debug, Serialize)]
pub struct StoredEndpoint {
    /// Its name, or its address.
    pub host: String,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `tcp`, `udp`, …
    pub transport: String,
    /// The innermost protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What the bytes were worth, e.g. `encrypted`.
    pub protection: String,
    /// Negotiated versions, e.g. `TLS 1.3`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// Negotiated cipher suites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ciphers: Vec<String>,
    /// Flows.
    pub flows: u64,
    /// Of these, flows with a completed handshake.
    pub established: u64,
    /// Bytes that the app sent.
    pub sent: u64,
    /// Bytes that it received.
    pub received: u64,
    /// The first frame of the first flow.
    pub first_frame: u64,
}

impl StoredEndpoint {
    /// `shop.test:443`.
    #[must_use]
    pub fn name(&self) -> String {
        endpoint(&self.host, self.port)
    }
}

/// Flows whose handshakes came to the same version and suite.
#[derive(Clone, Debug, Serialize)]
pub struct StoredSessions {
    /// E.g. `TLS 1.3`.
    pub version: String,
    /// E.g. `TLS_AES_128_GCM_SHA256`.
    pub cipher: String,
    /// How many.
    pub flows: u64,
}

/// A flow in time.
#[derive(Clone, Debug, Serialize)]
pub struct StoredFlow {
    /// Its number in the run.
    pub flow: u64,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// With whom.
    pub host: String,
    /// The far end's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What its bytes were worth.
    pub protection: String,
    /// Its layers, outermost first.
    pub layers: Vec<String>,
    /// Bytes in both directions.
    pub bytes: u64,
    /// The step of the test in which it began; `None` beside a `began` is background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How it began; `None` where the run has no steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Began>,
    /// Steps that began while it went on.
    pub spans: u64,
}
