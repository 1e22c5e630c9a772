//! The machine.

use rustix::param::page_size as size;
use rustix::system::uname;

use super::{Answer, Item};

/// Release and architecture.
pub(super) fn kernel() -> (Answer, Vec<Item>) {
    let name = uname();
    let [system, release, machine] =
        [name.sysname(), name.release(), name.machine()].map(std::ffi::CStr::to_string_lossy);
    Answer::fact(format!("{system} {release}, {machine}")).alone()
}

/// Android's newer devices have pages of 16 KiB, which a program has to be linked for.
pub(super) fn page_size() -> (Answer, Vec<Item>) {
    Answer::fact(format!("{} KiB", size() / 1024)).alone()
}
