//! From what a capture or a socket table states to an [`Owner`].

use std::sync::Arc;

use super::android::AndroidUid;
use super::{AppDirectory, Confidence, Method, Owner, SocketOwner};
use crate::source::{Dialect, RecordedOwner};

/// The owner behind a recorded one.
///
/// NFLOG states the credentials of whoever created the socket: for DNS on Android that is netd, not the app that
/// asked. Its owners are exact in that sense only.
#[must_use]
pub fn owner_of(recorded: &RecordedOwner, directory: &AppDirectory) -> Owner {
    let is_android = match recorded.dialect {
        Dialect::Pcapdroid => true,
        // It speaks PCAPdroid's dialect wherever uids are Android's.
        Dialect::Observer => false,
        _ => !directory.is_empty(),
    };
    let how = (Method::Recorded, recorded.confidence.unwrap_or(confidence(recorded.dialect)));
    let owner = named(recorded.uid, is_android, recorded.label.as_ref(), how, directory);
    Owner {
        user: owner.user.clone().or_else(|| recorded.user.clone()),
        pid: recorded.pid,
        process: recorded.process.clone(),
        ..owner
    }
}

/// The owner behind a socket of the running system.
#[must_use]
pub fn owner_of_socket(socket: &SocketOwner, directory: &AppDirectory) -> Owner {
    let how = (socket.method, socket.confidence);
    let unit = socket.unit.as_ref().filter(|unit| is_app(unit));
    let owner = named(socket.uid, !directory.is_empty(), unit, how, directory);
    Owner {
        user: owner.user.clone().or_else(|| socket.user.clone()),
        pid: socket.pid,
        process: socket.process.clone(),
        ..owner
    }
}

/// Whether a systemd unit is a program's own, by which people know it: a service, or the scope that a desktop gives to an
/// app. A login's session holds whatever is run in it.
fn is_app(unit: &str) -> bool {
    unit.ends_with(".service") && !unit.starts_with("user@")
        || unit.starts_with("app-") && unit.ends_with(".scope")
}

/// The owner that a uid stands for, without a process. The same number is another user elsewhere: uid 1000 of a desktop is a
/// person, so that somebody has to say that a uid `is_android`.
fn named(
    uid: Option<u32>,
    is_android: bool,
    label: Option<&String>,
    (method, confidence): (Method, Confidence),
    directory: &AppDirectory,
) -> Owner {
    let apps = uid.map(|uid| directory.apps(uid)).unwrap_or_default();
    let android = uid.filter(|_| is_android).map(AndroidUid::new);
    let packages: Vec<_> =
        apps.iter().map(|(package, _)| package).filter(|package| !package.is_empty()).cloned().collect();
    let (package, packages) = match packages.as_slice() {
        [package] => (Some(package.clone()), Vec::new()),
        _ => (None, packages),
    };
    let label = match apps {
        // What the directory knows is whole; what packets say may be cut.
        [(_, label)] if !label.is_empty() => Some(label.clone()),
        _ => label.cloned(),
    };
    Owner {
        uid,
        user: match android {
            Some(android) => android.name(),
            None => uid.filter(|uid| *uid == 0).map(|_| "root".to_owned()),
        },
        package,
        packages,
        label,
        pid: None,
        process: None,
        method,
        confidence,
        platform: android.is_some_and(AndroidUid::is_platform),
    }
}

/// The owners behind all that was recorded of one flow: the one to go by first, then those that contradict it.
#[must_use]
pub fn owners_of(recorded: &[Arc<RecordedOwner>], directory: &AppDirectory) -> Vec<Owner> {
    settle(recorded.iter().map(|recorded| owner_of(recorded, directory)))
}

/// The owner to go by first, then those that contradict it.
///
/// Statements that do not contradict each other make one owner. One that knows the uid goes before one that does not,
/// then the stronger method before the weaker, then the earlier before the later.
#[must_use]
pub fn settle(statements: impl IntoIterator<Item = Owner>) -> Vec<Owner> {
    let mut owners: Vec<Owner> = Vec::new();
    for owner in statements {
        match owners.iter_mut().find(|known| agree(known, &owner)) {
            Some(known) => complete(known, owner),
            None => owners.push(owner),
        }
    }
    owners.sort_by_key(|owner| (owner.uid.is_none(), owner.method));
    owners
}

fn confidence(dialect: Dialect) -> Confidence {
    match dialect {
        Dialect::Darwin
        | Dialect::Nflog
        | Dialect::Observer
        | Dialect::Pcapdroid
        | Dialect::Pktap
        | Dialect::ProcessIdOption
        | Dialect::Ptcpdump => Confidence::Exact,
        // It takes the process from wherever the platform lets it, tables among them.
        Dialect::Rustnet => Confidence::Polled,
        // The process that was running when the event was logged.
        Dialect::Etl2pcapng => Confidence::Inferred,
    }
}

/// Whether two statements are of one owner. Processes of one user share sockets, so that the pid decides only where a uid is
/// missing.
fn agree(one: &Owner, other: &Owner) -> bool {
    match (one.uid, other.uid) {
        (Some(uid), Some(of_other)) => uid == of_other,
        _ => one.pid.is_some() && one.pid == other.pid,
    }
}

/// Adds to `known` what only `other` says.
fn complete(known: &mut Owner, other: Owner) {
    if known.uid.is_none() {
        (known.uid, known.user, known.platform) = (other.uid, other.user, other.platform);
        (known.package, known.packages) = (other.package, other.packages);
    }
    known.label = known.label.take().or(other.label);
    known.pid = known.pid.or(other.pid);
    known.process = known.process.take().or(other.process);
    if (other.confidence, other.method) < (known.confidence, known.method) {
        (known.method, known.confidence) = (other.method, other.confidence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(dialect: Dialect, uid: Option<u32>, pid: Option<u32>) -> RecordedOwner {
        RecordedOwner { uid, pid, ..RecordedOwner::new(dialect) }
    }

    fn directory() -> AppDirectory {
        let mut directory = AppDirectory::default();
        directory.add(10_101, "com.shop", "Shop");
        directory.add(10_102, "com.b", "");
        directory.add(10_102, "com.a", "");
        directory
    }

    #[test]
    fn one_package_names_the_app() {
        let mut shop = recorded(Dialect::Pcapdroid, Some(10_101), None);
        shop.label = Some("Sho".into());
        let owner = owner_of(&shop, &directory());
        assert_eq!((owner.package.as_deref(), owner.label.as_deref()), (Some("com.shop"), Some("Shop")));
        assert_eq!((owner.user, owner.platform), (None, false));
        assert_eq!(owner.confidence, Confidence::Exact);
        let profile = owner_of(&recorded(Dialect::Nflog, Some(1_010_101), None), &directory());
        assert_eq!((profile.package.as_deref(), profile.user.as_deref()), (Some("com.shop"), Some("u10")));
    }

    #[test]
    fn shared_uids_list_all_packages() {
        let owner = owner_of(&recorded(Dialect::Pcapdroid, Some(10_102), None), &directory());
        assert_eq!((owner.package, owner.packages), (None, vec!["com.a".to_owned(), "com.b".to_owned()]));
    }

    #[test]
    fn uids_are_androids_only_where_something_says_so() {
        let none = AppDirectory::default();
        let dns = owner_of(&recorded(Dialect::Pcapdroid, Some(1051), None), &none);
        assert_eq!((dns.user.as_deref(), dns.platform), (Some("dns"), true));
        let person = owner_of(&recorded(Dialect::Ptcpdump, Some(1000), Some(7)), &none);
        assert_eq!((person.user, person.platform), (None, false));
        let system = owner_of(&recorded(Dialect::Nflog, Some(1000), None), &directory());
        assert_eq!((system.user.as_deref(), system.platform), (Some("system"), true));
        let root = owner_of(&recorded(Dialect::Nflog, Some(0), None), &none);
        assert_eq!((root.user.as_deref(), root.platform), (Some("root"), false));
    }

    #[test]
    fn statements_that_agree_make_one_owner() {
        let statements = [
            Arc::new(recorded(Dialect::ProcessIdOption, None, Some(7))),
            Arc::new(recorded(Dialect::Ptcpdump, Some(10_101), Some(7))),
            Arc::new(recorded(Dialect::Nflog, Some(10_101), None)),
        ];
        let owners = owners_of(&statements, &directory());
        assert_eq!(owners.len(), 1);
        assert_eq!((owners[0].uid, owners[0].pid), (Some(10_101), Some(7)));
        assert_eq!(owners[0].package.as_deref(), Some("com.shop"));
    }

    #[test]
    fn statements_that_contradict_are_both_kept() {
        let statements = [
            Arc::new(recorded(Dialect::ProcessIdOption, None, Some(9))),
            Arc::new(recorded(Dialect::Nflog, Some(0), None)),
            Arc::new(recorded(Dialect::Pcapdroid, Some(10_101), None)),
        ];
        let uids: Vec<_> = owners_of(&statements, &directory()).iter().map(|owner| owner.uid).collect();
        assert_eq!(uids, [Some(0), Some(10_101), None]);
    }
}
