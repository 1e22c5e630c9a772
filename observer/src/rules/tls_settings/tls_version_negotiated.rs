//! Rule `tls-version-negotiated`.

use crate::observation::Flow;
use crate::protocol::tls::TlsVersion;
use crate::rules::{Confidence, EndpointName, Evidence, Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// The version that the ServerHello chose.
    /// ## Fails when
    /// It is older than TLS 1.2.
    /// ## Blind spots
    /// Handshakes that the capture does not hold.
    /// ## References
    /// [RFC 8996](https://datatracker.ietf.org/doc/html/rfc8996),
    /// [RFC 9325 §3.1.1](https://datatracker.ietf.org/doc/html/rfc9325#section-3.1.1)
    TlsVersionNegotiated {
        id: "tls-version-negotiated",
        summary: "deprecated TLS or SSL version negotiated",
        severity: High,
        requirements: &["cl-mss:5.2"],
    }
}

impl Rule for TlsVersionNegotiated {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(hello) = flow.tls.as_ref().and_then(|session| session.server_hello.as_ref()) else { return };
        let version = hello.value.version;
        if version >= TlsVersion::TLS_1_2 {
            return;
        }
        let responder = flow.flow.info.five_tuple.destination;
        report(Finding {
            rule: self.info(),
            severity: self.info().severity,
            confidence: Confidence::Certain,
            owner: flow.owner.clone(),
            endpoint: EndpointName {
                host: flow.domain.as_ref().map(|domain| domain.name.clone()),
                ip: responder.ip,
                port: responder.port,
            },
            message: format!("the server chose {} {version}", version.protocol().to_uppercase()),
            evidence: Evidence { primary: (flow.id, hello.frame), related: Vec::new() },
            details: serde_json::Map::new(),
        });
    }
}
