//! Proof on real sockets: captures of a running system, held against what the lab's own apps say of their flows.
//!
//! Everything happens in network namespaces that the lab makes and removes. That takes root and Linux; without, each
//! test says that it is skipped.

#![cfg(target_os = "linux")]
#![expect(clippy::panic, reason = "the harness is a test")]
#![expect(clippy::disallowed_methods, reason = "a test that waits for programs does not wait for ever")]

mod agent;
mod attribution;
mod capture;
mod device;
mod lifecycle;
mod network;
mod programs;
mod recording;
mod run;
mod scenario;
mod selection;
mod steps;
mod truth;
