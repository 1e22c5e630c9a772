//! Google's QUIC with its own handshake, versions Q020 to Q050: which version, and the client's hello, which names the
//! server.
//!
//! Up to Q049 the hello is in the clear; that of Q050 is in an Initial packet whose keys everybody can derive. The rest of
//! the handshake is not read. Its encryption is not TLS and never counts as it.

use super::fact::{Fact, GoogleHello};
use super::frame::{Frame, Frames};
use super::keys::Keys;
use super::packet::{self, LONG_HEADER, Packet};
use super::version::Version;
use crate::bytes::Reader;
use crate::flow::{Data, Gap, Opening};
use crate::protocol::tls::Role;
use crate::protocol::{self, Analyzer, Context, Probe, ProbeInput, Progress};

/// The versions whose packets have the public header that Google began with.
const PUBLIC_HEADER: std::ops::RangeInclusive<u32> = 20..=43;

/// The versions with long headers: those of drafts, and from 50 on the IETF's.
const LONG_HEADERS: std::ops::RangeInclusive<u32> = 44..=50;

/// Datagrams in which the hello is looked for.
const MAX_DATAGRAMS: u32 = 8;

/// Bytes of the hash that precedes the frames of a packet that is not encrypted.
const HASH: usize = 12;

/// Entries of a hello that are read.
const MAX_ENTRIES: u16 = 128;

/// Bytes of a value that are kept.
const MAX_VALUE: usize = 256;

/// Bits of the public header's first byte.
mod flag {
    pub(super) const VERSION: u8 = 0x01;
    pub(super) const RESET: u8 = 0x02;
    pub(super) const CONNECTION_ID: u8 = 0x08;
    pub(super) const RESERVED: u8 = 0x80;
}

/// A packet of Google's.
#[derive(Debug, PartialEq, Eq)]
enum Google<'a> {
    /// One that names its version; what follows its header, where that is in the clear.
    Versioned { version: Version, payload: Option<&'a [u8]> },
    /// The versions that a server speaks.
    Negotiation(&'a [u8]),
}

pub(super) fn probe(input: &ProbeInput<'_>) -> Probe {
    if read(input.bytes).is_some() { Probe::Match } else { Probe::NoMatch }
}

/// What a datagram says as the first of a flow. Clients name the version until they are answered; with long headers, both
/// do.
pub(crate) fn opening(datagram: &[u8]) -> Option<Opening> {
    Some(match read(datagram)? {
        Google::Negotiation(_) => Opening::Answer,
        Google::Versioned { payload, .. } => {
            let asks = payload.map_or_else(|| opened(datagram), hello).is_some();
            let public = datagram.first().is_some_and(|first| first & LONG_HEADER == 0);
            if asks || public { Opening::Request } else { Opening::Middle }
        }
    })
}

/// Reads the head of a datagram; `None` where it is no packet of Google's that names a version.
fn read(datagram: &[u8]) -> Option<Google<'_>> {
    let mut reader = Reader::new(datagram);
    let first = reader.u8("first byte").ok()?;
    if first & LONG_HEADER != 0 {
        return long(reader);
    }
    let flags = first & (flag::VERSION | flag::RESET | flag::CONNECTION_ID | flag::RESERVED);
    if flags != flag::VERSION | flag::CONNECTION_ID {
        return None;
    }
    reader.u64("connection id").ok()?;
    let versions = reader.peek();
    let (list, odd) = versions.as_chunks::<4>();
    let is_old = |bytes: &[u8; 4]| number(Version(u32::from_be_bytes(*bytes))).is_some();
    if !is_old(list.first()?) {
        return None;
    }
    if odd.is_empty() && list.iter().all(is_old) {
        return Some(Google::Negotiation(versions));
    }
    let version = Version(reader.u32("version").ok()?);
    number(version).filter(|number| PUBLIC_HEADER.contains(number))?;
    let number_len = [1, 2, 4, 6].get(usize::from(first >> 4 & 3)).copied()?;
    reader.take(number_len, "packet number").ok()?;
    reader.take(HASH, "hash").ok()?;
    Some(Google::Versioned { version, payload: Some(reader.rest()) })
}

/// Reads a long header behind its first byte.
fn long(mut reader: Reader<'_>) -> Option<Google<'_>> {
    let version = Version(reader.u32("version").ok()?);
    let number = number(version).filter(|number| LONG_HEADERS.contains(number))?;
    if number >= 49 {
        // Lengths of connection ids in bytes of their own; what follows is encrypted.
        return Some(Google::Versioned { version, payload: None });
    }
    let lengths = reader.u8("connection id lengths").ok()?;
    for length in [lengths >> 4, lengths & 0x0f] {
        let length = if length == 0 { 0 } else { usize::from(length).saturating_add(3) };
        reader.take(length, "connection id").ok()?;
    }
    reader.take(4, "packet number").ok()?;
    let payload = reader.take(HASH, "hash").ok().map(|_| reader.rest());
    Some(Google::Versioned { version, payload })
}

/// The number of a version with Google's own handshake.
fn number(version: Version) -> Option<u32> {
    let (_, digits) = version.google().filter(|(kind, _)| *kind == 'Q')?;
    let digits = digits.iter().filter_map(|digit| digit.to_digit(10));
    Some(digits.fold(0, |number, digit| number * 10 + digit))
}

/// The hello among frames that are not encrypted: in a STREAM frame of stream 1, or from Q047 on in a CRYPTO frame. Other
/// frames before it are not passed over: clients send it first.
fn hello(payload: &[u8]) -> Option<GoogleHello> {
    let mut reader = Reader::new(payload);
    let kind = reader.u8("frame type").ok()?;
    if kind & 0x80 == 0 {
        return Frames::new(payload, true).find_map(of_crypto);
    }
    let mut stream = 0_u8;
    for byte in reader.take(usize::from(kind & 3).saturating_add(1), "stream id").ok()? {
        stream |= *byte;
    }
    let offset_len = match kind >> 2 & 7 {
        0 => 0,
        bits => usize::from(bits).saturating_add(1),
    };
    reader.take(offset_len, "offset").ok()?;
    if kind & 0x20 != 0 {
        reader.u16("data length").ok()?;
    }
    if stream == 1 { message(reader.rest()) } else { None }
}

fn of_crypto(frame: Frame<'_>) -> Option<GoogleHello> {
    match frame {
        Frame::Crypto { bytes, .. } => message(bytes),
        Frame::Close(_) | Frame::ConnectionId(_) => None,
    }
}

/// A handshake message: its tag, its number of entries, for each a tag and where its value ends, and the values.
fn message(bytes: &[u8]) -> Option<GoogleHello> {
    let mut reader = Reader::new(bytes);
    if reader.array::<4>("message tag").ok()? != *b"CHLO" {
        return None;
    }
    let entries = reader.u16_le("entries").ok()?.min(MAX_ENTRIES);
    reader.u16("padding").ok()?;
    let mut index = reader.sub(usize::from(entries).saturating_mul(8), "index").ok()?;
    let values = reader.rest();
    let mut hello = GoogleHello::default();
    let mut start = 0;
    while let (Ok(tag), Ok(end)) = (index.array::<4>("tag"), index.u32_le("end")) {
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let value = values.get(start..end).map(|value| value.get(..MAX_VALUE).unwrap_or(value));
        start = end;
        let text = || {
            let text = String::from_utf8_lossy(value?).into_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        match &tag {
            b"SNI\0" => hello.server_name = text().map(|name| name.to_ascii_lowercase()),
            b"UAID" => hello.user_agent = text(),
            _ => {}
        }
    }
    Some(hello)
}

/// Reads a connection until the client's hello was found.
#[derive(Default)]
pub(super) struct GoogleAnalyzer {
    version: Option<Version>,
    datagrams: u32,
}

impl Analyzer for GoogleAnalyzer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        self.datagrams = self.datagrams.saturating_add(1);
        match read(data.bytes) {
            Some(Google::Negotiation(versions)) => {
                let (versions, _) = versions.as_chunks::<4>();
                let versions = versions.iter().map(|version| Version(u32::from_be_bytes(*version)));
                say(cx, Fact::VersionNegotiation { versions: versions.take(super::MAX_VERSIONS).collect() });
            }
            Some(Google::Versioned { version, payload }) => {
                if self.version != Some(version) {
                    self.version = Some(version);
                    say(cx, Fact::Version(version));
                }
                if let Some(hello) = payload.map_or_else(|| opened(data.bytes), hello) {
                    say(cx, Fact::GoogleHello(hello));
                    return Progress::Done;
                }
            }
            None => {}
        }
        if self.datagrams >= MAX_DATAGRAMS { Progress::Done } else { Progress::NeedMore }
    }

    /// A datagram of which a part was not captured says nothing of the next.
    fn gap(&mut self, _gap: Gap, _cx: &mut Context<'_>) -> Progress {
        Progress::NeedMore
    }
}

/// The hello of Q050.
fn opened(mut datagram: &[u8]) -> Option<GoogleHello> {
    let Ok(Some(Packet::Numbered(packet))) = packet::next(&mut datagram) else { return None };
    let scheme = packet.header.version.scheme()?;
    let mut keys = Keys::derive(scheme, packet.header.destination)?;
    let mut buffer = Vec::new();
    let payload = keys.open(Role::Client, &packet, &mut buffer)?;
    Frames::new(buffer.get(payload)?, true).find_map(of_crypto)
}

fn say(cx: &mut Context<'_>, fact: Fact) {
    cx.say(protocol::Fact::Quic(Box::new(fact)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Connection;
    use super::*;
    use crate::decode::Transport;
    use crate::protocol::script::{REQUEST, RESPONSE, play, send};

    /// A hello for shop.test.
    fn chlo() -> Vec<u8> {
        let values: [(&[u8; 4], &[u8]); 3] =
            [(b"PAD\0", &[b'-'; 30]), (b"SNI\0", b"shop.test"), (b"UAID", b"A browser")];
        let (mut index, mut all) = (Vec::new(), Vec::new());
        for (tag, value) in values {
            all.extend(value);
            index.extend(tag);
            index.extend(u32::try_from(all.len()).unwrap().to_le_bytes());
        }
        [b"CHLO\x03\0\0\0".as_slice(), &index, &all].concat()
    }

    fn connection(datagrams: &[(bool, Vec<u8>)]) -> (Vec<&'static str>, Option<Connection>) {
        let acts: Vec<_> = datagrams
            .iter()
            .map(|(request, bytes)| send(if *request { REQUEST } else { RESPONSE }, bytes))
            .collect();
        let played = play(Transport::Udp, 443, &acts);
        let connection = Connection::fold(&played.observations);
        (played.layers, connection)
    }

    fn expected(version: &[u8; 4]) -> Connection {
        Connection {
            version: Some(Version(u32::from_be_bytes(*version))),
            google: Some(GoogleHello {
                server_name: Some("shop.test".to_owned()),
                user_agent: Some("A browser".to_owned()),
            }),
            ..Connection::default()
        }
    }

    #[test]
    fn the_hello_of_each_form_is_read() {
        let stream = [&[0xa0, 1, 0, 90][..], &chlo()].concat();
        let later = [&[0xa4, 1, 4, 0, 0, 90][..], &chlo()].concat();
        let crypto = [&[8, 0, 0x40, u8::try_from(chlo().len()).unwrap()][..], &chlo()].concat();
        let public = |version: &[u8; 4], frames: &[u8]| {
            [&[0x0d, 1, 2, 3, 4, 5, 6, 7, 8][..], version, &[1], &[9; 12], frames].concat()
        };
        let long = |version: &[u8; 4], frames: &[u8]| {
            [&[0xc3][..], version, &[0x50, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1], &[9; 12], frames].concat()
        };
        for (version, datagram) in [
            (b"Q043", public(b"Q043", &stream)),
            (b"Q035", public(b"Q035", &later)),
            (b"Q046", long(b"Q046", &stream)),
            (b"Q048", long(b"Q048", &crypto)),
        ] {
            let (layers, found) = connection(&[(true, datagram)]);
            assert_eq!((layers.as_slice(), found), (&["gquic"][..], Some(expected(version))));
        }
    }

    #[test]
    fn q050_is_opened() {
        let version = Version(u32::from_be_bytes(*b"Q050"));
        let keys = Keys::derive(version.scheme().unwrap(), &[7; 8]).unwrap();
        let mut frames = [&[8, 0, 0x40, u8::try_from(chlo().len()).unwrap()][..], &chlo()].concat();
        frames.resize(1200, 0);
        let header = [&b"\xc3Q050\x08"[..], &[7; 8], &[0, 0, 0x44, 0xc4, 0, 0, 0, 1]].concat();
        let (layers, found) = connection(&[(true, keys.seal(Role::Client, &header, &frames))]);
        assert_eq!((layers.as_slice(), found), (&["gquic"][..], Some(expected(b"Q050"))));
    }

    #[test]
    fn a_server_says_its_versions() {
        let negotiation = b"\x09\x01\x02\x03\x04\x05\x06\x07\x08Q035Q037Q038".to_vec();
        let (layers, found) = connection(&[(false, negotiation)]);
        assert_eq!(layers, ["gquic"]);
        assert_eq!(found.unwrap().offered_versions.len(), 3);
        assert_eq!(
            connection(&[(true, b"\x09\x01\x02\x03\x04\x05\x06\x07\x08GET / HTTP".to_vec())]).0,
            ["unknown"]
        );
    }

    proptest! {
        #[test]
        fn nothing_that_comes_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            version in prop::sample::select(vec![b"Q043", b"Q046", b"Q050"]),
            tail in 0_usize..120,
        ) {
            let mut chlo = chlo();
            chlo.truncate(tail);
            connection(&[
                (true, [&[0x0d; 9][..], version, &bytes].concat()),
                (true, [&[0xc3][..], version, &bytes, &chlo].concat()),
                (true, [&[0x0d; 9][..], version, &[1; 13], &[0xa0, 1, 0, 0], &chlo, &bytes].concat()),
            ]);
        }
    }
}
