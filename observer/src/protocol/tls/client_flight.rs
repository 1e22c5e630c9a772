//! What became of the client's certificate in TLS 1.3, inferred from the lengths of its encrypted records.
//!
//! The client's flight after the server's is Certificate and CertificateVerify where the server asked, and always
//! Finished (RFC 9846 §4.4). It is protected by keys of its own, so that its last record holds none of the data. A
//! record with `n` bytes of content is `n + 1 + tag` long, 16 more where JSSE pads. So a first record as long as
//! Finished alone says that no certificate was sent; as long as an empty Certificate (8 bytes), alone or with Finished,
//! that the client declined. Records that end in one as long as a signature and one as long as Finished hold a
//! certificate; so does a first record that is long enough for all three, unless it may be Finished padded to a
//! block. The server's flight is read the same way where each message has a record of its own, and what it says of
//! its request must agree. Everything else is unknown, with the reason.
//!
//! Not told apart: padding at random, and protocols that only pretend to be TLS. A certificate that is asked for
//! after the handshake is not part of it.

use super::tls13::{finished, tag};
use super::{CipherSuite, ClientCertificate, HandshakePacket};

/// A Certificate message with an empty list: its header, an empty context and an empty list (RFC 9846 §4.4.2).
const EMPTY_CERTIFICATE: u16 = 8;

/// EncryptedExtensions of the client with an empty `application_settings`, as Chromium's stack sends it before its
/// Certificate where the server agreed (draft-vvv-tls-alps-01 §4).
const CLIENT_EXTENSIONS: u16 = 10;

/// Bytes of the smallest Certificate messages in use: headers and lists around 150 bytes of X.509.
const LEAST_CERTIFICATE: u16 = 163;

/// Bytes of the smallest CertificateVerify: its header, the scheme, and a signature of Ed25519.
const LEAST_VERIFY: u16 = 8 + 64;

/// Records of the client among which the end of its flight is looked for.
const MAX_FLIGHT: usize = 12;

/// Bytes of the least of a QUIC packet around a message: its number, and type, offset and length of a CRYPTO frame.
const LEAST_OVERHEAD: u16 = 1 + 3;

/// As many Handshake packets as are kept: there may have been more.
const MAX_PACKETS: usize = 16;

/// Bytes with which JSSE pads every record.
pub(super) const JSSE_PADDING: u16 = 16;

/// Padding: none, or that of JSSE.
const PADDINGS: [u16; 2] = [0, JSSE_PADDING];

/// Lengths to which whoever pads records (RFC 9846 §5.4) pads a lone one: multiples of these.
const BLOCKS: [u16; 2] = [16, 50];

/// Bytes of an EncryptedExtensions message without a CertificateRequest behind it in the same record: the request
/// alone, with its list of signature schemes, takes as much.
const MOST_EXTENSIONS: u16 = 40;

/// Lengths at which records are cut: the longest that RFC 9846 §5.1 and RFC 6066 §4 allow.
const FULL: [u16; 5] = [512, 1024, 2048, 4096, 1 << 14];

/// How sure something is that was concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Another explanation is easy to think of.
    Tentative,
    /// Follows from what was seen and one assumption.
    Firm,
    /// The bytes say so.
    Certain,
}

/// What is read of the client's flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFlight {
    /// What became of the certificate: sent, declined, not sent, or unknown.
    pub state: ClientCertificate,
    /// How sure that is; `None` where it is unknown.
    pub certainty: Option<Certainty>,
    /// The messages in the flight's records, `+` between those of one record; why not, where that is unknown.
    pub reading: &'static str,
    /// How many records the flight takes; 0 where that is unknown.
    pub records: usize,
    /// Bytes of padding in each record.
    pub padding: u16,
    /// Whether the server asked for a certificate, as far as the lengths of its own records tell.
    pub asked: Option<bool>,
}

/// What is known when a flight is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'a> {
    /// Lengths of the client's first encrypted records, in order.
    pub(super) client: &'a [u16],
    /// Those of the server.
    pub(super) server: &'a [u16],
    /// The suite of the ServerHello.
    pub(super) suite: CipherSuite,
    /// The client offered `application_settings`.
    pub(super) application_settings: bool,
}

/// What the lengths say.
pub(super) fn read(records: Records<'_>) -> ClientFlight {
    let asked = asked(records.server, records.suite);
    let flight = client(records, asked);
    match (flight.state, asked) {
        (ClientCertificate::NotSent, Some(true)) => {
            ClientFlight { asked, ..unknown("the server seems to have asked, and got no answer") }
        }
        (ClientCertificate::Sent | ClientCertificate::Declined, Some(false)) => {
            ClientFlight { asked, ..unknown("the server seems not to have asked for what the client sent") }
        }
        _ => ClientFlight { asked, ..flight },
    }
}

/// What QUIC's Handshake packets say: how much handshake there can be in them. A packet holds acknowledgements, too, and
/// its number is hidden, so that lengths are not exact, and whether a client without a certificate was asked for one
/// does not show. `goes_on` is whether 1-RTT packets followed: else a large packet may be a close with its reason.
pub(super) fn read_packets(packets: &[HandshakePacket], goes_on: bool, suite: CipherSuite) -> ClientFlight {
    let Some(finished) = finished(suite) else { return unknown("the suite's hash is not known") };
    if !goes_on {
        return unknown("no 1-RTT packet of the client");
    }
    let tag = tag(Some(suite));
    let least = finished.saturating_add(tag).saturating_add(LEAST_OVERHEAD);
    let certificate = least.saturating_add(LEAST_VERIFY).saturating_add(LEAST_CERTIFICATE);
    let packed = |state, reading| known(state, Certainty::Tentative, reading, 0, 0);
    if packets.iter().any(|packet| !packet.padded && packet.len >= certificate) {
        return packed(ClientCertificate::Sent, "a packet with room for a certificate");
    }
    // Without room for a signature in any of them there is none beside the Finished.
    let most = least.saturating_add(LEAST_VERIFY);
    let small = packets.len() < MAX_PACKETS && packets.iter().all(|packet| packet.len < most);
    if small && packets.iter().any(|packet| packet.len >= least) {
        return packed(ClientCertificate::NotSent, "finished, without room for a signature");
    }
    unknown("packets that may be padding or hold a certificate")
}

fn client(records: Records<'_>, asked: Option<bool>) -> ClientFlight {
    let Some(first) = records.client.first().copied() else {
        return unknown("no encrypted record of the client");
    };
    let Some(finished) = finished(records.suite) else {
        return unknown("the suite's hash is not known");
    };
    let tag = tag(Some(records.suite));
    for padding in paddings(records.suite) {
        let content = |at: usize| contents(records.client, at, tag, padding);
        let settings = records.application_settings.then_some(CLIENT_EXTENSIONS);
        if let Some((state, reading, count)) = short(content, finished, settings) {
            return known(state, Certainty::Firm, reading, count, padding);
        }
        if let Some(count) = apart(content, finished) {
            let reading = "certificate, certificate_verify, finished";
            return known(ClientCertificate::Sent, Certainty::Firm, reading, count, padding);
        }
    }
    let content = first.saturating_sub(tag).saturating_sub(1);
    if content == 2 || content == 18 {
        return unknown("the client broke off with an alert");
    }
    if content < LEAST_CERTIFICATE.saturating_add(LEAST_VERIFY).saturating_add(finished) {
        return unknown("the first record is as long as nothing that is known");
    }
    if may_be_padded(records.client, tag) {
        return unknown("the records may be padded");
    }
    let certainty = if asked == Some(true) { Certainty::Firm } else { Certainty::Tentative };
    known(ClientCertificate::Sent, certainty, "certificate+certificate_verify+finished", 1, 0)
}

fn known(
    state: ClientCertificate,
    certainty: Certainty,
    reading: &'static str,
    records: usize,
    padding: u16,
) -> ClientFlight {
    ClientFlight { state, certainty: Some(certainty), reading, records, padding, asked: None }
}

pub(super) fn unknown(reason: &'static str) -> ClientFlight {
    ClientFlight {
        state: ClientCertificate::Unknown,
        certainty: None,
        reading: reason,
        records: 0,
        padding: 0,
        asked: None,
    }
}

/// JSSE, which pads, has no CCM.
fn paddings(suite: CipherSuite) -> impl Iterator<Item = u16> {
    let ccm = suite.name().is_some_and(|name| name.contains("_CCM_"));
    PADDINGS.into_iter().take(if ccm { 1 } else { PADDINGS.len() })
}

/// Bytes of the messages in the record at `at`.
fn contents(lengths: &[u16], at: usize, tag: u16, padding: u16) -> Option<u16> {
    lengths.get(at)?.checked_sub(tag)?.checked_sub(1)?.checked_sub(padding)
}

/// A flight without a certificate: the state, the messages, and how many records they take.
fn short(
    content: impl Fn(usize) -> Option<u16>,
    finished: u16,
    settings: Option<u16>,
) -> Option<(ClientCertificate, &'static str, usize)> {
    use ClientCertificate::{Declined, NotSent};
    let first = content(0)?;
    if first == finished {
        return Some((NotSent, "finished", 1));
    }
    if first == EMPTY_CERTIFICATE.saturating_add(finished) {
        return Some((Declined, "certificate (empty)+finished", 1));
    }
    if first == EMPTY_CERTIFICATE && content(1) == Some(finished) {
        return Some((Declined, "certificate (empty), finished", 2));
    }
    let extensions = settings?;
    if first == extensions.saturating_add(finished) {
        return Some((NotSent, "encrypted_extensions+finished", 1));
    }
    let both = extensions.saturating_add(EMPTY_CERTIFICATE).saturating_add(finished);
    (first == both).then_some((Declined, "encrypted_extensions+certificate (empty)+finished", 1))
}

/// Whether the records end in a signature and a Finished, each in one of its own: how many there are until then.
fn apart(content: impl Fn(usize) -> Option<u16>, finished: u16) -> Option<usize> {
    (2..MAX_FLIGHT)
        .find(|last| {
            content(*last) == Some(finished)
                && last.checked_sub(1).and_then(&content).is_some_and(is_certificate_verify)
        })
        .map(|last| last.saturating_add(1))
}

/// Whether a message of so many bytes is as long as a CertificateVerify: ECDSA's signatures vary by a few bytes.
fn is_certificate_verify(len: u16) -> bool {
    let Some(signature) = len.checked_sub(8) else { return false };
    matches!(
        signature,
        64..=72 | 98..=104 | 114 | 128 | 132..=139 | 256 | 384 | 512 | 2420 | 3309 | 4627
    )
}

/// Whether all records may be padded to a block. A block that makes Finished as long as a certificate is longer than
/// Finished, so that its record is one block, and all others are some.
fn may_be_padded(lengths: &[u16], tag: u16) -> bool {
    let overheads = [tag, tag.saturating_add(1)];
    overheads.into_iter().any(|overhead| {
        let mut blocks = lengths.iter().map(|len| len.saturating_sub(overhead));
        let Some(first) = blocks.next().filter(|first| *first > 0) else { return true };
        if lengths.len() == 1 {
            return BLOCKS.into_iter().any(|block| first.is_multiple_of(block));
        }
        blocks.all(|len| len.is_multiple_of(first))
    })
}

/// How much a side pads its records, where its flight shows each message by itself.
pub(super) fn padding(lengths: &[u16], suite: CipherSuite) -> Option<u16> {
    let (finished, tag) = (finished(suite)?, tag(Some(suite)));
    paddings(suite).find(|padding| apart(|at| contents(lengths, at, tag, *padding), finished).is_some())
}

/// Whether the server asked for a certificate, where its records show each message by itself: EncryptedExtensions,
/// CertificateRequest where it asked, Certificate in one record or several, CertificateVerify, Finished.
fn asked(lengths: &[u16], suite: CipherSuite) -> Option<bool> {
    let (finished, tag) = (finished(suite)?, tag(Some(suite)));
    paddings(suite).find_map(|padding| {
        let content = |at: usize| contents(lengths, at, tag, padding);
        let last = apart(content, finished)?.checked_sub(2)?;
        let before: Vec<u16> = (0..last).map_while(content).collect();
        let (extensions, rest) = before.split_first()?;
        if *extensions > MOST_EXTENSIONS {
            return None;
        }
        match rest {
            [certificate] => (!FULL.contains(certificate)).then_some(false),
            [request, whole @ ..] if is_one_message(whole) && whole.first() > Some(request) => Some(true),
            [_, ..] if rest.len() > 2 && is_one_message(rest) => Some(false),
            _ => None,
        }
    })
}

/// Whether these are the pieces of one message: all as long as the first, and the last no longer.
fn is_one_message(pieces: &[u16]) -> bool {
    let Some((last, full)) = pieces.split_last() else { return false };
    full.iter().all(|piece| Some(piece) == full.first()) && full.first().is_none_or(|full| last <= full)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA384: CipherSuite = CipherSuite(0x1302);
    const SHA256: CipherSuite = CipherSuite(0x1301);
    #[test]
    fn packets_with_and_without_room() {
        let read = |lengths: &[(u16, bool)], goes_on| {
            let packets: Vec<_> =
                lengths.iter().map(|(len, padded)| HandshakePacket { len: *len, padded: *padded }).collect();
            read_packets(&packets, goes_on, SHA384).state
        };
        use ClientCertificate::{NotSent, Sent, Unknown};
        // An acknowledgement and Finished; with Certificate and CertificateVerify.
        assert_eq!(read(&[(24, true), (80, false)], true), NotSent);
        assert_eq!(read(&[(24, true), (1131, false)], true), Sent);
        assert_eq!(read(&[(22, true), (1139, true), (1130, false)], true), Sent);
        // Padding, or a certificate; a flight that goes on in a small packet; a close.
        assert_eq!(read(&[(1139, true), (80, false)], true), Unknown);
        assert_eq!(read(&[(24, false), (150, false)], true), Unknown);
        assert_eq!(read(&[(24, false), (400, false)], false), Unknown);
        assert_eq!(read(&[(24, false), (24, false)], true), Unknown);
        assert_eq!(read(&[(80, false); 16], true), Unknown);
    }

    const CCM_8: CipherSuite = CipherSuite(0x1305);

    fn infer(client: &[u16], suite: CipherSuite) -> ClientCertificate {
        read(Records { client, server: &[], suite, application_settings: false }).state
    }

    #[test]
    fn flights_of_the_common_stacks() {
        let cases: &[(&[u16], CipherSuite, ClientCertificate)] = &[
            (&[69, 100], SHA384, ClientCertificate::NotSent),
            (&[53, 100], SHA256, ClientCertificate::NotSent),
            // 69 bytes are SHA-256 with JSSE's padding, too.
            (&[69], SHA256, ClientCertificate::NotSent),
            (&[85], SHA384, ClientCertificate::NotSent),
            (&[45], CCM_8, ClientCertificate::NotSent),
            (&[61], CCM_8, ClientCertificate::Unknown),
            (&[25, 69], SHA384, ClientCertificate::Declined),
            (&[25, 53], SHA256, ClientCertificate::Declined),
            (&[17, 45], CCM_8, ClientCertificate::Declined),
            (&[77], SHA384, ClientCertificate::Declined),
            (&[41, 85], SHA384, ClientCertificate::Declined),
            (&[408, 96, 69], SHA384, ClientCertificate::Sent),
            (&[1006, 111, 85], SHA384, ClientCertificate::Sent),
            (&[529, 529, 529, 341, 281, 69], SHA384, ClientCertificate::Sent),
            // A raw public key (RFC 7250) is short; what follows it is not in doubt.
            (&[121, 96, 69], SHA384, ClientCertificate::Sent),
            (&[539, 19], SHA384, ClientCertificate::Sent),
            (&[539], SHA384, ClientCertificate::Sent),
            // Padded to 256 and 512 bytes, with and without the content type; and to the longest record.
            (&[272, 272], SHA384, ClientCertificate::Unknown),
            (&[316, 316, 616], SHA384, ClientCertificate::Unknown),
            (&[528], SHA384, ClientCertificate::Unknown),
            (&[529, 1041], SHA256, ClientCertificate::Unknown),
            (&[16_401], SHA384, ClientCertificate::Unknown),
            // Longer than any block of Finished's second record.
            (&[1552, 272, 272], SHA384, ClientCertificate::Sent),
            // An alert, and what nobody knows.
            (&[19], SHA384, ClientCertificate::Unknown),
            (&[25, 400], SHA384, ClientCertificate::Unknown),
            (&[200, 100], SHA384, ClientCertificate::Unknown),
            (&[], SHA384, ClientCertificate::Unknown),
            (&[69], CipherSuite(0x0a0a), ClientCertificate::Unknown),
        ];
        for (lengths, suite, expected) in cases {
            assert_eq!(infer(lengths, *suite), *expected, "{lengths:?} {suite}");
        }
    }

    #[test]
    fn application_settings_come_before_the_rest() {
        let settings =
            |client: &[u16]| read(Records { client, server: &[], suite: SHA384, application_settings: true });
        assert_eq!(settings(&[79]).state, ClientCertificate::NotSent);
        assert_eq!(settings(&[87]).state, ClientCertificate::Declined);
        assert_eq!(infer(&[79], SHA384), ClientCertificate::Unknown);
    }

    #[test]
    fn the_server_shows_whether_it_asked() {
        let cases: &[(&[u16], CipherSuite, Option<bool>)] = &[
            (&[23, 123, 1767, 96, 69, 250], SHA384, Some(true)),
            (&[23, 1767, 96, 69, 250], SHA384, Some(false)),
            (&[29, 127, 1135, 96, 69], SHA384, Some(true)),
            // Cut at 512 bytes.
            (&[28, 123, 529, 529, 529, 231, 95, 69], SHA384, Some(true)),
            (&[28, 529, 529, 529, 231, 96, 69], SHA384, Some(false)),
            // The request may name more authorities than the chain has bytes, or the chain may be in pieces.
            (&[23, 1900, 1767, 96, 69], SHA384, None),
            (&[23, 529, 231, 96, 69], SHA384, None),
            (&[112, 1767, 96, 69], SHA384, None),
            // All in one.
            (&[2100, 250, 250], SHA384, None),
            (&[], SHA384, None),
        ];
        for (lengths, suite, expected) in cases {
            assert_eq!(asked(lengths, *suite), *expected, "{lengths:?}");
        }
    }

    #[test]
    fn both_sides_must_agree() {
        let with = |client: &[u16], server: &[u16]| {
            let flight = read(Records { client, server, suite: SHA384, application_settings: false });
            (flight.state, flight.certainty)
        };
        let (asked, not_asked) = ([23, 123, 1767, 96, 69], [23, 1767, 96, 69]);
        assert_eq!(with(&[69], &not_asked), (ClientCertificate::NotSent, Some(Certainty::Firm)));
        assert_eq!(with(&[69], &asked), (ClientCertificate::Unknown, None));
        assert_eq!(with(&[77], &not_asked), (ClientCertificate::Unknown, None));
        assert_eq!(with(&[539, 100], &asked), (ClientCertificate::Sent, Some(Certainty::Firm)));
        assert_eq!(with(&[539, 100], &[]), (ClientCertificate::Sent, Some(Certainty::Tentative)));
    }
}
