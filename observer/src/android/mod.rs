//! A device beside this machine: reached through adb, asked what it is and what it can do.
//!
//! [`adb`] speaks to the device and knows nothing of what is asked. What a device answers is a stranger's word: it is read in
//! bounds, and never trusted to be well-formed.

pub mod adb;
#[cfg(all(feature = "live", target_os = "linux"))]
pub mod tables;
