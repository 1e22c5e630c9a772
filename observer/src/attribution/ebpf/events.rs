//! The way of events from the kernel: a ring buffer, or a perf buffer for each processor.

use aya::Ebpf;
use aya::maps::perf::{PerfEvent, PerfEventArray, PerfEventArrayBuffer};
use aya::maps::{Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::util::online_cpus;
use observer_ebpf_common::{Counter, Event, map};

use super::object::chain;

/// Pages of a perf buffer; a power of two. 64 pages of 4 KiB hold some 2,000 events.
const PERF_PAGES: usize = 64;
/// Events that one look takes; the rest waits for the next.
const BATCH: usize = 64 << 10;

/// Where events come from.
enum Buffer {
    Ring(RingBuf<MapData>),
    Perf(Vec<PerfEventArrayBuffer<MapData>>),
}

/// Takes events, and knows what was lost.
pub(super) struct Events {
    buffer: Buffer,
    counters: PerCpuArray<MapData, u64>,
    /// Lost in perf buffers, or not understood.
    lost: u64,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ring = matches!(self.buffer, Buffer::Ring(_));
        f.debug_struct("Events").field("ring", &ring).field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Events {
    /// Takes the buffers out of the loaded object.
    pub(super) fn open(programs: &mut Ebpf, ring_buffer: bool) -> Result<Self, String> {
        let mut take = |name: &str| programs.take_map(name).ok_or_else(|| format!("no map {name}"));
        let plain = |error: MapError| chain(&error);
        let counters = PerCpuArray::try_from(take(map::COUNTERS)?).map_err(plain)?;
        let buffer = if ring_buffer {
            Buffer::Ring(RingBuf::try_from(take(map::EVENTS)?).map_err(plain)?)
        } else {
            Buffer::Perf(perf_buffers(take(map::EVENTS_PERF)?)?)
        };
        Ok(Self { buffer, counters, lost: 0 })
    }

    /// What has come since the last look, in the order of time.
    pub(super) fn take(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let lost = &mut self.lost;
        let mut read = |bytes: &[u8]| match Event::from_bytes(bytes) {
            Some(event) => events.push(event),
            None => *lost = lost.saturating_add(1),
        };
        match &mut self.buffer {
            Buffer::Ring(ring) => {
                for _ in 0..BATCH {
                    let Some(item) = ring.next() else { break };
                    read(&item);
                }
            }
            Buffer::Perf(buffers) => {
                let mut missing = 0_u64;
                let mut sample = Vec::new();
                for buffer in buffers {
                    buffer.for_each(|event| match event {
                        PerfEvent::Sample { head, tail } => {
                            sample.clear();
                            sample.extend_from_slice(head);
                            sample.extend_from_slice(tail);
                            read(&sample);
                        }
                        PerfEvent::Lost { count } => missing = missing.saturating_add(count),
                    });
                }
                self.lost = self.lost.saturating_add(missing);
                // Each processor has its own buffer.
                events.sort_by_key(|event| event.time);
            }
        }
        events
    }

    /// Events that were lost on the way.
    pub(super) fn lost(&self) -> u64 {
        self.count(Counter::Lost).saturating_add(self.lost)
    }

    /// A counter of the programs, over all processors.
    pub(super) fn count(&self, counter: Counter) -> u64 {
        let values = self.counters.get(&(counter as u32), 0);
        values.map_or(0, |values| values.iter().fold(0, |sum: u64, value| sum.saturating_add(*value)))
    }
}

fn perf_buffers(map: Map) -> Result<Vec<PerfEventArrayBuffer<MapData>>, String> {
    let mut array: PerfEventArray<MapData> =
        PerfEventArray::try_from(map).map_err(|error: MapError| chain(&error))?;
    let processors = online_cpus().map_err(|(file, error)| format!("{file}: {error}"))?;
    let open = |processor| array.open(processor, Some(PERF_PAGES)).map_err(|error| chain(&error));
    processors.into_iter().map(open).collect()
}
