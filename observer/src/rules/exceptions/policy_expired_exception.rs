//! Rule `policy-expired-exception`.

use crate::policy::Exception;
use crate::rules::{Finding, Rule, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// The policy's exceptions, and the time of the capture's last frame.
    /// ## Fails when
    /// An exception fits a finding and its last day lies before that time. The finding counts, and the
    /// exception is reported beside it: it is to be renewed with a reason, or removed.
    /// ## Blind spots
    /// Exceptions that fit no finding are noted, not reported: the capture does not show whether they are
    /// still needed.
    /// ## References
    /// NIST SP 800-53 CA-5 (plans of action with dates)
    PolicyExpiredException {
        id: "policy-expired-exception",
        summary: "finding covered by an exception that is over",
        severity: Medium,
        requirements: &[],
    }
}

impl Rule for PolicyExpiredException {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_expired(&self, finding: &Finding, exception: &Exception, report: &mut dyn FnMut(Finding)) {
        let message = format!(
            "the exception for {} ended on {}; its reason was: {}",
            exception.rule, exception.until, exception.reason
        );
        let mut expired = Finding::at(
            self.info(),
            finding.owner.clone(),
            finding.endpoint.clone(),
            finding.evidence.primary,
            message,
        )
        .kind(format!("{}/{}", exception.rule, exception.until))
        .detail("until", exception.until.to_string())
        .detail("rule", exception.rule.as_str());
        expired.evidence = finding.evidence.clone();
        expired.flows = finding.flows;
        report(expired);
    }
}
