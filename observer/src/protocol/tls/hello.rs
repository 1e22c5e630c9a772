//! ClientHello and ServerHello to facts (RFC 9846 §4.2, RFC 5246 §7.4.1, and the drafts in between).
//!
//! Read field by field, so that an extension that is unknown or broken costs itself and nothing else.

use super::fingerprint::{ja3, ja3s, ja4};
use super::{CipherSuite, ClientEch, ClientHello, NamedGroup, ServerHello, SignatureScheme, TlsVersion};
use crate::bytes::{ParseError, Reader};

/// `ServerHello.random` of a HelloRetryRequest: SHA-256 of that name (RFC 9846 §4.2.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// JA4's letter for DTLS, whose ClientHello has a cookie (RFC 6347 §4.2.1).
pub(super) const OVER_UDP: char = 'd';

/// The longest session id.
const MAX_SESSION_ID: u8 = 32;

/// The last draft of TLS 1.3 whose ServerHello has neither session id nor compression method.
const LAST_SHORT_DRAFT: u8 = 21;

/// As many extensions as current clients and servers send: room that is made at once.
const CLIENT_EXTENSIONS: usize = 20;
const SERVER_EXTENSIONS: usize = 6;

/// ExtensionTypes that are read.
pub(super) mod extension {
    pub(in super::super) const SERVER_NAME: u16 = 0;
    pub(in super::super) const SUPPORTED_GROUPS: u16 = 10;
    pub(in super::super) const EC_POINT_FORMATS: u16 = 11;
    pub(in super::super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(in super::super) const ALPN: u16 = 16;
    pub(in super::super) const EXTENDED_MASTER_SECRET: u16 = 23;
    pub(in super::super) const SESSION_TICKET: u16 = 35;
    /// `key_share` of the drafts before 23.
    pub(in super::super) const OLD_KEY_SHARE: u16 = 40;
    pub(in super::super) const PRE_SHARED_KEY: u16 = 41;
    pub(in super::super) const EARLY_DATA: u16 = 42;
    pub(in super::super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(in super::super) const CERTIFICATE_AUTHORITIES: u16 = 47;
    pub(in super::super) const KEY_SHARE: u16 = 51;
    /// Drafts of ECH with the same shape.
    pub(in super::super) const FIRST_ECH_DRAFT: u16 = 0xfe08;
    pub(in super::super) const ECH: u16 = 0xfe0d;
    pub(in super::super) const RENEGOTIATION_INFO: u16 = 0xff01;
}

/// What a ServerHello message turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ServerAnswer {
    Hello(ServerHello),
    Retry(ServerHello),
}

/// Reads a ClientHello's contents. `transport` is JA4's letter.
pub(super) fn client_hello(body: &[u8], transport: char) -> Result<ClientHello, ParseError> {
    let mut reader = Reader::new(body);
    let legacy_version = TlsVersion(reader.u16("legacy_version")?);
    reader.take(32, "random")?;
    let session_id = session_id(&mut reader)?;
    if transport == OVER_UDP {
        let len = usize::from(reader.u8("cookie length")?);
        reader.take(len, "cookie")?;
    }
    let len = usize::from(reader.u16("cipher_suites length")?);
    let cipher_suites: Vec<_> = u16s(reader.take(len, "cipher_suites")?).map(CipherSuite).collect();
    let len = usize::from(reader.u8("compression_methods length")?);
    let compression_methods = reader.take(len, "compression_methods")?.to_vec();
    let mut hello = blank_client_hello(legacy_version, session_id, cipher_suites);
    hello.compression_methods = compression_methods;
    let mut first_alpn = None;
    for (kind, content) in extensions(&mut reader) {
        hello.extensions.push(kind);
        client_extension(&mut hello, kind, content, &mut first_alpn);
    }
    hello.ja3 = ja3(&hello);
    hello.ja4 = ja4(&hello, transport, first_alpn);
    Ok(hello)
}

/// A ClientHello without extensions; what suites alone signal is read off them.
pub(super) fn blank_client_hello(
    legacy_version: TlsVersion,
    session_id: Vec<u8>,
    cipher_suites: Vec<CipherSuite>,
) -> ClientHello {
    ClientHello {
        legacy_version,
        sslv2: false,
        session_id,
        secure_renegotiation: cipher_suites.contains(&CipherSuite::EMPTY_RENEGOTIATION_INFO_SCSV),
        fallback_scsv: cipher_suites.contains(&CipherSuite::FALLBACK_SCSV),
        cipher_suites,
        ssl2_cipher_kinds: Vec::new(),
        compression_methods: Vec::new(),
        extensions: Vec::with_capacity(CLIENT_EXTENSIONS),
        server_name: None,
        supported_versions: Vec::new(),
        alpn: Vec::new(),
        groups: Vec::new(),
        ec_point_formats: Vec::new(),
        key_share_groups: Vec::new(),
        signature_schemes: Vec::new(),
        ech: ClientEch::Absent,
        extended_master_secret: false,
        session_ticket: None,
        pre_shared_key: false,
        early_data: false,
        ja3: String::new(),
        ja4: String::new(),
    }
}

fn client_extension<'a>(
    hello: &mut ClientHello,
    kind: u16,
    content: &'a [u8],
    first_alpn: &mut Option<&'a [u8]>,
) {
    match kind {
        extension::SERVER_NAME => hello.server_name = server_name(content),
        extension::SUPPORTED_GROUPS => {
            hello.groups = u16s(sixteen(content)).map(NamedGroup).collect();
        }
        extension::EC_POINT_FORMATS => hello.ec_point_formats = eight(content).to_vec(),
        extension::SIGNATURE_ALGORITHMS => {
            hello.signature_schemes = u16s(sixteen(content)).map(SignatureScheme).collect();
        }
        extension::ALPN => {
            *first_alpn = alpn(content).next();
            hello.alpn = alpn(content).map(text).collect();
        }
        extension::EXTENDED_MASTER_SECRET => hello.extended_master_secret = true,
        extension::SESSION_TICKET => hello.session_ticket = Some(content.len()),
        extension::PRE_SHARED_KEY => hello.pre_shared_key = true,
        extension::EARLY_DATA => hello.early_data = true,
        extension::SUPPORTED_VERSIONS => {
            hello.supported_versions = u16s(eight(content)).map(TlsVersion).collect();
        }
        extension::KEY_SHARE | extension::OLD_KEY_SHARE => hello.key_share_groups = key_shares(content),
        extension::FIRST_ECH_DRAFT..=extension::ECH => {
            hello.ech = ClientEch::Outer { config: ech_config(kind, content) };
        }
        extension::RENEGOTIATION_INFO => hello.secure_renegotiation = true,
        _ => {}
    }
}

/// `config_id` of an outer ClientHello: behind its type and the HPKE suite (RFC 9849 §5).
fn ech_config(kind: u16, content: &[u8]) -> Option<u8> {
    const OUTER: u8 = 0;
    let outer = kind == extension::ECH && content.first() == Some(&OUTER);
    content.get(5).copied().filter(|_| outer)
}

/// Reads a ServerHello's contents.
pub(super) fn server_hello(body: &[u8]) -> Result<ServerAnswer, ParseError> {
    let mut reader = Reader::new(body);
    let legacy_version = TlsVersion(reader.u16("legacy_version")?);
    let random: [u8; 32] = reader.array("random")?;
    let short = legacy_version.draft().is_some_and(|draft| draft <= LAST_SHORT_DRAFT);
    let session_id = if short { Vec::new() } else { session_id(&mut reader)? };
    let cipher_suite = CipherSuite(reader.u16("cipher_suite")?);
    let compression_method = if short { 0 } else { reader.u8("compression_method")? };
    let mut hello = blank_server_hello(legacy_version, cipher_suite);
    hello.session_id = session_id;
    hello.compression_method = compression_method;
    hello.downgrade_sentinel =
        matches!(random, [.., b'D', b'O', b'W', b'N', b'G', b'R', b'D', 0 | 1]) && !legacy_version.is_tls13();
    read_server_extensions(&mut hello, &mut reader);
    // A server of TLS 1.3 never has a reason to set the sentinel.
    hello.downgrade_sentinel &= !hello.version.is_tls13();
    hello.ja3s = ja3s(&hello);
    if random == HELLO_RETRY_REQUEST {
        Ok(ServerAnswer::Retry(hello))
    } else {
        Ok(ServerAnswer::Hello(hello))
    }
}

/// Reads the HelloRetryRequest of the drafts before 22, a message of its own. The suite came with draft 19.
pub(super) fn draft_hello_retry_request(body: &[u8]) -> Result<ServerHello, ParseError> {
    let mut reader = Reader::new(body);
    let version = TlsVersion(reader.u16("server_version")?);
    let suite =
        if version.draft().is_some_and(|draft| draft >= 19) { reader.u16("cipher_suite")? } else { 0 };
    let mut hello = blank_server_hello(version, CipherSuite(suite));
    read_server_extensions(&mut hello, &mut reader);
    hello.ja3s = ja3s(&hello);
    Ok(hello)
}

fn blank_server_hello(version: TlsVersion, cipher_suite: CipherSuite) -> ServerHello {
    ServerHello {
        version,
        legacy_version: version,
        cipher_suite,
        compression_method: 0,
        session_id: Vec::new(),
        extensions: Vec::with_capacity(SERVER_EXTENSIONS),
        alpn: None,
        group: None,
        pre_shared_key: false,
        extended_master_secret: false,
        secure_renegotiation: false,
        session_ticket: false,
        downgrade_sentinel: false,
        ja3s: String::new(),
    }
}

fn read_server_extensions(hello: &mut ServerHello, reader: &mut Reader<'_>) {
    for (kind, content) in extensions(reader) {
        hello.extensions.push(kind);
        match kind {
            extension::SUPPORTED_VERSIONS => {
                if let Some(version) = u16s(content).next() {
                    hello.version = TlsVersion(version);
                }
            }
            extension::ALPN => hello.alpn = first_alpn(content),
            extension::KEY_SHARE | extension::OLD_KEY_SHARE => {
                hello.group = u16s(content).next().map(NamedGroup)
            }
            extension::PRE_SHARED_KEY => hello.pre_shared_key = true,
            extension::EXTENDED_MASTER_SECRET => hello.extended_master_secret = true,
            extension::RENEGOTIATION_INFO => hello.secure_renegotiation = true,
            extension::SESSION_TICKET => hello.session_ticket = true,
            _ => {}
        }
    }
}

/// The random of a ClientHello or ServerHello.
pub(super) fn random(body: &[u8]) -> Option<[u8; 32]> {
    body.get(2..)?.first_chunk().copied()
}

fn session_id(reader: &mut Reader<'_>) -> Result<Vec<u8>, ParseError> {
    let start = reader.position();
    let len = reader.u8("session_id length")?;
    if len > MAX_SESSION_ID {
        return Err(ParseError::invalid("session_id length", start));
    }
    reader.take(usize::from(len), "session_id").map(<[u8]>::to_vec)
}

/// The extensions that are whole; a block that claims more than there is yields those that are there.
pub(super) fn extensions<'a>(reader: &mut Reader<'a>) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
    let len = usize::from(reader.u16("extensions length").unwrap_or(0));
    let block = reader.take(len, "extensions").unwrap_or_else(|_truncated| reader.rest());
    let mut block = Reader::new(block);
    std::iter::from_fn(move || {
        let kind = block.u16("extension type").ok()?;
        let len = usize::from(block.u16("extension length").ok()?);
        Some((kind, block.take(len, "extension").ok()?))
    })
}

/// The first host name, lower case.
fn server_name(content: &[u8]) -> Option<String> {
    let mut names = Reader::new(sixteen(content));
    while let Ok(kind) = names.u8("name type") {
        let len = usize::from(names.u16("name length").ok()?);
        let name = names.take(len, "name").ok()?;
        if kind == 0 && !name.is_empty() {
            return Some(text(name).to_ascii_lowercase());
        }
    }
    None
}

fn alpn(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut names = Reader::new(sixteen(content));
    std::iter::from_fn(move || {
        let len = usize::from(names.u8("protocol length").ok()?);
        names.take(len, "protocol").ok()
    })
}

/// The first protocol of an ALPN extension; bytes that are not UTF-8 are replaced.
pub(super) fn first_alpn(content: &[u8]) -> Option<String> {
    alpn(content).next().map(text)
}

fn key_shares(content: &[u8]) -> Vec<NamedGroup> {
    let mut shares = Reader::new(sixteen(content));
    let mut groups = Vec::new();
    while let Ok(group) = shares.u16("group") {
        groups.push(NamedGroup(group));
        let Ok(len) = shares.u16("key length") else { break };
        if shares.take(usize::from(len), "key").is_err() {
            break;
        }
    }
    groups
}

/// A list after a length of two bytes; what there is of it where the length claims more.
pub(super) fn sixteen(content: &[u8]) -> &[u8] {
    let mut reader = Reader::new(content);
    let len = usize::from(reader.u16("list length").unwrap_or(0));
    reader.take(len, "list").unwrap_or_else(|_truncated| reader.rest())
}

/// A list after a length of one byte.
fn eight(content: &[u8]) -> &[u8] {
    let mut reader = Reader::new(content);
    let len = usize::from(reader.u8("list length").unwrap_or(0));
    reader.take(len, "list").unwrap_or_else(|_truncated| reader.rest())
}

/// Whole big-endian numbers; an odd byte at the end is left.
pub(super) fn u16s(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let (pairs, _odd) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_be_bytes(*pair))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        let len = u16::try_from(content.len()).unwrap();
        [&kind.to_be_bytes()[..], &len.to_be_bytes(), content].concat()
    }

    fn block(extensions: &[Vec<u8>]) -> Vec<u8> {
        let all = extensions.concat();
        [&u16::try_from(all.len()).unwrap().to_be_bytes()[..], &all].concat()
    }

    fn client(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend_from_slice(&[5; 32]);
        body.extend_from_slice(&[0, 0, 8, 0x0a, 0x0a, 0x13, 0x01, 0x00, 0xff, 0x56, 0x00, 1, 0]);
        body.extend_from_slice(extensions);
        body
    }

    fn server(version: [u8; 2], random: [u8; 32], rest: &[u8]) -> Vec<u8> {
        [&version[..], &random, rest].concat()
    }

    #[test]
    fn a_broken_extension_costs_itself() {
        let hello = client(&block(&[
            extension(0x1a1a, &[]),
            // A server name that claims more than there is.
            extension(0, &[0, 200, 0, 0, 90, b'a']),
            extension(16, &[0, 3, 2, b'h', b'2']),
            extension(0x7777, &[1, 2, 3]),
            extension(43, &[7, 0x2a, 0x2a, 3, 4, 3, 3, 9]),
            extension(51, &[0, 9, 0x11, 0xec, 0, 1, 7, 0, 29, 0, 0]),
        ]));
        let hello = client_hello(&hello, 't').unwrap();
        assert_eq!(hello.extensions, [0x1a1a, 0, 16, 0x7777, 43, 51]);
        assert_eq!(hello.server_name, None);
        assert_eq!(hello.alpn, ["h2"]);
        assert_eq!(hello.offered_versions(), [TlsVersion::TLS_1_3, TlsVersion::TLS_1_2]);
        assert_eq!(hello.key_share_groups, [NamedGroup(4588), NamedGroup(29)]);
        assert!(hello.secure_renegotiation && hello.fallback_scsv);
        assert!(hello.cipher_suites.first().is_some_and(|suite| suite.is_grease()));
    }

    #[test]
    fn a_block_that_is_cut_short_yields_what_is_there() {
        let mut bytes =
            client(&block(&[extension(23, &[]), extension(35, &[1, 2, 3]), extension(41, &[0; 9])]));
        bytes.truncate(bytes.len() - 4);
        let hello = client_hello(&bytes, 't').unwrap();
        assert_eq!(hello.extensions, [23, 35]);
        assert_eq!((hello.extended_master_secret, hello.session_ticket), (true, Some(3)));
        assert!(client_hello(&bytes[..40], 't').is_err());
    }

    #[test]
    fn names_are_lower_case_and_ech_is_noticed() {
        let name = [&[0, 12, 0, 0, 9][..], b"A.Example"].concat();
        let hello =
            client(&block(&[extension(0, &name), extension(0xfe0d, &[0, 0, 1, 0, 1, 7, 0, 0, 0, 0])]));
        let hello = client_hello(&hello, 't').unwrap();
        assert_eq!(hello.server_name.as_deref(), Some("a.example"));
        assert_eq!(hello.ech, ClientEch::Outer { config: Some(7) });
        assert_eq!(hello.offered_versions(), [TlsVersion::TLS_1_2]);
    }

    #[test]
    fn a_retry_is_told_by_its_random() {
        let rest =
            [&[0, 0x13, 0x02, 0][..], &block(&[extension(43, &[3, 4]), extension(51, &[0, 24])])].concat();
        let answer = server_hello(&server([3, 3], HELLO_RETRY_REQUEST, &rest)).unwrap();
        let ServerAnswer::Retry(retry) = answer else { panic!("{answer:?}") };
        assert_eq!((retry.version, retry.group), (TlsVersion::TLS_1_3, Some(NamedGroup(24))));
        let answer = server_hello(&server([3, 3], [1; 32], &rest)).unwrap();
        assert!(matches!(answer, ServerAnswer::Hello(hello) if hello.legacy_version == TlsVersion::TLS_1_2));
    }

    #[test]
    fn early_drafts_have_no_session_id() {
        let rest = [&[0x13, 0x01][..], &block(&[extension(40, &[0, 29, 0, 1, 7])])].concat();
        let ServerAnswer::Hello(hello) = server_hello(&server([0x7f, 0x12], [1; 32], &rest)).unwrap() else {
            panic!("a retry")
        };
        assert_eq!(hello.version.draft(), Some(18));
        assert_eq!((hello.cipher_suite, hello.group), (CipherSuite(0x1301), Some(NamedGroup(29))));
    }

    #[test]
    fn a_downgrade_is_marked_in_the_random() {
        let mut random = [1; 32];
        random[24..].copy_from_slice(b"DOWNGRD\x01");
        let ServerAnswer::Hello(hello) = server_hello(&server([3, 3], random, &[0, 0xc0, 0x2f, 0])).unwrap()
        else {
            panic!("a retry")
        };
        assert!(hello.downgrade_sentinel);
    }

    proptest! {
        #[test]
        fn reading_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            kinds in proptest::collection::vec((0..60_u16, proptest::collection::vec(any::<u8>(), 0..20)), 0..8),
        ) {
            let _ = client_hello(&bytes, 't');
            let _ = server_hello(&bytes);
            let _ = draft_hello_retry_request(&bytes);
            let extensions: Vec<_> = kinds.iter().map(|(kind, content)| extension(*kind, content)).collect();
            let hello = client_hello(&client(&block(&extensions)), 't').unwrap();
            let kinds: Vec<_> = kinds.iter().map(|(kind, _)| *kind).collect();
            prop_assert_eq!(hello.extensions, kinds);
        }
    }
}
