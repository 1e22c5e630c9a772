//! The server keys that earlier runs saw: what a database hands in, for rules that compare runs.

use std::collections::BTreeMap;

use crate::time::Timestamp;

/// Keys of hosts by name, each with the time at which it was last seen; bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownKeys {
    hosts: BTreeMap<String, Vec<([u8; 32], Timestamp)>>,
    dropped: u64,
}

impl KnownKeys {
    /// Hosts that are remembered.
    pub const HOSTS: usize = 16_384;
    /// Keys that are remembered of a host.
    pub const KEYS: usize = 64;

    /// Adds a key of `host` that was last seen at `at`; beyond the bounds it is only counted.
    pub fn add(&mut self, host: &str, spki_sha256: [u8; 32], at: Timestamp) {
        let host = host.to_ascii_lowercase();
        let full = self.hosts.len() >= Self::HOSTS && !self.hosts.contains_key(&host);
        let keys = if full { None } else { Some(self.hosts.entry(host).or_default()) };
        match keys {
            Some(keys) if keys.len() < Self::KEYS => keys.push((spki_sha256, at)),
            _ => self.dropped = self.dropped.saturating_add(1),
        }
    }

    /// The keys of `host`, none where no run saw it.
    #[must_use]
    pub fn of(&self, host: &str) -> &[([u8; 32], Timestamp)] {
        self.hosts.get(&host.to_ascii_lowercase()).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many the bounds dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_what_is_dropped_is_counted() {
        let mut known = KnownKeys::default();
        for number in 0..KnownKeys::KEYS + 3 {
            known.add("Shop.test", [u8::try_from(number).unwrap(); 32], Timestamp(0));
        }
        assert_eq!(known.of("shop.test").len(), KnownKeys::KEYS);
        assert_eq!(known.dropped(), 3);
        assert!(known.of("news.test").is_empty());
    }
}
