//! Rule `cleartext-credentials`.

use crate::observation::Flow;
use crate::protocol::http1::{CredentialKind, Request, header};
use crate::protocol::login::Exposure;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// Secrets in HTTP requests that are readable on the network: `Authorization` and
    /// `Proxy-Authorization`, cookies, headers named like keys, form fields and JSON members named like
    /// passwords, `user:password@` in the target; and logins of other protocols (mail, FTP, Telnet, LDAP,
    /// databases, brokers, chat). Only that there is one and its name are kept, never its value.
    /// ## Fails when
    /// Such a request or login leaves the device outside of TLS. Answers to challenges, which can be attacked
    /// offline, are high; a cookie that is named like a session or a token is medium.
    /// ## Blind spots
    /// Secrets under names that nobody gives to secrets; bodies beyond the part that is looked at, and those of
    /// HTTP/2; protocols that nothing here reads.
    /// ## References
    /// [RFC 7617 §4](https://datatracker.ietf.org/doc/html/rfc7617#section-4), [RFC 6750
    /// §5.3](https://datatracker.ietf.org/doc/html/rfc6750#section-5.3),
    /// [CWE-522](https://cwe.mitre.org/data/definitions/522.html),
    /// [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    CleartextCredentials {
        id: "cleartext-credentials",
        summary: "credentials sent without TLS",
        severity: Critical,
        requirements: super::reading_breaks!("asvs:9.2.3", "cwe:522"),
    }
}

impl Rule for CleartextCredentials {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        for (observation, request) in facts::clear_heads(flow) {
            for credential in &request.credentials {
                let Some((what, severity)) = grade(credential.kind) else { continue };
                if credential.kind == CredentialKind::Cookie && !names_a_session(request) {
                    continue;
                }
                let line = facts::request_line(request);
                let message = format!("{what} ({}) readable in {line}", credential.name);
                report(
                    Finding::new(self.info(), flow, observation.frame, message)
                        .severity(severity)
                        .kind(format!("{what}:{}", credential.name))
                        .detail("credential", what)
                        .detail("name", credential.name.as_str()),
                );
            }
        }
        for (observation, login) in facts::clear_logins(flow) {
            let (what, severity) = match login.exposure {
                Exposure::Secret => ("password or token", Severity::Critical),
                Exposure::Response => ("answer to a challenge", Severity::High),
                Exposure::Identity => continue,
            };
            let message = format!("{} login ({}) readable: {what}", login.protocol, login.mechanism);
            report(
                Finding::new(self.info(), flow, observation.frame, message)
                    .severity(severity)
                    .kind(format!("{}:{}", login.protocol, login.mechanism))
                    .detail("protocol", login.protocol)
                    .detail("mechanism", login.mechanism.as_str()),
            );
        }
    }
}

/// What to call a secret and how bad its exposure is; `None` for those of another rule.
fn grade(kind: CredentialKind) -> Option<(&'static str, Severity)> {
    Some(match kind {
        CredentialKind::Basic => ("Basic credentials", Severity::Critical),
        CredentialKind::Bearer => ("bearer token", Severity::Critical),
        CredentialKind::Digest => ("Digest response", Severity::High),
        CredentialKind::Cookie => ("cookie", Severity::Medium),
        CredentialKind::FormField => ("password field", Severity::Critical),
        CredentialKind::ApiKey => ("API key", Severity::Critical),
        CredentialKind::UserInfo => ("user and password in the target", Severity::Critical),
        CredentialKind::QueryParameter => return None,
    })
}

/// Parts of the names that frameworks and people give to cookies by which a server knows a user.
const SESSION_NAMES: &[&str] =
    &["auth", "csrf", "jwt", "login", "remember", "sess", "sid", "token", "user", "xsrf"];

/// Whether a cookie of the request is named like a session.
fn names_a_session(request: &Request) -> bool {
    let cookies = header(&request.headers, "cookie").unwrap_or_default();
    cookies.split(';').any(|cookie| {
        let name = cookie.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        SESSION_NAMES.iter().any(|part| name.contains(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Basis, Observation};
    use crate::protocol::{Fact, login};
    use crate::time::Timestamp;

    #[test]
    fn what_only_a_key_log_shows_was_not_sent_in_the_clear() {
        for (basis, clear) in [(Basis::Observed, 1), (Basis::Decrypted, 0)] {
            let mut flow = Flow::made(([10, 0, 0, 1], 50000), ([198, 51, 100, 1], 587));
            let (protocol, mechanism) = ("smtp", "PLAIN".to_owned());
            let fact = Fact::Login(Box::new(login::Fact { protocol, mechanism, exposure: Exposure::Secret }));
            flow.observations.push(Observation { frame: 1, at: Timestamp(0), basis, fact }, 1);
            assert_eq!(facts::clear_logins(&flow).count(), clear, "{basis:?}");
        }
    }
}
