//! Tests over the public API and the binary.

mod cli;
mod rules;
mod store;
