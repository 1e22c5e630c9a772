//! What became of the client's certificate in TLS 1.3, inferred from the lengths of its encrypted records.
//!
//! The client's flight after the server's is Certificate and CertificateVerify where the server asked, and always
//! Finished (RFC 9846 §4.4). It is protected by keys of its own, so that its first record holds none of the data. A
//! record with `n` bytes of content is `n + 1 + tag` long, 16 more where JSSE pads. So a first record as long as
//! Finished alone says that no certificate was sent; as long as an empty Certificate (8 bytes), alone or with Finished,
//! that the client declined; and one that is much longer holds a certificate. That is an inference: other padding, and
//! messages that nobody has defined, look like something else.

use super::suite::CipherMode;
use super::{CipherSuite, ClientCertificate};

/// A Certificate message with an empty list: its header, an empty context and an empty list (RFC 9846 §4.4.2).
const EMPTY_CERTIFICATE: u16 = 8;

/// Headers, lists and the smallest certificates that are in use: what a Certificate message has at least.
const LEAST_CERTIFICATE: u16 = 220;

/// Padding: none, or that of JSSE.
const PADDINGS: [u16; 2] = [0, 16];

/// What `lengths`, the client's first encrypted records in order, say under `suite`.
pub(super) fn infer(lengths: &[u16], suite: CipherSuite) -> ClientCertificate {
    let Some(first) = lengths.first().copied() else { return ClientCertificate::Unknown };
    let Some(finished) = finished(suite) else { return ClientCertificate::Unknown };
    let short_tag = suite.properties().is_some_and(|known| known.mode == CipherMode::AeadShortTag);
    let overhead = if short_tag { 8 } else { 16 } + 1;
    for padding in PADDINGS {
        let record = |content: u16| content + overhead + padding;
        if first == record(finished) {
            return ClientCertificate::NotSent;
        }
        let apart = first == record(EMPTY_CERTIFICATE) && lengths.get(1) == Some(&record(finished));
        if apart || first == record(EMPTY_CERTIFICATE + finished) {
            return ClientCertificate::Declined;
        }
    }
    if first >= LEAST_CERTIFICATE { ClientCertificate::Sent } else { ClientCertificate::Unknown }
}

/// Bytes of a Finished message: a header and the suite's hash.
fn finished(suite: CipherSuite) -> Option<u16> {
    match suite.name()?.rsplit('_').next()? {
        "SHA256" | "SM3" => Some(36),
        "SHA384" => Some(52),
        "SHA512" => Some(68),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA384: CipherSuite = CipherSuite(0x1302);
    const SHA256: CipherSuite = CipherSuite(0x1301);
    const CCM_8: CipherSuite = CipherSuite(0x1305);

    #[test]
    fn flights_of_the_common_stacks() {
        let cases: &[(&[u16], CipherSuite, ClientCertificate)] = &[
            (&[69, 100], SHA384, ClientCertificate::NotSent),
            (&[53, 100], SHA256, ClientCertificate::NotSent),
            // 69 bytes are SHA-256 with JSSE's padding, too.
            (&[69], SHA256, ClientCertificate::NotSent),
            (&[85], SHA384, ClientCertificate::NotSent),
            (&[45], CCM_8, ClientCertificate::NotSent),
            (&[25, 69], SHA384, ClientCertificate::Declined),
            (&[25, 53], SHA256, ClientCertificate::Declined),
            (&[77], SHA384, ClientCertificate::Declined),
            (&[41, 85], SHA384, ClientCertificate::Declined),
            (&[408, 96, 69], SHA384, ClientCertificate::Sent),
            (&[539], SHA384, ClientCertificate::Sent),
            // An alert, and what nobody knows.
            (&[19], SHA384, ClientCertificate::Unknown),
            (&[25, 400], SHA384, ClientCertificate::Unknown),
            (&[], SHA384, ClientCertificate::Unknown),
            (&[69], CipherSuite(0x0a0a), ClientCertificate::Unknown),
        ];
        for (lengths, suite, expected) in cases {
            assert_eq!(infer(lengths, *suite), *expected, "{lengths:?} {suite}");
        }
    }
}
