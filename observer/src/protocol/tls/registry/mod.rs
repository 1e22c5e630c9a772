//! IANA's registries of TLS code points, and what was deployed without being in them.
//!
//! The tables are written by `cargo xtask registries` from the CSV files beside them; where those come from stands in the
//! README there. A registered name goes before one of `unregistered`.

mod alerts;
mod cipher_suites;
mod signature_schemes;
mod supported_groups;
mod unregistered;

pub(super) use self::unregistered::SSL2_CIPHER_KINDS;

/// What IANA's column "Recommended" says ([RFC 9847 §3](https://datatracker.ietf.org/doc/html/rfc9847#section-3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recommended {
    /// `Y`: the IETF has consensus that it is recommended.
    Yes,
    /// `N`: the IETF has not made a statement on it, or only for some uses.
    No,
    /// `D`: the IETF discourages it.
    Discouraged,
}

/// A cipher suite: value, name, DTLS-OK, Recommended.
type Suite = (u16, &'static str, bool, Recommended);

/// The registered suite with this value.
fn suite(value: u16) -> Option<&'static Suite> {
    let table = cipher_suites::TABLE;
    table.binary_search_by_key(&value, |suite| suite.0).ok().and_then(|at| table.get(at))
}

/// The name with this value in a table by value.
fn named<T: Ord + Copy>(table: &[(T, &'static str)], value: T) -> Option<&'static str> {
    let at = table.binary_search_by_key(&value, |row| row.0).ok()?;
    table.get(at).map(|row| row.1)
}

/// The name of a cipher suite.
pub(super) fn suite_name(value: u16) -> Option<&'static str> {
    suite(value).map(|suite| suite.1).or_else(|| named(unregistered::CIPHER_SUITES, value))
}

/// What IANA says of using a suite in DTLS, and what it recommends; `None` for what is not registered.
pub(super) fn suite_flags(value: u16) -> Option<(bool, Recommended)> {
    suite(value).map(|suite| (suite.2, suite.3))
}

/// Every suite that has a name, in no order.
pub(super) fn suites() -> impl Iterator<Item = u16> {
    let registered = cipher_suites::TABLE.iter().map(|suite| suite.0);
    registered.chain(unregistered::CIPHER_SUITES.iter().map(|row| row.0))
}

/// The name of a group.
pub(super) fn group_name(value: u16) -> Option<&'static str> {
    named(supported_groups::TABLE, value).or_else(|| named(unregistered::SUPPORTED_GROUPS, value))
}

/// Every group that has a name, in no order.
pub(super) fn groups() -> impl Iterator<Item = u16> {
    supported_groups::TABLE.iter().chain(unregistered::SUPPORTED_GROUPS).map(|row| row.0)
}

/// The name of a signature scheme.
pub(super) fn scheme_name(value: u16) -> Option<&'static str> {
    named(signature_schemes::TABLE, value).or_else(|| named(unregistered::SIGNATURE_SCHEMES, value))
}

/// The name of an AlertDescription.
pub(super) fn alert_name(value: u8) -> Option<&'static str> {
    named(alerts::TABLE, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tls::encrypted::compression;
    use crate::protocol::tls::hello::extension;

    /// Whether the values ascend, as a binary search needs it.
    fn ascends<T: Ord>(values: impl Iterator<Item = T> + Clone) -> bool {
        values.clone().zip(values.skip(1)).all(|(first, second)| first < second)
    }

    #[test]
    fn every_table_is_by_value() {
        assert!(ascends(cipher_suites::TABLE.iter().map(|row| row.0)));
        assert!(ascends(supported_groups::TABLE.iter().map(|row| row.0)));
        assert!(ascends(signature_schemes::TABLE.iter().map(|row| row.0)));
        assert!(ascends(alerts::TABLE.iter().map(|row| row.0)));
        assert!(ascends(unregistered::CIPHER_SUITES.iter().map(|row| row.0)));
        assert!(ascends(unregistered::SUPPORTED_GROUPS.iter().map(|row| row.0)));
        assert!(ascends(unregistered::SIGNATURE_SCHEMES.iter().map(|row| row.0)));
        assert!(ascends(SSL2_CIPHER_KINDS.iter().map(|row| row.0)));
    }

    #[test]
    fn nothing_is_both_registered_and_unregistered() {
        assert!(unregistered::CIPHER_SUITES.iter().all(|row| suite(row.0).is_none()));
        for (value, name) in unregistered::SUPPORTED_GROUPS {
            assert_eq!(named(supported_groups::TABLE, *value), None, "{name}");
        }
        for (value, name) in unregistered::SIGNATURE_SCHEMES {
            assert_eq!(named(signature_schemes::TABLE, *value), None, "{name}");
        }
    }

    #[test]
    fn every_assignment_of_the_files_is_there() {
        let counts =
            [cipher_suites::TABLE.len(), supported_groups::TABLE.len(), signature_schemes::TABLE.len()];
        // As many as IANA's registries held on 2026-09-29.
        assert_eq!(counts, [356, 59, 49]);
    }

    #[test]
    fn post_quantum_groups_have_names() {
        let names = [0x11eb, 0x11ec, 0x11ed, 0x6399, 0x639a].map(group_name);
        let expected = [
            "SecP256r1MLKEM768",
            "X25519MLKEM768",
            "SecP384r1MLKEM1024",
            "X25519Kyber768Draft00",
            "SecP256r1Kyber768Draft00",
        ];
        assert_eq!(names, expected.map(Some));
    }

    /// The number that a line of one of IANA's files gives `name`.
    fn number(file: &str, name: &str) -> Option<u16> {
        let line = file.lines().find(|line| {
            let mut cells = line.split(',').skip(1);
            cells.next().is_some_and(|cell| cell.trim_start_matches('"').split(' ').next() == Some(name))
        })?;
        line.split(',').next()?.parse().ok()
    }

    #[test]
    fn the_parsers_use_the_numbers_of_the_registries() {
        let file = include_str!("extension_types.csv");
        for (used, name) in [
            (extension::SERVER_NAME, "server_name"),
            (extension::SUPPORTED_GROUPS, "supported_groups"),
            (extension::EC_POINT_FORMATS, "ec_point_formats"),
            (extension::SIGNATURE_ALGORITHMS, "signature_algorithms"),
            (extension::ALPN, "application_layer_protocol_negotiation"),
            (extension::EXTENDED_MASTER_SECRET, "extended_main_secret"),
            (extension::SESSION_TICKET, "session_ticket"),
            (extension::PRE_SHARED_KEY, "pre_shared_key"),
            (extension::EARLY_DATA, "early_data"),
            (extension::SUPPORTED_VERSIONS, "supported_versions"),
            (extension::CERTIFICATE_AUTHORITIES, "certificate_authorities"),
            (extension::KEY_SHARE, "key_share"),
            (extension::ECH, "encrypted_client_hello"),
            (extension::RENEGOTIATION_INFO, "renegotiation_info"),
        ] {
            assert_eq!(number(file, name), Some(used), "{name}");
        }
        let file = include_str!("certificate_compression_algorithms.csv");
        for (used, name) in
            [(compression::ZLIB, "zlib"), (compression::BROTLI, "brotli"), (compression::ZSTD, "zstd")]
        {
            assert_eq!(number(file, name), Some(used), "{name}");
        }
    }
}
