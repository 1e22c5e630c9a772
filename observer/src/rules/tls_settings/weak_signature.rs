//! Rule `weak-signature`.

use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The signature of the ServerKeyExchange in TLS 1.2.
    /// ## Fails when
    /// Its hash is MD5, which is high, or SHA-1.
    /// ## Blind spots
    /// Before TLS 1.2 the hash is fixed (MD5 with SHA-1): the version itself is the finding. In TLS 1.3 the
    /// signature is encrypted. Schemes that are only offered are not judged.
    /// What stays on the device is not judged.
    /// ## References
    /// [RFC 9155 §4](https://datatracker.ietf.org/doc/html/rfc9155#section-4),
    /// [CWE-327](https://cwe.mitre.org/data/definitions/327.html)
    WeakSignature {
        id: "weak-signature",
        summary: "key exchange signed with MD5 or SHA-1",
        severity: Medium,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
            "cwe:327",
        ],
    }
}

impl Rule for WeakSignature {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(session) = facts::session(flow) else { return };
        let Some(exchange) = &session.server_key_exchange else { return };
        let Some(scheme) = exchange.value.signature else { return };
        let Some(hash) = cx.tls.weak_hash(scheme) else { return };
        let severity = if hash == "MD5" { Severity::High } else { self.info().severity };
        report(
            Finding::new(self.info(), flow, exchange.frame, format!("the server signed its key with {hash}"))
                .severity(severity)
                .kind(hash)
                .detail("signature", scheme.to_string()),
        );
    }
}
