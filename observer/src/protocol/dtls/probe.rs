//! Recognises DTLS by a datagram.

use super::reassembly::Fragment;
use super::record::{self, Record, content};
use crate::bytes::Reader;
use crate::flow::Opening;
use crate::protocol::tls::handshake_type;
use crate::protocol::{Probe, ProbeInput};

/// What CAPWAP puts before each record (RFC 5415 §4.1): version 0, type 1.
const CAPWAP_PREAMBLE: [u8; 4] = [1, 0, 0, 0];

/// Contents of a hello: more than the key shares and certificates of any.
const MAX_HELLO: usize = 1 << 16;

/// Key changes that an association may have behind it.
const MAX_EPOCH: u16 = 64;

/// The shortest encrypted record: the tag of `CCM_8`.
const MIN_CIPHERTEXT: usize = 8;

/// A datagram without CAPWAP's preamble, if there is one.
pub(crate) fn without_preamble(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&CAPWAP_PREAMBLE).unwrap_or(bytes)
}

/// A datagram that begins with a fragment of a hello, or that is made of encrypted records to its last byte.
pub(super) fn probe(input: &ProbeInput<'_>) -> Probe {
    if is_dtls(without_preamble(input.bytes)) { Probe::Match } else { Probe::NoMatch }
}

pub(crate) fn is_dtls(bytes: &[u8]) -> bool {
    if bytes.first().is_none_or(|first| !(content::CHANGE_CIPHER_SPEC..=content::ACK).contains(first)) {
        return false;
    }
    let mut reader = Reader::new(bytes);
    let Ok(first) = record::next(&mut reader) else { return false };
    let begins = match first {
        Record::Full { content: content::HANDSHAKE, epoch: 0, body, .. } => begins_with_hello(body),
        Record::Full { content: content::ALERT, epoch: 0, body, .. } => {
            matches!(body, [1 | 2, _]) && reader.is_empty()
        }
        Record::Full { content, epoch, body, .. } => {
            (content::CHANGE_CIPHER_SPEC..=content::APPLICATION_DATA).contains(&content)
                && (1..=MAX_EPOCH).contains(&epoch)
                && body.len() > MIN_CIPHERTEXT
        }
        Record::ConnectionId { .. } | Record::Unified { .. } => false,
    };
    // What follows are records, too. Those of a connection id have no end.
    while begins && !reader.is_empty() {
        if record::next(&mut reader).is_err() {
            return false;
        }
    }
    begins
}

/// What a datagram says as the first of a flow.
pub(crate) fn opening(datagram: &[u8]) -> Option<Opening> {
    let bytes = without_preamble(datagram);
    if !is_dtls(bytes) {
        return None;
    }
    match record::next(&mut Reader::new(bytes)).ok()? {
        Record::Full { content: content::HANDSHAKE, epoch: 0, body, .. } => {
            let hello = Fragment::next(&mut Reader::new(body)).ok()?;
            let asks = hello.kind == handshake_type::CLIENT_HELLO;
            Some(if asks { Opening::Request } else { Opening::Answer })
        }
        _ => Some(Opening::Middle),
    }
}

fn begins_with_hello(body: &[u8]) -> bool {
    let Ok(fragment) = Fragment::next(&mut Reader::new(body)) else { return false };
    let hello = matches!(
        fragment.kind,
        handshake_type::CLIENT_HELLO | handshake_type::SERVER_HELLO | handshake_type::HELLO_VERIFY_REQUEST
    );
    hello && fragment.seq < 4 && fragment.len <= MAX_HELLO && !fragment.bytes.is_empty()
}
