//! Rule `tls-version-negotiated`.

use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The version that the ServerHello chose, that of SSL 2.0 included.
    /// ## Fails when
    /// It is older than TLS 1.2: SSL 2.0, SSL 3.0, TLS 1.0 or TLS 1.1.
    /// ## Blind spots
    /// Handshakes that the capture does not hold; what the server accepts from other clients.
    /// What stays on the device is not judged.
    /// ## References
    /// [RFC 8996](https://datatracker.ietf.org/doc/html/rfc8996), [RFC 9325
    /// §3.1.1](https://datatracker.ietf.org/doc/html/rfc9325#section-3.1.1),
    /// [MASTG-TEST-0218](https://mas.owasp.org/MASTG/tests/android/MASVS-NETWORK/MASTG-TEST-0218/)
    TlsVersionNegotiated {
        id: "tls-version-negotiated",
        summary: "deprecated TLS or SSL version negotiated",
        severity: High,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
            "mitre:T1466",
            "mastg:MASTG-TEST-0218",
            "cwe:326",
            "cwe:327",
        ],
    }
}

impl Rule for TlsVersionNegotiated {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(session) = facts::session(flow) else { return };
        let modern = session.server_hello.as_ref().map(|hello| (hello.frame, hello.value.version));
        let old = session.ssl2_server_hello.as_ref().map(|hello| (hello.frame, hello.value.version));
        let Some((frame, version)) = modern.or(old) else { return };
        if !cx.tls.discourages_version(version) {
            return;
        }
        let name = format!("{} {version}", version.protocol().to_uppercase());
        report(
            Finding::new(self.info(), flow, frame, format!("the server chose {name}"))
                .kind(name.as_str())
                .detail("version", name.as_str())
                .detail("policy", cx.tls.version.as_str()),
        );
    }
}
