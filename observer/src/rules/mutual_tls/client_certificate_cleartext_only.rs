//! Rule `client-certificate-cleartext-only`.

use crate::rules::{Endpoint, Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// All flows of an app with a host that the policy names under `[[mtls]]`.
    /// ## Fails when
    /// There are readable flows and none with TLS: nobody is identified.
    /// ## Blind spots
    /// Hosts whose name does not show in cleartext and was not resolved in the capture.
    /// ## References
    /// [RFC 8705 §2](https://datatracker.ietf.org/doc/html/rfc8705#section-2),
    /// [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    ClientCertificateCleartextOnly {
        id: "client-certificate-cleartext-only",
        summary: "cleartext only where mutual TLS is expected",
        severity: High,
        requirements: &[
            "cl-mss:5.9",
            "asvs:2.2.5",
            "ncsc:2.1.2",
            "nist:800-190-4.3.5",
            "cl-mss:5.1",
        ],
    }
}

impl Rule for ClientCertificateCleartextOnly {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_endpoint(&self, endpoint: &Endpoint, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let name = endpoint.name();
        if !cx.policy.expects_client_certificate(&name)
            || endpoint.flows.iter().any(|digest| digest.tls.is_some() || digest.is_tls())
        {
            return;
        }
        let Some(clear) = endpoint.flows.iter().find(|digest| digest.is_cleartext()) else { return };
        let message = format!("{name} is reached in cleartext only, where mutual TLS is expected");
        report(endpoint.finding(self.info(), clear, clear.cleartext_place(), message));
    }
}
