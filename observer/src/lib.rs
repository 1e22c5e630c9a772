//! Which app on this device sent what, to whom, protected how, and which requirement does that break?
//!
//! The same bytes in give the same answers out: below `source` there is no clock, no I/O and no randomness that
//! shows.
//!
//! ```text
//! source ──Frame──▶ decode ──Packet──▶ flow ──bytes in order──▶ protocol ──Fact──▶ observation ──▶ rules ──Finding──▶ store, report
//!                                        ▲ Owner
//!                                   attribution
//! ```
//!
//! A module uses only what stands to its left; [`pipeline`] alone knows all of them.

#![forbid(unsafe_code)]

pub mod bytes;
pub mod time;

pub mod source;

pub mod decode;

pub mod flow;

pub mod protocol;

pub mod attribution;

pub mod recording;

pub mod observation;

pub mod policy;

pub mod requirements;

pub mod trust;

pub mod rules;

pub mod assess;

pub mod report;

pub mod store;

pub mod pipeline;

#[cfg(all(feature = "live", target_os = "linux"))]
pub mod live;

pub mod android;

#[cfg(all(feature = "live", target_os = "linux"))]
pub mod doctor;

#[cfg(all(feature = "cli", unix))]
pub mod watch;

#[cfg(feature = "cli")]
pub mod cli;
