//! CL MSS 5.7: the app has its own trust store or pins keys.

mod accepted_unpinned_key;

pub(super) use self::accepted_unpinned_key::AcceptedUnpinnedKey;
