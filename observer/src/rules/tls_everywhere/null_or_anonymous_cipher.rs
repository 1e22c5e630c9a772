//! Rule `null-or-anonymous-cipher`.

use crate::observation::Flow;
use crate::policy::CipherWeakness;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The suite that the ServerHello chose.
    /// ## Fails when
    /// It does not encrypt (NULL), or nobody is authenticated (anonymous Diffie-Hellman): the record layer is
    /// there, the protection is not.
    /// ## Blind spots
    /// Handshakes that the capture does not hold. Suites that are offered and not chosen: see
    /// weak-cipher-offered. What stays on the device is not judged.
    /// ## References
    /// [RFC 9325 §4.1](https://datatracker.ietf.org/doc/html/rfc9325#section-4.1), [RFC
    /// 9150](https://datatracker.ietf.org/doc/html/rfc9150),
    /// [CWE-327](https://cwe.mitre.org/data/definitions/327.html)
    NullOrAnonymousCipher {
        id: "null-or-anonymous-cipher",
        summary: "TLS without encryption or without authentication",
        severity: Critical,
        requirements: super::reading_breaks!("cl-mss:5.2", "asvs:9.2.3", "cwe:326", "cwe:327"),
    }
}

impl Rule for NullOrAnonymousCipher {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((_, hello)) = facts::server_hello(flow) else { return };
        let suite = hello.value.cipher_suite;
        let hollow = CipherWeakness::of(suite)
            .iter()
            .find(|weakness| matches!(weakness, CipherWeakness::NullEncryption | CipherWeakness::Anonymous));
        let Some(weakness) = hollow else { return };
        let message = format!("the server chose {suite}: {}", weakness.describe());
        report(
            Finding::new(self.info(), flow, hello.frame, message)
                .kind(suite.to_string())
                .detail("cipher", suite.to_string()),
        );
    }
}
