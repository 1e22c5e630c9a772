//! Apps on the left, far ends on the right, a line where they spoke: as thick as what was sent, coloured by the worst protection.

use std::collections::BTreeMap;

use super::{class, shortened};
use crate::report::stored::StoredRun;
use crate::report::wording::size;

/// Apps that are drawn.
const APPS: usize = 12;
/// Far ends that are drawn: those with the worst protection first, then those with the most bytes.
const HOSTS: usize = 40;
/// Units between two lines of text.
const STEP: usize = 20;
/// Characters of names.
const NAME: usize = 40;

#[derive(Default)]
pub(super) struct Map {
    pub(super) height: usize,
    pub(super) label: String,
    pub(super) apps: Vec<Node>,
    pub(super) hosts: Vec<Node>,
    pub(super) links: Vec<Link>,
    pub(super) left_out: usize,
}

pub(super) struct Node {
    pub(super) y: usize,
    pub(super) name: String,
}

pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) class: &'static str,
    pub(super) width: u32,
    pub(super) label: String,
}

/// How bad a protection is; the worst is 0.
fn rank(protection: &str) -> usize {
    super::PROTECTIONS.iter().position(|known| *known == protection).unwrap_or(0)
}

impl Map {
    pub(super) fn new(run: &StoredRun) -> Self {
        // By app and host: the worst protection and the bytes.
        let mut spoke: BTreeMap<(usize, &str), (usize, u64)> = BTreeMap::new();
        for (number, app) in run.apps.iter().enumerate().filter(|(_, app)| app.flow_count > 0).take(APPS) {
            for endpoint in &app.endpoints {
                let bytes = endpoint.sent.saturating_add(endpoint.received);
                let rank = rank(&endpoint.protection);
                let entry = spoke.entry((number, &endpoint.host)).or_insert((rank, 0));
                entry.0 = entry.0.min(rank);
                entry.1 = entry.1.saturating_add(bytes);
            }
        }
        let mut hosts: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for ((_, host), (rank, bytes)) in &spoke {
            let entry = hosts.entry(host).or_insert((*rank, 0));
            entry.0 = entry.0.min(*rank);
            entry.1 = entry.1.saturating_add(*bytes);
        }
        let mut order: Vec<_> = hosts.into_iter().collect();
        order.sort_by_key(|(host, (rank, bytes))| (*rank, std::cmp::Reverse(*bytes), *host));
        let all: std::collections::BTreeSet<&str> =
            run.apps.iter().flat_map(|app| &app.endpoints).map(|endpoint| endpoint.host.as_str()).collect();
        let mut map = Self { left_out: all.len().saturating_sub(order.len().min(HOSTS)), ..Self::default() };
        order.truncate(HOSTS);
        let place = |number: usize| number.saturating_mul(STEP).saturating_add(STEP / 2);
        let places: BTreeMap<&str, usize> =
            order.iter().enumerate().map(|(number, (host, _))| (*host, place(number))).collect();
        map.hosts = order
            .iter()
            .map(|(host, _)| Node { y: places.get(host).copied().unwrap_or(0), name: shortened(host, NAME) })
            .collect();
        let numbers: std::collections::BTreeSet<usize> = spoke.keys().map(|(number, _)| *number).collect();
        let rows = order.len().max(numbers.len());
        let gap = rows / numbers.len().max(1);
        let mut from = BTreeMap::new();
        for (row, number) in numbers.into_iter().enumerate() {
            let y = place(row.saturating_mul(gap.max(1)));
            from.insert(number, y);
            let name = run.apps.get(number).map(|app| run.name(app)).unwrap_or_default();
            map.apps.push(Node { y, name: shortened(name, NAME) });
        }
        for ((number, host), (rank, bytes)) in &spoke {
            let (Some(from), Some(to)) = (from.get(number), places.get(host)) else { continue };
            let name = run.apps.get(*number).map(|app| run.name(app)).unwrap_or_default();
            let protection = super::PROTECTIONS.get(*rank).copied().unwrap_or("cleartext");
            map.links.push(Link {
                from: *from,
                to: *to,
                class: class(protection),
                // A unit more for each power of ten.
                width: bytes.checked_ilog10().unwrap_or(0).saturating_sub(1).clamp(1, 8),
                label: format!(
                    "{} to {}: {protection}, {}",
                    shortened(name, NAME),
                    shortened(host, NAME),
                    size(*bytes)
                ),
            });
        }
        map.height = rows.saturating_mul(STEP);
        map.label = format!(
            "{} apps and {} far ends, joined where they spoke. The table of endpoints has the same in words.",
            map.apps.len(),
            map.hosts.len()
        );
        map
    }
}
