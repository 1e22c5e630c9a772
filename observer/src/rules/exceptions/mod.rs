//! Exceptions that the tester declared, and that are over.

mod policy_expired_exception;

pub(super) use self::policy_expired_exception::PolicyExpiredException;
