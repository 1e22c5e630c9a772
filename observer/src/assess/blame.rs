//! Whom a finding is held against: the uid decides, before names and ports.
//!
//! Android gives uids below 10000 to the platform (`AID_APP_START`): the network stack that looks for captive portals,
//! the resolver, the clock. What they send is theirs. On other systems such uids are people's, so the rule holds only
//! for captures that show packages.

use std::sync::Arc;

use crate::attribution::Owner;
use crate::policy::Policy;
use crate::rules::Blame;

/// Uids of one Android user (`AID_USER_OFFSET`).
const USER_OFFSET: u32 = 100_000;

/// The first uid of apps within a user (`AID_APP_START`).
const APP_START: u32 = 10_000;

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
        self.is_android && owner.uid.is_some_and(|uid| uid % USER_OFFSET < APP_START)
    }
}

/// Whether the owner is an Android package: a name with dots for an app's uid.
fn is_packaged(owner: &Owner) -> bool {
    let app = owner.uid.is_some_and(|uid| uid % USER_OFFSET >= APP_START);
    let mut names = owner.package.iter().chain(&owner.packages);
    app && names.any(|name| name.contains('.'))
}
