//! The offline observer of mobile app traffic.
