//! CL MSS 5.7 and 5.8: the app has its own trust store or pins keys.

mod accepted_test_ca;
mod accepted_unpinned_key;
mod server_key_changed;

pub(super) use self::accepted_test_ca::AcceptedTestCa;
pub(super) use self::accepted_unpinned_key::AcceptedUnpinnedKey;
pub(super) use self::server_key_changed::ServerKeyChanged;
