//! The programs as an object, made to fit the kernel.

use std::error::Error;

use aya::maps::MapType;
use aya::programs::{Program, ProgramError, SchedClassifier};
use aya::sys::is_map_supported;
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use observer_ebpf_common::{map, program};

/// What `cargo xtask ebpf` makes.
static OBJECT: &[u8] =
    include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../observer-ebpf/observer.bpf.o"));

/// Bytes of the ring buffer where memory is scarce: 140,000 events, more than two cores make in a second. Who reads them waits
/// for a processor like everybody else.
const RING_BYTES: u32 = 16 << 20;
/// Bytes of the ring buffer elsewhere, as many as libpcap's ring has: bursts of some seconds.
const LARGE_RING_BYTES: u32 = 64 << 20;
/// Bytes of memory from which on it is not scarce.
const PLENTY: u64 = 4 << 30;
/// `BPF_MAP_TYPE_ARRAY`.
const MAP_TYPE_ARRAY: u32 = 2;

/// Why the programs cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    /// The object in this build is broken.
    #[error("the kernel programs of this build have no map {0}")]
    NoMap(&'static str),
    /// The kernel refuses maps, or the object cannot be read.
    #[error("{}", chain(.0))]
    Maps(#[source] aya::EbpfError),
    /// The kernel refuses every variant of a program; this is the last refusal.
    #[error("the kernel refuses {name}: {}", chain(.source))]
    Program {
        /// Which.
        name: &'static str,
        /// Why.
        source: ProgramError,
    },
}

/// An error with its causes, in one line: without the verifier's log, which is for the developer.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text.lines().next().unwrap_or_default().to_owned()
}

/// Makes the maps. Without a ring buffer (Linux before 5.8) its place is taken by an array that nobody uses.
pub(super) fn load(ring_buffer: bool) -> Result<Ebpf, ObjectError> {
    let mut loader = EbpfLoader::new();
    if ring_buffer {
        loader.map_max_entries(map::EVENTS, ring_bytes());
        return loader.load(OBJECT).map_err(ObjectError::Maps);
    }
    loader.load(&without_ring_buffer(OBJECT)?).map_err(ObjectError::Maps)
}

/// The size of the ring buffer on this system.
#[allow(clippy::useless_conversion, reason = "a processor of 32 bits counts memory in 32 bits")]
fn ring_bytes() -> u32 {
    let system = rustix::system::sysinfo();
    let memory = u64::from(system.mem_unit).saturating_mul(system.totalram.into());
    if memory < PLENTY { RING_BYTES } else { LARGE_RING_BYTES }
}

/// Whether the kernel has ring buffers.
pub(super) fn has_ring_buffer() -> bool {
    is_map_supported(MapType::RingBuf).unwrap_or(false)
}

/// The object with another definition of the map `EVENTS`: type, key, value and number of entries are its first words.
fn without_ring_buffer(object: &[u8]) -> Result<Vec<u8>, ObjectError> {
    let broken = || ObjectError::NoMap(map::EVENTS);
    let file = object::File::parse(object).map_err(|_malformed| broken())?;
    let symbol = file.symbol_by_name(map::EVENTS).ok_or_else(broken)?;
    let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
    let (offset, _) = section.and_then(|section| section.file_range()).ok_or_else(broken)?;
    let at = usize::try_from(offset.saturating_add(symbol.address())).map_err(|_too_far| broken())?;
    let mut patched = object.to_vec();
    let definition =
        patched.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<16>()).ok_or_else(broken)?;
    let fields = [MAP_TYPE_ARRAY, 4, 8, 1];
    for (byte, field) in definition.iter_mut().zip(fields.into_iter().flat_map(u32::to_le_bytes)) {
        *byte = field;
    }
    Ok(patched)
}

/// The two programs at tc egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Egress {
    /// For interfaces with an Ethernet header.
    pub(super) ethernet: &'static str,
    /// For interfaces whose packets begin with the IP header.
    pub(super) ip: &'static str,
}

/// The variants for kernels with a ring buffer, best first.
const MODERN: &[Egress] = &[
    Egress { ethernet: program::EGRESS, ip: program::EGRESS_IP },
    Egress { ethernet: program::EGRESS_NO_CGROUP, ip: program::EGRESS_IP_NO_CGROUP },
];

/// The variant for kernels without one.
const LEGACY: &[Egress] = &[Egress { ethernet: program::EGRESS_LEGACY, ip: program::EGRESS_IP_LEGACY }];

impl Egress {
    /// Loads the first variant that the kernel takes.
    pub(super) fn load(programs: &mut Ebpf, ring_buffer: bool) -> Result<Self, ObjectError> {
        let mut refusal = None;
        for variant in if ring_buffer { MODERN } else { LEGACY } {
            match variant.try_load(programs) {
                Ok(()) => return Ok(*variant),
                Err(source) => refusal = Some(ObjectError::Program { name: variant.ethernet, source }),
            }
        }
        Err(refusal.unwrap_or(ObjectError::NoMap(map::EVENTS)))
    }

    fn try_load(self, programs: &mut Ebpf) -> Result<(), ProgramError> {
        for name in [self.ethernet, self.ip] {
            classifier(programs, name)?.load()?;
        }
        Ok(())
    }
}

/// A program at tc, by name.
pub(super) fn classifier<'a>(
    programs: &'a mut Ebpf,
    name: &str,
) -> Result<&'a mut SchedClassifier, ProgramError> {
    programs.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// Loads any program of the object.
pub(super) fn load_any(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.load(),
        Program::TracePoint(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ring_buffer_s_definition_is_replaced() {
        let patched = without_ring_buffer(OBJECT).unwrap();
        let differing: Vec<usize> = (0..OBJECT.len()).filter(|at| OBJECT[*at] != patched[*at]).collect();
        let (first, last) = (differing[0], differing[differing.len() - 1]);
        assert!(last - first < 16 && OBJECT.len() == patched.len(), "{differing:?}");
        assert_eq!(OBJECT[first..first + 4], 27_u32.to_le_bytes(), "BPF_MAP_TYPE_RINGBUF");
        assert!(without_ring_buffer(&OBJECT[..100]).is_err());
    }
}
