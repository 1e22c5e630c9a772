//! What became of the client's certificate in TLS 1.3, inferred from the lengths of its encrypted records.
//!
//! The client's flight after the server's is Certificate and CertificateVerify where the server asked, and always
//! Finished (RFC 9846 §4.4). It is protected by keys of its own, so that its first record holds none of the data. A
//! record with `n` bytes of content is `n + 1 + tag` long, 16 more where JSSE pads. So a first record as long as
//! Finished alone says that no certificate was sent; as long as an empty Certificate (8 bytes), alone or with Finished,
//! that the client declined; and one that is much longer holds a certificate, unless all lengths are such as padding to
//! a block gives. That is an inference: padding of other lengths, and messages that nobody has defined, look like something
//! else.

use super::tls13::{finished, tag};
use super::{CipherSuite, ClientCertificate};

/// A Certificate message with an empty list: its header, an empty context and an empty list (RFC 9846 §4.4.2).
const EMPTY_CERTIFICATE: u16 = 8;

/// A record that holds a Certificate is at least so long: headers, lists and the smallest certificates that are in use.
const LEAST_CERTIFICATE: u16 = 220;

/// Padding: none, or that of JSSE.
const PADDINGS: [u16; 2] = [0, 16];

/// Whoever pads records to a block (RFC 9846 §5.4) takes a multiple of so many bytes.
const BLOCK: u16 = 32;

/// What `lengths`, the client's first encrypted records in order, say under `suite`.
pub(super) fn infer(lengths: &[u16], suite: CipherSuite) -> ClientCertificate {
    let Some(first) = lengths.first().copied() else { return ClientCertificate::Unknown };
    let Some(finished) = finished(suite) else { return ClientCertificate::Unknown };
    let tag = tag(Some(suite));
    let overhead = tag + 1;
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
    // A Finished that is padded to a block is as long as a certificate. Whoever pads one record pads them all.
    let padded = |extra: u16| lengths.iter().all(|len| len.saturating_sub(extra).is_multiple_of(BLOCK));
    if first < LEAST_CERTIFICATE || padded(tag) || padded(overhead) {
        return ClientCertificate::Unknown;
    }
    ClientCertificate::Sent
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
            // Padded to 256 and 512 bytes, with and without the content type; and to the longest record.
            (&[272, 272], SHA384, ClientCertificate::Unknown),
            (&[529, 273], SHA256, ClientCertificate::Unknown),
            (&[529, 96, 53], SHA256, ClientCertificate::Sent),
            (&[16_401], SHA384, ClientCertificate::Unknown),
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
