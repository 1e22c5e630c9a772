//! What the running system says: who owns its sockets, what processes they are of, which apps it has.
//!
//! Linux only. Everything here is asked for and never waited for; each bound on work has a name, and what it leaves out is
//! counted.

mod chain;
#[cfg(test)]
mod namespace;
mod packages;
mod process;
mod procfs;
mod sock_diag;
mod unit;
mod users;

pub use self::chain::{Attributors, Choice, attributors};
pub use self::packages::{PACKAGES_LIST, PackageWatch};
