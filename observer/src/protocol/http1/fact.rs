//! What an HTTP message head says.

/// A header field as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Lower case.
    pub name: String,
    /// Bytes that are not UTF-8 are replaced. Cut to 4096 bytes.
    pub value: String,
}

/// What kind of secret a request carries where everybody can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// `Authorization: Basic` (RFC 7617) or `Proxy-Authorization`.
    Basic,
    /// `Authorization: Bearer` (RFC 6750) and other schemes whose value can be replayed.
    Bearer,
    /// `Authorization: Digest` (RFC 7616): can be attacked offline.
    Digest,
    /// `Cookie`.
    Cookie,
    /// A form field or JSON member named like a password, in the part of the body that was looked at.
    FormField,
    /// A header such as `X-Api-Key`.
    ApiKey,
    /// A query parameter named like a credential.
    QueryParameter,
    /// `user:password@` in the request target.
    UserInfo,
}

/// A secret that a message carries: that it does and where, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What kind.
    pub kind: CredentialKind,
    /// The header's, field's or parameter's name.
    pub name: String,
}

/// A request's head (RFC 9112 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its index in the flow, from 0: pairs it with its response.
    pub index: u64,
    /// `0.9` where the request line has none, `1.0`, `1.1` or `2`; `None` where the line is cut before it.
    pub version: Option<&'static str>,
    /// The method.
    pub method: String,
    /// The request target as sent. Cut to 8192 bytes.
    pub target: String,
    /// The Host field or the authority of an absolute URI, lower case, with the port where it was sent. What a
    /// `CONNECT` is for is its target.
    pub host: Option<String>,
    /// In order; at most 100 are kept.
    pub headers: Vec<Header>,
    /// The secrets within, by place of discovery.
    pub credentials: Vec<Credential>,
}

impl Request {
    /// Whether it asks for a way through a proxy. An extended CONNECT (RFC 8441) has a path, and asks for a resource.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.method == "CONNECT" && !self.target.starts_with('/')
    }
}

/// A response's head (RFC 9112 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The index of the request that it answers; `None` where that was not captured.
    pub index: Option<u64>,
    /// `1.0`, `1.1` or `2`.
    pub version: &'static str,
    /// 100 to 999.
    pub status: u16,
    /// In order; at most 100 are kept.
    pub headers: Vec<Header>,
    /// Whether the head was captured to its end and all of it is kept: if not, what is missing may have been sent.
    pub whole: bool,
}

/// An HTTP message head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// The first value of the header `name` (lower case).
#[must_use]
pub fn header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}
