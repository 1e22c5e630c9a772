//! Rule `missing-sni`.

use crate::observation::{DomainBasis, Flow};
use crate::rules::{Confidence, Finding, Rule, RuleContext, RuleInfo, Severity, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// `server_name` in the ClientHello, and the host's name from DNS.
    /// ## Fails when
    /// It is absent although the capture holds a DNS answer with a name for the address; where several names
    /// were resolved to it, of which the flow may mean any, that is tentative and none is stated. Where owners are
    /// known, what another app resolved does not count. Without such an answer it is noted as info: the app may have
    /// been given an address. Clients without it often do not compare names either.
    /// ## Blind spots
    /// Names that were resolved before the capture began, or over an encrypted resolver. Encrypted
    /// ClientHellos have an outer name. What stays on the device is not judged.
    /// ## References
    /// [RFC 9325 §3.7](https://datatracker.ietf.org/doc/html/rfc9325#section-3.7), [RFC 6066
    /// §3](https://datatracker.ietf.org/doc/html/rfc6066#section-3)
    MissingSni {
        id: "missing-sni",
        summary: "ClientHello without a server name",
        severity: Low,
        requirements: &[
            "cl-mss:5.2",
            "ncsc:2.1.1",
        ],
    }
}

impl Rule for MissingSni {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some((_, hello)) = facts::client_hello(flow) else { return };
        if hello.value.server_name.is_some() || hello.value.sslv2 || facts::is_between_peers(flow) {
            return;
        }
        let resolved = flow.domain.as_ref().filter(|domain| domain.basis == DomainBasis::Dns);
        report(match (resolved, flow.shared_names.as_slice()) {
            (Some(domain), _) => {
                let message = format!("the client does not name {}, which it resolved", domain.name);
                Finding::new(self.info(), flow, hello.frame, message).inferred("dns")
            }
            (None, names @ [_, _, ..]) => {
                let message = "the client does not name the server, whose address has several resolved names";
                Finding::new(self.info(), flow, hello.frame, message)
                    .inferred("dns")
                    .confidence(Confidence::Tentative)
                    .kind("shared address")
                    .detail("resolved_names", names)
            }
            (None, _) => {
                let message = "the client does not name the server";
                Finding::new(self.info(), flow, hello.frame, message).severity(Severity::Info)
            }
        });
    }
}
