//! Rule `tls-failure-then-cleartext`.

use std::time::Duration;

use crate::rules::{
    App, Confidence, Digest, Endpoint, Finding, Rule, RuleContext, RuleInfo, TlsDigest, declare_rule,
};

declare_rule! {
    /// ## What it observes
    /// An app's failed TLS handshakes, and its readable flows to the same host soon after; to the same address, where one of
    /// them has no name.
    /// ## Fails when
    /// A readable flow begins within the policy's `fallback_seconds` (30 by default) of the failure: whoever
    /// disturbs the handshake gets the data in the clear. It is tentative where the failure is no more than a
    /// client that hung up.
    /// ## Blind spots
    /// Coincidence: the flow may have begun without regard to the failure, hence an inference. Fallback after
    /// a longer time, or to another name: many share an address.
    /// ## References
    /// [RFC 9325 §3.2](https://datatracker.ietf.org/doc/html/rfc9325#section-3.2),
    /// [CWE-757](https://cwe.mitre.org/data/definitions/757.html)
    TlsFailureThenCleartext {
        id: "tls-failure-then-cleartext",
        summary: "cleartext after a failed TLS handshake",
        severity: High,
        requirements: super::inconsistency_breaks!("cwe:757"),
    }
}

impl Rule for TlsFailureThenCleartext {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_app(&self, app: &App, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let window = Duration::from_secs(cx.policy.thresholds.fallback_seconds.into());
        let mut failures: Vec<(&Endpoint, &Digest, TlsDigest)> = Vec::new();
        for endpoint in &app.endpoints {
            let failed = endpoint
                .flows
                .iter()
                .filter_map(|digest| Some((endpoint, digest, digest.tls.filter(|session| session.failed)?)));
            failures.extend(failed);
        }
        for endpoint in &app.endpoints {
            for clear in endpoint.flows.iter().filter(|digest| digest.is_cleartext()) {
                let causes = failures.iter().filter(|(at, failed, _)| {
                    let same = match (&at.host, &endpoint.host) {
                        (Some(at), Some(host)) => at == host,
                        _ => failed.ip == clear.ip,
                    };
                    same && clear.start >= failed.start && clear.start.since(failed.end) <= window
                });
                // A failure that was stated goes before one that is guessed.
                let Some((_, failed, session)) = causes.min_by_key(|(.., session)| session.hung_up) else {
                    continue;
                };
                let after = clear.start.since(failed.end).as_millis();
                let message = format!(
                    "cleartext to {} on port {}, {after} ms after TLS failed on port {}",
                    endpoint.name(),
                    clear.port,
                    failed.port
                );
                let finding = endpoint
                    .finding(self.info(), clear, clear.cleartext_place(), message)
                    .also((failed.flow, session.hello))
                    .inferred("time and host");
                report(if session.hung_up { finding.confidence(Confidence::Tentative) } else { finding });
            }
        }
    }
}
