//! The blocks of a section, by type.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::annotate::{Annotator, markers};
use super::interface::Interface;
use super::options::Options;
use crate::bytes::Reader;
use crate::source::file::{Found, record};
use crate::source::order::{ByteOrder, to_usize};
use crate::source::{InterfaceIndex, Metadata, known_id};
use crate::time::Timestamp;

/// PCAPdroid's Private Enterprise Number, under which it writes its UID map.
const PCAPDROID: u32 = 62_652;
/// Interfaces of a section; packets of others cannot be read.
const MAX_INTERFACES: usize = 64 << 10;

/// What is wrong with a block that is passed over.
pub(super) struct Malformed(pub(super) &'static str);

/// A section: blocks refer only to others of the same one.
pub(super) struct Section {
    pub(super) order: ByteOrder,
    first_index: InterfaceIndex,
    interfaces: Vec<Interface>,
    annotator: Annotator,
}

/// The fields of either packet block.
struct PacketHead {
    interface: usize,
    timestamp: (u32, u32),
    captured: u32,
    original: u32,
}

impl Section {
    pub(super) fn new(order: ByteOrder, first_index: InterfaceIndex) -> Self {
        Self { order, first_index, interfaces: Vec::new(), annotator: Annotator::default() }
    }

    /// The index of the next interface.
    pub(super) fn next_index(&self) -> InterfaceIndex {
        self.first_index.saturating_add(u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn interface(&mut self, body: &[u8]) -> Result<(), Malformed> {
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Malformed("too many interfaces"));
        }
        let interface = Interface::parse(self.order, body, self.next_index());
        self.interfaces.push(interface.ok_or(Malformed("an interface description is too short"))?);
        Ok(())
    }

    /// Enhanced Packet Block.
    ///
    /// ```text
    /// interface u32 | timestamp high u32 | low u32 | captured length u32 | original length u32 | data, options
    /// ```
    pub(super) fn packet(
        &mut self,
        body: &[u8],
        start: usize,
        last: &mut Timestamp,
        found: &mut Found,
    ) -> Result<(), Malformed> {
        let word = |at| self.order.u32(body, at).ok_or(Malformed("a packet block is too short"));
        let head = PacketHead {
            interface: to_usize(word(0)?),
            timestamp: (word(4)?, word(8)?),
            captured: word(12)?,
            original: word(16)?,
        };
        self.any_packet(&head, body, start, last, found)
    }

    /// Packet Block, which the Enhanced Packet Block replaced.
    ///
    /// ```text
    /// interface u16 | drops u16 | timestamp high u32 | low u32 | captured length u32 | original length u32 | …
    /// ```
    pub(super) fn obsolete_packet(
        &mut self,
        body: &[u8],
        start: usize,
        last: &mut Timestamp,
        found: &mut Found,
    ) -> Result<(), Malformed> {
        let short = || Malformed("a packet block is too short");
        let word = |at| self.order.u32(body, at).ok_or_else(short);
        let head = PacketHead {
            interface: usize::from(self.order.u16(body, 0).ok_or_else(short)?),
            timestamp: (word(4)?, word(8)?),
            captured: word(12)?,
            original: word(16)?,
        };
        let drops = self.order.u16(body, 2).filter(|drops| *drops != u16::MAX);
        if let (Some(drops), Some(interface)) = (drops, self.interfaces.get_mut(head.interface)) {
            lost(found, interface.counts_dropped(u64::from(drops)));
        }
        self.any_packet(&head, body, start, last, found)
    }

    fn any_packet(
        &mut self,
        head: &PacketHead,
        body: &[u8],
        start: usize,
        last: &mut Timestamp,
        found: &mut Found,
    ) -> Result<(), Malformed> {
        const HEAD: usize = 20;
        let interface = self.interfaces.get_mut(head.interface);
        let interface = interface.ok_or(Malformed("a packet names an interface that is not described"))?;
        let captured = to_usize(head.captured);
        let rest = body.get(HEAD..).unwrap_or_default();
        if captured > rest.len() {
            return Err(Malformed("a packet claims more bytes than its block has"));
        }
        *last = interface.timestamp(head.timestamp.0, head.timestamp.1);
        let place = start.saturating_add(HEAD);
        let mut record = record(*last, interface.link_type, interface.index, head.original, place, captured);
        let options = rest.get(captured.next_multiple_of(4)..).unwrap_or_default();
        if !options.is_empty() {
            for marker in markers(self.order, options, *last) {
                found.metadata(Metadata::Marker(marker));
            }
            let (annotations, dropped) = self.annotator.annotate(self.order, options);
            record.annotations = annotations;
            if let Some(dropped) = dropped {
                lost(found, interface.counts_dropped(dropped));
            }
        }
        found.frame(record);
        Ok(())
    }

    /// Simple Packet Block: always of the first interface. It has no timestamp, so it gets the `last` one.
    pub(super) fn simple_packet(
        &self,
        body: &[u8],
        start: usize,
        last: Timestamp,
        found: &mut Found,
    ) -> Result<(), Malformed> {
        let interface = self.interfaces.first();
        let interface = interface.ok_or(Malformed("a packet names an interface that is not described"))?;
        let original = self.order.u32(body, 0).ok_or(Malformed("a packet block is too short"))?;
        let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        let captured = to_usize(original.min(limit));
        if captured > body.len().saturating_sub(4) {
            return Err(Malformed("a packet claims more bytes than its block has"));
        }
        let place = start.saturating_add(4);
        found.frame(record(last, interface.link_type, interface.index, original, place, captured));
        Ok(())
    }

    /// Name Resolution Block: addresses and the names that they had.
    pub(super) fn names(&self, body: &[u8], found: &mut Found) {
        let mut rest = body;
        while let (Some(kind @ 1..), Some(len)) = (self.order.u16(rest, 0), self.order.u16(rest, 2)) {
            let len = usize::from(len);
            let Some(value) = rest.get(4..).and_then(|rest| rest.get(..len)) else { return };
            rest = rest.get(4..).and_then(|rest| rest.get(len.next_multiple_of(4)..)).unwrap_or_default();
            let mut value = Reader::new(value);
            let address = match kind {
                1 => value.array("IPv4 address").map(Ipv4Addr::from).map(IpAddr::from),
                2 => value.array("IPv6 address").map(Ipv6Addr::from).map(IpAddr::from),
                // Hardware addresses and what may come.
                _ => continue,
            };
            let Ok(address) = address else { continue };
            for name in value.rest().split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
                let name = String::from_utf8_lossy(name).into_owned();
                found.metadata(Metadata::Name { address, name });
            }
        }
    }

    /// Interface Statistics Block: what was lost, and markers that no packet came after, as of the `last` one.
    pub(super) fn statistics(
        &mut self,
        body: &[u8],
        last: Timestamp,
        found: &mut Found,
    ) -> Result<(), Malformed> {
        const IF_DROP: u16 = 5;
        const OS_DROP: u16 = 7;
        let interface = self.order.u32(body, 0).and_then(|index| self.interfaces.get_mut(to_usize(index)));
        let interface = interface.ok_or(Malformed("statistics name an interface that is not described"))?;
        let mut dropped = None;
        let options = body.get(12..).unwrap_or_default();
        for marker in markers(self.order, options, last) {
            found.metadata(Metadata::Marker(marker));
        }
        for (code, value) in Options::new(self.order, options) {
            if let (IF_DROP | OS_DROP, Some(count)) = (code, self.order.u64(value, 0)) {
                dropped = Some(count.saturating_add(dropped.unwrap_or(0)));
            }
        }
        if let Some(dropped) = dropped {
            lost(found, interface.reports_dropped(dropped));
        }
        Ok(())
    }

    /// Custom Block. PCAPdroid's UID map, in the byte order of its section:
    ///
    /// ```text
    /// PEN u32 | version u16 = 1 | type u8 = 1 | pad u8 | uid i32 | package length u8 | label length u8 | package, label
    /// ```
    pub(super) fn custom(&self, body: &[u8], found: &mut Found) -> Result<(), Malformed> {
        if self.order.u32(body, 0) != Some(PCAPDROID)
            || self.order.u16(body, 4) != Some(1)
            || body.get(6) != Some(&1)
        {
            return Ok(());
        }
        let map = || {
            let uid = self.order.u32(body, 8)?;
            let mut names = Reader::new(body.get(12..)?);
            let (package, label) = (names.u8("package length").ok()?, names.u8("label length").ok()?);
            let package = names.take(usize::from(package), "package").ok()?;
            let label = names.take(usize::from(label), "label").ok()?;
            // PCAPdroid rejects a file in which a name is empty: an unknown one is a single NUL.
            let text = |bytes| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
            let (package, label) = (text(package), text(label));
            // An app without a label goes by its package name.
            let label = if label == package { String::new() } else { label };
            Some((uid, package, label))
        };
        let (uid, package, label) = map().ok_or(Malformed("a UID map is too short"))?;
        if let Some(uid) = known_id(uid) {
            found.metadata(Metadata::App { uid, package, label });
        }
        Ok(())
    }

    pub(super) fn darwin_process(&mut self, body: &[u8]) -> Result<(), Malformed> {
        match self.annotator.process(self.order, body) {
            true => Ok(()),
            false => Err(Malformed("too many process blocks")),
        }
    }
}

fn lost(found: &mut Found, more: u64) {
    let dropped = &mut found.summary.dropped;
    *dropped = Some(dropped.unwrap_or(0).saturating_add(more));
}
