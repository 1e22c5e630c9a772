//! Large captures from small ones: many phones' worth of flows, each between other hosts, all at the same time.
//!
//! Nothing is random but by a fixed seed: the same captures and the same size give the same file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;

use super::packet::{Endpoint, Fields, Form};
use super::pcap::Writer;
use super::template::{Kind, Random, Step, Template, Templates};

/// The shape of one workload.
pub(super) struct Shape {
    /// How the workload is called in the table.
    pub(super) name: &'static str,
    /// Hundredths of the bytes that bulk flows carry.
    pub(super) bulk_percent: u64,
    /// What the bulk flows carry, and how many cycles of their body each has; 0 means a share of the workload.
    pub(super) bulk: Option<(Kind, u32)>,
    /// Short flows: of a hundred, how many are of which kind.
    pub(super) short: &'static [(Kind, u64)],
    /// The mean size of a short flow in a capture file, for which smaller and larger ones are mixed; 0 for any.
    pub(super) mean: u64,
    /// The size, as hundredths of the asked size.
    pub(super) size_percent: u64,
    /// What the project aims at, in processor time; shown, never judged.
    pub(super) aim: &'static str,
}

/// Cycles of a bulk HTTP response: 260,640 bytes.
pub(super) const HTTP_CYCLES: u32 = 15;

/// The workloads, in the proportions of their sizes. The project's aims speak of three of them, in these shapes:
///
/// | | bytes | packets | flows | |
/// |---|---|---|---|---|
/// | mixed | 1.05 GB | 1.25 million | 37,000 | four fifths of the bytes in a few bulk TLS flows: a phone's traffic |
/// | handshakes | 804 MB | 3.1 million | 210,000 | short TLS flows: full handshake, certificates, a few records |
/// | dns | 181 MB | 1.14 million | 570,000 | a look-up a flow |
///
/// That makes 35,000, 261,000 and 3,150,000 flows a GB, and 840, 259 and 159 bytes a packet.
pub(super) const SHAPES: [Shape; 5] = [
    Shape {
        name: "mixed",
        bulk_percent: 80,
        bulk: Some((Kind::Tls, 0)),
        short: &[(Kind::Page, 40), (Kind::Dns, 50), (Kind::Http, 10)],
        mean: 0,
        size_percent: 100,
        aim: "with database 0.6 x nDPI, without 2 x libpcap",
    },
    Shape {
        name: "handshakes",
        bulk_percent: 0,
        bulk: None,
        short: &[(Kind::Tls, 100)],
        mean: 3_829,
        size_percent: 77,
        aim: "with database 0.33 x nDPI, wall time 0.6 x CPU time on two cores",
    },
    Shape {
        name: "dns",
        bulk_percent: 0,
        bulk: None,
        short: &[(Kind::Dns, 100)],
        mean: 0,
        size_percent: 17,
        aim: "with database 0.3 x nDPI, wall time 0.6 x CPU time on two cores",
    },
    Shape {
        name: "http",
        bulk_percent: 80,
        bulk: Some((Kind::Http, HTTP_CYCLES)),
        short: &[(Kind::Http, 100)],
        mean: 0,
        size_percent: 15,
        aim: "with database 1.0 x nDPI",
    },
    Shape {
        name: "quic",
        bulk_percent: 0,
        bulk: None,
        short: &[(Kind::Quic, 100)],
        mean: 0,
        size_percent: 11,
        aim: "with database 0.6 x nDPI",
    },
];

/// Phones that share the traffic; each has its own addresses.
const PHONES: u64 = 200;

/// Addresses that the servers of one capture are spread over.
const SERVERS: u64 = 500;

/// How many bulk flows of no set length share the bulk bytes.
const BULK_FLOWS: u64 = 26;

/// The rate of the whole, in bytes a second: it sets how far the flows spread in time.
const RATE: u64 = 12_500_000;

/// How much slower a phone's network is than the laboratory's.
const STRETCH: u64 = 100;

/// The longest a short flow is stretched to, in nanoseconds.
const LONGEST: u64 = 2_000_000_000;

/// Nanoseconds between two packets of a page.
const PAGE_GAP: u64 = 10_000_000;

/// When the first frame is dated: 2026-01-01T00:00:00Z.
const EPOCH: u64 = 1_767_225_600_000_000_000;

/// How many names the look-ups ask for, before they repeat.
const NAMES: u64 = 100_000;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) flows: u64,
}

/// One flow to come.
struct Plan<'a> {
    start: u64,
    template: &'a Template,
    cycles: u32,
    /// Nanoseconds between two packets of the body.
    gap: u64,
}

/// Writes about `bytes` of `shape` to `out`; fails if the captures lack a kind of flow that it needs.
pub(super) fn write(
    shape: &Shape,
    bytes: u64,
    templates: &Templates,
    out: impl Write,
) -> anyhow::Result<Totals> {
    let plans = plan(shape, bytes, templates)?;
    let mut writer = Writer::new(out)?;
    let mut coming = plans.iter().enumerate().peekable();
    let mut open: BTreeMap<usize, Flow<'_>> = BTreeMap::new();
    let mut next: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut frame = Vec::new();
    loop {
        let until = next.peek().map(|Reverse((at, _))| *at);
        if let Some((serial, plan)) = coming.next_if(|(_, plan)| until.is_none_or(|at| plan.start <= at)) {
            next.push(Reverse((plan.start, serial)));
            open.insert(serial, Flow::new(plan, serial));
            continue;
        }
        let Some(Reverse((at, serial))) = next.pop() else { break };
        let Some(flow) = open.get_mut(&serial) else { continue };
        flow.write_next(writer.packets, &mut frame);
        writer.write(EPOCH + at, &frame)?;
        match flow.next_at() {
            // Time never runs backwards, not even where a tail is dated by its capture.
            Some(later) => next.push(Reverse((later.max(at), serial))),
            None => drop(open.remove(&serial)),
        }
    }
    let flows = u64::try_from(plans.len())?;
    let totals = Totals { bytes: writer.bytes, packets: writer.packets, flows };
    writer.finish()?;
    Ok(totals)
}

/// Every flow of the workload, by the time at which it starts.
fn plan<'a>(shape: &Shape, bytes: u64, templates: &'a Templates) -> anyhow::Result<Vec<Plan<'a>>> {
    let duration = bytes.saturating_mul(1_000_000_000) / RATE;
    let mut random = Random(bytes);
    let bulk_bytes = bytes / 100 * shape.bulk_percent;
    let mut plans = Vec::new();
    if let Some((kind, set)) = shape.bulk {
        let choices = of_kind(&templates.bulk, kind)?;
        let mut left = bulk_bytes;
        while left > 0 {
            let template = pick(&choices, &mut random)?;
            let Some(body) = &template.body else { continue };
            let (packets, cycle) = body.cost();
            let share = u32::try_from(bulk_bytes / BULK_FLOWS / cycle)?.max(1);
            let cycles = if set == 0 { share } else { set };
            let packets = packets * u64::from(cycles);
            let lasts = if set == 0 { duration / 2 } else { LONGEST };
            plans.push(Plan {
                start: random.below(duration / 2),
                template,
                cycles,
                gap: lasts.checked_div(packets).unwrap_or_default(),
            });
            left = left.saturating_sub(cycle * u64::from(cycles));
        }
    }
    let kinds = shape.short.iter().map(|(kind, weight)| Ok((of_kind(&templates.short, *kind)?, *weight)));
    let kinds = kinds.collect::<anyhow::Result<Vec<_>>>()?;
    let short_from = plans.len();
    let mut left = bytes - bulk_bytes;
    while left > 0 {
        let mut at = random.below(kinds.iter().map(|(_, weight)| weight).sum());
        for (choices, weight) in &kinds {
            if at < *weight {
                let template = pick_for_mean(choices, shape.mean, &mut random)?;
                let (cycles, bytes) = template.short();
                left = left.saturating_sub(bytes);
                plans.push(Plan { start: 0, template, cycles, gap: PAGE_GAP });
                break;
            }
            at -= weight;
        }
    }
    let short = u64::try_from(plans.len() - short_from)?;
    for (index, plan) in (0_u64..).zip(plans.iter_mut().skip(short_from)) {
        plan.start = (u128::from(duration) * u128::from(index) / u128::from(short)).try_into()?;
    }
    plans.sort_by_key(|plan| plan.start);
    Ok(plans)
}

fn of_kind(templates: &[Template], kind: Kind) -> anyhow::Result<Vec<&Template>> {
    let found: Vec<&Template> = templates.iter().filter(|template| template.kind == kind).collect();
    anyhow::ensure!(!found.is_empty(), "the captures hold no {kind:?} flow that could be repeated");
    Ok(found)
}

fn pick<'a>(choices: &[&'a Template], random: &mut Random) -> anyhow::Result<&'a Template> {
    let index = usize::try_from(random.below(u64::try_from(choices.len())?))?;
    choices.get(index).copied().context("no template to pick from")
}

/// A template, the smaller and the larger ones so often that their mean is `mean` bytes; any if there are not both.
fn pick_for_mean<'a>(
    choices: &[&'a Template],
    mean: u64,
    random: &mut Random,
) -> anyhow::Result<&'a Template> {
    let (smaller, larger): (Vec<&Template>, Vec<&Template>) =
        choices.iter().partition(|template| template.short().1 < mean);
    if smaller.is_empty() || larger.is_empty() {
        return pick(choices, random);
    }
    let bytes = |templates: &[&Template]| templates.iter().map(|template| template.short().1).sum::<u64>();
    let (low, high) = (bytes(&smaller), bytes(&larger));
    let (few, many) = (u64::try_from(smaller.len())?, u64::try_from(larger.len())?);
    // The means are low / few and high / many; each group weighs what the other one's mean is away from the aim.
    let (below, above) = ((mean * few - low) * many, (high - mean * many) * few);
    let is_smaller = random.below(below + above) < above;
    pick(if is_smaller { &smaller } else { &larger }, random)
}

/// A flow on its way.
struct Flow<'a> {
    plan: &'a Plan<'a>,
    originator: Endpoint,
    responder: Endpoint,
    /// Overwrites the transaction id, and the letters of the name's first label.
    look_up: Option<(u16, u64)>,
    stretch: u64,
    /// Packets written so far.
    written: usize,
    body_packets: usize,
}

impl<'a> Flow<'a> {
    fn new(plan: &'a Plan<'a>, serial: usize) -> Self {
        let template = plan.template;
        let serial = serial as u64;
        let mut random = Random(serial);
        let phone = serial % PHONES;
        // Ports above the well-known ones, each used once by a phone before the first comes again.
        let port = 1024 + serial / PHONES % 64_000;
        let server = random.below(SERVERS);
        let is_v4 = template.originator.address.is_ipv4();
        let is_dns = template.kind == Kind::Dns;
        let lasts = template.head.last().map_or(0, |step| step.after);
        let body_packets = template
            .body
            .as_ref()
            .map_or(0, |body| usize::try_from(body.cost().0 * u64::from(plan.cycles)).unwrap_or(usize::MAX));
        Self {
            plan,
            originator: Endpoint {
                address: address(is_v4, 0, phone),
                port: u16::try_from(port).unwrap_or_default(),
            },
            responder: Endpoint {
                // A phone asks one resolver; the servers are many.
                address: address(is_v4, 1, if is_dns { phone % 4 } else { 4 + server }),
                port: template.responder.port,
            },
            look_up: is_dns
                .then(|| (u16::try_from(random.below(65_536)).unwrap_or_default(), random.below(NAMES))),
            stretch: LONGEST.checked_div(lasts).unwrap_or(STRETCH).clamp(1, STRETCH),
            written: 0,
            body_packets,
        }
    }

    /// When the next packet is due, after the beginning of the file; nothing at the end.
    fn next_at(&self) -> Option<u64> {
        let head = &self.plan.template.head;
        let head_end = || head.last().map_or(0, |step| step.after) * self.stretch;
        let offset = if let Some(step) = head.get(self.written) {
            step.after * self.stretch
        } else {
            let done = self.written - head.len();
            let body = u64::try_from(done.min(self.body_packets)).unwrap_or_default() * self.plan.gap;
            if done >= self.body_packets {
                self.plan.template.tail.get(done - self.body_packets)?;
            }
            head_end() + body
        };
        Some(self.plan.start + offset)
    }

    /// Writes the next packet into `frame`; `serial` counts the file's packets.
    fn write_next(&mut self, serial: u64, frame: &mut Vec<u8>) {
        let template = self.plan.template;
        let at = self.written;
        self.written += 1;
        let identification = u16::try_from(serial % 65_536).unwrap_or_default();
        if let Some(step) = template.head.get(at) {
            self.write_step(step, 0, identification, frame);
            return;
        }
        let Some(body) = &template.body else { return };
        let done = at - template.head.len();
        if let Some(step) = done.checked_sub(self.body_packets).and_then(|at| template.tail.get(at)) {
            let grown = body.cycle_len.wrapping_mul(self.plan.cycles).wrapping_add(body.shift);
            self.write_step(step, grown, identification, frame);
            return;
        }
        // Two segments, then their acknowledgement; an odd last segment has one of its own.
        let a_cycle = body.cycle.len() + body.cycle.len().div_ceil(2);
        let (cycle, place) = (done / a_cycle, done % a_cycle);
        let base =
            body.cycle_len.wrapping_mul(u32::try_from(cycle).unwrap_or_default()).wrapping_add(body.seq);
        let is_acknowledgement = place % 3 == 2 || place + 1 == a_cycle;
        let segment = place / 3 * 2 + place % 3;
        if is_acknowledgement {
            let covered = body.cycle.get(segment).map_or(body.cycle_len, |(offset, _)| *offset);
            let numbers = (body.ack, base.wrapping_add(covered));
            self.write_form(&body.acknowledgement, true, numbers, identification, frame);
        } else if let Some((offset, form)) = body.cycle.get(segment) {
            self.write_form(form, false, (base.wrapping_add(*offset), body.ack), identification, frame);
        }
    }

    /// Writes a packet of head or tail; the responder's bytes have grown by `grown`.
    fn write_step(&self, step: &Step, grown: u32, identification: u16, frame: &mut Vec<u8>) {
        let numbers = if step.from_originator {
            (step.seq, step.ack.wrapping_add(grown))
        } else {
            (step.seq.wrapping_add(grown), step.ack)
        };
        self.write_form(&step.form, step.from_originator, numbers, identification, frame);
    }

    fn write_form(
        &self,
        form: &Form,
        from_originator: bool,
        (seq, ack): (u32, u32),
        identification: u16,
        frame: &mut Vec<u8>,
    ) {
        let (source, destination) = if from_originator {
            (self.originator, self.responder)
        } else {
            (self.responder, self.originator)
        };
        let fields = Fields { source, destination, seq, ack, identification };
        match self.look_up {
            Some((id, name)) => renamed(form, id, name).write(&fields, frame),
            None => form.write(&fields, frame),
        }
    }
}

/// A DNS message with another transaction id, and with the letters of another name in its first label; a label keeps
/// its length, so that compression pointers stay right (RFC 1035 §4.1.4).
fn renamed(form: &Form, id: u16, mut name: u64) -> Form {
    const LABEL: usize = 12;
    let mut form = form.clone();
    // Look-ups that share a socket keep ids that differ.
    let own = form.payload().first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
    form.overwrite(0, &(own ^ id).to_be_bytes());
    let letters = form.payload().get(LABEL).map_or(0, |len| usize::from(*len));
    let label: Vec<u8> = std::iter::repeat_with(|| {
        let letter = b'a' + u8::try_from(name % 26).unwrap_or_default();
        name /= 26;
        letter
    })
    .take(letters)
    .collect();
    form.overwrite(LABEL + 1, &label);
    form
}

/// The address of a phone (`side` 0) or of a server (`side` 1).
fn address(is_v4: bool, side: u8, number: u64) -> IpAddr {
    let [high, low] = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    if is_v4 {
        // RFC 1918 for the phones, the benchmark range of RFC 2544 for the servers.
        let (first, second) = if side == 0 { (10, 200) } else { (198, 18) };
        IpAddr::V4(Ipv4Addr::new(first, second, high, low))
    } else {
        let mut octets = [0; 16];
        octets[..5].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, side]);
        octets[14..].copy_from_slice(&[high, low]);
        IpAddr::V6(Ipv6Addr::from(octets))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::packet::{FIN, Packet, RST, SYN, Transport};
    use super::super::{pcap, template};
    use super::*;

    fn made(shape: &Shape, bytes: u64) -> (Vec<u8>, Totals) {
        let templates = template::load(HTTP_CYCLES).unwrap();
        let mut file = Vec::new();
        let totals = write(shape, bytes, &templates, &mut file).unwrap();
        (file, totals)
    }

    #[test]
    fn every_workload_is_its_size_the_same_each_time_and_in_order_of_time() {
        for shape in &SHAPES {
            let (file, totals) = made(shape, 4_000_000);
            assert_eq!(file.len() as u64, totals.bytes);
            assert!((3_900_000..4_400_000).contains(&totals.bytes), "{}: {} bytes", shape.name, totals.bytes);
            assert!(
                made(shape, 4_000_000) == (file.clone(), totals),
                "{} differs from run to run",
                shape.name
            );
            let records = pcap::read(&file).unwrap();
            assert_eq!(records.len() as u64, totals.packets);
            assert!(records.is_sorted_by_key(|record| record.at), "{}", shape.name);
        }
    }

    /// Flows a GB and bytes a packet, in hundredths of what the shape asks for.
    #[test]
    fn the_shapes_are_what_the_aims_speak_of() {
        for (shape, flows, packet) in
            [(&SHAPES[0], 35_238, 840), (&SHAPES[1], 261_194, 259), (&SHAPES[2], 3_149_171, 159)]
        {
            let (_, totals) = made(shape, 16_000_000);
            let flows = totals.flows * 100 * 1_000_000_000 / totals.bytes / flows;
            let packet = totals.bytes * 100 / totals.packets / packet;
            assert!((90..110).contains(&flows), "{}: {flows} % of the flows", shape.name);
            assert!((90..110).contains(&packet), "{}: {packet} % of a packet's bytes", shape.name);
        }
    }

    #[test]
    fn flows_have_five_tuples_of_their_own() {
        for shape in &SHAPES {
            let (file, totals) = made(shape, 4_000_000);
            let mut tuples = BTreeSet::new();
            for record in pcap::read(&file).unwrap() {
                let packet = Packet::parse(&record.frame).unwrap();
                let ends = [packet.source, packet.destination].map(|end| (end.address, end.port));
                tuples.insert((ends.iter().max().copied(), ends.iter().min().copied()));
            }
            assert_eq!(tuples.len() as u64, totals.flows, "{}", shape.name);
        }
    }

    /// Follows the sequence numbers of both directions of every TCP flow: nothing missing, nothing twice.
    #[test]
    fn the_bytes_of_a_flow_follow_each_other_without_gap() {
        for shape in SHAPES.iter().filter(|shape| shape.bulk.is_some()) {
            let (file, _) = made(shape, 4_000_000);
            let mut next = BTreeMap::new();
            let mut longest = 0;
            for record in pcap::read(&file).unwrap() {
                let packet = Packet::parse(&record.frame).unwrap();
                let Transport::Tcp { seq, ack, flags } = packet.transport else { continue };
                let [from, to] = [packet.source, packet.destination].map(|end| (end.address, end.port));
                let used = packet.payload_len() + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
                let expected = next.entry((from, to)).or_insert(seq);
                if used > 0 {
                    assert_eq!(seq, *expected, "{}: {from:?} to {to:?}", shape.name);
                    *expected = seq.wrapping_add(used);
                }
                let sent = next.get(&(to, from)).copied().unwrap_or(ack);
                let ahead = ack.wrapping_sub(sent);
                assert!(
                    ahead == 0 || ahead > u32::MAX / 2 || flags & RST != 0,
                    "{}: {from:?} acknowledges too much",
                    shape.name
                );
                longest = longest.max(record.frame.len());
            }
            assert!(longest > 1_500, "{} has no bulk flow", shape.name);
        }
    }

    #[test]
    fn a_look_up_keeps_its_length_under_another_name() {
        let (file, _) = made(&SHAPES[2], 200_000);
        let (mut names, mut questions) = (BTreeSet::new(), BTreeSet::new());
        for record in pcap::read(&file).unwrap() {
            let packet = Packet::parse(&record.frame).unwrap();
            let payload = packet.payload();
            let label = usize::from(payload[12]);
            assert!(payload[13..13 + label].iter().all(u8::is_ascii_lowercase));
            names.insert(payload[13..13 + label].to_vec());
            let is_query = payload[2] & 0x80 == 0;
            let question = (packet.source, packet.destination, payload[..2].to_vec());
            assert!(
                !is_query || questions.insert(format!("{question:?}")),
                "two questions share an id and a socket"
            );
        }
        assert!(names.len() > 100, "{} names", names.len());
    }

    #[test]
    fn a_kind_that_no_capture_holds_is_named() {
        let none = Templates { short: Vec::new(), bulk: Vec::new() };
        let error = write(&SHAPES[2], 1_000, &none, Vec::new()).unwrap_err();
        assert!(error.to_string().contains("no Dns flow"), "{error}");
    }
}
