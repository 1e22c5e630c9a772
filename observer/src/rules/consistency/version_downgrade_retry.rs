//! Rule `version-downgrade-retry`.

use std::time::Duration;

use crate::protocol::tls::TlsVersion;
use crate::rules::{
    Confidence, Digest, Endpoint, Finding, Rule, RuleContext, RuleInfo, Severity, TlsDigest, declare_rule,
};

declare_rule! {
    /// ## What it observes
    /// The highest version that an app offers a host, over its handshakes with it; the fallback signalling
    /// suite.
    /// ## Fails when
    /// A handshake fails and the next one within the policy's `fallback_seconds` (30 by default) offers less,
    /// or says with `TLS_FALLBACK_SCSV` that it is such a retry: whoever disturbs handshakes chooses the
    /// version. It is high where the retry succeeds with a version older than TLS 1.2, and tentative where the
    /// failure is no more than a client that hung up and the retry does not say what it is.
    /// ## Blind spots
    /// A second stack of the app that speaks to the same host; retries after a longer time.
    /// ## References
    /// [RFC 7507 §1](https://datatracker.ietf.org/doc/html/rfc7507#section-1), [RFC 9325
    /// §3.1.3](https://datatracker.ietf.org/doc/html/rfc9325#section-3.1.3),
    /// [CWE-757](https://cwe.mitre.org/data/definitions/757.html)
    VersionDowngradeRetry {
        id: "version-downgrade-retry",
        summary: "retry with an older TLS version after a failure",
        severity: Medium,
        requirements: &[
            "cl-mss:5.4",
            "cl-mss:5.2",
            "masvs:MSTG-NETWORK-1",
            "asvs:9.2.2",
            "ncsc:2.1.1",
            "mitre:T1466",
            "cwe:757",
        ],
    }
}

impl Rule for VersionDowngradeRetry {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_endpoint(&self, endpoint: &Endpoint, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let window = Duration::from_secs(cx.policy.thresholds.fallback_seconds.into());
        let mut failure: Option<(&Digest, TlsDigest)> = None;
        for digest in &endpoint.flows {
            let Some(session) = digest.tls else { continue };
            let cause = failure.filter(|(failed, before)| {
                let soon = digest.start >= failed.start && digest.start.since(failed.end) <= window;
                soon && (session.fallback_scsv || session.offered < before.offered)
            });
            if let Some((failed, before)) = cause {
                let name = |version: Option<TlsVersion>| {
                    version.map_or_else(|| "?".to_owned(), |version| version.to_string())
                };
                let message = format!(
                    "after a handshake that offered TLS {} failed, the client offers {}",
                    name(before.offered),
                    name(session.offered)
                );
                let broken = session.established
                    && session.chosen.is_some_and(|version| cx.tls.discourages_version(version));
                let finding = endpoint
                    .finding(self.info(), digest, (digest.flow, session.hello), message)
                    .severity(if broken { Severity::High } else { self.info().severity })
                    .also((failed.flow, before.hello))
                    .detail("fallback_scsv", session.fallback_scsv)
                    .inferred("time and host");
                let guessed = before.hung_up && !session.fallback_scsv;
                report(if guessed { finding.confidence(Confidence::Tentative) } else { finding });
            }
            failure = session.failed.then_some((digest, session));
        }
    }
}
