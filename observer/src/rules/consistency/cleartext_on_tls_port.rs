//! Rule `cleartext-on-tls-port`.

use crate::observation::{Flow, Protection};
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The port of the responder, and the protection of the flow by its bytes.
    /// ## Fails when
    /// The port is assigned to a protocol over TLS (443, 465, 563, 636, 853, 989, 990, 992 to 995, 5061,
    /// 5223, 5349, 5671, 6697, 8443, 8883) and the bytes are readable: rules of firewalls and configurations
    /// by port take it for protected.
    /// ## Blind spots
    /// Ports are conventions; a proxy on port 443 whose client begins in the clear and continues with TLS is
    /// not reported.
    /// ## References
    /// [IANA service names](https://www.iana.org/assignments/service-names-port-numbers/),
    /// [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    CleartextOnTlsPort {
        id: "cleartext-on-tls-port",
        summary: "cleartext on a port that is meant for TLS",
        severity: High,
        requirements: super::inconsistency_breaks!(),
    }
}

impl Rule for CleartextOnTlsPort {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let port = flow.destination().port;
        let clear = flow.protection == Protection::Cleartext && !flow.layers.contains(&"tls");
        if !clear
            || flow.flow.tcp.is_none()
            || !facts::TLS_PORTS.contains(&port)
            || !facts::leaves_device(flow)
        {
            return;
        }
        if flow.unrecognised().is_some() && facts::unknown_readable(flow).is_none() {
            return;
        }
        let first = flow.observations.iter().next();
        let frame = first.map_or(flow.flow.info.first_frame, |observation| observation.frame);
        let what =
            flow.layers.first().copied().filter(|layer| *layer != "unknown").unwrap_or("readable text");
        report(
            Finding::new(self.info(), flow, frame, format!("{what} in cleartext on port {port}"))
                .confidence(if flow.flow.info.midstream { Confidence::Firm } else { Confidence::Certain })
                .detail("protocol", what),
        );
    }
}
