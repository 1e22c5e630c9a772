//! Rule `starttls-stripped`.

use crate::observation::Flow;
use crate::rules::{
    Confidence, Digest, Endpoint, Finding, Missed, Rule, RuleContext, RuleInfo, declare_rule,
};

declare_rule! {
    /// ## What it observes
    /// Requests for TLS within a connection (STARTTLS and its like) and their answers; capabilities of SMTP,
    /// IMAP and FTP that are written over with `XXXX`, as middleboxes do to `STARTTLS`; what one server offers
    /// in some connections of the run and not in others.
    /// ## Fails when
    /// TLS is refused or its offer is written over, and the client goes on readably, with a login or with
    /// commands that are its purpose: whoever is on the way can take TLS away. Certain where the server has
    /// offered what it then refuses, else firm. Where an offer is only missing that the same port of the host
    /// made in another connection of the app, it is tentative.
    /// ## Blind spots
    /// Who refused shows nowhere: a server that cannot do TLS refuses like somebody on the way. An offer that
    /// is missing in every connection. Answers that break off, after which the client does not go on.
    /// ## References
    /// [RFC 3207 §6](https://datatracker.ietf.org/doc/html/rfc3207#section-6), [RFC 7457
    /// §2.1](https://datatracker.ietf.org/doc/html/rfc7457#section-2.1), [RFC 9325
    /// §3.2](https://datatracker.ietf.org/doc/html/rfc9325#section-3.2), MASWE-0026 (MASWE 1),
    /// [CWE-319](https://cwe.mitre.org/data/definitions/319.html)
    StarttlsStripped {
        id: "starttls-stripped",
        summary: "went on without TLS where it was taken away",
        severity: High,
        requirements: super::inconsistency_breaks!(),
    }
}

impl Rule for StarttlsStripped {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(missed) = Missed::of(flow).filter(|missed| missed.is_taken_away()) else { return };
        let Some((frame, what)) = &missed.went_on else { return };
        let protocol = missed.protocol;
        let (how, seen) = match missed.refused {
            Some(refused) => ("TLS is refused", Some(refused)),
            None => ("the offer of TLS is written over", missed.garbled),
        };
        let contradicts = missed.refused.is_some() && missed.offered.is_some();
        let message = format!("{protocol}: {how}, and the client goes on without ({what})");
        let finding = Finding::new(self.info(), flow, *frame, message)
            .confidence(if contradicts { Confidence::Certain } else { Confidence::Firm })
            .kind(protocol)
            .detail("protocol", protocol)
            .detail("went_on_with", what.as_str())
            .detail("evidence", if missed.refused.is_some() { "refused" } else { "garbled" });
        report(match seen {
            Some(seen) => finding.also((flow.id, seen)),
            None => finding,
        });
    }

    fn check_endpoint(&self, endpoint: &Endpoint, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        for digest in &endpoint.flows {
            let Some(missed) = digest.missed.as_deref().filter(|missed| lacks_offer(missed)) else {
                continue;
            };
            let protocol = missed.protocol;
            let offers = |other: &&Digest| other.port == digest.port && other.offers_tls(protocol);
            let Some(offer) = endpoint.flows.iter().find(offers) else { continue };
            let (Some(place), Some((_, what))) = (missed.place(digest.flow), &missed.went_on) else {
                continue;
            };
            let message = format!(
                "{protocol}: {} offers TLS in another connection and not in this one, and the client goes on ({what})",
                endpoint.name()
            );
            report(
                endpoint
                    .finding(self.info(), digest, place, message)
                    .inferred("offers of the same server in other connections")
                    .confidence(Confidence::Tentative)
                    .also((offer.flow, offer.first_frame))
                    .kind(protocol)
                    .detail("protocol", protocol)
                    .detail("went_on_with", what.as_str())
                    .detail("evidence", "not_offered"),
            );
        }
    }
}

/// Whether the client went on where the server listed what it can, without TLS, and nothing else says more.
fn lacks_offer(missed: &Missed) -> bool {
    let silent = missed.offered.is_none() && missed.garbled.is_none() && missed.refused.is_none();
    silent && missed.not_offered.is_some() && missed.went_on.is_some()
}
