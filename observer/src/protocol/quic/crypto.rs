//! CRYPTO frames in any order to bytes in order, of one side and one level (RFC 9000 §19.6).

use crate::flow::assembler::{Assembler, Output, Piece};
use crate::protocol::tls::{self, Role};
use crate::protocol::{self, Context};

/// Bytes of a level that are read.
const MAX_CRYPTO: u64 = 64 << 10;

/// The CRYPTO data of one side and one level.
#[derive(Default)]
pub(super) struct Crypto {
    assembler: Assembler,
    lost: bool,
}

impl Crypto {
    /// Takes a frame that `from` sent, and hands over what is in order now.
    pub(super) fn take(&mut self, from: Role, offset: u64, bytes: &[u8], cx: &mut Context<'_>) -> Vec<u8> {
        let mut ready = Vec::new();
        if offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) > MAX_CRYPTO {
            if !std::mem::replace(&mut self.lost, true) {
                cx.say(protocol::Fact::Tls(tls::Fact::HandshakeGap { from }));
            }
            return ready;
        }
        let piece = Piece { offset, bytes, missing: 0, frame: cx.frame, at: cx.at };
        self.assembler.insert(piece, &mut |output| {
            if let Output::Data { bytes, .. } = output {
                ready.extend_from_slice(bytes);
            }
        });
        ready
    }
}
