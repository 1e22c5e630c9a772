//! Rule `weak-cipher-offered`.

use std::borrow::Cow;

use crate::observation::Flow;
use crate::protocol::tls::CipherSuite;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The suites in the ClientHello, held against the TLS policy (RFC 9325 with RFC 10015). GREASE values
    /// and signalling suites are no suites.
    /// ## Fails when
    /// The list holds suites without encryption or authentication, or with broken ciphers (low), or without
    /// forward secrecy (info). A server may choose them; that it did is another finding.
    /// ## Blind spots
    /// CBC suites are not reported while they are only offered: nearly every client has them for old servers.
    /// What stays on the device is not judged.
    /// ## References
    /// RFC 10015, [RFC 9325 §4.1](https://datatracker.ietf.org/doc/html/rfc9325#section-4.1)
    WeakCipherOffered {
        id: "weak-cipher-offered",
        summary: "weak cipher suites offered",
        severity: Low,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
            "cwe:326",
        ],
    }
}

impl Rule for WeakCipherOffered {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((_, hello)) = facts::client_hello(flow) else { return };
        let suites = hello.value.cipher_suites.iter();
        let mut weak: Vec<(Severity, CipherSuite)> =
            suites.filter_map(|suite| Some((cx.tls.judge_offer(*suite)?, *suite))).collect();
        weak.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
        let Some((severity, _)) = weak.first().copied() else { return };
        let name = |suite: CipherSuite| suite.name().map_or_else(|| suite.to_string().into(), Cow::Borrowed);
        let names: Vec<Cow<'_, str>> = weak.into_iter().map(|(_, suite)| name(suite)).collect();
        let message = format!("the client offers {}", facts::list(&names));
        report(
            Finding::new(self.info(), flow, hello.frame, message)
                .severity(severity)
                .detail("ciphers", names)
                .detail("policy", cx.tls.version.as_str()),
        );
    }
}
