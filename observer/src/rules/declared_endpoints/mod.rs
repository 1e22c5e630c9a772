//! NIAP and NIST: an app talks to the far ends that were declared, and to no others.

mod listening_port;
mod port_scan;
mod undeclared_endpoint;

pub(super) use self::listening_port::ListeningPort;
pub(super) use self::port_scan::PortScan;
pub(super) use self::undeclared_endpoint::UndeclaredEndpoint;
