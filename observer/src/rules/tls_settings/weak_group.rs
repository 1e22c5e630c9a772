//! Rule `weak-group`.

use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The group of the key exchange: `key_share` in TLS 1.3, the curve or the prime in ServerKeyExchange
    /// before.
    /// ## Fails when
    /// The prime has fewer than 2048 bits, which is high up to 1024, or the curve fewer than 224.
    /// ## Blind spots
    /// Groups that are offered and not chosen. Primes that are long and weak by construction.
    /// What stays on the device is not judged.
    /// ## References
    /// [RFC 9325 §4.5](https://datatracker.ietf.org/doc/html/rfc9325#section-4.5),
    /// [CWE-326](https://cwe.mitre.org/data/definitions/326.html)
    WeakGroup {
        id: "weak-group",
        summary: "weak key exchange group negotiated",
        severity: Medium,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
            "cwe:326",
        ],
    }
}

impl Rule for WeakGroup {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(session) = facts::session(flow) else { return };
        let exchange = session.server_key_exchange.as_ref();
        if let Some((frame, bits)) = exchange.and_then(|seen| Some((seen.frame, seen.value.dh_bits?)))
            && bits < cx.tls.keys.min_dh_bits
        {
            let severity = if bits <= 1024 { Severity::High } else { self.info().severity };
            report(
                Finding::new(self.info(), flow, frame, format!("Diffie-Hellman over a prime of {bits} bits"))
                    .severity(severity)
                    .kind(format!("dh {bits}"))
                    .detail("bits", bits)
                    .detail("policy", cx.tls.version.as_str()),
            );
        }
        let in_exchange = exchange.and_then(|seen| Some((seen.frame, seen.value.group?)));
        let in_hello = session.server_hello.as_ref().and_then(|seen| Some((seen.frame, seen.value.group?)));
        if let Some((frame, group)) = in_exchange.or(in_hello)
            && cx.tls.discourages_group(group)
        {
            report(
                Finding::new(self.info(), flow, frame, format!("key exchange over {group}"))
                    .kind(group.to_string())
                    .detail("curve", group.to_string())
                    .detail("policy", cx.tls.version.as_str()),
            );
        }
    }
}
