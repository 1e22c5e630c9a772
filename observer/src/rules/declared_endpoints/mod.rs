//! NIAP and NIST: an app talks to the far ends that were declared, and to no others.

mod undeclared_endpoint;

pub(super) use self::undeclared_endpoint::UndeclaredEndpoint;
