//! QUIC's versions: what they are called, and what each changes of the Initial packets (RFC 9000 §15).
//!
//! The salts are published with each version so that middleboxes do not come to rely on one of them; whoever knows the
//! version can read its Initial packets.

use std::fmt;

/// A version as on the wire; unknown values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

/// What the keys of Initial and Retry packets are made from.
#[derive(Debug)]
pub(super) struct Scheme {
    /// The salt of the Initial secret (RFC 9001 §5.2).
    pub(super) salt: [u8; 20],
    /// What is derived from a secret is called.
    pub(super) labels: &'static Labels,
    /// Key and nonce of the Retry integrity tag (RFC 9001 §5.8); drafts before 25 have none.
    pub(super) retry: Option<([u8; 16], [u8; 12])>,
}

/// Labels, without `tls13 `, of key, IV, header protection key, and the secret after a key update (RFC 9001 §5.1, §6.1;
/// RFC 9369 §3.3.2).
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) key: &'static [u8],
    pub(super) iv: &'static [u8],
    pub(super) header: &'static [u8],
    pub(super) update: &'static [u8],
}

static QUIC: Labels = Labels { key: b"quic key", iv: b"quic iv", header: b"quic hp", update: b"quic ku" };
static QUIC_V2: Labels =
    Labels { key: b"quicv2 key", iv: b"quicv2 iv", header: b"quicv2 hp", update: b"quicv2 ku" };

/// RFC 9001, and drafts 33 and 34.
static V1: Scheme = Scheme {
    salt: [
        0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
        0xbb, 0x7f, 0x0a,
    ],
    labels: &QUIC,
    retry: Some((
        [0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e],
        [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb],
    )),
};

/// RFC 9369.
static V2: Scheme = Scheme {
    salt: [
        0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9,
        0xbd, 0x2e, 0xd9,
    ],
    labels: &QUIC_V2,
    retry: Some((
        [0x8f, 0xb4, 0xb0, 0x1b, 0x56, 0xac, 0x48, 0xe2, 0x60, 0xfb, 0xcb, 0xce, 0xad, 0x7c, 0xcc, 0x92],
        [0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a],
    )),
};

/// The drafts of version 2 that were deployed.
static V2_DRAFT: Scheme = Scheme {
    salt: [
        0xa7, 0x07, 0xc2, 0x03, 0xa5, 0x9b, 0x47, 0x18, 0x4a, 0x1d, 0x62, 0xca, 0x57, 0x04, 0x06, 0xea, 0x7a,
        0xe3, 0xe5, 0xd3,
    ],
    labels: &QUIC_V2,
    retry: None,
};

/// Drafts 29 to 32.
static DRAFT_29: Scheme = Scheme {
    salt: [
        0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43,
        0x90, 0xa8, 0x99,
    ],
    labels: &QUIC,
    retry: Some((
        [0xcc, 0xce, 0x18, 0x7e, 0xd0, 0x9a, 0x09, 0xd0, 0x57, 0x28, 0x15, 0x5a, 0x6c, 0xb9, 0x6b, 0xe1],
        [0xe5, 0x49, 0x30, 0xf9, 0x7f, 0x21, 0x36, 0xf0, 0x53, 0x0a, 0x8c, 0x1c],
    )),
};

/// Drafts 25 to 28.
static DRAFT_25: Scheme = Scheme {
    salt: DRAFT_23.salt,
    labels: &QUIC,
    retry: Some((
        [0x4d, 0x32, 0xec, 0xdb, 0x2a, 0x21, 0x33, 0xc8, 0x41, 0xe4, 0x04, 0x3d, 0xf2, 0x7d, 0x44, 0x30],
        [0x4d, 0x16, 0x11, 0xd0, 0x55, 0x13, 0xa5, 0x52, 0xc5, 0x87, 0xd5, 0x75],
    )),
};

/// Drafts 23 and 24, and Facebook's versions.
static DRAFT_23: Scheme = Scheme {
    salt: [
        0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe,
        0xf9, 0xf5, 0x02,
    ],
    labels: &QUIC,
    retry: None,
};

/// Draft 22.
static DRAFT_22: Scheme = Scheme {
    salt: [
        0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd, 0x7a,
        0x02, 0x64, 0x4a,
    ],
    labels: &QUIC,
    retry: None,
};

/// Google's Q050.
static Q050: Scheme = Scheme {
    salt: [
        0x50, 0x45, 0x74, 0xef, 0xd0, 0x66, 0xfe, 0x2f, 0x9d, 0x94, 0x5c, 0xfc, 0xdb, 0xd3, 0xa7, 0xf0, 0xd3,
        0xb5, 0x6b, 0x45,
    ],
    labels: &QUIC,
    retry: None,
};

/// Google's T050.
static T050: Scheme = Scheme {
    salt: [
        0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c, 0x60,
        0x48, 0x83, 0x10,
    ],
    labels: &QUIC,
    retry: None,
};

/// Google's T051.
static T051: Scheme = Scheme {
    salt: [
        0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc, 0xda,
        0x6e, 0x03, 0x3d,
    ],
    labels: &QUIC,
    retry: None,
};

/// What a version of no known meaning may be made from: it is tried, and the packet's tag tells.
static GUESSES: [&Scheme; 3] = [&V1, &DRAFT_29, &DRAFT_23];

impl Version {
    /// RFC 9000.
    pub const V1: Self = Self(1);
    /// RFC 9369.
    pub const V2: Self = Self(0x6b33_43cf);
    /// The version of Version Negotiation packets.
    pub(super) const NEGOTIATION: Self = Self(0);
    /// A draft of version 2.
    const V2_DRAFT: Self = Self(0x709a_50c4);
    const Q050: Self = Self(u32::from_be_bytes(*b"Q050"));
    const T050: Self = Self(u32::from_be_bytes(*b"T050"));
    const T051: Self = Self(u32::from_be_bytes(*b"T051"));

    /// Whether it is reserved to exercise version negotiation: `0x?a?a?a?a` (RFC 9000 §15).
    #[must_use]
    pub fn is_grease(self) -> bool {
        self.0 & 0x0f0f_0f0f == 0x0a0a_0a0a
    }

    /// The number of the IETF's draft that it stands for.
    #[must_use]
    pub fn draft(self) -> Option<u8> {
        match self.0.to_be_bytes() {
            [0xff, 0, 0, draft] => Some(draft),
            _ => None,
        }
    }

    /// Google's number for it: `Q` with Google's own handshake, `T` with TLS.
    #[must_use]
    pub fn google(self) -> Option<(char, [char; 3])> {
        match self.0.to_be_bytes().map(char::from) {
            [kind @ ('Q' | 'T'), '0', tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit() => {
                Some((kind, ['0', tens, ones]))
            }
            _ => None,
        }
    }

    /// Whether its handshake is Google's own, not TLS.
    #[must_use]
    pub fn is_google_crypto(self) -> bool {
        self.google().is_some_and(|(kind, _)| kind == 'Q')
    }

    /// Whether packets of this version have Google's frames.
    pub(super) fn has_google_frames(self) -> bool {
        self.google().is_some()
    }

    /// Whether the types of long headers are those of version 2 (RFC 9369 §3.2).
    pub(super) fn has_types_of_v2(self) -> bool {
        matches!(self, Self::V2 | Self::V2_DRAFT)
    }

    /// Whether the version's long headers are laid out as RFC 9000 §17.2 says, as far as is known.
    pub(super) fn is_known(self) -> bool {
        self.scheme().is_some()
    }

    /// What its Initial packets are protected with; `None` where that is not published.
    pub(super) fn scheme(self) -> Option<&'static Scheme> {
        Some(match self {
            Self::V1 => &V1,
            Self::V2 => &V2,
            Self::V2_DRAFT => &V2_DRAFT,
            Self::Q050 => &Q050,
            Self::T050 => &T050,
            Self::T051 => &T051,
            _ => match self.0.to_be_bytes() {
                [0xff, 0, 0, 22] | [0xfa, 0xce, 0xb0, 1] => &DRAFT_22,
                [0xff, 0, 0, 23..=24] | [0xfa, 0xce, 0xb0, _] => &DRAFT_23,
                [0xff, 0, 0, 25..=28] => &DRAFT_25,
                [0xff, 0, 0, 29..=32] => &DRAFT_29,
                [0xff, 0, 0, 33..=34] => &V1,
                _ => return None,
            },
        })
    }

    /// What its Initial packets may be protected with.
    pub(super) fn schemes(self) -> impl Iterator<Item = &'static Scheme> {
        let known = self.scheme();
        let guesses = if known.is_none() { &GUESSES[..] } else { &[] };
        known.into_iter().chain(guesses.iter().copied())
    }
}

/// `1`, `2`, `draft-29`, `Q046`, `T051`; others in hex.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((kind, number)) = self.google() {
            return write!(f, "{kind}{}", String::from_iter(number));
        }
        match (*self, self.draft()) {
            (Self::V1, _) => f.write_str("1"),
            (Self::V2, _) => f.write_str("2"),
            (_, Some(draft)) => write!(f, "draft-{draft}"),
            _ => write!(f, "{:#010x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_names() {
        let names = [1, 0x6b33_43cf, 0xff00_001d, 0x5130_3436, 0x5430_3531, 0xface_b002, 0x1a2a_3a4a]
            .map(|number| Version(number).to_string());
        assert_eq!(names, ["1", "2", "draft-29", "Q046", "T051", "0xfaceb002", "0x1a2a3a4a"]);
        assert!(Version(0x1a2a_3a4a).is_grease() && !Version::V1.is_grease());
        assert!(Version(0x5130_3436).is_google_crypto() && !Version(0x5430_3531).is_google_crypto());
    }
}
