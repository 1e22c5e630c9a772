//! Rule `tls-version-offered`.

use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The versions in the ClientHello: `supported_versions`, and without it `legacy_version`, which is the
    /// highest on offer.
    /// ## Fails when
    /// `supported_versions` lists a version older than TLS 1.2; or the highest version on offer is older,
    /// which is medium; or the ClientHello comes in the form of SSL 2.0.
    /// ## Blind spots
    /// A ClientHello without `supported_versions` names only its highest version: how low it goes cannot be
    /// seen. What stays on the device is not judged.
    /// ## References
    /// [RFC 8996 §4](https://datatracker.ietf.org/doc/html/rfc8996#section-4), [RFC 9325
    /// §3.1.1](https://datatracker.ietf.org/doc/html/rfc9325#section-3.1.1)
    TlsVersionOffered {
        id: "tls-version-offered",
        summary: "deprecated TLS or SSL version offered",
        severity: Low,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
            "mitre:T1466",
        ],
    }
}

impl Rule for TlsVersionOffered {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((_, hello)) = facts::client_hello(flow) else { return };
        let offered = hello.value.offered_versions();
        let old: Vec<String> = offered
            .iter()
            .filter(|version| cx.tls.discourages_version(**version))
            .map(|version| format!("{} {version}", version.protocol().to_uppercase()))
            .collect();
        let (message, severity) = if old.is_empty() && hello.value.sslv2 {
            ("the client begins with a ClientHello of SSL 2.0".to_owned(), Severity::Low)
        } else if old.is_empty() {
            return;
        } else if old.len() == offered.len() {
            (format!("the client offers nothing newer than {}", facts::list(&old)), Severity::Medium)
        } else {
            (format!("the client offers {} beside newer versions", facts::list(&old)), Severity::Low)
        };
        report(
            Finding::new(self.info(), flow, hello.frame, message)
                .severity(severity)
                .kind(old.join("+"))
                .detail("versions", old)
                .detail("policy", cx.tls.version.as_str()),
        );
    }
}
