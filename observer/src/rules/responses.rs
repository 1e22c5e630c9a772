//! Readable responses, and what they carry.

use super::{Finding, facts};
use crate::observation::{Flow, Observation};
use crate::protocol::http1::{self, Request, Response, header};

/// How a response was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Everybody on the path could read it.
    Cleartext,
    /// It lay inside TLS, and the tester has the keys.
    Decrypted,
}

impl Reading {
    /// Of the HTTP messages of `flow`: those behind a TLS layer were decrypted.
    pub(super) fn of(flow: &Flow) -> Self {
        let tls = flow.layers.iter().position(|layer| matches!(*layer, "tls" | "quic" | "dtls"));
        let inside = |from: usize| flow.layers.iter().skip(from).any(|layer| facts::is_http(layer));
        if tls.is_some_and(inside) { Self::Decrypted } else { Self::Cleartext }
    }

    /// The finding with the way in which its response was read.
    pub(super) fn tag(self, finding: Finding) -> Finding {
        match self {
            Self::Cleartext => finding.detail("read", "cleartext"),
            Self::Decrypted => finding.detail("read", "decrypted").detail("basis", "decrypted"),
        }
    }
}

/// A readable response of the far end itself, with its request.
pub(super) struct Readable<'a> {
    pub(super) observation: &'a Observation,
    pub(super) response: &'a Response,
    pub(super) request: Option<&'a Request>,
}

/// Those of [`responses`] whose head was captured to its end: what is not in it was not sent.
pub(super) fn whole_responses(flow: &Flow) -> impl Iterator<Item = Readable<'_>> {
    responses(flow).filter(|readable| readable.response.whole)
}

/// The final responses of `flow` that are the far end's own: not a proxy's answer to `CONNECT`, not a search for a
/// captive portal, whose answer is made to be empty or the portal's.
pub(super) fn responses(flow: &Flow) -> impl Iterator<Item = Readable<'_>> {
    let leaves = facts::leaves_device(flow);
    let requests = || {
        flow.http().filter_map(|(_, fact)| match fact {
            http1::Fact::Request(request) => Some(request),
            _ => None,
        })
    };
    flow.http().filter(move |_| leaves).filter_map(move |(observation, fact)| {
        let http1::Fact::Response(response) = fact else { return None };
        let request = requests().find(|request| Some(request.index) == response.index);
        let other =
            request.is_some_and(|request| request.is_tunnel() || facts::is_connectivity_check(request));
        (response.status >= 200 && !other).then_some(Readable { observation, response, request })
    })
}

impl Readable<'_> {
    /// Whether it hands over content: a success with a body that is not said to be empty.
    pub(super) fn has_content(&self) -> bool {
        let success =
            (200..300).contains(&self.response.status) && !matches!(self.response.status, 204 | 205);
        let head = self.request.is_some_and(|request| request.method == "HEAD");
        let empty =
            header(&self.response.headers, "content-length").is_some_and(|length| length.trim() == "0");
        success && !head && !empty
    }

    /// The media type without its parameters, lower case.
    pub(super) fn media_type(&self) -> Option<String> {
        let value = header(&self.response.headers, "content-type")?;
        let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        (!media_type.is_empty()).then_some(media_type)
    }

    /// `https://shop.test/cart`: what was asked for, without the query; `a response` where that is not known.
    pub(super) fn subject(&self, reading: Reading) -> String {
        let Some(request) = self.request else { return "a response".to_owned() };
        let line = facts::request_line(request);
        match reading {
            Reading::Cleartext => line,
            Reading::Decrypted => line.replacen(" http://", " https://", 1),
        }
    }
}
