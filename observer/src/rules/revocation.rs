//! Requests that go in the clear by design, as what they fetch is signed: certificate status (OCSP), revocation lists,
//! issuers' certificates.
//!
//! A request is known by its own form, as the answer may be missing or say nothing (304), or by the media type of what
//! is sent. Whatever else it may carry from the device makes it one like any other.

use data_encoding::{BASE64, BASE64_NOPAD};

use crate::protocol::http1::{Request, Response, header};
use crate::trust::is_ocsp_request;

/// Media types of OCSP (RFC 6960), revocation lists and issuers' certificates (RFC 5280 §4.2.2.1).
const SIGNED_TYPES: &[&str] = &[
    "application/ocsp-request",
    "application/ocsp-response",
    "application/pkix-cert",
    "application/pkix-crl",
    "application/pkcs7-mime",
];

/// Media types that say no more than "a file", and older names of those above: they decide nothing.
const VAGUE_TYPES: &[&str] = &[
    "application/octet-stream",
    "application/pkcs7-crl",
    "application/x-pkcs7-certificates",
    "application/x-pkcs7-crl",
    "application/x-x509-crl",
    "binary/octet-stream",
];

/// How the names of such files end (RFC 5280 §4.2.1.13, §4.2.2.1; `.crt` is how others write `.cer`).
const ENDINGS: &[&str] = &[".crl", ".cer", ".crt", ".p7c"];

/// Fields of a request in which a client says who it is.
const IDENTIFYING: &[&str] = &["authorization", "cookie", "proxy-authorization"];

/// Fields that a request for a file has, and none that an app may put its own words into.
const ORDINARY: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "host",
    "if-modified-since",
    "if-none-match",
    "pragma",
    "proxy-connection",
    "range",
    "user-agent",
];

/// Parts of a path that are tried for an OCSP request: where the client leaves `/` as it is, base64 has some.
const MAX_PARTS: usize = 16;

/// Whether the request fetches what is signed and goes in the clear by design, and carries nothing of the device.
pub(crate) fn is_revocation(request: &Request, response: Option<&Response>) -> bool {
    let identifies = IDENTIFYING.iter().any(|name| header(&request.headers, name).is_some());
    let target = request.target.split('#').next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if identifies || !request.credentials.is_empty() || !query.is_empty() {
        return false;
    }
    let answer = response.and_then(|response| media_type(header(&response.headers, "content-type")));
    if is_signed(answer.as_deref()) {
        return true;
    }
    // A success that is something else says that it was not asked for a signed object.
    let is_vague =
        answer.as_deref().is_none_or(|media_type| media_type.is_empty() || VAGUE_TYPES.contains(&media_type));
    let refuted = response.is_some_and(|response| (200..300).contains(&response.status)) && !is_vague;
    // A name is less than a form: what is sent to it has to be a request for a file, and the answer one.
    let fits = response.is_none_or(|response| response.status == 304 || response.status == 200 && is_vague);
    let is_ordinary = || request.headers.iter().all(|field| ORDINARY.contains(&field.name.as_str()));
    let by_name = is_named_signed(path) && fits && is_ordinary();
    let sent = media_type(header(&request.headers, "content-type"));
    !refuted && (is_signed(sent.as_deref()) || is_get(request) && (by_name || ends_in_ocsp_request(path)))
}

/// Whether the response, whose request was not captured, hands over such an object, by its media type.
pub(crate) fn hands_over_signed(response: &Response) -> bool {
    is_signed(media_type(header(&response.headers, "content-type")).as_deref())
}

fn is_signed(media_type: Option<&str>) -> bool {
    media_type.is_some_and(|media_type| SIGNED_TYPES.contains(&media_type))
}

/// Whether the request is a GET without a body.
fn is_get(request: &Request) -> bool {
    let length = header(&request.headers, "content-length").map(str::trim);
    let has_body =
        length.is_some_and(|length| length != "0") || header(&request.headers, "transfer-encoding").is_some();
    request.method == "GET" && !has_body
}

/// Whether the path ends like the name of such a file.
fn is_named_signed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// Whether some part of the path, up to its end, is an OCSP request in base64 ([RFC 6960
/// A.1](https://datatracker.ietf.org/doc/html/rfc6960#appendix-A.1)).
fn ends_in_ocsp_request(path: &str) -> bool {
    let path = without_scheme(path);
    let parts = path.match_indices('/').filter_map(|(at, slash)| path.get(at + slash.len()..));
    // The tag of a SEQUENCE, in base64.
    parts.take(MAX_PARTS).filter(|part| part.starts_with('M')).any(|part| {
        let decoded = percent_decoded(part);
        let text = decoded.as_slice();
        let der = BASE64.decode(text).or_else(|_| BASE64_NOPAD.decode(text));
        der.is_ok_and(|der| is_ocsp_request(&der))
    })
}

/// The path of an absolute URL, with the host in front: proxies are asked so.
fn without_scheme(target: &str) -> &str {
    target.split_once("://").map_or(target, |(_, rest)| rest)
}

/// With `%2F` read as `/`; what is no escape stays as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.first_chunk::<2>().filter(|_| *first == b'%');
        let escaped =
            digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(escaped.unwrap_or(*first));
        rest = match escaped {
            Some(_) => tail.get(2..).unwrap_or_default(),
            None => tail,
        };
    }
    decoded
}

/// A media type without its parameters, lower case.
fn media_type(value: Option<&str>) -> Option<String> {
    Some(value?.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http1::{Credential, CredentialKind, Header};

    const OCSP: &str = "/MFEwTzBNMEswSTAJBgUrDgMCGgUABBTBL0V27RVZ7LBduom%2FnYB45SPUEwQU5Z1ZMIJHWMys%2BghUNoZ7OrUETfACEA8Ull8gIGmZT9XHrHiJQeI%3D";

    fn headers(fields: &[(&str, &str)]) -> Vec<Header> {
        let field = |(name, value): &(&str, &str)| Header { name: (*name).into(), value: (*value).into() };
        fields.iter().map(field).collect()
    }

    fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Request {
        Request {
            index: 0,
            version: Some("1.1"),
            method: method.to_owned(),
            target: target.to_owned(),
            host: Some("pki.test".to_owned()),
            headers: headers(fields),
            credentials: Vec::new(),
        }
    }

    fn get(target: &str) -> Request {
        request("GET", target, &[])
    }

    fn response(status: u16, media_type: &str) -> Response {
        let fields = [("content-type", media_type)];
        let fields = if media_type.is_empty() { &[][..] } else { &fields[..] };
        Response { index: Some(0), version: "1.1", status, headers: headers(fields), whole: true }
    }

    #[test]
    fn a_request_is_known_without_its_answer() {
        for target in
            ["/pki/list.crl", "/CA.CRT", "/a/issuer.cer", "/issuer.p7c", "http://pki.test/list.crl", OCSP]
        {
            let asked = get(target);
            assert!(is_revocation(&asked, None), "{target}");
            assert!(is_revocation(&asked, Some(&response(304, ""))), "{target}");
            assert_eq!(is_revocation(&asked, Some(&response(404, "text/html"))), target == OCSP, "{target}");
            assert!(is_revocation(&asked, Some(&response(200, "application/octet-stream"))), "{target}");
        }
        for target in ["/", "/.crl", "/list.crl/user", "/MFEwTzBNMEsw", "/MAh1c2VyPWJvYg==", "/crl"] {
            assert!(!is_revocation(&get(target), None), "{target}");
        }
    }

    #[test]
    fn requests_for_status_are_found_however_they_are_written() {
        // The slash of base64 as it is, a path in front, no padding.
        let bare = OCSP.replace("%2F", "/").replace("%2B", "+");
        assert!(is_revocation(&get(&bare), None));
        assert!(is_revocation(&get(&format!("/status/v1{bare}")), None));
        assert!(is_revocation(&get(&bare.replace("%3D", "")), None));
        assert!(is_revocation(&get(&format!("http://pki.test{OCSP}")), None));
        let posted =
            request("POST", "/", &[("content-type", "application/ocsp-request"), ("content-length", "83")]);
        assert!(is_revocation(&posted, None));
        assert!(is_revocation(&posted, Some(&response(200, "application/ocsp-response"))));
    }

    #[test]
    fn another_answer_refutes_it() {
        for answer in ["text/html; charset=utf-8", "application/json", "application/x-x509-ca-cert"] {
            assert!(!is_revocation(&get("/list.crl"), Some(&response(200, answer))));
            assert!(!is_revocation(&get(OCSP), Some(&response(200, answer))));
        }
        assert!(!is_revocation(&get("/alice/root.crt"), Some(&response(204, ""))));
        assert!(is_revocation(&get("/latest"), Some(&response(200, "application/pkix-crl"))));
    }

    #[test]
    fn what_carries_more_is_a_request_like_any_other() {
        let lists = response(200, "application/pkix-crl");
        for answer in [None, Some(&lists)] {
            assert!(!is_revocation(&get("/list.crl?user=bob"), answer));
            assert!(!is_revocation(&request("GET", "/list.crl", &[("cookie", "session=1")]), answer));
            assert!(!is_revocation(
                &request("GET", "/list.crl", &[("authorization", "Basic Ym9iOng=")]),
                answer
            ));
            let kind = CredentialKind::UserInfo;
            let credentials = vec![Credential { kind, name: "user info".to_owned() }];
            assert!(!is_revocation(
                &Request { credentials, ..get("http://bob:x@pki.test/list.crl") },
                answer
            ));
        }
        let fields = [("host", "pki.test"), ("accept", "*/*"), ("x-device-id", "3569")];
        assert!(!is_revocation(&request("GET", "/list.crl", &fields), None));
        assert!(is_revocation(&request("GET", "/list.crl", &fields[..2]), None));
        assert!(!is_revocation(&request("POST", "/list.crl", &[]), None));
        assert!(!is_revocation(&request("GET", "/list.crl", &[("content-length", "9")]), None));
    }
}
