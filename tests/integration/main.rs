//! Tests over the public API and the binary.
