//! Where a message's body ends ([RFC 9112 §6.3](https://datatracker.ietf.org/doc/html/rfc9112#section-6.3)).

use super::wire::Head;
use crate::bytes::ParseError;

/// Longest line of a chunk's size or of a trailer.
const MAX_LINE: usize = 4096;

/// How the body of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
    /// The body ends with the flow.
    Close,
}

impl Framing {
    pub(super) fn of_request(head: &Head) -> Self {
        match Self::stated(head) {
            Some(Self::Close) | None => Self::None,
            Some(framing) => framing,
        }
    }

    pub(super) fn of_response(head: &Head, status: u16, to_head: bool) -> Self {
        if to_head || matches!(status, 100..=199 | 204 | 304) {
            return Self::None;
        }
        Self::stated(head).unwrap_or(Self::Close)
    }

    fn stated(head: &Head) -> Option<Self> {
        if let Some(coding) = head.field("transfer-encoding") {
            let last = coding.rsplit(',').next().unwrap_or_default().trim();
            return Some(if last.eq_ignore_ascii_case("chunked") { Self::Chunked } else { Self::Close });
        }
        let length = head.field("content-length")?;
        let first = length.split(',').next().unwrap_or_default().trim();
        first.parse().ok().map(Self::Length)
    }
}

/// Where within a body a direction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// That many bytes, at least 1, and the message ends.
    Rest(u64),
    ChunkSize,
    /// That many bytes of the chunk, at least 1.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    Trailers,
    UntilClose,
}

/// What [`Body::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes consumed.
    pub(super) taken: usize,
    /// How many of those, the last ones, are content.
    pub(super) content: usize,
    /// Where the body stands then; `None` behind its end.
    pub(super) next: Option<Body>,
}

impl Body {
    pub(super) fn begin(framing: Framing) -> Option<Self> {
        match framing {
            Framing::None | Framing::Length(0) => None,
            Framing::Length(length) => Some(Self::Rest(length)),
            Framing::Chunked => Some(Self::ChunkSize),
            Framing::Close => Some(Self::UntilClose),
        }
    }

    /// Consumes from `bytes`, which are not empty; `None` when a line is not complete.
    pub(super) fn step(self, bytes: &[u8]) -> Result<Option<Step>, ParseError> {
        let content = |limit: u64, rest: fn(u64) -> Self, end: Option<Self>| {
            let taken = usize::try_from(limit).map_or(bytes.len(), |limit| limit.min(bytes.len()));
            let left = limit.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
            let next = if left == 0 { end } else { Some(rest(left)) };
            Ok(Some(Step { taken, content: taken, next }))
        };
        match self {
            Self::Rest(left) => content(left, Self::Rest, None),
            Self::Chunk(left) => content(left, Self::Chunk, Some(Self::ChunkEnd)),
            Self::UntilClose => Ok(Some(Step { taken: bytes.len(), content: bytes.len(), next: Some(self) })),
            Self::ChunkSize | Self::ChunkEnd | Self::Trailers => {
                let Some(end) = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
                    let broken = bytes.len() >= MAX_LINE;
                    return if broken { Err(ParseError::invalid("chunk line", 0)) } else { Ok(None) };
                };
                let line = bytes.get(..end).unwrap_or_default().trim_ascii();
                let next = match self {
                    Self::ChunkSize => match chunk_size(line)? {
                        0 => Some(Self::Trailers),
                        size => Some(Self::Chunk(size)),
                    },
                    Self::ChunkEnd if line.is_empty() => Some(Self::ChunkSize),
                    Self::ChunkEnd => return Err(ParseError::invalid("chunk end", 0)),
                    _ if line.is_empty() => None,
                    _ => Some(Self::Trailers),
                };
                Ok(Some(Step { taken: end.saturating_add(1), content: 0, next }))
            }
        }
    }

    /// Passes over missing bytes; `Err` when they hold more than is known of the body.
    pub(super) fn skip(self, len: u64) -> Result<Option<Self>, ()> {
        match self {
            Self::Rest(left) if len < left => Ok(Some(Self::Rest(left.saturating_sub(len)))),
            Self::Rest(left) if len == left => Ok(None),
            Self::Chunk(left) if len < left => Ok(Some(Self::Chunk(left.saturating_sub(len)))),
            Self::Chunk(left) if len == left => Ok(Some(Self::ChunkEnd)),
            Self::UntilClose => Ok(Some(self)),
            _ => Err(()),
        }
    }
}

/// The size before any chunk extension.
fn chunk_size(line: &[u8]) -> Result<u64, ParseError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let hex =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex.and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| ParseError::invalid("chunk size", 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(framing: Framing, mut bytes: &[u8]) -> (Vec<u8>, usize) {
        let (mut body, mut content) = (Body::begin(framing), Vec::new());
        while let Some(state) = body {
            let Ok(Some(step)) = state.step(bytes) else { break };
            content.extend_from_slice(&bytes[step.taken - step.content..step.taken]);
            bytes = &bytes[step.taken..];
            body = step.next;
        }
        (content, bytes.len())
    }

    #[test]
    fn chunks_extensions_and_trailers_are_followed_to_the_end() {
        let bytes = b"4;name=\"v\"\r\nwiki\r\n00a \npedia, yes\r\n0\r\nExpires: 0\r\n\r\nNEXT";
        assert_eq!(content(Framing::Chunked, bytes), (b"wikipedia, yes".to_vec(), 4));
        assert_eq!(content(Framing::Length(4), b"wikiNEXT"), (b"wiki".to_vec(), 4));
    }

    #[test]
    fn broken_chunks_are_errors() {
        assert!(Body::ChunkSize.step(b"-1\r\n").is_err());
        assert!(Body::ChunkSize.step(b"fffffffffffffffff\r\n").is_err());
        assert!(Body::ChunkEnd.step(b"x\r\n").is_err());
        assert!(Body::Trailers.step(&[b'a'; MAX_LINE]).is_err());
        assert_eq!(Body::ChunkSize.step(b"1"), Ok(None));
    }

    #[test]
    fn a_gap_within_a_body_is_passed_over() {
        assert_eq!(Body::Rest(10).skip(4), Ok(Some(Body::Rest(6))));
        assert_eq!(Body::Rest(10).skip(10), Ok(None));
        assert_eq!(Body::Chunk(10).skip(10), Ok(Some(Body::ChunkEnd)));
        assert_eq!(Body::Rest(10).skip(11), Err(()));
        assert_eq!(Body::ChunkSize.skip(1), Err(()));
    }
}
