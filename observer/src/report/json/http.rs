//! The `http` and `dns` parts of a flow record.

use std::borrow::Cow;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::observation::{Basis, Flow};
use crate::protocol::dns::{Answer, AnswerData, Service};
use crate::protocol::http1::{Header, Request};
use crate::report::exchange::{DnsExchange, HttpExchange};
use crate::report::names;
use crate::report::secrets::Secrets;
use crate::source::FrameNumber;

#[derive(Serialize)]
pub(super) struct HttpRecord<'a> {
    frame: FrameNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<Basis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_headers: Option<Headers<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_headers: Option<Headers<'a>>,
}

#[derive(Serialize)]
struct Url {
    full: String,
}

/// Header fields as an object, in order; the values of a field that comes several times are joined (RFC 9110 §5.3).
pub(crate) struct Headers<'a> {
    fields: &'a [Header],
    secrets: Secrets,
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (place, field) in self.fields.iter().enumerate() {
            let earlier = self.fields.get(..place).unwrap_or_default();
            if earlier.iter().any(|other| other.name == field.name) {
                continue;
            }
            let mut value = self.secrets.header(&field.name, &field.value);
            let later = self.fields.get(place.saturating_add(1)..).unwrap_or_default();
            for other in later.iter().filter(|other| other.name == field.name) {
                let value = value.to_mut();
                value.push_str(", ");
                value.push_str(&self.secrets.header(&other.name, &other.value));
            }
            map.serialize_entry(&field.name, &value)?;
        }
        map.end()
    }
}

impl<'a> HttpRecord<'a> {
    pub(super) fn new(flow: &Flow, exchange: &HttpExchange<'a>, secrets: Secrets) -> Self {
        let HttpExchange { frame, basis, request, response } = *exchange;
        let response = response.map(|(_frame, response)| response);
        let path = request.map(|request| secrets.target(request));
        Self {
            frame,
            basis: super::tls::basis(basis),
            version: request
                .and_then(|request| request.version)
                .or(response.map(|response| response.version)),
            method: request.map(|request| request.method.as_str()),
            host: request.and_then(|request| request.host.as_deref()),
            url: request
                .zip(path.as_deref())
                .and_then(|(request, path)| full_url(flow, request, path))
                .map(|full| Url { full }),
            path,
            status_code: response.map(|response| response.status),
            request_headers: request.and_then(|request| headers(&request.headers, secrets)),
            response_headers: response.and_then(|response| headers(&response.headers, secrets)),
        }
    }
}

/// Header fields as they are written; `None` where there are none.
pub(crate) fn headers(fields: &[Header], secrets: Secrets) -> Option<Headers<'_>> {
    (!fields.is_empty()).then_some(Headers { fields, secrets })
}

/// The URL that the request is for (RFC 9112 §3.3), `path` being the target as it is written; `None` where the
/// request does not name a host.
pub(crate) fn full_url(flow: &Flow, request: &Request, path: &str) -> Option<String> {
    if path.contains("://") && !path.starts_with('/') {
        return Some(path.to_owned());
    }
    let host = request.host.as_deref().filter(|_| path.starts_with('/'))?;
    let scheme = if flow.layers.contains(&"tls") { "https" } else { "http" };
    Some(format!("{scheme}://{host}{path}"))
}

#[derive(Serialize)]
pub(super) struct DnsRecord<'a> {
    frame: FrameNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<Question<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<AnswerRecord<'a>>,
}

#[derive(Serialize)]
struct Question<'a> {
    name: &'a str,
    r#type: &'a str,
}

#[derive(Serialize)]
pub(crate) struct AnswerRecord<'a> {
    name: &'a str,
    r#type: &'a str,
    data: Cow<'a, str>,
    ttl: u32,
}

impl<'a> DnsRecord<'a> {
    pub(super) fn new(exchange: &DnsExchange<'a>) -> Self {
        Self {
            frame: exchange.frame,
            question: exchange
                .question
                .map(|question| Question { name: &question.name, r#type: &question.kind }),
            response_code: exchange.response.and_then(|(_, message)| message.response_code.as_deref()),
            answers: answers(exchange),
        }
    }
}

/// The records that answer a question.
pub(crate) fn answers<'a>(exchange: &DnsExchange<'a>) -> Vec<AnswerRecord<'a>> {
    let record = |answer: &'a Answer| AnswerRecord {
        name: &answer.name,
        r#type: &answer.kind,
        data: answer_data(answer),
        ttl: answer.ttl,
    };
    exchange.answers().iter().map(record).collect()
}

/// An answer's data in one string; a service binding as RFC 9460 §2.1 presents it, without its priority.
fn answer_data(answer: &Answer) -> Cow<'_, str> {
    match &answer.data {
        AnswerData::Address(address) => names::address(*address).into(),
        AnswerData::Name(name) | AnswerData::Other(name) => name.into(),
        AnswerData::Service(service) => {
            let Service { target, alpn, ech, hints, .. } = service.as_ref();
            let mut text = target.clone();
            if !alpn.is_empty() {
                text.push_str(" alpn=");
                text.push_str(&alpn.join(","));
            }
            let list = |v4| {
                let list = hints.iter().filter(|ip| ip.is_ipv4() == v4).map(ToString::to_string);
                list.collect::<Vec<_>>().join(",")
            };
            for (key, hints) in [("ipv4hint", list(true)), ("ipv6hint", list(false))] {
                if !hints.is_empty() {
                    text.push_str(&format!(" {key}={hints}"));
                }
            }
            if *ech {
                text.push_str(" ech");
            }
            text.into()
        }
    }
}
