//! Rule `insecure-cookie`.

use crate::observation::Flow;
use crate::rules::responses::{Reading, responses};
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule};
use crate::time::Timestamp;

declare_rule! {
    /// ## What it observes
    /// The Set-Cookie fields of responses that can be read, in the clear or decrypted. Values are not looked at.
    /// ## Fails when
    /// A cookie is set in cleartext, where it can be read and replaced on the way (medium); or inside TLS without
    /// `Secure`, so that it goes out with the next `http` request as well (medium); or it is named like a session and
    /// lacks `HttpOnly`, so that scripts of a page can read it (low).
    /// ## Blind spots
    /// TLS whose keys the tester has not. Deletions are not judged. Whether a cookie matters its name only suggests.
    /// A missing SameSite is not judged: what it defaults to differs between engines.
    /// ## References
    /// [RFC 6265 §4.1.2.5, §4.1.2.6, §8.3](https://datatracker.ietf.org/doc/html/rfc6265#section-4.1.2.5),
    /// [CWE-614](https://cwe.mitre.org/data/definitions/614.html),
    /// [CWE-1004](https://cwe.mitre.org/data/definitions/1004.html)
    InsecureCookie {
        id: "insecure-cookie",
        summary: "cookie that others can read",
        severity: Medium,
        requirements: &["cl-mss:5.3", "cwe:614", "cwe:1004"],
    }
}

impl Rule for InsecureCookie {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let reading = Reading::of(flow);
        for readable in responses(flow) {
            let headers = readable.response.headers.as_slice();
            // The last field of a head that is cut may be cut, too, and have lost its attributes.
            let headers = if readable.response.whole {
                headers
            } else {
                headers.split_last().map_or(&[][..], |(_, rest)| rest)
            };
            let fields = headers.iter().filter(|header| header.name == "set-cookie");
            let cookies = fields.filter_map(|header| Cookie::parse(&header.value));
            for cookie in cookies.filter(|cookie| !cookie.is_deletion(readable.observation.at)) {
                let name: String = cookie.name.chars().take(MAX_NAME).collect();
                let (severity, what) = match reading {
                    Reading::Cleartext => (self.info().severity, "is set in cleartext"),
                    Reading::Decrypted if !cookie.secure => (self.info().severity, "is set without Secure"),
                    Reading::Decrypted if !cookie.http_only && names_session(&name) => {
                        (Severity::Low, "is named like a session and set without HttpOnly")
                    }
                    Reading::Decrypted => continue,
                };
                let message = format!("cookie {name} of {} {what}", flow.host());
                let finding = Finding::new(self.info(), flow, readable.observation.frame, message)
                    .severity(severity)
                    .kind(name.as_str())
                    .detail("cookie", name.as_str())
                    .detail("secure", cookie.secure)
                    .detail("http_only", cookie.http_only);
                report(reading.tag(finding));
            }
        }
    }
}

/// Characters of a cookie's name that are shown.
const MAX_NAME: usize = 64;

/// Parts of the names that frameworks give to session cookies.
const SESSION_NAMES: &[&str] = &["auth", "jwt", "login", "sess", "sid", "token"];

/// Names with such a part that scripts have to read: the double-submit pattern against forged requests.
const FOR_SCRIPTS: &[&str] = &["csrf", "xsrf"];

fn names_session(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    has(SESSION_NAMES) && !has(FOR_SCRIPTS)
}

/// A Set-Cookie field without its value.
#[derive(Debug, PartialEq, Eq)]
struct Cookie<'a> {
    name: &'a str,
    empty: bool,
    secure: bool,
    http_only: bool,
    max_age: Option<&'a str>,
    expires: Option<&'a str>,
}

impl<'a> Cookie<'a> {
    /// Reads a field by RFC 6265 §5.2; `None` for one that a client ignores.
    fn parse(field: &'a str) -> Option<Self> {
        let mut parts = field.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let name = name.trim();
        let mut cookie = Self {
            name,
            empty: value.trim().trim_matches('"').is_empty(),
            secure: false,
            http_only: false,
            max_age: None,
            expires: None,
        };
        for part in parts {
            let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
            match attribute.trim().to_ascii_lowercase().as_str() {
                "secure" => cookie.secure = true,
                "httponly" => cookie.http_only = true,
                "max-age" => cookie.max_age = Some(value.trim()),
                "expires" => cookie.expires = Some(value.trim()),
                _ => {}
            }
        }
        (!name.is_empty()).then_some(cookie)
    }

    /// Whether the field deletes the cookie: its time is over when it comes, or nothing is in it.
    fn is_deletion(&self, at: Timestamp) -> bool {
        let by_age = self.max_age.map(|age| age == "0" || age.starts_with('-'));
        // Max-Age takes precedence over Expires (RFC 6265 §5.3).
        self.empty || by_age.unwrap_or_else(|| self.expires.is_some_and(|date| is_past(date, at)))
    }
}

/// Whether the year in a cookie's date is over at `at`: servers delete with dates that are long past.
fn is_past(date: &str, at: Timestamp) -> bool {
    let words = date.split(|c: char| !c.is_ascii_alphanumeric());
    let year = words.filter(|word| word.len() == 4).find_map(|word| word.parse::<i16>().ok());
    let now = jiff::Timestamp::from_second(at.seconds());
    let now = now.map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).year());
    matches!((year, now), (Some(year), Ok(now)) if year < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T10:00:00Z.
    const NOW: Timestamp = Timestamp(1_795_255_200_000_000_000);

    #[test]
    fn fields_are_read_as_clients_do() {
        let cookie = Cookie::parse("session=abc=d; Path=/; SECURE ; httponly; Max-Age=60").unwrap();
        assert!(cookie.name == "session" && cookie.secure && cookie.http_only && !cookie.is_deletion(NOW));
        let bare = Cookie::parse("a=b; Path=/secure").unwrap();
        assert!(!bare.secure && !bare.http_only);
        assert_eq!(Cookie::parse("Secure"), None);
        assert_eq!(Cookie::parse("=x; Secure"), None);
    }

    #[test]
    fn deletions_are_told_from_cookies() {
        let deletes = |field: &str| Cookie::parse(field).unwrap().is_deletion(NOW);
        assert!(deletes("a=x; Max-Age=0"));
        assert!(deletes("a=; Path=/"));
        assert!(deletes("a=x; Expires=Thu, 01-Jan-1970 00:00:01 GMT"));
        assert!(!deletes("a=x; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=60"));
        assert!(!deletes("a=x; Expires=Fri, 01 Jan 2100 00:00:00 GMT"));
    }

    #[test]
    fn names_of_sessions_are_known_and_those_for_scripts_are_not_meant() {
        assert!(names_session("JSESSIONID") && names_session("access_token"));
        assert!(!names_session("theme") && !names_session("XSRF-TOKEN"));
    }
}
