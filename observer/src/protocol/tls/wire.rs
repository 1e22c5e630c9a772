//! Handshake messages to facts.

use tls_parser::{TlsClientHelloContents, TlsServerHelloContents};

use super::{CipherSuite, ClientEch, ClientHello, ServerHello, TlsVersion};

pub(super) fn client_hello(hello: &TlsClientHelloContents<'_>) -> ClientHello {
    let mut server_name = None;
    if let Some(Ok((_, extensions))) = hello.ext.map(tls_parser::parse_tls_client_hello_extensions) {
        for extension in extensions {
            if let tls_parser::TlsExtension::SNI(names) = extension {
                server_name =
                    names.first().map(|(_, name)| String::from_utf8_lossy(name).to_ascii_lowercase());
            }
        }
    }
    ClientHello {
        legacy_version: TlsVersion(hello.version.0),
        sslv2: false,
        session_id: hello.session_id.unwrap_or_default().to_vec(),
        cipher_suites: hello.ciphers.iter().map(|suite| CipherSuite(suite.0)).collect(),
        ssl2_cipher_kinds: Vec::new(),
        compression_methods: hello.comp.iter().map(|method| method.0).collect(),
        extensions: Vec::new(),
        server_name,
        supported_versions: Vec::new(),
        alpn: Vec::new(),
        groups: Vec::new(),
        ec_point_formats: Vec::new(),
        key_share_groups: Vec::new(),
        signature_schemes: Vec::new(),
        ech: ClientEch::Absent,
        extended_master_secret: false,
        secure_renegotiation: false,
        fallback_scsv: false,
        session_ticket: None,
        pre_shared_key: false,
        early_data: false,
        ja3: String::new(),
        ja4: String::new(),
    }
}

pub(super) fn server_hello(hello: &TlsServerHelloContents<'_>) -> ServerHello {
    ServerHello {
        version: TlsVersion(hello.version.0),
        legacy_version: TlsVersion(hello.version.0),
        cipher_suite: CipherSuite(hello.cipher.0),
        compression_method: hello.compression.0,
        session_id: hello.session_id.unwrap_or_default().to_vec(),
        extensions: Vec::new(),
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
