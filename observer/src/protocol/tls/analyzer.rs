//! The TLS session's progress.

use tls_parser::{TlsMessage, TlsMessageHandshake, parse_tls_plaintext};

use super::{Fact, wire};
use crate::flow::Data;
use crate::protocol::{self, Analyzer, Context, Progress};

#[derive(Default)]
pub(super) struct TlsAnalyzer {
    buffers: [Vec<u8>; 2],
}

impl Analyzer for TlsAnalyzer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let [to_responder, to_originator] = &mut self.buffers;
        let buffer = if data.direction.index() == 0 { to_responder } else { to_originator };
        if buffer.len().saturating_add(data.bytes.len()) > cx.limits.message_bytes {
            return Progress::Done;
        }
        buffer.extend_from_slice(data.bytes);
        let mut done = Progress::NeedMore;
        let mut left = buffer.as_slice();
        while let Ok((rest, record)) = parse_tls_plaintext(left) {
            for message in &record.msg {
                match message {
                    TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)) => {
                        cx.say(protocol::Fact::Tls(Fact::ClientHello(Box::new(wire::client_hello(hello)))));
                    }
                    TlsMessage::Handshake(TlsMessageHandshake::ServerHello(hello)) => {
                        cx.say(protocol::Fact::Tls(Fact::ServerHello(Box::new(wire::server_hello(hello)))));
                    }
                    TlsMessage::ApplicationData(_) => done = Progress::Done,
                    _ => {}
                }
            }
            left = rest;
        }
        let consumed = buffer.len() - left.len();
        buffer.drain(..consumed);
        done
    }
}
