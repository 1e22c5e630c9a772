//! Rule `accepted-test-ca`.

use data_encoding::HEXLOWER;

use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// Server chains that can be read, and the authority of the tester's interception proxy (`--test-ca`).
    /// ## Fails when
    /// A chain leads to that authority, the handshake completes and the client sends application data: the app pins
    /// neither certificate nor key of this host. Whether it verifies at all depends on the device: where the authority is
    /// not trusted there, accepted-untrusted-chain is the graver finding; where it is, name it with `--ca`, too.
    /// ## Blind spots
    /// TLS 1.3 encrypts the chain, so that it has to be decrypted or the proxy be held to TLS 1.2. A host that the proxy
    /// let through unchanged, and features of the app that were not used, show nothing.
    /// What stays on the device is not judged.
    /// ## References
    /// [MASTG-TEST-0244](https://mas.owasp.org/MASTG/tests/android/MASVS-NETWORK/MASTG-TEST-0244/), MASWE-0028 (MASWE 1)
    AcceptedTestCa {
        id: "accepted-test-ca",
        summary: "interception with the tester's authority accepted",
        severity: Medium,
        requirements: &[
            "cl-mss:5.7",
            "masvs:MSTG-NETWORK-4",
            "ncsc:2.1.2",
            "ncsc:2.1.6",
            "mastg:MASTG-TEST-0244",
            "maswe-1:MASWE-0028",
        ],
    }
}

impl Rule for AcceptedTestCa {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        if !cx.chain.is_some_and(|chain| chain.under_test_ca) {
            return;
        }
        let Some(session) = facts::session(flow).filter(|session| session.established()) else { return };
        let (Some(chain), Some(data)) = (&session.server_chain, session.client_data) else { return };
        let Some(leaf) = chain.value.first() else { return };
        let message = format!("{} is reached through the tester's interception", flow.host());
        report(
            Finding::new(self.info(), flow, chain.frame, message)
                .also((flow.id, data))
                .detail("certificate_sha256", HEXLOWER.encode(&leaf.sha256)),
        );
    }
}
