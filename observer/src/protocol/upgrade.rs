//! How protocols agree to go on under TLS (STARTTLS and its like, RFC 2595, RFC 3207): words that all of them share.
//!
//! The order of the steps tells what happened: an offer that nobody takes, a request that is refused, an upgrade.

use super::dialogue::Turn;
use super::{Progress, property};
use crate::observation::Basis;

/// What was said of an upgrade to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The protocol that is to be upgraded, as in `network.layers`.
    pub protocol: &'static str,
    /// What was said.
    pub step: Step,
}

/// A step on the way to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The server says that it can.
    Offered,
    /// The server says what it can, and this is not among it.
    NotOffered,
    /// The client asks for it.
    Requested,
    /// The server agrees: TLS follows.
    Accepted,
    /// The server does not: what follows is readable.
    Refused,
}

impl Fact {
    /// Says a step of `protocol`.
    pub(super) fn say(protocol: &'static str, step: Step, cx: &mut super::Context<'_>) {
        cx.say(super::Fact::Upgrade(Self { protocol, step }));
    }
}

/// Says whether the server of `protocol` agrees to the upgrade that it was asked for: TLS follows, or what the client goes on
/// with.
pub(super) fn answered(protocol: &'static str, agreed: bool, cx: &mut super::Context<'_>) -> Turn {
    Fact::say(protocol, if agreed { Step::Accepted } else { Step::Refused }, cx);
    if agreed { Turn::Stop(Progress::Upgraded) } else { Turn::Release }
}

/// The property that tells with what the client goes on, where that is not TLS.
pub(crate) const WENT_ON: &str = "went_on_with";

/// Says that the client of `protocol` goes on with a command or a login. Within TLS, which a key log opens, it does what it
/// should, and nothing is said.
pub(super) fn went_on(protocol: &'static str, with: &[u8], cx: &mut super::Context<'_>) {
    if cx.basis == Basis::Observed {
        property::Fact::say(protocol, WENT_ON, with, cx);
    }
}
