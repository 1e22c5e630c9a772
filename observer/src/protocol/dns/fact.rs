//! What a DNS message says.

use std::borrow::Cow;
use std::net::IpAddr;

/// A question (RFC 1035 §4.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The name, lower case, without the final dot; `.` for the root.
    pub name: String,
    /// The type's mnemonic, e.g. `AAAA`, `HTTPS`; `TYPE65534` for unknown ones (RFC 3597 §5).
    pub kind: Cow<'static, str>,
}

/// What an answer says of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerData {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME, NS, PTR: another name, written as [`Question::name`].
    Name(String),
    /// HTTPS or SVCB.
    Service(Box<Service>),
    /// Any other type, in its presentation form, cut to 255 bytes.
    Other(String),
}

/// What an HTTPS or SVCB record says (RFC 9460).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The target; `.` for the owner itself.
    pub target: String,
    /// ALPN protocols.
    pub alpn: Vec<String>,
    /// Whether it carries an ECHConfigList (RFC 9849).
    pub ech: bool,
    /// The keys in that list, by number and the name that is shown in the open.
    pub ech_keys: Vec<(u8, String)>,
    /// Address hints.
    pub hints: Vec<IpAddr>,
}

/// A record of the answer section (RFC 1035 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The owner's name, written as [`Question::name`].
    pub name: String,
    /// The type's mnemonic.
    pub kind: Cow<'static, str>,
    /// Seconds that it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: AnswerData,
}

/// A DNS message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The transaction's number.
    pub id: u16,
    /// Query or response.
    pub response: bool,
    /// RCODE of a response, as its mnemonic: `NOERROR`, `NXDOMAIN`.
    pub response_code: Option<Cow<'static, str>>,
    /// Questions; one, as a rule. At most 16 are kept.
    pub questions: Vec<Question>,
    /// Answers; at most 64 are kept.
    pub answers: Vec<Answer>,
}

impl Fact {
    /// The addresses that its answers give, hints included.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.answers.iter().flat_map(|answer| match &answer.data {
            AnswerData::Address(address) => vec![*address],
            AnswerData::Service(service) => service.hints.clone(),
            AnswerData::Name(_) | AnswerData::Other(_) => Vec::new(),
        })
    }
}
