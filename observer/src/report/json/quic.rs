//! The `quic` part of a flow record.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use serde::Serialize;

use super::tls::{Shown, basis};
use crate::decode::Endpoint;
use crate::observation::Basis;
use crate::protocol::quic::{Close, Connection, Continues, Version};
use crate::protocol::tls::{Role, Seen, alert_description_name};
use crate::source::FrameNumber;

#[derive(Serialize)]
pub(super) struct QuicRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Shown<Version>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_version: Option<Shown<Version>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_versions: Option<Vec<Shown<Version>>>,
    retry: bool,
    token: bool,
    zero_rtt: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<CloseRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<ContinuesRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

/// The flow whose connection goes on in this one.
#[derive(Serialize)]
pub(crate) struct ContinuesRecord {
    /// Its number, where it ended before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<u64>,
    first_frame: FrameNumber,
    source: End,
    destination: End,
    /// In hex: what the two have in common.
    connection_id: String,
    basis: Basis,
}

#[derive(Serialize)]
struct End {
    ip: IpAddr,
    port: u16,
}

impl ContinuesRecord {
    pub(crate) fn new(continues: &Continues) -> Self {
        let end = |end: Endpoint| End { ip: end.ip, port: end.port };
        Self {
            flow: continues.flow,
            first_frame: continues.first_frame,
            source: end(continues.source),
            destination: end(continues.destination),
            connection_id: HEXLOWER.encode(&continues.id),
            basis: Basis::Inferred,
        }
    }
}

/// CONNECTION_CLOSE.
#[derive(Serialize)]
pub(crate) struct CloseRecord {
    from: Role,
    frame: FrameNumber,
    by: &'static str,
    code: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<Basis>,
}

impl QuicRecord {
    pub(super) fn new(connection: Connection) -> Self {
        let google = connection.google.unwrap_or_default();
        Self {
            version: connection.version.map(Shown),
            first_version: connection.first_version.map(Shown),
            server_versions: Some(connection.offered_versions)
                .filter(|versions| !versions.is_empty())
                .map(|versions| versions.into_iter().map(Shown).collect()),
            retry: connection.retry,
            token: connection.token,
            zero_rtt: connection.zero_rtt,
            close: connection.close.as_ref().map(CloseRecord::new),
            continues: connection.continues.as_ref().map(ContinuesRecord::new),
            server_name: google.server_name,
            user_agent: google.user_agent,
        }
    }
}

impl CloseRecord {
    pub(crate) fn new(seen: &Seen<Close>) -> Self {
        let close = &seen.value;
        Self {
            from: close.from,
            frame: seen.frame,
            by: if close.application { "application" } else { "transport" },
            code: close.error_code,
            name: close.alert().map_or_else(|| close.name(), alert_description_name),
            reason: close.reason.clone(),
            basis: basis(seen.basis),
        }
    }
}
