//! Frame after frame in both directions, head after head.

use super::frame::{self, Header as FrameHeader, kind};
use super::hpack::Decoder;
use crate::bytes::{ParseError, Reader};
use crate::flow::{Data, Direction, Gap};
use crate::protocol::http1::{self, Header, Request, Response};
use crate::protocol::{Analyzer, Context, Fact, Progress, property, proxy};

/// Bytes of a header block over all its frames. Servers allow 8 to 32 KiB.
const MAX_BLOCK: usize = 64 << 10;
/// Header fields kept of a message.
const MAX_HEADERS: usize = 100;
/// Bytes kept of a field's value.
const MAX_VALUE: usize = 4096;
/// Bytes kept of a request's target.
const MAX_TARGET: usize = 8192;
/// Bytes kept of a head.
const MAX_LIST: usize = 64 << 10;
/// Header blocks that are read of a flow: streams in both directions, and trailers.
const MAX_BLOCKS: u32 = 4096;

/// The frames of a flow.
#[derive(Default)]
pub(super) struct Http2Analyzer {
    sides: [Side; 2],
    blocks: u32,
    grpc: bool,
    /// The stream of the last request for a way through a proxy, while it is not answered.
    tunnel: Option<u32>,
}

#[derive(Default)]
struct Side {
    state: State,
    /// The start of a frame whose payload is read; at most a frame's header and [`MAX_BLOCK`].
    buffer: Vec<u8>,
    /// Bytes of payload that are passed over.
    skip: u64,
    /// A header block that goes on.
    open: Option<Block>,
    hpack: Decoder,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Nothing was read: a preface may come.
    #[default]
    Fresh,
    /// There is no preface: SETTINGS come first.
    Settings,
    Frames,
}

/// Fragments of a header block; at most [`MAX_BLOCK`].
struct Block {
    stream: u32,
    /// Whether it is a promise, whose fields only change the table.
    promise: bool,
    bytes: Vec<u8>,
}

/// What a header block says.
#[derive(Default)]
struct Fields {
    method: Option<String>,
    path: Option<String>,
    authority: Option<String>,
    status: Option<u16>,
    /// What an extended CONNECT changes to (RFC 8441 §4).
    protocol: Option<String>,
    headers: Vec<Header>,
    kept: usize,
    /// Whether there were more of them than are kept.
    more: bool,
}

impl Analyzer for Http2Analyzer {
    fn data(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Progress {
        let Data { direction, bytes, .. } = data;
        let Some(side) = self.sides.get_mut(direction.index()) else { return Progress::Done };
        let mut owned = std::mem::take(&mut side.buffer);
        let input = if owned.is_empty() {
            bytes
        } else {
            owned.extend_from_slice(bytes);
            owned.as_slice()
        };
        let mut reader = Reader::new(input);
        loop {
            match self.step(direction, &mut reader, cx) {
                Ok(Some(Progress::NeedMore)) => {}
                Ok(Some(progress)) => return progress,
                Ok(None) => break,
                Err(error) => return Progress::Malformed(error),
            }
        }
        let rest = reader.peek().to_vec();
        if let Some(side) = self.sides.get_mut(direction.index()) {
            side.buffer = rest;
        }
        Progress::NeedMore
    }

    fn gap(&mut self, gap: Gap, _cx: &mut Context<'_>) -> Progress {
        let Some(side) = self.sides.get_mut(gap.direction.index()) else { return Progress::Done };
        // Header compression survives only what is missing of a payload that is passed over.
        match side.skip.checked_sub(gap.len) {
            Some(left) => {
                side.skip = left;
                Progress::NeedMore
            }
            None => Progress::Done,
        }
    }
}

impl Http2Analyzer {
    /// Reads the preface, a frame, or a part of a payload that is passed over; `None` where more bytes are needed.
    fn step(
        &mut self,
        direction: Direction,
        reader: &mut Reader<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Option<Progress>, ParseError> {
        let Some(side) = self.sides.get_mut(direction.index()) else { return Ok(None) };
        if reader.is_empty() {
            return Ok(None);
        }
        if side.skip > 0 {
            let left = reader.left();
            let len = usize::try_from(side.skip).map_or(left, |skip| skip.min(left));
            reader.take(len, "payload")?;
            side.skip = side.skip.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
            return Ok(Some(Progress::NeedMore));
        }
        if side.state == State::Fresh {
            side.state = match frame::preface(reader.peek()) {
                None => return Ok(None),
                Some(true) => {
                    reader.take(frame::PREFACE_LEN, "preface")?;
                    // SETTINGS have to follow, and some clients leave them out.
                    State::Frames
                }
                Some(false) => State::Settings,
            };
            return Ok(Some(Progress::NeedMore));
        }
        if reader.left() < FrameHeader::LEN {
            return Ok(None);
        }
        let mut ahead = Reader::new(reader.peek());
        let header = FrameHeader::parse(&mut ahead)?;
        if side.state == State::Settings && !header.is_first() {
            return Err(reader.invalid("first frame"));
        }
        let continues = side.open.as_ref().map(|block| block.stream);
        let expected =
            continues.is_none_or(|stream| header.kind == kind::CONTINUATION && header.stream == stream);
        if !expected || (continues.is_none() && header.kind == kind::CONTINUATION) {
            return Err(reader.invalid("frame type"));
        }
        let reads = matches!(header.kind, kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION);
        if !reads {
            side.state = State::Frames;
            reader.take(FrameHeader::LEN, "frame header")?;
            side.skip = u64::from(header.length);
            return Ok(Some(Progress::NeedMore));
        }
        let len = usize::try_from(header.length).unwrap_or(usize::MAX);
        let before = side.open.as_ref().map_or(0, |block| block.bytes.len());
        if len > MAX_BLOCK.saturating_sub(before) || header.stream == 0 {
            return Ok(Some(Progress::Done));
        }
        if ahead.left() < len {
            return Ok(None);
        }
        reader.take(FrameHeader::LEN, "frame header")?;
        let fragment = header.fragment(reader.take(len, "payload")?)?;
        let block = side.open.get_or_insert_with(|| Block {
            stream: header.stream,
            promise: header.kind == kind::PUSH_PROMISE,
            bytes: Vec::new(),
        });
        block.bytes.extend_from_slice(fragment);
        // Empty frames without end cost a client nothing either.
        self.blocks = self.blocks.saturating_add(1);
        if header.ends_block()
            && let Some(block) = side.open.take()
        {
            let mut fields = Fields::default();
            side.hpack.decode(&block.bytes, |name, value| fields.add(name, value))?;
            if !block.promise {
                self.say(block.stream, fields, cx);
            }
        }
        Ok(Some(if self.blocks >= MAX_BLOCKS { Progress::Done } else { Progress::NeedMore }))
    }

    /// Says a head; trailers have neither method nor status.
    fn say(&mut self, stream: u32, fields: Fields, cx: &mut Context<'_>) {
        let index = u64::from(stream / 2);
        let header = |name| http1::header(&fields.headers, name);
        let grpc = header("content-type").is_some_and(|media| media.starts_with("application/grpc"));
        if grpc && !std::mem::replace(&mut self.grpc, true) {
            cx.enter("grpc");
        }
        if let Some(status) = header("grpc-status") {
            cx.say(Fact::Property(Box::new(property::Fact::new("grpc", "status", status))));
        }
        let version = "2";
        let tunnel = self.tunnel(stream, &fields, cx);
        let head = if let Some(method) = fields.method {
            let authority = fields.authority.as_deref().or_else(|| header("host"));
            // `user:password@` has no place in an authority (§8.3.1); what some clients send there is a secret.
            let (user, host) = authority.and_then(|text| text.rsplit_once('@')).unzip();
            let host = host.or(authority).filter(|host| !host.is_empty()).map(str::to_lowercase);
            let target = fields.path.or_else(|| host.clone()).unwrap_or_default();
            let searched = user.map(|user| format!("http://{user}@{target}"));
            let credentials = http1::credentials(&fields.headers, searched.as_deref().unwrap_or(&target));
            let headers = fields.headers;
            http1::Fact::Request(Request {
                index,
                version: Some(version),
                method,
                target,
                host,
                headers,
                credentials,
            })
        } else if let Some(status) = fields.status {
            // Streams with even numbers answer requests that nobody made (RFC 9113 §8.4).
            let index = (!stream.is_multiple_of(2)).then_some(index);
            let (headers, whole) = (fields.headers, !fields.more);
            http1::Fact::Response(Response { index, version, status, headers, whole })
        } else {
            return;
        };
        cx.say(Fact::Http1(Box::new(head)));
        if let Some(fact) = tunnel {
            cx.say(Fact::Proxy(Box::new(fact)));
        }
    }

    /// What a head says of the way through a proxy: CONNECT (RFC 9113 §8.5), the proxy's answer, and datagrams by extended CONNECT
    /// (RFC 9298). Of streams that run beside each other the last request counts.
    fn tunnel(&mut self, stream: u32, fields: &Fields, cx: &mut Context<'_>) -> Option<proxy::Fact> {
        let name = super::PROTOCOL.name;
        if let Some(protocol) = &fields.protocol {
            property::Fact::say(name, "extended_connect", protocol.as_bytes(), cx);
        }
        let target = match (fields.method.as_deref(), fields.protocol.as_deref()) {
            (Some("CONNECT"), None) => Some(proxy::Target::of_authority(name, fields.authority.as_deref()?)),
            (Some("CONNECT"), Some("connect-udp")) => udp_target(fields.path.as_deref()?),
            _ => None,
        };
        if let Some(target) = target {
            self.tunnel = Some(stream);
            return Some(proxy::Fact::Asked(target));
        }
        let status = fields.status.filter(|status| *status >= 200 && self.tunnel == Some(stream))?;
        self.tunnel = None;
        Some(proxy::Fact::Answered { granted: status < 300 })
    }
}

/// The destination in the path that clients use by default (RFC 9298 §2), where colons of IPv6 addresses are encoded.
fn udp_target(path: &str) -> Option<proxy::Target> {
    let mut parts = path.strip_prefix("/.well-known/masque/udp/")?.split('/');
    let (host, port) = (parts.next()?, parts.next()?);
    let host = host.replace("%3A", ":").replace("%3a", ":");
    Some(proxy::Target::new(super::PROTOCOL.name, &host, port.parse().ok()?))
}

impl Fields {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":method" => self.method = Some(text(value, MAX_VALUE)),
            b":path" => self.path = Some(text(value, MAX_TARGET)),
            b":protocol" => self.protocol = Some(text(value, MAX_VALUE)),
            b":authority" => self.authority = Some(text(value, MAX_VALUE)),
            b":status" => self.status = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            _ => self.add_header(name, value),
        }
    }

    fn add_header(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (text(name, MAX_VALUE).to_ascii_lowercase(), text(value, MAX_VALUE));
        let len = name.len().saturating_add(value.len());
        if name.starts_with(':') {
            return;
        }
        if self.kept.saturating_add(len) > MAX_LIST {
            self.more = true;
            return;
        }
        self.kept = self.kept.saturating_add(len);
        // A cookie may be split over several fields (§8.2.3).
        let room = self.headers.len() < MAX_HEADERS;
        match self.headers.iter_mut().find(|header| name == "cookie" && header.name == name) {
            Some(header) => {
                header.value.push_str("; ");
                header.value.push_str(&value);
            }
            None if room => self.headers.push(Header { name, value }),
            None => self.more = true,
        }
    }
}

/// At most `limit` bytes as text; bytes that are not UTF-8 are replaced.
fn text(bytes: &[u8], limit: usize) -> String {
    String::from_utf8_lossy(bytes.get(..limit).unwrap_or(bytes)).into_owned()
}
