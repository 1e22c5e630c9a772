//! Rule `starttls-stripped`.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::observation::Flow;
use crate::rules::{
    App, Confidence, Digest, Endpoint, Finding, Missed, Rule, RuleContext, RuleInfo, declare_rule,
};

declare_rule! {
    /// ## What it observes
    /// Requests for TLS within a connection (STARTTLS and its like) and their answers; capabilities of SMTP,
    /// IMAP and FTP that are written over with `XXXX`, as middleboxes do to `STARTTLS`; what one server offers
    /// in some connections of the run and not in others.
    /// ## Fails when
    /// TLS is refused, or what comes is no answer, or its offer is written over, and the client goes on
    /// readably, with a login or with commands that are its purpose: whoever is on the way can take TLS away.
    /// Certain where the server has offered what it then refuses, else firm. Where an offer is only missing
    /// that the same port of the host or address made in another connection of the app, it is tentative.
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
        let (how, evidence, seen) = match (missed.refused, missed.requested) {
            (Some(refused), _) => ("TLS is refused", "refused", Some(refused)),
            (None, Some(requested)) => ("TLS is asked for and not agreed to", "unanswered", Some(requested)),
            (None, None) => ("the offer of TLS is written over", "garbled", missed.garbled),
        };
        let contradicts = missed.refused.is_some() && missed.offered.is_some();
        let message = format!("{protocol}: {how}, and the client goes on without ({what})");
        let finding = Finding::new(self.info(), flow, *frame, message)
            .confidence(if contradicts { Confidence::Certain } else { Confidence::Firm })
            .kind(protocol)
            .detail("protocol", protocol)
            .detail("went_on_with", what.as_str())
            .detail("evidence", evidence);
        report(match seen {
            Some(seen) => finding.also((flow.id, seen)),
            None => finding,
        });
    }

    fn check_app(&self, app: &App, _cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let mut offers = HashMap::new();
        for (endpoint, digest) in all(app) {
            for server in servers(endpoint, digest) {
                if let Some((protocol, frame)) = digest.offers {
                    offers.entry((server, digest.port, protocol)).or_insert((digest.flow, frame));
                }
            }
        }
        for (endpoint, digest) in all(app) {
            let Some(missed) = digest.missed.as_deref().filter(|missed| lacks_offer(missed)) else {
                continue;
            };
            let protocol = missed.protocol;
            let mut found =
                servers(endpoint, digest).filter_map(|server| offers.get(&(server, digest.port, protocol)));
            let (Some(offer), Some(place), Some((_, what))) =
                (found.next(), missed.place(digest.flow), &missed.went_on)
            else {
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
                    .also(*offer)
                    .kind(protocol)
                    .detail("protocol", protocol)
                    .detail("went_on_with", what.as_str())
                    .detail("evidence", "not_offered"),
            );
        }
    }
}

/// Every flow of an app that is remembered, with its endpoint.
fn all(app: &App) -> impl Iterator<Item = (&Endpoint, &Digest)> {
    app.endpoints.iter().flat_map(|endpoint| endpoint.flows.iter().map(move |digest| (endpoint, digest)))
}

/// What a server is known by: its name, and its address, as the name shows in TLS and need not show outside of it.
fn servers<'a>(endpoint: &'a Endpoint, digest: &Digest) -> impl Iterator<Item = Server<'a>> {
    let name = endpoint.host.as_deref().map(Server::Name);
    name.into_iter().chain([Server::Address(digest.ip)])
}

/// Who offers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Server<'a> {
    Name(&'a str),
    Address(IpAddr),
}

/// Whether the client went on where the server listed what it can, without TLS, and nothing else says more.
fn lacks_offer(missed: &Missed) -> bool {
    let silent = missed.offered.is_none() && missed.garbled.is_none() && missed.requested.is_none();
    silent && missed.not_offered.is_some() && missed.went_on.is_some()
}
