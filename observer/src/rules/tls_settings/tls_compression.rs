//! Rule `tls-compression`.

use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The compression method that the ServerHello chose.
    /// ## Fails when
    /// It is not null: lengths of records then tell of secrets in them (CRIME).
    /// ## Blind spots
    /// Compression by the application, in HTTP for example (BREACH). What stays on the device is not judged.
    /// ## References
    /// [RFC 9325 §3.3](https://datatracker.ietf.org/doc/html/rfc9325#section-3.3)
    TlsCompression {
        id: "tls-compression",
        summary: "TLS compression negotiated",
        severity: Medium,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
        ],
    }
}

impl Rule for TlsCompression {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((_, hello)) = facts::server_hello(flow) else { return };
        let method = hello.value.compression_method;
        if method == 0 {
            return;
        }
        let message = format!("the server chose compression method {method}");
        report(Finding::new(self.info(), flow, hello.frame, message).detail("compression_method", method));
    }
}
