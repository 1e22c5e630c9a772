//! Rule `cleartext-secret-in-url`.

use crate::observation::Flow;
use crate::protocol::http1::CredentialKind;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// Names of query parameters in HTTP requests that are readable on the network. Values are not kept.
    /// ## Fails when
    /// A parameter is named like a credential (`token`, `password`, `api_key` …) and the request leaves the
    /// device outside of TLS. Besides the listeners, logs and proxies on the way keep such URLs.
    /// ## Blind spots
    /// Secrets under other names; query strings inside TLS, which are no better but cannot be read.
    /// ## References
    /// ASVS 4.0.3, 8.3.1; [CWE-598](https://cwe.mitre.org/data/definitions/598.html)
    CleartextSecretInUrl {
        id: "cleartext-secret-in-url",
        summary: "secret in the query string of a request without TLS",
        severity: High,
        requirements: super::reading_breaks!("asvs:8.3.1", "cwe:598"),
    }
}

impl Rule for CleartextSecretInUrl {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        for (observation, request) in facts::clear_requests(flow) {
            let secrets = request.credentials.iter();
            for secret in secrets.filter(|secret| secret.kind == CredentialKind::QueryParameter) {
                let line = facts::request_line(request);
                let message = format!("query parameter {} readable in {line}", secret.name);
                report(
                    Finding::new(self.info(), flow, observation.frame, message)
                        .kind(secret.name.as_str())
                        .detail("name", secret.name.as_str()),
                );
            }
        }
    }
}
