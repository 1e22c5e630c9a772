//! Rule `starttls-not-used`.

use crate::observation::Flow;
use crate::rules::{Finding, Missed, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// What servers of SMTP, IMAP, POP3, FTP, NNTP, ManageSieve, IRC, XMPP, LDAP and MySQL list that they can,
    /// and what the client says next.
    /// ## Fails when
    /// The server offers TLS in the same connection, the client never asks for it, and goes on readably: with a
    /// login or with commands that are its purpose. An offer that comes after the login counts, too, where more
    /// follows it. A client that leaves is not reported.
    /// ## Blind spots
    /// Clients that do not ask what the server can, which cleartext-protocol reports. PostgreSQL's server
    /// offers nothing before it is asked.
    /// ## References
    /// [RFC 3207 §6](https://datatracker.ietf.org/doc/html/rfc3207#section-6), [RFC 8314
    /// §3](https://datatracker.ietf.org/doc/html/rfc8314#section-3), [RFC 9325
    /// §3.2](https://datatracker.ietf.org/doc/html/rfc9325#section-3.2), MASWE-0026 (MASWE 1),
    /// [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    StarttlsNotUsed {
        id: "starttls-not-used",
        summary: "TLS offered and not used",
        severity: High,
        requirements: super::inconsistency_breaks!(),
    }
}

impl Rule for StarttlsNotUsed {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(missed) = Missed::of(flow).filter(|missed| missed.is_ignored()) else { return };
        let (Some(offered), Some((frame, what))) = (missed.offered, &missed.went_on) else { return };
        let protocol = missed.protocol;
        let message = format!("{protocol}: the server offers TLS, the client goes on without ({what})");
        report(
            Finding::new(self.info(), flow, *frame, message)
                .also((flow.id, offered))
                .kind(protocol)
                .detail("protocol", protocol)
                .detail("went_on_with", what.as_str()),
        );
    }
}
