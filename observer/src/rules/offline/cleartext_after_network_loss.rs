//! Rule `cleartext-after-network-loss`.

use std::time::Duration;

use crate::rules::{App, Digest, Endpoint, Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// An app's attempts to reach a host over TLS that came to nothing without a word about TLS (a connection to a port for
    /// TLS that was refused or not answered, a ClientHello without an answer), and its readable flows to the same host or
    /// address soon after.
    /// ## Fails when
    /// A readable flow begins within the policy's `fallback_seconds` (30 by default) of the failure, and no flow with TLS
    /// to the host succeeded in between: who blocks TLS gets the data in the clear.
    /// ## Blind spots
    /// Coincidence: the flow may have begun without regard to the failure, hence an inference. That the device was offline
    /// as a whole the traffic does not say. A handshake that fails with an alert or is broken off is
    /// tls-failure-then-cleartext.
    /// ## References
    /// [RFC 9325 §3.2](https://datatracker.ietf.org/doc/html/rfc9325#section-3.2),
    /// [CWE-757](https://cwe.mitre.org/data/definitions/757.html)
    CleartextAfterNetworkLoss {
        id: "cleartext-after-network-loss",
        summary: "cleartext after TLS could not be reached",
        severity: Medium,
        requirements: &[
            "cl-mss:5.6",
            "cl-mss:5.4",
            "masvs:MSTG-NETWORK-1",
            "asvs:9.2.2",
            "ncsc:2.1.1",
            "mitre:T1466",
            "maswe-1:MASWE-0026",
            "cwe:319",
            "cwe:757",
        ],
    }
}

impl Rule for CleartextAfterNetworkLoss {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_app(&self, app: &App, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let window = Duration::from_secs(cx.policy.thresholds.fallback_seconds.into());
        let all = || app.endpoints.iter().flat_map(|at| at.flows.iter().map(move |digest| (at, digest)));
        let lost: Vec<(&Endpoint, &Digest)> = all().filter(|(_, digest)| facts::is_lost(digest)).collect();
        if lost.is_empty() {
            return;
        }
        for (endpoint, clear) in all().filter(|(_, digest)| digest.is_cleartext()) {
            let same = |at: &Endpoint, digest: &Digest| {
                (at.host.is_some() && at.host == endpoint.host) || digest.ip == clear.ip
            };
            let cause = lost.iter().rev().find(|(at, failed)| {
                let after = clear.start >= failed.start && clear.start.since(failed.end) <= window;
                after && same(at, failed)
            });
            let Some((_, failed)) = cause else { continue };
            let between = |digest: &Digest| digest.start >= failed.start && digest.start <= clear.start;
            if all().any(|(at, digest)| digest.is_tls() && between(digest) && same(at, digest)) {
                continue;
            }
            let after = clear.start.since(failed.end).as_millis();
            let message = format!(
                "cleartext to {} on port {}, {after} ms after port {} could not be reached",
                endpoint.name(),
                clear.port,
                failed.port
            );
            report(
                endpoint
                    .finding(self.info(), clear, clear.cleartext_place(), message)
                    .also((failed.flow, failed.tls.map_or(failed.first_frame, |session| session.hello)))
                    .inferred("time and host"),
            );
        }
    }
}
