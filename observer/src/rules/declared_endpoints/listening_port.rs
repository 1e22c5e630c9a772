//! Rule `listening-port`.

use crate::observation::Protection;
use crate::rules::{App, Attempt, Confidence, Finding, Rule, RuleContext, RuleInfo, Varying, declare_rule};

declare_rule! {
    /// ## What it observes
    /// Flows that others begin towards the device and that an app's socket answers.
    /// ## Fails when
    /// An app takes a connection, or a datagram that it answers, from another device: it has a port open to whoever shares
    /// the network.
    /// ## Blind spots
    /// Which address is the device's is concluded from the flows with an owner: an address with two peers or more. Ports
    /// that nobody spoke to show in no flow; a capture of a running system lists them in its report. Loopback, name
    /// service, discovery and the like are not judged.
    /// ## References
    /// NIAP FDP_NET_EXT.1.1; NIST SP 800-190 §4.4.2; MASWE-0051 (MASWE beta)
    ListeningPort {
        id: "listening-port",
        summary: "port of an app that others can reach",
        severity: Medium,
        requirements: &["niap:FDP_NET_EXT.1.1", "nist:800-190-4.3.3", "nist:800-190-4.4.2", "ncsc:2.1.3"],
    }
}

impl Rule for ListeningPort {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_app(&self, app: &App, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(owner) = &app.owner else { return };
        for endpoint in &app.endpoints {
            for digest in endpoint.flows.iter().filter(|digest| cx.device.is_inbound(digest)) {
                if digest.attempt != Attempt::Taken
                    || !digest.answered
                    || digest.protection == Protection::Empty
                {
                    continue;
                }
                let process =
                    owner.process.as_deref().map(|process| format!(" ({process})")).unwrap_or_default();
                let message = format!(
                    "{}{process} answers {} on port {} of the device",
                    owner.name(),
                    digest.source,
                    digest.port
                );
                report(
                    endpoint
                        .finding(self.info(), digest, (digest.flow, digest.first_frame), message)
                        .confidence(Confidence::Firm)
                        // The device's own, which each network gives it anew.
                        .varying(Varying { address: true, port: false })
                        .detail("peer", digest.source.to_string())
                        .detail("port", digest.port),
                );
            }
        }
    }
}
