//! What the flows of a run tell of the device that they were captured on: its addresses, and what its platform offers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{App, Digest, Place};
use crate::policy::Weaknesses;
use crate::protocol::tls::TlsVersion;

/// What is known of the device.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// Its addresses, as far as owned flows show them: see [`Device::of`].
    pub addresses: BTreeSet<IpAddr>,
    /// What its platform's own clients offer over TLS, taken together.
    pub platform: Option<Offer>,
}

/// What TLS clients offer, taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The highest version.
    pub version: TlsVersion,
    /// What is wrong with the suites that any of them offers.
    pub weak: Weaknesses,
    /// Where the highest version is offered.
    pub place: Place,
    /// By whom.
    pub name: String,
}

impl Device {
    /// What the apps' flows tell; `is_platform` says of an app whether it is the platform itself.
    ///
    /// An owner is known only of sockets of the device, so that it is at one end of every owned flow: an address with
    /// two owned peers or more is the device's. A flow between two such addresses says nothing of its direction.
    #[must_use]
    pub fn of(apps: &[App], is_platform: impl Fn(&App) -> bool) -> Self {
        let mut peers: BTreeMap<IpAddr, BTreeSet<IpAddr>> = BTreeMap::new();
        let owned = apps.iter().filter(|app| app.owner.is_some());
        for digest in owned.flat_map(|app| &app.endpoints).flat_map(|endpoint| &endpoint.flows) {
            for (one, other) in [(digest.source, digest.ip), (digest.ip, digest.source)] {
                let known = peers.entry(one).or_default();
                if known.len() < 2 {
                    known.insert(other);
                }
            }
        }
        let addresses = peers.into_iter().filter(|(_, peers)| peers.len() > 1).map(|(ip, _)| ip).collect();
        let mut platform: Option<Offer> = None;
        for app in apps.iter().filter(|app| is_platform(app)) {
            for (digest, session) in offers(app) {
                let Some(version) = session.offered else { continue };
                let place = (digest.flow, session.hello);
                let name = app.owner.as_ref().map(|owner| owner.name()).unwrap_or_default();
                let offer =
                    platform.get_or_insert(Offer { version, weak: session.weak, place, name: name.clone() });
                offer.weak = offer.weak.or(session.weak);
                if version > offer.version {
                    *offer = Offer { version, place, name, weak: offer.weak };
                }
            }
        }
        Self { addresses, platform }
    }

    /// Whether somebody else began this flow, towards the device. Where that is a guess, nobody did.
    #[must_use]
    pub fn is_inbound(&self, digest: &Digest) -> bool {
        digest.shows_originator
            && self.addresses.contains(&digest.ip)
            && !self.addresses.contains(&digest.source)
    }
}

/// An app's first offers over TLS: what it tries again with less says nothing of what it is able to.
pub(super) fn offers(app: &App) -> impl Iterator<Item = (&Digest, super::TlsDigest)> {
    let flows = app.endpoints.iter().flat_map(|endpoint| &endpoint.flows);
    flows.filter_map(|digest| Some((digest, digest.tls.filter(|session| !session.fallback_scsv)?)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::attribution::{Confidence, Method, Owner};
    use crate::observation::Flow;
    use crate::rules::Endpoint;

    const PHONE: [u8; 4] = [10, 0, 0, 2];
    const NEIGHBOUR: [u8; 4] = [10, 0, 0, 3];
    const SERVER: [u8; 4] = [198, 51, 100, 1];

    fn app(owned: bool, flows: &[([u8; 4], [u8; 4])]) -> App {
        let owner = Owner {
            uid: Some(10_123),
            user: None,
            package: None,
            packages: Vec::new(),
            label: None,
            pid: None,
            process: None,
            method: Method::Recorded,
            confidence: Confidence::Exact,
            platform: false,
        };
        let digest = |(from, to): &([u8; 4], [u8; 4])| Digest::of(&Flow::made((*from, 40_000), (*to, 8080)));
        let endpoint = Endpoint { owner: None, host: None, flows: flows.iter().map(digest).collect() };
        App { owner: owned.then(|| Arc::new(owner)), endpoints: vec![endpoint] }
    }

    fn inbound(owned: bool, flows: &[([u8; 4], [u8; 4])]) -> usize {
        let app = app(owned, flows);
        let device = Device::of(std::slice::from_ref(&app), |_| false);
        app.endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.flows)
            .filter(|digest| device.is_inbound(digest))
            .count()
    }

    #[test]
    fn who_is_at_one_end_of_all_owned_flows_is_the_device() {
        assert_eq!(inbound(true, &[(PHONE, SERVER), (NEIGHBOUR, PHONE)]), 1);
        assert_eq!(inbound(true, &[(PHONE, SERVER), (PHONE, NEIGHBOUR)]), 0);
    }

    #[test]
    fn a_guess_of_who_began_is_no_open_port() {
        let mut app = app(true, &[(PHONE, SERVER), (NEIGHBOUR, PHONE)]);
        app.endpoints[0].flows[1].shows_originator = false;
        let device = Device::of(std::slice::from_ref(&app), |_| false);
        assert!(!app.endpoints[0].flows.iter().any(|digest| device.is_inbound(digest)));
    }

    #[test]
    fn where_it_cannot_be_told_nothing_is_claimed() {
        // One peer could be either end; without owners, a server of many clients looks the same.
        assert_eq!(inbound(true, &[(NEIGHBOUR, PHONE)]), 0);
        assert_eq!(inbound(false, &[(PHONE, SERVER), (NEIGHBOUR, SERVER)]), 0);
    }
}
