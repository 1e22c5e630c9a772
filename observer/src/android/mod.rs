//! A device beside this machine: reached through adb, asked what it is and what it can do; and what its tools say of tests.
//!
//! [`adb`] speaks to the device and knows nothing of what is asked; [`device`] asks, and judges the answers. What a device
//! answers is a stranger's word: it is read in bounds, and never trusted to be well-formed. [`logcat`], [`instrument`] and
//! [`junit`] are parsers alone: bytes in, [markers](crate::source::Marker) out, from a file or as they arrive.

#[cfg(all(feature = "live", target_os = "linux"))]
pub mod adb;
pub mod agent;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod capture;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod command;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod device;
pub mod instrument;
pub mod junit;
mod lines;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod link;
pub mod logcat;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod tables;

use std::io::{self, Read};

/// Bytes that are read at once.
const BLOCK: usize = 64 << 10;

/// Hands on all of `input`, piece by piece.
fn pour(input: &mut dyn Read, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match input.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => take(block.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
