//! The clock that sightings of live sockets are stamped with.

use std::time::SystemTime;

use crate::time::Timestamp;

/// The time on the wall, as libpcap stamps frames with it.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge: sightings of the running system meet frames by time, and nothing else reads this clock"
)]
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
