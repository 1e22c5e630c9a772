//! LINKTYPE_PKTAP: Darwin's header before a packet of any link type, with the process.
//!
//! Both layouts, little-endian: the first with fixed fields, the second with offsets to strings, which flag 0x80000 at
//! offset 36 tells. A process that acts for another (flag 4) gives way to that other.

use super::super::Skip;
use super::super::owner::Stated;
use super::super::span::Span;
use super::super::walk::{Envelope, Walk};
use crate::bytes::{ParseError, Reader};
use crate::source::{Dialect, LinkType};

const LAYER: &str = "pktap header";

/// What a header says.
struct Header {
    len: usize,
    link_type: u32,
    has_packet: bool,
    interface: [u8; 20],
    pid: u32,
    name: [u8; 20],
}

impl Walk<'_> {
    pub(super) fn pktap(
        &mut self,
        link_type: LinkType,
        span: Span<'_>,
        envelope: Envelope<'_>,
    ) -> Result<(), Skip> {
        let header = read(span.bytes).map_err(|error| match link_type.0 {
            // 149 is anybody's number for private use: Darwin's only when it looks like it.
            149 => Skip::LinkType(149),
            _ if error.is_truncated() => span.short(LAYER),
            _ => Skip::Malformed(LAYER),
        })?;
        let packet = span.skip(header.len, LAYER)?;
        if !header.has_packet {
            return Err(Skip::NotIp("pktap without packet"));
        }
        let pid = Some(header.pid).filter(|pid| *pid != 0 && *pid != u32::MAX);
        let name = if pid.is_some() { header.name } else { [0; 20] };
        let stated = Stated { dialect: Dialect::Pktap, uid: None, gid: None, pid, name };
        self.owner = self.owners.intern(stated).or(self.owner.take());
        self.on_interface(crc32fast::hash(&header.interface) & 0xffff);
        match u16::try_from(header.link_type) {
            Ok(149 | 258) | Err(_) => Err(Skip::Malformed(LAYER)),
            Ok(inner) => self.link(LinkType(inner), packet, envelope),
        }
    }
}

fn read(bytes: &[u8]) -> Result<Header, ParseError> {
    let mut flags = Reader::new(bytes);
    flags.take(36, "header")?;
    let flags = flags.u32_le("flags")?;
    let delegated = flags & 4 != 0;
    let mut reader = Reader::new(bytes);
    if flags & 0x8_0000 != 0 {
        let [len, _, _, interface_at, name_at, delegate_at] = reader.array("length")?;
        let link_type = u32::from(reader.u16_le("link type")?);
        reader.take(20, "interface type")?;
        let (pid, delegate) = (reader.u32_le("pid")?, reader.u32_le("delegate pid")?);
        let len = usize::from(len);
        if len < reader.position().saturating_add(4) {
            return Err(reader.invalid("length"));
        }
        let text = |at: u8| text_at(bytes.get(..len).unwrap_or_default(), usize::from(at));
        let (pid, name) = if delegated { (delegate, text(delegate_at)) } else { (pid, text(name_at)) };
        return Ok(Header { len, link_type, has_packet: true, interface: text(interface_at), pid, name });
    }
    let len = reader.u32_le("length")? as usize;
    if len < 108 {
        return Err(reader.invalid("length"));
    }
    let record = reader.u32_le("record type")?;
    let link_type = reader.u32_le("link type")?;
    let interface = reader.array::<20>("interface name")?;
    reader.take(20, "flags")?;
    let (pid, name) = (reader.u32_le("pid")?, reader.array::<20>("process name")?);
    reader.take(8, "service class")?;
    let (delegate, delegate_name) = (reader.u32_le("delegate pid")?, reader.array::<20>("delegate name")?);
    let (pid, name) = if delegated { (delegate, delegate_name) } else { (pid, name) };
    Ok(Header { len, link_type, has_packet: record == 1, interface, pid, name })
}

/// The zero-terminated text at offset `at`, cut to 20 bytes; empty when `at` is 0.
fn text_at(header: &[u8], at: usize) -> [u8; 20] {
    let mut text = [0; 20];
    let field = header.get(at..).filter(|_| at != 0).unwrap_or_default();
    let field = field.split(|byte| *byte == 0).next().unwrap_or_default();
    text.iter_mut().zip(field).for_each(|(to, from)| *to = *from);
    text
}
