//! How a connection ends, of which the first word counts.

use super::analyzer::say;
use super::fact::{self, Fact};
use super::frame;
use crate::protocol::tls::{self, Alert, Role};
use crate::protocol::{self, Context};

/// Bytes of the reason of a close that are kept.
const MAX_REASON: usize = 256;

/// AlertLevel `fatal`.
const FATAL: u8 = 2;

/// Says the first close of a connection, and the alert that it stands for.
#[derive(Default)]
pub(super) struct Close {
    said: bool,
}

impl Close {
    pub(super) fn say(&mut self, from: Role, close: frame::Close<'_>, cx: &mut Context<'_>) {
        if std::mem::replace(&mut self.said, true) {
            return;
        }
        let frame::Close { application, error_code, reason } = close;
        let reason = String::from_utf8_lossy(reason.get(..MAX_REASON).unwrap_or(reason)).into_owned();
        let close = fact::Close { from, application, error_code, reason };
        let alert = close.alert();
        say(cx, Fact::Close(close));
        if let Some(description) = alert {
            // QUIC knows no warnings (RFC 9001 §4.8).
            let alert = Alert { from, level: Some(FATAL), description: Some(description) };
            cx.say(protocol::Fact::Tls(tls::Fact::Alert(alert)));
        }
    }
}
