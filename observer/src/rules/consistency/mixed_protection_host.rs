//! Rule `mixed-protection-host`.

use crate::rules::{Digest, Endpoint, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule};

declare_rule! {
    /// ## What it observes
    /// All flows of an app with one host, by name, over the run.
    /// ## Fails when
    /// Some carry TLS and others are readable: TLS is possible and not enforced. Where every readable request
    /// was only redirected to TLS it is low, and cleartext-first-then-redirect says more. Certificate status,
    /// revocation lists and issuers' certificates go in the clear by design: in no rule of this group do they count,
    /// unless the request carries a cookie, credentials or a query, or the answer is something else.
    /// ## Blind spots
    /// Hosts without a name; flows beyond the number that is remembered of a host; names that share an
    /// address, where DNS alone could tell which it is.
    /// ## References
    /// [RFC 9325 §3.2](https://datatracker.ietf.org/doc/html/rfc9325#section-3.2), MASWE-0026 (MASWE 1)
    MixedProtectionHost {
        id: "mixed-protection-host",
        summary: "one host reached both with and without TLS",
        severity: High,
        requirements: super::inconsistency_breaks!(),
    }
}

impl Rule for MixedProtectionHost {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_endpoint(&self, endpoint: &Endpoint, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(host) = &endpoint.host else { return };
        let Some(protected) = endpoint.flows.iter().find(|digest| digest.is_tls()) else { return };
        let mut clear = endpoint.flows.iter().filter(|digest| digest.is_cleartext());
        let Some(first) = clear.next() else { return };
        let only_redirected = std::iter::once(first).chain(clear.clone()).all(Digest::is_only_redirected);
        let message =
            format!("{host} is reached with TLS (port {}) and without (port {})", protected.port, first.port);
        let mut finding = endpoint
            .finding(self.info(), first, first.cleartext_place(), message)
            .also((protected.flow, protected.tls.map_or(protected.first_frame, |session| session.hello)));
        for digest in clear {
            finding = finding.also(digest.cleartext_place());
            finding.flows = finding.flows.saturating_add(1);
        }
        report(if only_redirected { finding.severity(Severity::Low) } else { finding });
    }
}
