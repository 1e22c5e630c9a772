//! Tests over the public API and the binary.

mod captures;
mod cli;
mod rules;
mod store;
