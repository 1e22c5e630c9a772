//! Rule `accepted-unpinned-key`.

use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The keys of the chain that the server sent up to TLS 1.2, and the pins that the policy names for the
    /// host.
    /// ## Fails when
    /// None of the keys is pinned, and the client went on with application data.
    /// ## Blind spots
    /// TLS 1.3 encrypts the chain: without a key log it is not seen. Hosts without a pin in the policy are not judged. That all keys matched
    /// does not show that the app refuses others: only an interception can.
    /// What stays on the device is not judged.
    /// ## References
    /// [MASTG-TEST-0244](https://mas.owasp.org/MASTG/tests/android/MASVS-NETWORK/MASTG-TEST-0244/),
    /// MASWE-0028 (MASWE 1), [RFC 7469 §2.6](https://datatracker.ietf.org/doc/html/rfc7469#section-2.6)
    AcceptedUnpinnedKey {
        id: "accepted-unpinned-key",
        summary: "key accepted that the policy does not pin",
        severity: High,
        requirements: &[
            "cl-mss:5.7",
            "masvs:MSTG-NETWORK-4",
            "ncsc:2.1.2",
            "ncsc:2.1.6",
            "mastg:MASTG-TEST-0244",
            "maswe-1:MASWE-0028",
            "cwe:295",
        ],
    }
}

impl Rule for AcceptedUnpinnedKey {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let host = flow.host();
        let Some(pins) = cx.policy.pins(&host) else { return };
        let Some(session) = facts::session(flow).filter(|session| session.established()) else { return };
        let (Some(chain), Some(data)) = (&session.server_chain, session.client_data) else { return };
        let keys: Vec<[u8; 32]> = chain
            .value
            .iter()
            .filter_map(|certificate| Some(certificate.parsed.as_ref()?.spki_sha256))
            .collect();
        if keys.is_empty() || keys.iter().any(|key| pins.contains(key)) {
            return;
        }
        let hex = |key: &[u8; 32]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let shown = keys.first().map(hex).unwrap_or_default();
        report(
            Finding::new(
                self.info(),
                flow,
                chain.frame,
                format!("the client accepted a key of {host} without a pin"),
            )
            .also((flow.id, data))
            .detail("spki_sha256", shown),
        );
    }
}
