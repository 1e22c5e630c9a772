//! Secrets that a request carries: that it does, of what kind and under which name. Values are never kept.

use super::wire::Head;
use super::{Credential, CredentialKind, Header};
use crate::protocol::sasl;

/// Secrets listed for one message.
const MAX_CREDENTIALS: usize = 32;
/// Bytes kept of a parameter's or field's name.
const MAX_NAME: usize = 64;

/// Names of parameters, form fields and JSON members that announce a secret, in lower case, without `-`, `_` and `.`.
/// Only names that mean little else: `key`, `id`, `code` and `user` are left out.
const NAMES: &[&str] = &[
    "accesskey",
    "accesstoken",
    "apikey",
    "apisecret",
    "apitoken",
    "authtoken",
    "bearertoken",
    "clientsecret",
    "idtoken",
    "jwt",
    "oldpassword",
    "newpassword",
    "otp",
    "pass",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "pin",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretkey",
    "sessionid",
    "sessiontoken",
    "token",
    "userpassword",
];

/// Names of header fields that carry a key, written as in [`NAMES`].
const KEY_FIELDS: &[&str] = &[
    "apikey",
    "authtoken",
    "ocpapimsubscriptionkey",
    "privatetoken",
    "xaccesstoken",
    "xamzsecuritytoken",
    "xapikey",
    "xapitoken",
    "xauthkey",
    "xauthtoken",
    "xgoogapikey",
    "xsessionid",
    "xsessiontoken",
    "xvaulttoken",
];

/// The secrets in the fields and the target of a request.
pub(in super::super) fn in_fields(fields: &[Header], target: &str) -> Vec<Credential> {
    let mut found = Vec::new();
    for field in fields.iter().filter(|field| !field.value.is_empty()) {
        let kind = match field.name.as_str() {
            "authorization" | "proxy-authorization" => scheme(&field.value),
            "cookie" => Some(CredentialKind::Cookie),
            name if is_key_field(name) => Some(CredentialKind::ApiKey),
            _ => None,
        };
        if let Some(kind) = kind {
            add(&mut found, kind, &field.name);
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let authority = path.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
        add(&mut found, CredentialKind::UserInfo, "userinfo");
    }
    for (name, value) in parameters(query.split('#').next().unwrap_or_default()) {
        if !value.is_empty() && announces_secret(name) {
            add(&mut found, CredentialKind::QueryParameter, name);
        }
    }
    found
}

/// Whether a request's body is worth a look for form fields.
pub(super) fn may_hold_form(head: &Head) -> bool {
    let Some(media) = head.field("content-type") else { return true };
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/x-www-form-urlencoded" || media == "multipart/form-data" || media.ends_with("json")
}

/// Adds the secrets in the first bytes of a request's body.
pub(super) fn in_body(body: &[u8], found: &mut Vec<Credential>) {
    let body = String::from_utf8_lossy(body);
    let body = body.trim_start();
    if body.starts_with(['{', '[']) {
        members(body)
            .filter(|name| announces_secret(name))
            .for_each(|name| add(found, CredentialKind::FormField, name));
    } else if body.starts_with("--") {
        let names = body.split("name=\"").skip(1).filter_map(|rest| rest.split('"').next());
        names
            .filter(|name| announces_secret(name))
            .for_each(|name| add(found, CredentialKind::FormField, name));
    } else {
        parameters(body)
            .filter(|(name, value)| !value.is_empty() && announces_secret(name))
            .for_each(|(name, _)| add(found, CredentialKind::FormField, name));
    }
}

/// Of `Authorization` and `Proxy-Authorization`. Schemes that answer a challenge or sign the message do not give the
/// secret away but let it be guessed offline, like Digest. `NTLM` and `Negotiate` (RFC 4559) do so in the last of their
/// messages alone, and a Kerberos ticket gives nothing away.
fn scheme(value: &str) -> Option<CredentialKind> {
    let (scheme, token) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => Some(CredentialKind::Basic),
        "digest" | "hawk" | "signature" | "aws4-hmac-sha256" | "scram-sha-256" => {
            Some(CredentialKind::Digest)
        }
        "ntlm" | "negotiate" => {
            let token = sasl::decoded(token.trim().as_bytes());
            sasl::answers_ntlm(&token).then_some(CredentialKind::Digest)
        }
        _ => Some(CredentialKind::Bearer),
    }
}

fn parameters(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(['&', ';']).filter_map(|pair| pair.split_once('='))
}

/// The names of the members of all objects of a JSON text, which may be cut.
fn members(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('"')?;
            let mut escaped = false;
            let end = after.find(|char| {
                let ends = char == '"' && !escaped;
                escaped = char == '\\' && !escaped;
                ends
            })?;
            let (string, after) = after.split_at(end);
            rest = after.get(1..)?;
            if rest.trim_start().starts_with(':') {
                return Some(string);
            }
        }
    })
}

/// Whether the value of the header field `name` (lower case) is a request's credential.
pub(crate) fn is_secret_field(name: &str) -> bool {
    matches!(name, "authorization" | "proxy-authorization" | "cookie") || is_key_field(name)
}

fn is_key_field(name: &str) -> bool {
    KEY_FIELDS.contains(&plain_name(name).as_str())
}

/// Whether a name announces a secret: itself, or its last part in brackets (`user[password]`).
pub(crate) fn announces_secret(name: &str) -> bool {
    let name = name.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]");
    let last = name.trim_end_matches(']').rsplit('[').next().unwrap_or_default();
    NAMES.contains(&plain_name(last).as_str())
}

/// A name in lower case, without `-`, `_` and `.`: as the lists of names have it.
pub(crate) fn plain_name(name: &str) -> String {
    name.trim().chars().filter(|char| !matches!(char, '-' | '_' | '.')).collect::<String>().to_lowercase()
}

fn add(found: &mut Vec<Credential>, kind: CredentialKind, name: &str) {
    let credential = Credential { kind, name: name.trim().chars().take(MAX_NAME).collect() };
    if found.len() < MAX_CREDENTIALS && !found.contains(&credential) {
        found.push(credential);
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;

    fn of_head(bytes: &str) -> Vec<(CredentialKind, String)> {
        let head = wire::head(bytes.as_bytes()).unwrap();
        let wire::Start::Request { target, .. } = &head.start else { unreachable!("a request") };
        in_fields(&head.fields, target).into_iter().map(|one| (one.kind, one.name)).collect()
    }

    fn of_body(body: &str) -> Vec<String> {
        let mut found = Vec::new();
        in_body(body.as_bytes(), &mut found);
        found.into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn fields_and_targets_are_searched() {
        let found = of_head(
            "GET http://u:p@shop.test/a?id=1&api_key=x&token= HTTP/1.1\nAuthorization: Basic\teDp5\nCookie: a=b\n\
             Proxy-Authorization: NTLM TlRMTVNTUAADAAAABwcHBwcHBwcHBwcH\nX-API-Key: k\nX-Key: k\n\n",
        );
        let expected = [
            (CredentialKind::Basic, "authorization"),
            (CredentialKind::Cookie, "cookie"),
            (CredentialKind::Digest, "proxy-authorization"),
            (CredentialKind::ApiKey, "x-api-key"),
            (CredentialKind::UserInfo, "userinfo"),
            (CredentialKind::QueryParameter, "api_key"),
        ];
        assert_eq!(found, expected.map(|(kind, name)| (kind, name.to_owned())));
        assert_eq!(of_head("GET /a@b:c?key=1 HTTP/1.1\nAuthorization:\n\n"), []);
        // The first message of NTLM, and a Kerberos ticket.
        for token in
            ["NTLM TlRMTVNTUAABAAAABwcHBwcHBwcHBwcH", "Negotiate YIIBAgYJKoZIhvcSAQICAQBu", "Negotiate"]
        {
            assert_eq!(of_head(&format!("GET / HTTP/1.1\nAuthorization: {token}\n\n")), []);
        }
    }

    #[test]
    fn forms_of_all_kinds_are_searched() {
        assert_eq!(of_body("user=bob&user%5Bpassword%5D=x&pin="), ["user%5Bpassword%5D"]);
        assert_eq!(
            of_body(r#"{"user":"a \" password\":","auth":{"Access-Token" : "x"}, "pass"#),
            ["Access-Token"]
        );
        assert_eq!(of_body("--b\r\nContent-Disposition: form-data; name=\"passwd\"\r\n\r\nx"), ["passwd"]);
        assert_eq!(of_body("passwords are discussed here; compass=north"), Vec::<String>::new());
    }
}
