//! Code points that were deployed without an entry in IANA's registries, by hand, each with where it is specified.
//!
//! GREASE (RFC 8701) is arithmetic, not a table: see `code_point`.

/// Cipher suites, by value.
pub(super) const CIPHER_SUITES: &[(u16, &str)] = &[
    // SSL 3.0, RFC 6101 Appendix A.6.
    (0x001c, "SSL_FORTEZZA_KEA_WITH_NULL_SHA"),
    (0x001d, "SSL_FORTEZZA_KEA_WITH_FORTEZZA_CBC_SHA"),
    // 56-bit export suites, draft-ietf-tls-56-bit-ciphersuites-01; OpenSSL had the first two from its first draft.
    (0x0060, "TLS_RSA_EXPORT1024_WITH_RC4_56_MD5"),
    (0x0061, "TLS_RSA_EXPORT1024_WITH_RC2_CBC_56_MD5"),
    (0x0062, "TLS_RSA_EXPORT1024_WITH_DES_CBC_SHA"),
    (0x0063, "TLS_DHE_DSS_EXPORT1024_WITH_DES_CBC_SHA"),
    (0x0064, "TLS_RSA_EXPORT1024_WITH_RC4_56_SHA"),
    (0x0065, "TLS_DHE_DSS_EXPORT1024_WITH_RC4_56_SHA"),
    (0x0066, "TLS_DHE_DSS_WITH_RC4_128_SHA"),
    // draft-chudov-cryptopro-cptls-04; RFC 9189 has other values.
    (0x0080, "TLS_GOSTR341094_WITH_28147_CNT_IMIT"),
    (0x0081, "TLS_GOSTR341001_WITH_28147_CNT_IMIT"),
    (0x0082, "TLS_GOSTR341094_WITH_NULL_GOSTR3411"),
    (0x0083, "TLS_GOSTR341001_WITH_NULL_GOSTR3411"),
    // draft-agl-tls-chacha20poly1305-04, as Android 5 and 6 had them; RFC 7905 has other values and another nonce.
    (0xcc13, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_OLD"),
    (0xcc14, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_OLD"),
    (0xcc15, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_OLD"),
    // Netscape's suites for SSL 3.0 within FIPS 140-1.
    (0xfefe, "SSL_RSA_FIPS_WITH_DES_CBC_SHA"),
    (0xfeff, "SSL_RSA_FIPS_WITH_3DES_EDE_CBC_SHA"),
    (0xffe0, "SSL_RSA_FIPS_WITH_3DES_EDE_CBC_SHA"),
    (0xffe1, "SSL_RSA_FIPS_WITH_DES_CBC_SHA"),
];

/// Groups, by value.
pub(super) const SUPPORTED_GROUPS: &[(u16, &str)] = &[
    // X25519 with NTRU-HRSS, BoringSSL's experiment of 2019.
    (16_696, "CECPQ2"),
];

/// TLS 1.2's pairs of hash and signature (RFC 5246 §7.4.1.4.1) that the registry of TLS 1.3 only reserves, in the manner
/// of its names; by value.
pub(super) const SIGNATURE_SCHEMES: &[(u16, &str)] = &[
    (0x0101, "rsa_pkcs1_md5"),
    (0x0102, "dsa_md5"),
    (0x0103, "ecdsa_md5"),
    (0x0202, "dsa_sha1"),
    (0x0301, "rsa_pkcs1_sha224"),
    (0x0302, "dsa_sha224"),
    (0x0303, "ecdsa_sha224"),
    (0x0402, "dsa_sha256"),
    (0x0502, "dsa_sha384"),
    (0x0602, "dsa_sha512"),
];

/// SSL 2.0's cipher kinds (the SSL Protocol, Netscape, 1995, Appendix C.4; the last is `SSLeay`'s), by value.
pub(in super::super) const SSL2_CIPHER_KINDS: &[(u32, &str)] = &[
    (0x01_0080, "SSL_CK_RC4_128_WITH_MD5"),
    (0x02_0080, "SSL_CK_RC4_128_EXPORT40_WITH_MD5"),
    (0x03_0080, "SSL_CK_RC2_128_CBC_WITH_MD5"),
    (0x04_0080, "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5"),
    (0x05_0080, "SSL_CK_IDEA_128_CBC_WITH_MD5"),
    (0x06_0040, "SSL_CK_DES_64_CBC_WITH_MD5"),
    (0x07_00c0, "SSL_CK_DES_192_EDE3_CBC_WITH_MD5"),
    (0x08_0080, "SSL_CK_RC4_64_WITH_MD5"),
];
