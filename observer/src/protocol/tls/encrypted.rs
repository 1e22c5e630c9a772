//! Handshake messages that TLS 1.3 encrypts (RFC 9846 §4.4, §4.5, §4.7), once they are decrypted, to facts.

use std::io::Read;
use std::sync::Arc;

use super::analyzer::say;
use super::hello::{extension, extensions, first_alpn, sixteen, u16s};
use super::wire::{MAX_CHAIN, authorities, kind, length};
use super::{Certificate, CertificateRequest, EncryptedExtensions, Fact, Role, SignatureScheme};
use crate::bytes::{ParseError, Reader};
use crate::protocol::Context;

/// CertificateCompressionAlgorithms (RFC 8879 §7.3).
pub(super) mod compression {
    pub(in super::super) const ZLIB: u16 = 1;
    pub(in super::super) const BROTLI: u16 = 2;
    pub(in super::super) const ZSTD: u16 = 3;
}

/// Bytes that brotli's decompressor takes at once.
const BROTLI_BUFFER: usize = 4 << 10;

/// A message that means something for the keys of who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    EndOfEarlyData,
    Finished,
    KeyUpdate,
}

/// What a message comes to.
enum EncryptedMessage {
    Fact(Fact),
    Certificate(Arc<[Arc<Certificate>]>),
    CertificateVerify,
    Turn(Turn),
    Unknown,
}

/// Takes a message of TLS 1.3 that `from` sent: says what is in it, and hands over what it means for the keys.
pub(super) fn take(from: Role, kind: u8, body: &[u8], cx: &mut Context<'_>) -> Option<Turn> {
    let fact = match read(kind, body, cx) {
        Ok(EncryptedMessage::Fact(fact)) => fact,
        Ok(EncryptedMessage::Certificate(chain)) => Fact::Certificate { from, chain },
        Ok(EncryptedMessage::CertificateVerify) => Fact::CertificateVerify { from },
        Ok(EncryptedMessage::Turn(turn)) => return Some(turn),
        Ok(EncryptedMessage::Unknown) => return None,
        Err(error) => Fact::MalformedMessage { from, kind, error: Box::new(error) },
    };
    say(cx, fact);
    None
}

/// Reads a message of TLS 1.3.
fn read(kind: u8, body: &[u8], cx: &mut Context<'_>) -> Result<EncryptedMessage, ParseError> {
    Ok(match kind {
        kind::NEW_SESSION_TICKET => EncryptedMessage::Fact(Fact::NewSessionTicket),
        kind::END_OF_EARLY_DATA => EncryptedMessage::Turn(Turn::EndOfEarlyData),
        kind::ENCRYPTED_EXTENSIONS => {
            EncryptedMessage::Fact(Fact::EncryptedExtensions(Arc::new(encrypted_extensions(body))))
        }
        kind::CERTIFICATE => EncryptedMessage::Certificate(certificates(body, cx)?),
        kind::CERTIFICATE_REQUEST => {
            EncryptedMessage::Fact(Fact::CertificateRequest(Arc::new(certificate_request(body)?)))
        }
        kind::CERTIFICATE_VERIFY => EncryptedMessage::CertificateVerify,
        kind::FINISHED => EncryptedMessage::Turn(Turn::Finished),
        kind::KEY_UPDATE => EncryptedMessage::Turn(Turn::KeyUpdate),
        kind::COMPRESSED_CERTIFICATE => {
            let message = decompress(body, cx.limits.message_bytes)?;
            EncryptedMessage::Certificate(certificates(&message, cx)?)
        }
        _ => EncryptedMessage::Unknown,
    })
}

fn encrypted_extensions(body: &[u8]) -> EncryptedExtensions {
    let mut read = EncryptedExtensions::default();
    for (kind, content) in extensions(&mut Reader::new(body)) {
        read.extensions.push(kind);
        match kind {
            extension::ALPN => read.alpn = first_alpn(content),
            extension::EARLY_DATA => read.early_data = true,
            _ => {}
        }
    }
    read
}

/// A Certificate message (RFC 9846 §4.5.2): the chain, leaf first.
fn certificates(body: &[u8], cx: &mut Context<'_>) -> Result<Arc<[Arc<Certificate>]>, ParseError> {
    let mut reader = Reader::new(body);
    let len = usize::from(reader.u8("certificate_request_context length")?);
    reader.take(len, "certificate_request_context")?;
    let len = length(reader.u24("certificate_list length")?);
    let mut list = reader.sub(len, "certificate_list")?;
    let mut chain = Vec::new();
    while !list.is_empty() && chain.len() < MAX_CHAIN {
        let len = length(list.u24("certificate length")?);
        chain.push(cx.certificates.parse(list.take(len, "certificate")?));
        let len = usize::from(list.u16("certificate extensions length")?);
        list.take(len, "certificate extensions")?;
    }
    Ok(chain.into())
}

/// A CertificateRequest (RFC 9846 §4.4.2): it has no certificate types.
fn certificate_request(body: &[u8]) -> Result<CertificateRequest, ParseError> {
    let mut reader = Reader::new(body);
    let len = usize::from(reader.u8("certificate_request_context length")?);
    reader.take(len, "certificate_request_context")?;
    let mut request = CertificateRequest::default();
    for (kind, content) in extensions(&mut reader) {
        match kind {
            extension::SIGNATURE_ALGORITHMS => {
                request.signature_schemes = u16s(sixteen(content)).map(SignatureScheme).collect();
            }
            extension::CERTIFICATE_AUTHORITIES => request.authorities = authorities(sixteen(content))?,
            _ => {}
        }
    }
    Ok(request)
}

/// The largest window that zstd may ask for, as a power of two: what every decoder has to grant (RFC 8878 §3.1.1.1.2). The
/// library grants 128 MiB, for which a few bytes of a peer are enough.
const ZSTD_WINDOW_LOG: u32 = 23;

/// The Certificate message within a CompressedCertificate (RFC 8879 §4), at most `limit` bytes of it.
fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, ParseError> {
    let mut reader = Reader::new(body);
    let algorithm = reader.u16("algorithm")?;
    let start = reader.position();
    let stated = length(reader.u24("uncompressed_length")?);
    if stated > limit {
        return Err(ParseError::invalid("uncompressed_length", start));
    }
    let len = length(reader.u24("compressed_certificate_message length")?);
    let start = reader.position();
    let packed = reader.take(len, "compressed_certificate_message")?;
    let invalid = || ParseError::invalid("compressed_certificate_message", start);
    let message = match algorithm {
        compression::ZLIB => whole(flate2::bufread::ZlibDecoder::new(packed), stated),
        compression::BROTLI => whole(brotli_decompressor::Decompressor::new(packed, BROTLI_BUFFER), stated),
        compression::ZSTD => zstd::stream::read::Decoder::with_buffer(packed).ok().and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG).ok()?;
            whole(decoder, stated)
        }),
        _ => return Err(ParseError::invalid("algorithm", 0)),
    };
    message.ok_or_else(invalid)
}

/// Reads to the end if that is after `len` bytes.
fn whole(reader: impl Read, len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    let one_more = u64::try_from(len).ok()?.saturating_add(1);
    reader.take(one_more).read_to_end(&mut bytes).ok()?;
    (bytes.len() == len).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn packed(algorithm: u16, len: u8, bytes: &[u8]) -> Vec<u8> {
        let size = u8::try_from(bytes.len()).unwrap();
        [&algorithm.to_be_bytes()[..], &[0, 0, len, 0, 0, size], bytes].concat()
    }

    #[test]
    fn certificates_are_unpacked() {
        let message = b"certificates, certificates, certificates";
        let len = u8::try_from(message.len()).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(message).unwrap();
        let zlib = zlib.finish().unwrap();
        let zstd = zstd::encode_all(&message[..], 3).unwrap();
        for (algorithm, bytes) in [(1, &zlib), (3, &zstd)] {
            assert_eq!(decompress(&packed(algorithm, len, bytes), 100).unwrap(), message);
            assert!(decompress(&packed(algorithm, len - 1, bytes), 100).is_err());
            assert!(decompress(&packed(algorithm, len + 1, bytes), 100).is_err());
            assert!(decompress(&packed(algorithm, len, bytes), 20).is_err());
        }
        // An empty brotli stream, and one of three literal bytes.
        assert_eq!(decompress(&packed(2, 0, &[0x06]), 100).unwrap(), b"");
        assert_eq!(
            decompress(&packed(2, 3, &[0x0b, 0x01, 0x80, b'a', b'b', b'c', 0x03]), 100).unwrap(),
            b"abc"
        );
        assert!(decompress(&packed(9, len, &zlib), 100).is_err());
    }

    #[test]
    fn a_request_of_tls_1_3() {
        let body = [0, 0, 8, 0, 13, 0, 4, 0, 2, 8, 4];
        assert_eq!(certificate_request(&body).unwrap().signature_schemes, [SignatureScheme(0x0804)]);
    }
}
