//! Tests over the public API and the binary.

mod captures;
#[cfg(target_os = "linux")]
mod cleanup;
mod cli;
mod client_flight;
mod diff;
#[cfg(target_os = "linux")]
mod doctor;
mod gate;
mod guides;
mod help;
mod page;
#[cfg(target_os = "linux")]
mod privileges;
mod program;
mod recording;
mod refusal;
mod report;
mod review;
mod rules;
mod steps;
mod store;
#[cfg(unix)]
mod watch;
