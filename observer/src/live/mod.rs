//! One capture of a running system: what surrounds the pipeline while frames arrive.
//!
//! Linux only. Nothing here parses a packet or judges one.

pub mod confinement;
pub mod privileges;
pub mod thread_state;
