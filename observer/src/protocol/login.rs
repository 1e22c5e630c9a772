//! Credentials that protocols carry in the clear: words that all of them share. The secret itself is not kept.
//!
//! HTTP's stand in its requests (`http1::Credential`).

/// A credential that went by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The protocol that carried it, as in `network.layers`.
    pub protocol: &'static str,
    /// How: the SASL mechanism (RFC 4422) or the protocol's own command, such as `PLAIN`, `USER/PASS`, `CONNECT`.
    pub mechanism: String,
    /// What somebody who listens learns.
    pub exposure: Exposure,
}

/// What a login shows to those who listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// Who it is, without a secret.
    Identity,
    /// The answer to a challenge, which can be attacked offline.
    Response,
    /// The secret itself: a password, a token.
    Secret,
}
