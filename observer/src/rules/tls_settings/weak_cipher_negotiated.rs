//! Rule `weak-cipher-negotiated`.

use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The suite that the ServerHello chose, held against the TLS policy (RFC 9325 with RFC 10015).
    /// ## Fails when
    /// The policy discourages it: NULL, anonymous, EXPORT, DES, RC4, 3DES and IDEA are high or critical; RSA
    /// key transport, finite-field and static Diffie-Hellman are medium; what is a matter of taste (CBC,
    /// short tags) is noted as info.
    /// ## Blind spots
    /// Handshakes that the capture does not hold; what the server accepts from other clients. Whether CBC is
    /// used with encrypt-then-MAC (RFC 7366) is not looked at. What stays on the device is not judged.
    /// ## References
    /// [RFC 9325 §4.1, §4.2](https://datatracker.ietf.org/doc/html/rfc9325#section-4.1), RFC 10015, [RFC
    /// 7465](https://datatracker.ietf.org/doc/html/rfc7465),
    /// [CWE-327](https://cwe.mitre.org/data/definitions/327.html)
    WeakCipherNegotiated {
        id: "weak-cipher-negotiated",
        summary: "weak cipher suite negotiated",
        severity: High,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
            "cwe:326",
            "cwe:327",
        ],
    }
}

impl Rule for WeakCipherNegotiated {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((_, hello)) = facts::server_hello(flow) else { return };
        let suite = hello.value.cipher_suite;
        let judged = cx.tls.judge_cipher(suite);
        let Some((_, gravest)) = judged.first() else { return };
        let why: Vec<String> = judged.iter().map(|(weakness, _)| weakness.describe().to_owned()).collect();
        report(
            Finding::new(
                self.info(),
                flow,
                hello.frame,
                format!("the server chose {suite}: {}", why.join("; ")),
            )
            .severity(gravest.negotiated)
            .kind(suite.to_string())
            .detail("cipher", suite.to_string())
            .detail("weaknesses", why)
            .detail("reference", gravest.reference.as_str())
            .detail("policy", cx.tls.version.as_str()),
        );
    }
}
