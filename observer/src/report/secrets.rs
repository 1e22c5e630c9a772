//! Secrets that messages carry in the clear: outputs name them by a digest, never by their value.
//!
//! A digest is `sha256:`, the first 12 hex digits of the value's SHA-256, `:` and the value's length in bytes. It
//! tells two secrets apart and recognises one that comes again; a short or guessable one can be found by trying.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::protocol::http1::{self, CredentialKind, Request};

/// Header fields whose value is a secret, beside those that carry a request's credentials.
const HEADERS: &[&str] = &[
    "authentication-info",
    "set-cookie",
    "set-cookie2",
    "x-apikey",
    "x-authorization",
    "x-csrf-token",
    "x-xsrf-token",
];

/// Header fields whose value is a URL, whose parameters may be secrets.
const URL_HEADERS: &[&str] = &["content-location", "location", "origin", "referer", "refresh"];

/// Query parameters whose value is not shown either, although the name may mean something else; lower case, without
/// `-`, `_` and `.`.
const PARAMETERS: &[&str] = &[
    "auth",
    "authorization",
    "bearer",
    "credential",
    "credentials",
    "session",
    "sessionkey",
    "sid",
    "sig",
    "signature",
    "xamzcredential",
    "xamzsecuritytoken",
    "xamzsignature",
];

/// What becomes of secrets in outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// They are written as digests.
    #[default]
    Digest,
    /// They are written as they were sent.
    Keep,
}

impl Secrets {
    /// The value of the header field `name` (lower case) as outputs write it.
    #[must_use]
    pub fn header<'a>(self, name: &str, value: &'a str) -> Cow<'a, str> {
        match self {
            Self::Keep => Cow::Borrowed(value),
            Self::Digest if http1::is_secret_field(name) || HEADERS.binary_search(&name).is_ok() => {
                Cow::Owned(digest(value))
            }
            Self::Digest if URL_HEADERS.binary_search(&name).is_ok() => url(value, |_name| false),
            Self::Digest => Cow::Borrowed(value),
        }
    }

    /// The request target as outputs write it: only the values of secret parameters and `user:password@` change.
    #[must_use]
    pub fn target(self, request: &Request) -> Cow<'_, str> {
        match self {
            Self::Keep => Cow::Borrowed(&request.target),
            Self::Digest => url(&request.target, |name| {
                request.credentials.iter().any(|credential| {
                    credential.kind == CredentialKind::QueryParameter && credential.name == name
                })
            }),
        }
    }
}

/// The digest that stands for `value`.
#[must_use]
pub fn digest(value: &str) -> String {
    let hash = HEXLOWER.encode(&Sha256::digest(value.as_bytes()));
    format!("sha256:{}:{}", hash.get(..12).unwrap_or_default(), value.len())
}

fn is_secret_parameter(name: &str) -> bool {
    http1::announces_secret(name) || PARAMETERS.binary_search(&http1::plain_name(name).as_str()).is_ok()
}

/// `target` with digests for `user:password` and for the values of parameters that are named like a secret or that
/// `also` names.
fn url(target: &str, also: impl Fn(&str) -> bool) -> Cow<'_, str> {
    let secret = |name: &str| is_secret_parameter(name) || also(name);
    let (before, query) =
        target.split_once('?').map_or((target, None), |(before, query)| (before, Some(query)));
    let before = user_info(before);
    let query = query.map(|query| parameters(query, secret));
    match (&before, &query) {
        (Cow::Borrowed(_), None | Some(Cow::Borrowed(_))) => Cow::Borrowed(target),
        (before, None) => Cow::Owned(before.clone().into_owned()),
        (before, Some(query)) => Cow::Owned(format!("{before}?{query}")),
    }
}

/// `https://user:password@host/` with a digest for the part before the `@`.
fn user_info(before: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = before.split_once("://") else { return Cow::Borrowed(before) };
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    match authority.rsplit_once('@') {
        Some((user_info, host)) => Cow::Owned(format!("{scheme}://{}@{host}{path}", digest(user_info))),
        None => Cow::Borrowed(before),
    }
}

/// A query (and fragment, which redirects use for tokens) with digests for the values of secret parameters.
fn parameters(query: &str, secret: impl Fn(&str) -> bool) -> Cow<'_, str> {
    let pieces = || query.split_inclusive(['&', ';', '#']);
    let is_secret = |piece: &str| {
        piece
            .split_once('=')
            .is_some_and(|(name, value)| !value.trim_end_matches(['&', ';', '#']).is_empty() && secret(name))
    };
    if !pieces().any(is_secret) {
        return Cow::Borrowed(query);
    }
    let mut out = String::with_capacity(query.len());
    for piece in pieces() {
        match piece.split_once('=') {
            Some((name, value)) if is_secret(piece) => {
                let bare = value.trim_end_matches(['&', ';', '#']);
                out.push_str(name);
                out.push('=');
                out.push_str(&digest(bare));
                out.push_str(value.get(bare.len()..).unwrap_or_default());
            }
            _ => out.push_str(piece),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        assert!(HEADERS.is_sorted() && URL_HEADERS.is_sorted() && PARAMETERS.is_sorted());
    }

    #[test]
    fn secret_headers_become_digests() {
        let secret = "Bearer abc";
        let shown = Secrets::Digest.header("authorization", secret);
        assert_eq!(shown, format!("sha256:{}:10", &HEXLOWER.encode(&Sha256::digest(secret))[..12]));
        for name in ["cookie", "private-token", "x-vault-token", "x-session-id", "set-cookie"] {
            assert_eq!(Secrets::Digest.header(name, "abc"), digest("abc"), "{name}");
        }
        assert_eq!(Secrets::Digest.header("accept", "text/html"), "text/html");
        assert_eq!(Secrets::Keep.header("authorization", secret), secret);
        assert_eq!(
            Secrets::Digest.header("location", "https://a.test/cb?code=1&token=x"),
            format!("https://a.test/cb?code=1&token={}", digest("x"))
        );
    }

    #[test]
    fn only_the_values_of_secret_parameters_change() {
        let shown = url("/cart?id=7&Api_Key=s3cret&b=#token=x", |_name| false);
        assert_eq!(shown, format!("/cart?id=7&Api_Key={}&b=#token={}", digest("s3cret"), digest("x")));
        assert_eq!(url("/a?otp=1&b=2", |name| name == "otp"), format!("/a?otp={}&b=2", digest("1")));
        assert_eq!(url("/cart?id=7&token=", |_name| false), "/cart?id=7&token=");
    }

    #[test]
    fn user_info_becomes_a_digest() {
        let shown = url("http://joe:pw@host.test:8080/x@y?a=1", |_name| false);
        assert_eq!(shown, format!("http://{}@host.test:8080/x@y?a=1", digest("joe:pw")));
    }
}
