//! Rule `undeclared-endpoint`.

use crate::observation::Flow;
use crate::rules::{EndpointName, Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The far end of every flow with payload, and the policy's list of endpoints.
    /// ## Fails when
    /// The list is not empty and does not hold the far end, by name or address and port. Name service, time
    /// and discovery are not judged.
    /// ## Blind spots
    /// A far end that is only known by address is compared by address; a name that the app resolved before
    /// the capture began does not help.
    /// ## References
    /// NIAP FDP_NET_EXT.1.1; NIST SP 800-190 §4.4.2
    UndeclaredEndpoint {
        id: "undeclared-endpoint",
        summary: "far end that the policy does not list",
        severity: Medium,
        requirements: &[
            "niap:FDP_NET_EXT.1.1",
            "nist:800-190-4.3.3",
            "nist:800-190-4.4.2",
            "ncsc:2.1.3",
            "ncsc:2.1.4",
            "ncsc:2.1.5",
        ],
    }
}

impl Rule for UndeclaredEndpoint {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        if cx.policy.endpoints.is_empty() {
            return;
        }
        let endpoint = EndpointName::of(flow);
        let address = endpoint.ip.to_string();
        let by_name = endpoint.host.as_ref().is_some_and(|host| cx.policy.allows(host, endpoint.port));
        if !facts::counts(flow) || by_name || cx.policy.allows(&address, endpoint.port) {
            return;
        }
        let message = format!("{} port {} is not declared", endpoint.host_or_address(), endpoint.port);
        report(Finding::new(self.info(), flow, flow.flow.info.first_frame, message));
    }
}
