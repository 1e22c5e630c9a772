//! Rule `weak-hsts`.

use crate::rules::{Endpoint, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule};

declare_rule! {
    /// ## What it observes
    /// The Strict-Transport-Security fields of responses inside TLS that can be read.
    /// ## Fails when
    /// The first field of a host has no `max-age` that a client can heed, or one of 0, which switches the protection
    /// off (both medium), or one of less than 182 days (15724800 seconds, as ASVS 14.4.5 asks at least; low).
    /// ## Blind spots
    /// TLS whose keys the tester has not. That `includeSubDomains` is absent is not judged: whether a host has
    /// subdomains that must stay reachable without TLS the traffic does not say.
    /// ## References
    /// [RFC 6797 §6.1.1, §11.2](https://datatracker.ietf.org/doc/html/rfc6797#section-6.1.1), OWASP ASVS 4.0.3 14.4.5
    WeakHsts {
        id: "weak-hsts",
        summary: "Strict-Transport-Security that hardly lasts, or not at all",
        severity: Medium,
        requirements: &["cl-mss:5.3", "mitre:T1466", "cwe:319"],
    }
}

/// Seconds below which the protection is too short: 182 days.
const MIN_MAX_AGE: u64 = 15_724_800;

impl Rule for WeakHsts {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_endpoint(&self, endpoint: &Endpoint, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let mut fields =
            endpoint.flows.iter().filter_map(|digest| Some((digest, digest.protected.as_deref()?.hsts?)));
        let Some((digest, (frame, hsts))) = fields.next() else { return };
        let (severity, kind, what) = match hsts.max_age {
            None => (self.info().severity, "void", "has no max-age that a client can heed".to_owned()),
            Some(0) => (self.info().severity, "off", "has a max-age of 0, which switches it off".to_owned()),
            Some(seconds) if seconds < MIN_MAX_AGE => {
                (Severity::Low, "short", format!("lasts {seconds} seconds, less than 182 days"))
            }
            Some(_) => return,
        };
        let message = format!("Strict-Transport-Security of {} {what}", endpoint.name());
        let mut finding = endpoint
            .finding(self.info(), digest, (digest.flow, frame), message)
            .severity(severity)
            .kind(kind)
            .detail("read", "decrypted")
            .detail("basis", "decrypted");
        if let Some(seconds) = hsts.max_age {
            finding = finding.detail("max_age", seconds);
        }
        report(finding);
    }
}
