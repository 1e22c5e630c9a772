//! The message format ([RFC 1035 §4](https://datatracker.ietf.org/doc/html/rfc1035#section-4)).
//!
//! ```text
//!  0  1  2  3  4  5  6  7  8  9  0  1  2  3  4  5
//! |                      ID                       |
//! |QR|   Opcode  |AA|TC|RD|RA|Z |AD|CD|   RCODE   |
//! |                    QDCOUNT                    |
//! |                    ANCOUNT                    |
//! |                    NSCOUNT                    |
//! |                    ARCOUNT                    |
//! ```
//!
//! Names and record data are decoded by `hickory-proto`, one record at a time: a message keeps its questions when a
//! record is damaged.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use hickory_proto::rr::rdata::svcb::{SVCB, SvcParamValue};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, DecodeError, Restrict};

use super::{Answer, AnswerData, Fact, Question, Service};
use crate::bytes::{ParseError, ParseErrorKind, Reader, hex};
use crate::protocol::Probe;

const HEADER_LEN: usize = 12;
const MAX_QUESTIONS: usize = 16;
const MAX_ANSWERS: usize = 64;
/// Records of all sections that are looked at: fewer than an AXFR message can hold, more than resolvers send.
const MAX_RECORDS: usize = 1024;
/// Bytes of a record's presentation form.
const MAX_TEXT: usize = 255;
/// The pseudo-record of EDNS ([RFC 6891 §6.1](https://datatracker.ietf.org/doc/html/rfc6891#section-6.1.2)).
const OPT: u16 = 41;

/// A message, as far as it can be read.
pub(super) struct Message {
    pub(super) fact: Fact,
    /// Whether it has questions, and answers, kept or not.
    asks: bool,
    answers: bool,
    /// The bytes that the message takes, or why its records cannot all be read.
    pub(super) records: Result<usize, ParseError>,
    ordinary: bool,
}

struct Header {
    id: u16,
    flags: u16,
    questions: u16,
    answers: u16,
    /// Authority and additional records.
    others: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let (id, flags) = (reader.u16("dns id")?, reader.u16("dns flags")?);
        let (questions, answers) = (reader.u16("question count")?, reader.u16("answer count")?);
        let others = u32::from(reader.u16("authority count")?) + u32::from(reader.u16("additional count")?);
        Ok(Self { id, flags, questions, answers, others })
    }

    fn response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    fn response_code(&self) -> u16 {
        self.flags & 0x000f
    }

    /// Whether a resolver of our days sends such a header.
    fn ordinary(&self) -> bool {
        let opcode = (self.flags >> 11) & 0x0f;
        let reserved = self.flags & 0x0040 != 0;
        matches!(opcode, 0 | 4 | 5)
            && !reserved
            && self.questions <= 4
            && self.answers <= 256
            && self.others <= 256
            && (self.response() || (self.questions >= 1 && self.response_code() == 0))
            && (self.questions >= 1 || self.answers >= 1)
            && self.response_code() <= 11
    }
}

/// Whether `bytes` are one message. On DNS's own port an unusual header is let pass.
pub(super) fn recognise(bytes: &[u8], own_port: bool) -> Probe {
    let Ok(message) = read(bytes, false) else { return Probe::NoMatch };
    let records = match message.records {
        Ok(len) => message.answers && len == bytes.len() || message.asks,
        Err(_) => message.asks,
    };
    if own_port || (message.ordinary && records) { Probe::Match } else { Probe::NoMatch }
}

/// Whether `bytes`, the start of `length` bytes, are the start of a message.
pub(super) fn recognise_start(bytes: &[u8], length: usize) -> Probe {
    if length < HEADER_LEN {
        return Probe::NoMatch;
    }
    let Ok(header) = Header::read(bytes) else { return Probe::NeedMore };
    if !header.ordinary() {
        return Probe::NoMatch;
    }
    match read(bytes, false) {
        Ok(message) if message.ordinary => Probe::Match,
        Err(error) if error.is_truncated() => Probe::NeedMore,
        Ok(_) | Err(_) => Probe::NoMatch,
    }
}

/// Reads a message.
pub(super) fn message(bytes: &[u8]) -> Result<Message, ParseError> {
    read(bytes, true)
}

/// Reads a message; what its questions and answers say only where that is to be kept.
fn read(bytes: &[u8], keep: bool) -> Result<Message, ParseError> {
    let header = Header::read(bytes)?;
    let mut decoder = BinDecoder::new(bytes);
    decoder.read_slice(HEADER_LEN).map_err(|error| damage(&error, "dns header", 0))?;
    let mut ordinary = header.ordinary();
    let (most_questions, most_answers) = if keep { (MAX_QUESTIONS, MAX_ANSWERS) } else { (0, 0) };
    let mut questions = Vec::with_capacity(room(header.questions, most_questions, bytes));
    let (mut asks, mut answers) = (false, false);
    let mut broken = None;
    for _ in 0..header.questions {
        let (name, kind, class) = match question(&mut decoder) {
            Ok(question) => question,
            Err(error) if !asks => return Err(error),
            Err(error) => {
                (broken, ordinary) = (Some(error), false);
                break;
            }
        };
        asks = true;
        ordinary &= is_ordinary_class(class) && !is_netbios(&name, kind);
        if questions.len() < most_questions {
            questions.push(Question { name: text_of(&name), kind: mnemonic(kind) });
        }
    }
    let mut fact = Fact {
        id: header.id,
        response: header.response(),
        response_code: None,
        questions,
        answers: Vec::with_capacity(room(header.answers, most_answers, bytes)),
    };
    let mut code = header.response_code();
    let records = match broken {
        Some(error) => Err(error),
        None => {
            let mut take = |answer: RawAnswer<'_, '_>| {
                answers = true;
                ordinary &= is_ordinary_class(answer.class) && !is_netbios(answer.name, answer.kind);
                if fact.answers.len() < most_answers {
                    fact.answers.push(answer.read());
                }
            };
            records(&header, &mut decoder, &mut take, &mut code)
        }
    };
    if keep && header.response() {
        fact.response_code = Some(response_code(code));
    }
    Ok(Message { fact, asks, answers, records: records.map(|()| decoder.index()), ordinary })
}

/// Room for `count` entries, no more than are kept and than `bytes` can hold: a look-up is kept for as long as its flow
/// is open, and there are many.
fn room(count: u16, kept: usize, bytes: &[u8]) -> usize {
    /// A name without labels, type and class.
    const SMALLEST: usize = 5;
    usize::from(count).min(kept).min(bytes.len() / SMALLEST)
}

fn question(decoder: &mut BinDecoder<'_>) -> Result<(Name, u16, u16), ParseError> {
    let at = decoder.index();
    let wrong = |error: DecodeError| damage(&error, "question", at);
    let name = Name::read(decoder).map_err(wrong)?;
    let kind = decoder.read_u16().map_err(wrong)?.unverified();
    let class = decoder.read_u16().map_err(wrong)?.unverified();
    Ok((name, kind, class))
}

fn records(
    header: &Header,
    decoder: &mut BinDecoder<'_>,
    take: &mut impl FnMut(RawAnswer<'_, '_>),
    code: &mut u16,
) -> Result<(), ParseError> {
    let all = u32::from(header.answers).saturating_add(header.others);
    for index in 0..usize::try_from(all).unwrap_or(usize::MAX).min(MAX_RECORDS) {
        let at = decoder.index();
        let wrong = |error: DecodeError| damage(&error, "record", at);
        let name = Name::read(decoder).map_err(wrong)?;
        let kind = decoder.read_u16().map_err(wrong)?.unverified();
        let class = decoder.read_u16().map_err(wrong)?.unverified();
        let ttl = decoder.read_u32().map_err(wrong)?.unverified();
        let length = decoder.read_u16().map_err(wrong)?.unverified();
        let data = BinDecoder::clone(decoder, u16::try_from(decoder.index()).unwrap_or(u16::MAX));
        let raw = decoder.read_slice(usize::from(length)).map_err(wrong)?.unverified();
        if index < usize::from(header.answers) {
            take(RawAnswer { name: &name, kind, class, ttl, data, length, raw });
        } else if kind == OPT {
            // The upper eight bits of the response code.
            *code |= u16::from(ttl.to_be_bytes()[0]) << 4;
        }
    }
    Ok(())
}

/// A record of the answer section as it stands in the message.
struct RawAnswer<'a, 'm> {
    name: &'a Name,
    kind: u16,
    class: u16,
    ttl: u32,
    /// At the start of its data.
    data: BinDecoder<'m>,
    length: u16,
    raw: &'m [u8],
}

impl RawAnswer<'_, '_> {
    fn read(mut self) -> Answer {
        let data = answer_data(self.kind, &mut self.data, self.length, self.raw);
        Answer { name: text_of(self.name), kind: mnemonic(self.kind), ttl: self.ttl, data }
    }
}

fn answer_data(kind: u16, decoder: &mut BinDecoder<'_>, length: u16, raw: &[u8]) -> AnswerData {
    match RData::read(decoder, RecordType::from(kind), Restrict::new(length)) {
        Ok(RData::A(address)) => AnswerData::Address(address.0.into()),
        Ok(RData::AAAA(address)) => AnswerData::Address(address.0.into()),
        Ok(RData::CNAME(name)) => AnswerData::Name(text_of(&name.0)),
        Ok(RData::NS(name)) => AnswerData::Name(text_of(&name.0)),
        Ok(RData::PTR(name)) => AnswerData::Name(text_of(&name.0)),
        Ok(RData::HTTPS(service)) => service_data(&service.0),
        Ok(RData::SVCB(service)) => service_data(&service),
        Ok(RData::Unknown { .. } | RData::NULL(_)) | Err(_) => AnswerData::Other(generic(raw)),
        Ok(other) => {
            let mut text = String::new();
            // A record that has no presentation form is shown in the generic one.
            let shown = write!(text, "{other}").is_ok();
            AnswerData::Other(if shown { cut(text) } else { generic(raw) })
        }
    }
}

fn service_data(service: &SVCB) -> AnswerData {
    let (mut alpn, mut ech, mut hints) = (Vec::new(), false, Vec::new());
    let mut ech_keys = Vec::new();
    for (_, value) in &service.svc_params {
        match value {
            SvcParamValue::Alpn(list) => alpn.extend(list.0.iter().cloned()),
            SvcParamValue::EchConfigList(list) => {
                ech = true;
                ech_keys = self::ech_keys(&list.0);
            }
            SvcParamValue::Ipv4Hint(list) => hints.extend(list.0.iter().map(|hint| IpAddr::from(hint.0))),
            SvcParamValue::Ipv6Hint(list) => hints.extend(list.0.iter().map(|hint| IpAddr::from(hint.0))),
            _ => {}
        }
    }
    let target = text_of(&service.target_name);
    AnswerData::Service(Box::new(Service { target, alpn, ech, ech_keys, hints }))
}

/// Keys of an ECHConfigList that are kept.
const MAX_ECH_KEYS: usize = 8;

/// The keys of an ECHConfigList that RFC 9849 §4 knows: number and public name.
fn ech_keys(list: &[u8]) -> Vec<(u8, String)> {
    let mut keys = Vec::new();
    let mut reader = Reader::new(list);
    // A list that is cut off gives the keys before the cut.
    let _ = read_ech_keys(&mut reader, &mut keys);
    keys
}

fn read_ech_keys(reader: &mut Reader<'_>, keys: &mut Vec<(u8, String)>) -> Result<(), ParseError> {
    const VERSION: u16 = 0xfe0d;
    reader.u16("ECHConfigList length")?;
    while keys.len() < MAX_ECH_KEYS && !reader.is_empty() {
        let version = reader.u16("ECHConfig version")?;
        let len = usize::from(reader.u16("ECHConfig length")?);
        let mut config = Reader::new(reader.take(len, "ECHConfig")?);
        if version != VERSION {
            continue;
        }
        let number = config.u8("config_id")?;
        config.u16("kem_id")?;
        let len = usize::from(config.u16("public_key length")?);
        config.take(len, "public_key")?;
        let len = usize::from(config.u16("cipher_suites length")?);
        config.take(len, "cipher_suites")?;
        config.u8("maximum_name_length")?;
        let len = usize::from(config.u8("public_name length")?);
        let name = String::from_utf8_lossy(config.take(len, "public_name")?).to_lowercase();
        keys.push((number, name));
    }
    Ok(())
}

/// The presentation form of any record ([RFC 3597 §5](https://datatracker.ietf.org/doc/html/rfc3597#section-5)).
fn generic(raw: &[u8]) -> String {
    cut(format!("\\# {} {}", raw.len(), hex(raw.get(..MAX_TEXT).unwrap_or(raw))))
}

fn cut(mut text: String) -> String {
    let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}

/// A name in lower case, without the final dot; what cannot be shown is escaped as in
/// [RFC 4343 §2.1](https://datatracker.ietf.org/doc/html/rfc4343#section-2.1), except UTF-8, which mDNS uses.
fn text_of(name: &Name) -> String {
    let mut text = String::with_capacity(name.len());
    for label in name {
        if !text.is_empty() {
            text.push('.');
        }
        if label.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\')) {
            text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            continue;
        }
        for chunk in label.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '.' | '\\' => text.extend(['\\', char]),
                    _ if char.is_control() => escape(&mut text, char.encode_utf8(&mut [0; 4]).as_bytes()),
                    _ => text.push(char.to_ascii_lowercase()),
                }
            }
            escape(&mut text, chunk.invalid());
        }
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push('\\');
        text.extend([byte / 100, byte / 10 % 10, byte % 10].map(|digit| char::from(b'0' + digit)));
    }
}

/// Whether a name is a NetBIOS name in its DNS disguise: 32 letters from A to P
/// ([RFC 1001 §14.1](https://datatracker.ietf.org/doc/html/rfc1001#section-14.1)), or as long and asked for by the types
/// NB and NBSTAT, whose numbers DNS uses for others.
fn is_netbios(name: &Name, kind: u16) -> bool {
    name.iter().next().is_some_and(|label| {
        let letters = label.iter().all(|byte| (b'A'..=b'P').contains(byte));
        label.len() == 32 && (letters || matches!(kind, 0x20 | 0x21))
    })
}

/// IN, CH, HS, NONE, ANY; mDNS uses the first bit for its own ends (RFC 6762 §5.4, §10.2).
fn is_ordinary_class(class: u16) -> bool {
    matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255)
}

/// The type's name in IANA's registry, also where `hickory-proto` has none.
fn mnemonic(kind: u16) -> Cow<'static, str> {
    let name = match kind {
        3 => "MD",
        4 => "MF",
        7 => "MB",
        8 => "MG",
        9 => "MR",
        11 => "WKS",
        14 => "MINFO",
        17 => "RP",
        18 => "AFSDB",
        19 => "X25",
        20 => "ISDN",
        21 => "RT",
        22 => "NSAP",
        26 => "PX",
        27 => "GPOS",
        29 => "LOC",
        30 => "NXT",
        31 => "EID",
        32 => "NIMLOC",
        34 => "ATMA",
        36 => "KX",
        38 => "A6",
        40 => "SINK",
        42 => "APL",
        45 => "IPSECKEY",
        49 => "DHCID",
        55 => "HIP",
        56 => "NINFO",
        57 => "RKEY",
        58 => "TALINK",
        63 => "ZONEMD",
        99 => "SPF",
        104 => "NID",
        105 => "L32",
        106 => "L64",
        107 => "LP",
        108 => "EUI48",
        109 => "EUI64",
        249 => "TKEY",
        253 => "MAILB",
        254 => "MAILA",
        256 => "URI",
        258 => "AVC",
        260 => "AMTRELAY",
        _ => match RecordType::from(kind) {
            RecordType::Unknown(_) | RecordType::ZERO => return Cow::Owned(format!("TYPE{kind}")),
            known => known.into(),
        },
    };
    Cow::Borrowed(name)
}

/// The mnemonic of IANA's registry; `RCODE` and the number where there is none.
fn response_code(code: u16) -> Cow<'static, str> {
    let name = match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADVERS",
        17 => "BADKEY",
        18 => "BADTIME",
        19 => "BADMODE",
        20 => "BADNAME",
        21 => "BADALG",
        22 => "BADTRUNC",
        23 => "BADCOOKIE",
        _ => return Cow::Owned(format!("RCODE{code}")),
    };
    Cow::Borrowed(name)
}

fn damage(error: &DecodeError, field: &'static str, offset: usize) -> ParseError {
    let kind = match error {
        DecodeError::InsufficientBytes => ParseErrorKind::Truncated { field, needed: 1 },
        _ => ParseErrorKind::Invalid { field },
    };
    ParseError { kind, offset }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A response: www.Example.test is an alias of cdn.test, which has an address, by compressed names.
    const RESPONSE: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\x01\
        \x03www\x07Example\x04test\0\0\x01\0\x01\
        \xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x06\x03cdn\xc0\x18\
        \xc0\x2e\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01\
        \0\0\x29\x10\0\0\0\0\0\0\0";

    fn query(name: &[u8], kind: u16) -> Vec<u8> {
        let mut bytes = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    #[test]
    fn a_response_is_read_with_its_aliases() {
        let message = message(RESPONSE).unwrap();
        assert_eq!(message.records, Ok(RESPONSE.len()));
        let fact = message.fact;
        assert_eq!(fact.response_code.as_deref(), Some("NOERROR"));
        assert_eq!(fact.questions, [Question { name: "www.example.test".into(), kind: "A".into() }]);
        let [alias, address] = fact.answers.as_slice() else { unreachable!("two answers") };
        assert_eq!(alias.data, AnswerData::Name("cdn.test".into()));
        assert_eq!((address.name.as_str(), address.ttl), ("cdn.test", 60));
        assert_eq!(address.data, AnswerData::Address([192, 0, 2, 1].into()));
    }

    #[test]
    fn a_query_survives_a_damaged_record() {
        let mut bytes = RESPONSE.to_vec();
        // The first record's name becomes a pointer to itself.
        bytes[34..36].copy_from_slice(&[0xc0, 34]);
        let message = message(&bytes).unwrap();
        assert_eq!(message.fact.questions.len(), 1);
        assert!(message.records.is_err_and(|error| !error.is_truncated() && error.offset == 34));
    }

    #[test]
    fn a_list_of_keys_is_read_up_to_where_it_is_cut() {
        let key = |number: u8| {
            let contents =
                [&[number, 0, 0x20, 0, 1, 9, 0, 4, 0, 1, 0, 1, 0, 6][..], b"A.test", &[0, 0]].concat();
            let len = u8::try_from(contents.len()).unwrap();
            [&[0xfe, 0x0d, 0, len][..], &contents].concat()
        };
        let list = [&[0, 99][..], &key(7), &[0xfe, 0x0a, 0, 1, 0], &key(8)].concat();
        assert_eq!(ech_keys(&list), [(7, "a.test".to_owned()), (8, "a.test".to_owned())]);
        assert_eq!(ech_keys(list.get(..40).unwrap()), [(7, "a.test".to_owned())]);
        assert!(ech_keys(&[]).is_empty());
    }

    #[test]
    fn an_https_record_shows_alpn_ech_and_hints() {
        let mut bytes = query(b"\x04test\0", 65);
        bytes[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        bytes.extend_from_slice(b"\xc0\x0c\0\x41\0\x01\0\0\0\x3c\0\x1a\0\x01\0");
        bytes.extend_from_slice(b"\0\x01\0\x03\x02h2\0\x04\0\x04\xc0\0\x02\x01\0\x05\0\x04\0\x02\xfe\x0d");
        let message = message(&bytes).unwrap();
        assert_eq!(message.records, Ok(bytes.len()));
        let hints = vec![[192, 0, 2, 1].into()];
        let service =
            Service { target: ".".into(), alpn: vec!["h2".into()], ech: true, ech_keys: Vec::new(), hints };
        let expected = AnswerData::Service(Box::new(service));
        assert_eq!(message.fact.answers[0].data, expected);
    }

    #[test]
    fn names_of_any_bytes_can_be_shown() {
        let message = message(&query(b"\x05a.b\\\x01\x03\xc3\xbc\xff\0", 65534)).unwrap();
        let expected = Question { name: "a\\.b\\\\\\001.ü\\255".into(), kind: "TYPE65534".into() };
        assert_eq!(message.fact.questions, [expected]);
    }

    #[test]
    fn netbios_names_are_not_claimed() {
        let bytes = query(b"\x20EGFCEFEECACACACACACACACACACACACA\0", 32);
        assert_eq!(recognise(&bytes, false), Probe::NoMatch);
        assert_eq!(recognise(&query(b"\x04test\0", 1), false), Probe::Match);
    }

    #[test]
    fn a_stream_needs_its_first_question() {
        let bytes = query(b"\x04test\0", 1);
        for cut in 0..bytes.len() {
            assert_eq!(recognise_start(&bytes[..cut], bytes.len()), Probe::NeedMore, "{cut}");
        }
        assert_eq!(recognise_start(&bytes, bytes.len()), Probe::Match);
        assert_eq!(recognise_start(b"GET / HTTP/1.1\r\n", 500), Probe::NoMatch);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = message(&bytes);
            let _ = recognise(&bytes, true);
        }

        #[test]
        fn a_damaged_message_is_read_without_a_panic(at in 0..RESPONSE.len(), byte: u8, cut in 0..=RESPONSE.len()) {
            let mut bytes = RESPONSE.to_vec();
            bytes[at] = byte;
            let _ = message(&bytes[..cut]);
        }
    }
}
