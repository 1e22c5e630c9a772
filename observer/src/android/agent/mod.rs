//! The observer in two halves: an agent that captures on the device, and a host that analyses.
//!
//! The agent has two processes. The *daemon* captures, finds owners, and holds every message until it is acknowledged; the
//! *relay* leads its socket to the stream between device and host, mostly one of adb's. When the stream breaks, the relay dies
//! and the daemon goes on; the next relay of the same session resumes with the first message that did not arrive.
//!
//! On the host, [`Client`] opens that stream, again where it breaks, and gives an [`AgentSource`] for the pipeline, the
//! owners that the device tells, and an [`AgentControl`]. Frames are decoded and judged on the host alone: the daemon never
//! looks into them.
//!
//! | file | |
//! |---|---|
//! | `wire` | framing and messages |
//! | `record` | sockets and flows as messages have them |
//! | `clock` | the clocks of device and host |
//! | `client`, `talker`, `shared`, `source` | the host's side |
//! | `relay` | the process between stream and daemon |
//! | `daemon`, `server`, `outbox`, `spool` | the process that captures |
//! | `folder` | what it has on the device's disk |

mod client;
mod clock;
mod record;
mod shared;
mod source;
mod talker;
mod wire;

#[cfg(all(feature = "live", target_os = "linux"))]
mod daemon;
#[cfg(all(feature = "live", target_os = "linux"))]
mod folder;
#[cfg(all(feature = "live", target_os = "linux"))]
mod outbox;
#[cfg(all(feature = "live", target_os = "linux"))]
mod relay;
#[cfg(all(feature = "live", target_os = "linux"))]
mod server;
#[cfg(all(feature = "live", target_os = "linux"))]
mod spool;

pub use self::client::{Client, ClientError, ClientOptions, Link};
pub use self::clock::DeviceTime;
#[cfg(all(feature = "live", target_os = "linux"))]
pub use self::daemon::{AgentOptions, Ending, serve};
#[cfg(all(feature = "live", target_os = "linux"))]
pub use self::folder::{AgentError, default_folder, remove_leftovers};
#[cfg(all(feature = "live", target_os = "linux"))]
pub use self::relay::relay;
pub use self::shared::{AgentControl, AgentCounts, LinkState};
pub use self::source::AgentSource;
pub use self::wire::{
    DeviceHello, DeviceMessage, HostMessage, Message, VERSION, WireError, read_message, read_preamble,
};

/// How the daemon says, in a line to the relay that started it, that it listens.
#[cfg(all(feature = "live", target_os = "linux"))]
pub const READY: &str = "ready";
