//! Whom a finding is held against: the uid decides, before names and ports.
//!
//! What Android's own uids send (the search for captive portals, the resolver, the clock) is the platform's. On other
//! systems such uids are people's, so the numbers count only where the owner says that they are Android's, or the
//! capture shows packages.

use std::sync::Arc;

use crate::attribution::{AndroidUid, Owner};
use crate::policy::Policy;
use crate::rules::Blame;

/// Decides whom findings are held against.
pub(super) struct Judge {
    policy: Policy,
    has_owners: bool,
    is_android: bool,
}

impl Judge {
    /// A judge for a run with these owners.
    pub(super) fn new<'a>(policy: &Policy, owners: impl Iterator<Item = &'a Arc<Owner>>) -> Self {
        let mut judge = Self { policy: policy.clone(), has_owners: false, is_android: false };
        for owner in owners {
            judge.has_owners = true;
            judge.is_android |= is_packaged(owner);
        }
        judge
    }

    /// Whether the capture knows owners at all.
    pub(super) fn has_owners(&self) -> bool {
        self.has_owners
    }

    /// Whom to blame for what `owner` does.
    pub(super) fn blame(&self, owner: Option<&Owner>) -> Blame {
        match owner {
            None if self.has_owners => Blame::Unattributed,
            None => Blame::Capture,
            Some(owner) if self.policy.names(owner) => Blame::App,
            Some(owner) if self.is_platform(owner) => Blame::Platform,
            Some(owner) if self.policy.in_scope(owner) => Blame::App,
            Some(_) => Blame::OutOfScope,
        }
    }

    fn is_platform(&self, owner: &Owner) -> bool {
        let by_uid = || owner.uid.is_some_and(|uid| AndroidUid::new(uid).is_platform());
        owner.is_platform() || (self.is_android && by_uid())
    }
}

/// Whether the owner is an Android package: a name with dots for an app's uid.
fn is_packaged(owner: &Owner) -> bool {
    let app = owner.uid.is_some_and(|uid| AndroidUid::new(uid).is_app());
    let mut names = owner.package.iter().chain(&owner.packages);
    app && names.any(|name| name.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::{Confidence, Method};

    fn owner(uid: u32, package: Option<&str>, process: Option<&str>) -> Arc<Owner> {
        Arc::new(Owner {
            uid: Some(uid),
            user: None,
            package: package.map(str::to_owned),
            packages: Vec::new(),
            label: None,
            pid: None,
            process: process.map(str::to_owned),
            method: Method::Recorded,
            confidence: Confidence::Exact,
            platform: false,
        })
    }

    #[test]
    fn on_android_low_uids_are_the_platform_whatever_the_user() {
        let shop = owner(10_123, Some("test.shop"), None);
        let judge = Judge::new(&Policy::default(), [&shop].into_iter());
        assert_eq!(judge.blame(Some(&shop)), Blame::App);
        for uid in [0, 1000, 1051, 1073, 1_001_000] {
            assert_eq!(judge.blame(Some(&owner(uid, None, None))), Blame::Platform, "{uid}");
        }
        for uid in [2000, 1_010_123] {
            assert_eq!(judge.blame(Some(&owner(uid, None, None))), Blame::App, "{uid}");
        }
        assert_eq!(judge.blame(None), Blame::Unattributed);
    }

    #[test]
    fn elsewhere_low_uids_are_people_and_daemons() {
        let curl = owner(1000, None, Some("curl"));
        let judge = Judge::new(&Policy::default(), [&curl].into_iter());
        assert_eq!(judge.blame(Some(&curl)), Blame::App);
        assert_eq!(Judge::new(&Policy::default(), std::iter::empty()).blame(None), Blame::Capture);
    }

    #[test]
    fn a_platform_owner_that_the_scope_names_is_judged() {
        let policy = Policy::parse("[scope]\napps = [\"uid:1000\"]\n").unwrap();
        let (shop, system) = (owner(10_123, Some("test.shop"), None), owner(1000, None, None));
        let judge = Judge::new(&policy, [&shop, &system].into_iter());
        assert_eq!(judge.blame(Some(&system)), Blame::App);
        assert_eq!(judge.blame(Some(&shop)), Blame::OutOfScope);
    }
}
