//! Owners that the capture file states.

use super::{AppDirectory, Confidence, Method, Owner};
use crate::source::RecordedOwner;

/// The owner behind a recorded one.
#[must_use]
pub fn owner_of(recorded: &RecordedOwner, directory: &AppDirectory) -> Owner {
    let apps = recorded.uid.map(|uid| directory.apps(uid)).unwrap_or_default();
    Owner {
        uid: recorded.uid,
        user: None,
        package: match apps {
            [(package, _)] => Some(package.clone()),
            _ => None,
        },
        packages: if apps.len() > 1 {
            apps.iter().map(|(package, _)| package.clone()).collect()
        } else {
            Vec::new()
        },
        label: recorded.label.clone(),
        pid: recorded.pid,
        process: recorded.process.clone(),
        method: Method::Recorded,
        confidence: Confidence::Exact,
    }
}
