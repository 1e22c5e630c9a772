//! How a flow that could have changed to TLS went on without it: in what several rules agree.

use super::{Place, facts};
use crate::observation::{Basis, Flow, Observation, Protection};
use crate::protocol::Fact;
use crate::protocol::upgrade::{Step, WENT_ON};
use crate::source::FrameNumber;

/// The property by which protocols say that a capability was written over, as middleboxes do to `STARTTLS`.
const GARBLED: &str = "garbled_capability";

/// What a readable flow says of an upgrade to TLS that did not come about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// The protocol, as in `network.layers`.
    pub protocol: &'static str,
    /// The first offer of the server.
    pub offered: Option<FrameNumber>,
    /// Where the server first listed what it can, without an offer.
    pub not_offered: Option<FrameNumber>,
    /// Where the server listed a capability that somebody has written over.
    pub garbled: Option<FrameNumber>,
    /// The client's first request.
    pub requested: Option<FrameNumber>,
    /// The last refusal.
    pub refused: Option<FrameNumber>,
    /// Where the client first went on after the last of these, and with what.
    pub went_on: Option<(FrameNumber, String)>,
    /// Whether the client went on before any of these: it did not wait for a word on TLS.
    pub went_ahead: bool,
    /// Whether it had logged in by then or since.
    logged_in: bool,
}

impl Missed {
    /// Of a flow that remained readable and left the device; `None` where nothing was said of TLS.
    #[must_use]
    pub fn of(flow: &Flow) -> Option<Box<Self>> {
        if flow.protection != Protection::Cleartext || !facts::leaves_device(flow) {
            return None;
        }
        let mut missed = Box::<Self>::default();
        let crossed = |observation: &&Observation| observation.basis == Basis::Observed;
        for observation in flow.observations.iter().filter(crossed) {
            let frame = observation.frame;
            match &observation.fact {
                Fact::Upgrade(fact) => missed.step(fact.protocol, fact.step, frame),
                Fact::Property(fact) if fact.name == GARBLED => {
                    missed.protocol = fact.protocol;
                    missed.garbled.get_or_insert(frame);
                }
                Fact::Property(fact) if fact.name == WENT_ON => missed.goes_on(frame, &fact.value),
                Fact::Login(fact) => {
                    missed.goes_on(frame, &fact.mechanism);
                    missed.logged_in = true;
                }
                _ => {}
            }
        }
        (!missed.protocol.is_empty()).then_some(missed)
    }

    fn step(&mut self, protocol: &'static str, step: Step, frame: FrameNumber) {
        // Servers list again what they can after the login, without TLS: that takes nothing back. Where it is the first
        // list, it does not tell whether they had TLS before the login (RFC 4642 §2.1 forbids to list it then).
        let after_login = step == Step::NotOffered && self.logged_in;
        let repeats = step == Step::NotOffered || (step == Step::Offered && self.offered.is_some());
        if after_login || (repeats && self.went_on.is_some()) {
            return;
        }
        let place = match step {
            Step::Offered => &mut self.offered,
            Step::NotOffered => &mut self.not_offered,
            Step::Requested => &mut self.requested,
            Step::Refused => {
                self.refused = None;
                &mut self.refused
            }
            Step::Accepted => return,
        };
        place.get_or_insert(frame);
        self.protocol = protocol;
        self.went_on = None;
    }

    fn goes_on(&mut self, frame: FrameNumber, what: &str) {
        if self.protocol.is_empty() {
            self.went_ahead = true;
        } else if self.went_on.is_none() {
            self.went_on = Some((frame, what.to_owned()));
        }
    }

    /// Whether the client never went on: it left where there was no TLS.
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.went_on.is_none() && !self.went_ahead
    }

    /// Whether the server offered, and the client went on without asking.
    #[must_use]
    pub fn is_ignored(&self) -> bool {
        self.offered.is_some() && self.requested.is_none() && self.went_on.is_some()
    }

    /// Whether TLS was refused, its request not answered or its offer written over, and the client went on.
    #[must_use]
    pub fn is_taken_away(&self) -> bool {
        let garbled = self.garbled.is_some() && self.offered.is_none();
        (self.requested.is_some() || garbled) && self.went_on.is_some()
    }

    /// Where the client went on, in the flow with this id.
    #[must_use]
    pub fn place(&self, flow: u64) -> Option<Place> {
        self.went_on.as_ref().map(|(frame, _)| (flow, *frame))
    }
}

/// The protocol in which the server of a flow offered TLS, or agreed to it without having offered it, and where.
pub(super) fn offer(flow: &Flow) -> Option<(&'static str, FrameNumber)> {
    let crossed = |observation: &Observation| observation.basis == Basis::Observed;
    let mut offers = flow.upgrades().filter(|(observation, _)| crossed(observation));
    let (observation, fact) = offers.find(|(_, fact)| matches!(fact.step, Step::Offered | Step::Accepted))?;
    Some((fact.protocol, observation.frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{login, property, upgrade};

    fn missed(facts: Vec<Fact>) -> Option<Box<Missed>> {
        let mut flow = Flow::made(([10, 0, 0, 1], 50000), ([198, 51, 100, 1], 587));
        flow.layers = vec!["smtp"];
        flow.protection = Protection::Cleartext;
        for (frame, fact) in (1..).zip(facts) {
            flow.observations.push(observed(frame, fact), 100);
        }
        Missed::of(&flow)
    }

    fn observed(frame: FrameNumber, fact: Fact) -> Observation {
        Observation { frame, at: crate::time::Timestamp(0), basis: Basis::Observed, fact }
    }

    fn step(step: Step) -> Fact {
        Fact::Upgrade(upgrade::Fact { protocol: "smtp", step })
    }

    fn says(name: &'static str, value: &str) -> Fact {
        Fact::Property(Box::new(property::Fact::new("smtp", name, value)))
    }

    #[test]
    fn what_goes_on_after_the_last_step_counts() {
        let ignored = missed(vec![step(Step::Offered), says(WENT_ON, "MAIL")]).unwrap();
        assert!(ignored.is_ignored() && !ignored.is_taken_away());
        assert_eq!(ignored.place(1), Some((1, 2)));
        // After the login, servers list what they can without TLS.
        let listed = vec![step(Step::Offered), says(WENT_ON, "LOGIN"), step(Step::NotOffered)];
        assert!(missed(listed).unwrap().is_ignored());
        // The offer came after the command: it was not ignored.
        let late = missed(vec![says(WENT_ON, "NICK"), step(Step::Offered)]).unwrap();
        assert!(!late.is_ignored() && late.went_ahead && !late.is_left());
        let left = missed(vec![step(Step::Offered), step(Step::Requested), step(Step::Refused)]).unwrap();
        assert!(!left.is_ignored() && !left.is_taken_away() && left.is_left());
        assert_eq!(missed(vec![says(WENT_ON, "MAIL")]), None);
    }

    #[test]
    fn what_goes_on_before_the_first_step_counts_as_well() {
        let login = || {
            let (protocol, mechanism) = ("smtp", "PLAIN".to_owned());
            Fact::Login(Box::new(login::Fact { protocol, mechanism, exposure: login::Exposure::Secret }))
        };
        // The first list comes after the login, when servers need not list TLS any more: nothing was missing before.
        assert_eq!(missed(vec![says(WENT_ON, "AUTH"), login(), step(Step::NotOffered)]), None);
        let unasked = missed(vec![says(WENT_ON, "NICK"), step(Step::NotOffered)]).unwrap();
        assert!(!unasked.is_left() && unasked.went_on.is_none());
        // An offer that comes late is still one, and what follows it goes on without.
        let late = missed(vec![login(), step(Step::Offered), says(WENT_ON, "RETR")]).unwrap();
        assert!(late.is_ignored() && late.went_ahead);
        assert_eq!(late.place(1), Some((1, 3)));
        let only_listed = missed(vec![step(Step::NotOffered)]).unwrap();
        assert!(only_listed.is_left());
    }

    #[test]
    fn a_refusal_and_a_garbled_offer_take_it_away() {
        let on = || says(WENT_ON, "AUTH");
        let refused =
            missed(vec![step(Step::Offered), step(Step::Requested), step(Step::Refused), on()]).unwrap();
        assert!(refused.is_taken_away() && !refused.is_ignored());
        let unanswered = missed(vec![step(Step::Offered), step(Step::Requested), on()]).unwrap();
        assert!(unanswered.is_taken_away() && !unanswered.is_ignored());
        let garbled = missed(vec![says(GARBLED, "XXXXXXXA"), step(Step::NotOffered), on()]).unwrap();
        assert!(garbled.is_taken_away());
        let without = missed(vec![step(Step::NotOffered), on()]).unwrap();
        assert!(!without.is_taken_away() && !without.is_ignored());
    }
}
