//! The requirements that traffic is held against: a row for each, in every standard, with how traffic bears on it.
//!
//! The rows are data: the gist of a requirement in our own words, its level where the standard has levels, what in the
//! traffic bears on it ([`Exercise`]), and what to check instead where traffic says little or nothing. They hold no
//! opinion; rules name the rows that they bear on by [`Requirement::id`].

mod asvs;
mod cl_mss;
mod google;
mod masvs;
mod mitre;
mod ncsc;
mod niap;
mod nist;
mod owasp;

/// A document with requirements.
#[derive(Debug, PartialEq, Eq)]
pub struct Standard {
    /// The prefix of its requirements' identifiers.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The version that the rows were written from; numbers differ between versions.
    pub version: &'static str,
}

/// What in the traffic shows that a requirement was put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exercise {
    /// Any flow with payload to another device.
    Payload,
    /// A TLS flow whose ServerHello was captured.
    Handshake,
    /// A server chain that can be read, or a server that the client turned away.
    Chain,
    /// A readable chain of a host with a pin in the policy.
    Pin,
    /// A handshake with a host at which the policy expects a client certificate, or a server that asks for one.
    ClientCertificate,
    /// An attempt to reach a far end over TLS that came to nothing.
    Loss,
    /// An HTTP request that can be read.
    Request,
    /// An HTTP response that can be read, in the clear or decrypted.
    Response,
    /// Any flow, where the policy lists the allowed endpoints.
    Endpoint,
    /// Nothing: traffic cannot show it.
    None,
}

/// One requirement of one standard.
#[derive(Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The standard's prefix, a colon, and the number, e.g. `cl-mss:5.1`.
    pub id: &'static str,
    /// Whose it is.
    pub standard: &'static Standard,
    /// The standard's own level, e.g. `L1`; empty where it has none.
    pub level: &'static str,
    /// What it asks, in short.
    pub gist: &'static str,
    /// What in the traffic puts it to the test.
    pub exercise: Exercise,
    /// How traffic bears on it, or why it cannot.
    pub bearing: &'static str,
    /// What to check where traffic does not suffice.
    pub instead: &'static str,
}

/// Every requirement: a table a standard, each in the order of its document.
pub static CATALOGUE: &[&[Requirement]] = &[
    cl_mss::ROWS,
    masvs::ROWS,
    asvs::ROWS,
    google::ROWS,
    ncsc::ROWS,
    niap::ROWS,
    nist::ROWS,
    mitre::ROWS,
    owasp::ROWS,
];

/// Every requirement, in the order of [`CATALOGUE`].
pub fn all() -> impl Iterator<Item = &'static Requirement> {
    CATALOGUE.iter().flat_map(|rows| rows.iter())
}

/// The requirement called `id`.
#[must_use]
pub fn find(id: &str) -> Option<&'static Requirement> {
    all().find(|requirement| requirement.id == id)
}

/// Every standard, in the order of [`CATALOGUE`].
#[must_use]
pub fn standards() -> Vec<&'static Standard> {
    let mut standards: Vec<&'static Standard> = Vec::new();
    for requirement in all() {
        if !standards.contains(&requirement.standard) {
            standards.push(requirement.standard);
        }
    }
    standards
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_whole_and_named_once() {
        let mut seen = BTreeSet::new();
        for row in all() {
            assert!(seen.insert(row.id), "{} twice", row.id);
            assert!(row.id.starts_with(&format!("{}:", row.standard.id)), "{}", row.id);
            assert!(row.gist.len() > 15, "{} says nothing", row.id);
            assert!(row.bearing.len() > 15, "{} does not say how traffic bears on it", row.id);
            let alone = matches!(row.exercise, Exercise::None | Exercise::Chain | Exercise::Handshake);
            assert!(!alone || row.instead.len() > 10, "{} does not say what to check instead", row.id);
        }
    }

    #[test]
    fn the_documents_are_covered() {
        let count = |standard: &str| all().filter(|row| row.standard.id == standard).count();
        assert_eq!(count("cl-mss"), 9);
        assert_eq!(count("masvs"), 10);
        assert_eq!(count("asvs"), 11);
        assert_eq!(count("google"), 5);
        assert_eq!(count("ncsc"), 7);
        assert_eq!(count("niap"), 5);
        assert_eq!(count("nist"), 4);
        assert_eq!(count("mitre"), 8);
        assert_eq!(find("cl-mss:5.9").map(|row| row.level), Some("L2"));
        assert_eq!(find("cl-mss:5.10"), None);
    }
}
