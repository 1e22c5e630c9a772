//! The inner ClientHello of a session, as far as a key log shows that there was one.

use super::Undecrypted;
use super::handshake::Handshake;
use super::keylog::Secret;
use crate::observation::Basis;
use crate::protocol::Context;
use crate::source::FrameNumber;
use crate::time::Timestamp;

/// Whether a session goes on under another ClientHello than the one on the wire.
#[derive(Debug, Default)]
pub(in crate::protocol) struct InnerHello {
    /// The place in the key log near which its secrets are.
    near: Option<usize>,
    /// Whether the session's secrets are known, or were looked for in vain.
    settled: bool,
}

impl InnerHello {
    /// Notes that encrypted bytes come: others may be found before these are tried.
    pub(in crate::protocol) fn begin(&mut self, cx: &Context<'_>) {
        self.near.get_or_insert(cx.trials.next());
    }

    /// Notes that the ClientHello on the wire names the session, once the key log knows it.
    pub(in crate::protocol) fn settle(&mut self, handshake: &Handshake, cx: &mut Context<'_>) {
        if !self.settled
            && let Some(place) = handshake.client_random().and_then(|random| cx.secrets.place(random))
        {
            self.settled = true;
            cx.trials.found(place);
        }
    }

    /// Whether the session's secrets may be those of an inner ClientHello, so that it is worth to wait for the server's
    /// first encrypted bytes.
    pub(in crate::protocol) fn is_possible(&self, handshake: &Handshake, cx: &Context<'_>) -> bool {
        let hides = !self.settled && handshake.offers_ech() && handshake.is_tls13();
        let is_readable = || !handshake.is_answered() || handshake.protection().is_some();
        hides && is_readable() && handshake.secrets(cx).is_none()
    }

    /// Looks for the secrets once: among those of the key log, those that `opens` what the server sent first, in a frame
    /// and at a time. `None` where that is no use.
    pub(in crate::protocol) fn seek(
        &mut self,
        handshake: &mut Handshake,
        (frame, at): (FrameNumber, Timestamp),
        opens: impl FnMut(&Secret) -> bool,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), Undecrypted>> {
        let possible = handshake.is_answered() && self.is_possible(handshake, cx);
        let outer = handshake.client_random().filter(|_| possible)?;
        let found = cx.trials.seek(cx.secrets, (outer, self.near.unwrap_or_default()), cx.limits, opens);
        self.settled = true;
        Some(found.map(|random| {
            let now = (cx.frame, cx.at, cx.basis);
            (cx.frame, cx.at, cx.basis) = (frame, at, Basis::Decrypted);
            handshake.accept_inner(random, cx);
            (cx.frame, cx.at, cx.basis) = now;
        }))
    }
}
