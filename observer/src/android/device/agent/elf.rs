//! Whether a file runs on a device: for its processor, and without a loader or libraries.

use object::Endianness;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64, PT_INTERP, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// Bytes from a file's beginning that its program headers lie in.
pub(super) const HEAD: u64 = 64 << 10;

/// The largest page of any supported device, in bytes.
///
/// [Android, Support 16 KB page sizes](https://developer.android.com/guide/practices/page-sizes)
const PAGE: u64 = 16 << 10;

/// What a program needs of whoever runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// The loader of its libraries; a static program has none.
    pub(super) loader: Option<String>,
    /// The least that its segments are aligned to: the largest pages that can load it, in bytes.
    pub(super) alignment: u64,
}

impl Needs {
    /// Reads the head of a file.
    ///
    /// # Errors
    /// When it is no program for `architecture`.
    pub(super) fn read(head: &[u8], architecture: &str) -> Result<Self, String> {
        let unreadable = || "it is no 64-bit ELF program".to_owned();
        let header = FileHeader64::<Endianness>::parse(head).ok().ok_or_else(unreadable)?;
        let endian = header.endian().ok().ok_or_else(unreadable)?;
        let machine = header.e_machine(endian);
        let wanted = if architecture == "aarch64" { EM_AARCH64 } else { EM_X86_64 };
        if machine != wanted {
            return Err(format!("it is for another processor than {architecture}"));
        }
        let segments = header.program_headers(endian, head).ok().ok_or_else(unreadable)?;
        let loader = segments.iter().find(|segment| segment.p_type(endian) == PT_INTERP).map(|segment| {
            let path = segment.data(endian, head).unwrap_or_default();
            String::from_utf8_lossy(path.strip_suffix(&[0]).unwrap_or(path)).into_owned()
        });
        let loaded = segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
        let alignment = loaded.map(|segment| segment.p_align(endian)).min().ok_or_else(unreadable)?;
        Ok(Self { loader, alignment })
    }

    /// Makes sure that pages of `page` bytes can load it.
    ///
    /// # Errors
    /// When they cannot.
    pub(super) fn load_on(&self, page: u64) -> Result<(), String> {
        match self.alignment < page {
            true => Err(format!("devices with pages of {} KiB cannot load it", page >> 10)),
            false => Ok(()),
        }
    }

    /// Makes sure that any device of the architecture can run it.
    ///
    /// # Errors
    /// When some cannot.
    pub(super) fn run_anywhere(&self) -> Result<(), String> {
        match self.loader {
            Some(_) => Err("it needs libraries, which Android has not".to_owned()),
            None => self.load_on(PAGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF head with one loaded segment, and an interpreter's if wanted.
    fn head(machine: u16, align: u64, interpreter: bool) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let segments: &[u32] = if interpreter { &[PT_LOAD, PT_INTERP] } else { &[PT_LOAD] };
        head.extend(2_u16.to_le_bytes());
        head.extend(machine.to_le_bytes());
        head.extend(1_u32.to_le_bytes());
        for value in [0_u64, 64, 0] {
            head.extend(value.to_le_bytes());
        }
        head.extend(0_u32.to_le_bytes());
        for value in [64_u16, 56, u16::try_from(segments.len()).unwrap(), 64, 0, 0] {
            head.extend(value.to_le_bytes());
        }
        for kind in segments {
            head.extend(kind.to_le_bytes());
            head.extend(5_u32.to_le_bytes());
            for value in [0_u64, 0, 0, 64, 64, align] {
                head.extend(value.to_le_bytes());
            }
        }
        head
    }

    fn check(head: &[u8], architecture: &str) -> Result<(), String> {
        Needs::read(head, architecture)?.run_anywhere()
    }

    #[test]
    fn a_static_program_for_the_processor_fits() {
        assert_eq!(check(&head(EM_AARCH64, PAGE, false), "aarch64"), Ok(()));
        assert_eq!(check(&head(EM_X86_64, 1 << 16, false), "x86_64"), Ok(()));
        let reason = |head: &[u8]| check(head, "aarch64").unwrap_err();
        assert!(reason(&head(EM_X86_64, PAGE, false)).contains("another processor"));
        assert!(reason(&head(EM_AARCH64, PAGE, true)).contains("libraries"));
        assert!(reason(&head(EM_AARCH64, 4096, false)).contains("16 KiB"));
    }

    #[test]
    fn a_cut_head_is_no_program() {
        let whole = head(EM_AARCH64, PAGE, false);
        for length in 0..whole.len() {
            assert!(check(&whole[..length], "aarch64").is_err(), "{length}");
        }
    }
}
