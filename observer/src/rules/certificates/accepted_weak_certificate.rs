//! Rule `accepted-weak-certificate`.

use super::went_on;
use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// Keys and signatures of the chain that the server sent up to TLS 1.2.
    /// ## Fails when
    /// A key is shorter than the policy allows (RSA 2048 bits, elliptic curves 224), or a signature other
    /// than a root's own uses MD5 or SHA-1, and the client went on.
    /// ## Blind spots
    /// TLS 1.3 encrypts the chain: without a key log it is not seen. A client that completes the handshake and leaves without a request may
    /// have verified afterwards: it is not reported. Revocation is not checked. A leaf that issued itself is
    /// looked at, too. What stays on the device is not judged.
    /// ## References
    /// [RFC 9325 §4.5](https://datatracker.ietf.org/doc/html/rfc9325#section-4.5), [RFC
    /// 9155](https://datatracker.ietf.org/doc/html/rfc9155),
    /// [CWE-326](https://cwe.mitre.org/data/definitions/326.html)
    AcceptedWeakCertificate {
        id: "accepted-weak-certificate",
        summary: "certificate with a weak key or signature accepted",
        severity: Medium,
        requirements: super::acceptance_breaks!("cl-mss:5.2", "cwe:326", "cwe:327"),
    }
}

impl Rule for AcceptedWeakCertificate {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(accepted) = went_on(flow, cx) else { return };
        for weak in &accepted.status.weak {
            let message = format!("the client accepted {}: {}", weak.subject, weak.weakness);
            report(
                accepted
                    .finding(self.info(), flow, message)
                    .kind(format!("{}: {}", weak.subject, weak.weakness))
                    .detail("weakness", weak.weakness.as_str())
                    .detail("policy", cx.tls.version.as_str()),
            );
        }
    }
}
