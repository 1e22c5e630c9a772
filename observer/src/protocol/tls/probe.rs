//! Recognises TLS by its first bytes, whichever side sent them and wherever in the session the capture began.
//!
//! Three bytes of a record header are little to go by, so all that can be held against them is: the length, the first
//! message or alert inside, and the header of the next record as far as it is in sight.

use super::alert_description_name;
use super::record::{HEADER, RecordHeader, content};
use super::ssl2;
use super::wire::kind;
use crate::protocol::{Probe, ProbeInput};

/// The shortest ClientHello and ServerHello: version, random, and a byte for each list.
const MIN_HELLO: usize = 38;

/// The shortest encrypted record of application data: a MAC of 16 bytes, or a tag of 8 and a byte.
const MIN_ENCRYPTED: u16 = 9;

/// The longest alert that any suite encrypts to: IV, padding, MAC.
const MAX_ENCRYPTED_ALERT: u16 = 128;

/// Protocol versions of records: SSL 3.0 to TLS 1.3, whose records say 1.2.
const MAX_MINOR: u8 = 4;

/// Says whether `input` is TLS.
pub(super) fn probe(input: &ProbeInput<'_>) -> Probe {
    let bytes = input.bytes;
    match bytes.first() {
        None => Probe::NeedMore,
        Some(content::CHANGE_CIPHER_SPEC..=content::APPLICATION_DATA) => record(bytes),
        Some(0x80..=0xbf) => match (ssl2::is_client_hello(bytes), ssl2::is_server_hello(bytes)) {
            (Some(true), _) | (_, Some(true)) => Probe::Match,
            (Some(false), Some(false)) => Probe::NoMatch,
            _ => Probe::NeedMore,
        },
        Some(_) => Probe::NoMatch,
    }
}

fn record(bytes: &[u8]) -> Probe {
    let prefix =
        bytes.get(1).is_none_or(|major| *major == 3) && bytes.get(2).is_none_or(|minor| *minor <= MAX_MINOR);
    if !prefix {
        return Probe::NoMatch;
    }
    if bytes.len() < HEADER {
        return Probe::NeedMore;
    }
    let Some(header) = RecordHeader::at(bytes) else { return Probe::NoMatch };
    let body = bytes.get(HEADER..).unwrap_or_default();
    match header.content {
        content::HANDSHAKE => handshake_record(header, body, bytes),
        content::ALERT => alert_record(header, body, bytes),
        content::CHANGE_CIPHER_SPEC => match (header.len, body.first()) {
            (1, None) => Probe::NeedMore,
            (1, Some(1)) => followed(header, bytes),
            _ => Probe::NoMatch,
        },
        content::APPLICATION_DATA if header.len >= MIN_ENCRYPTED => followed(header, bytes),
        _ => Probe::NoMatch,
    }
}

fn handshake_record(header: RecordHeader, body: &[u8], bytes: &[u8]) -> Probe {
    if header.len < 4 {
        // Whoever cuts a ClientHello into records that small means to hide it.
        return if header.len == 0 || body.first().is_some_and(|first| *first != kind::CLIENT_HELLO) {
            Probe::NoMatch
        } else {
            followed(header, bytes)
        };
    }
    let Some([message, a, b, c]) = body.first_chunk() else { return Probe::NeedMore };
    let len = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
    let plausible = match *message {
        kind::CLIENT_HELLO | kind::SERVER_HELLO if len >= MIN_HELLO => {
            // A draft's or a server's own number may stand here, but never so small a one by chance.
            return match body.get(4) {
                None => Probe::NeedMore,
                Some(3 | 0x7f | 0xfb) => Probe::Match,
                Some(_) => followed_strictly(header, bytes),
            };
        }
        kind::HELLO_REQUEST | kind::SERVER_HELLO_DONE => len == 0 && header.len == 4,
        kind::CERTIFICATE => match body.get(4..7) {
            None => return Probe::NeedMore,
            Some(list) => {
                matches!(list, [x, y, z] if usize::try_from(u32::from_be_bytes([0, *x, *y, *z])).ok() == len.checked_sub(3))
            }
        },
        kind::NEW_SESSION_TICKET
        | kind::SERVER_KEY_EXCHANGE
        | kind::CERTIFICATE_REQUEST
        | kind::CERTIFICATE_VERIFY
        | kind::CLIENT_KEY_EXCHANGE
        | kind::CERTIFICATE_STATUS => len > 0 && len.saturating_add(4) <= usize::from(header.len),
        _ => false,
    };
    // What is no message can be an encrypted one, where the capture began late.
    if plausible { followed(header, bytes) } else { followed_strictly(header, bytes) }
}

fn alert_record(header: RecordHeader, body: &[u8], bytes: &[u8]) -> Probe {
    match (header.len, body) {
        (2, [level, description, ..]) => {
            if matches!(level, 1 | 2) && alert_description_name(*description).is_some() {
                followed(header, bytes)
            } else {
                Probe::NoMatch
            }
        }
        (2, _) => Probe::NeedMore,
        (MIN_ENCRYPTED..=MAX_ENCRYPTED_ALERT, _) if bytes.len() == header.total() => Probe::Match,
        (MIN_ENCRYPTED..=MAX_ENCRYPTED_ALERT, _) => followed_strictly(header, bytes),
        _ => Probe::NoMatch,
    }
}

/// Whether what follows the record, as far as it is in sight, is another one.
fn followed(header: RecordHeader, bytes: &[u8]) -> Probe {
    match bytes.get(header.total()..) {
        None | Some([]) => Probe::Match,
        Some(next) if begins_a_record(next) => Probe::Match,
        Some(_) => Probe::NoMatch,
    }
}

/// As [`followed`], but what follows has to be in sight.
fn followed_strictly(header: RecordHeader, bytes: &[u8]) -> Probe {
    match bytes.get(header.total()..) {
        Some(next) if next.len() >= HEADER => followed(header, bytes),
        Some(next) if !begins_a_record(next) => Probe::NoMatch,
        _ => Probe::NeedMore,
    }
}

/// Whether `bytes`, which may be cut short, can begin a record.
fn begins_a_record(bytes: &[u8]) -> bool {
    if bytes.len() >= HEADER {
        return RecordHeader::at(bytes).is_some();
    }
    bytes.first().is_none_or(|content| (content::CHANGE_CIPHER_SPEC..=content::HEARTBEAT).contains(content))
        && bytes.get(1).is_none_or(|major| *major == 3)
        && bytes.get(2).is_none_or(|minor| *minor <= MAX_MINOR)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::Direction;

    fn look(bytes: &[u8]) -> Probe {
        probe(&ProbeInput {
            bytes,
            other: &[],
            earlier: &[],
            direction: Direction::ToResponder,
            midstream: false,
            port: 443,
        })
    }

    #[test]
    fn what_is_not_tls_is_not_claimed() {
        for (what, bytes) in [
            ("MQTT CONNECT", &b"\x10\x17\x00\x04MQTT\x04\x02\x00\x3c\x00\x0bsome-client"[..]),
            ("MQTT PUBREC with a length of 3", &[0x50, 0x02, 0x00, 0x03]),
            ("RDP in a TPKT", &[3, 0, 0, 0x13, 0x0e, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0]),
            ("HTTP", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            ("an alert without a meaning", &[21, 3, 1, 0, 2, 9, 200]),
            ("a record as long as none can be", &[23, 3, 3, 0x49, 0, 1, 2, 3]),
            (
                "a record and then something else",
                &[23, 3, 3, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, b'x', b'y', b'z'],
            ),
            ("a change that changes nothing", &[20, 3, 3, 0, 1, 7]),
            ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
            ("bytes above 0x7f", &[0x80, 0x2e, 0x09, 3, 1, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(look(bytes), Probe::NoMatch, "{what}");
        }
    }

    #[test]
    fn tls_is_recognised_wherever_the_capture_begins() {
        for (what, bytes) in [
            ("a ClientHello", &[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3][..]),
            ("a ServerHello of draft 18", &[22, 3, 1, 0, 82, 2, 0, 0, 78, 0x7f, 0x12]),
            ("an alert", &[21, 3, 3, 0, 2, 2, 48]),
            ("application data longer than what is in sight", &[23, 3, 3, 0x40, 0x11, 1, 2, 3]),
            ("two records", &[23, 3, 3, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 23, 3, 3, 0, 30, 1]),
            ("ChangeCipherSpec and Finished", &[20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 40, 0, 0]),
        ] {
            assert_eq!(look(bytes), Probe::Match, "{what}");
        }
    }

    #[test]
    fn what_may_be_an_encrypted_message_waits_for_the_next_record() {
        let mut bytes = vec![22, 3, 3, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.resize(45, 7);
        assert_eq!(look(&bytes), Probe::NeedMore);
        assert_eq!(look(&[bytes.as_slice(), &[23, 3, 3, 0, 30]].concat()), Probe::Match);
        assert_eq!(look(&[bytes.as_slice(), &[0, 0, 0, 0, 0]].concat()), Probe::NoMatch);
    }

    proptest! {
        #[test]
        fn more_bytes_never_turn_a_refusal_around(bytes in proptest::collection::vec(any::<u8>(), 1..80), head in 0..4_u8) {
            let mut bytes = bytes;
            let starts: &[&[u8]] = &[&[22, 3, 1, 0], &[23, 3, 3, 0], &[0x80, 0x2e, 1, 3], &[]];
            bytes.splice(0..0, starts[usize::from(head)].iter().copied());
            let mut refused = false;
            for len in 1..=bytes.len() {
                let verdict = look(&bytes[..len]);
                prop_assert!(!refused || verdict == Probe::NoMatch, "{:?} at {}", verdict, len);
                refused |= verdict == Probe::NoMatch;
            }
        }
    }
}
