//! Two runs of the same apps compared: one undisturbed, one under interception.
//!
//! Alone, a client that hangs up proves little: see `protocol::tls::Rejection`. What it does with a certificate that
//! somebody else made, where it took the real one before, is the proof. With an authority that the device does not know,
//! a refusal says that certificates are validated (CL MSS 5.5); with one that the device was made to trust, that
//! the app trusts fewer than the device does: it pins, or it takes no authority that a user installed (5.7). Data
//! after the handshake say the opposite. Everything else is inconclusive, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::tls::{Certainty, Rejection, Shape};

/// Flows of an app with a host that are compared: the first ones.
pub const MAX_MEETINGS: usize = 256;

/// What became of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client went on with data.
    Accepted,
    /// The client turned the server away.
    Rejected(Rejection),
    /// Neither can be told; resumed sessions, for instance.
    Open,
}

/// One flow of an app with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// The flow's number in its run.
    pub flow: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The server's chain where it could be read: SHA-256 in hex and issuer of each, leaf first.
    pub chain: Vec<(String, String)>,
}

/// Whose flows with whom: the app's name, and the host's name or address.
pub type Contact = (Option<String>, String);

/// The flows of a run that carried TLS.
pub type Meetings = BTreeMap<Contact, Vec<Meeting>>;

/// The tester's own authority, which the device was made to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestAuthority {
    /// Its name, RFC 4514.
    pub subject: String,
    /// SHA-256 of its certificate, hex.
    pub sha256: String,
}

/// An answer to whether a requirement holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It does, for this app and host, in these runs.
    Holds,
    /// It does not.
    Fails,
    /// Neither can be said.
    Inconclusive,
}

/// An answer with its reason.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Opinion {
    /// The answer.
    pub answer: Answer,
    /// How sure it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Certainty>,
    /// Why.
    pub reason: String,
}

/// What is said of an app and a host.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    /// The app; `None` is unattributed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The host.
    pub host: String,
    /// CL MSS 5.5: certificates are validated.
    pub validation: Opinion,
    /// CL MSS 5.7: certificates are pinned.
    pub pinning: Opinion,
    /// The undisturbed run.
    pub baseline: Tally,
    /// The run under interception.
    pub interception: Tally,
}

/// The outcomes of a contact's flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Flows that are compared.
    pub flows: u64,
    /// In which the client went on with data.
    pub accepted: u64,
    /// In which it turned the server away, by shape.
    pub rejected: BTreeMap<Shape, u64>,
    /// Whose chain, where it could be read, is not the interceptor's.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_intercepted: u64,
    /// The flow to look at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Compares two runs, for each app and host that is in either. `authority` is given where the device was made to trust it.
#[must_use]
pub fn compare(
    baseline: &Meetings,
    interception: &Meetings,
    authority: Option<&TestAuthority>,
) -> Vec<Comparison> {
    let contacts: BTreeSet<&Contact> = baseline.keys().chain(interception.keys()).collect();
    contacts
        .into_iter()
        .map(|contact| {
            let flows = |run: &'_ Meetings| run.get(contact).cloned().unwrap_or_default();
            let (before, under) = (flows(baseline), flows(interception));
            let genuine: BTreeSet<&str> =
                before.iter().filter_map(|meeting| Some(meeting.chain.first()?.0.as_str())).collect();
            let intercepted = |meeting: &Meeting| is_intercepted(meeting, &genuine, authority);
            let baseline = tally(&before, |_| true);
            let interception = tally(&under, intercepted);
            let (validation, pinning) = judge(&baseline, &interception, authority.is_some());
            let (app, host) = contact.clone();
            Comparison { app, host, validation, pinning, baseline, interception }
        })
        .collect()
}

/// Whether the chain that can be read is the interceptor's; one that cannot be read is taken for it.
fn is_intercepted(meeting: &Meeting, genuine: &BTreeSet<&str>, authority: Option<&TestAuthority>) -> bool {
    let Some((leaf, _)) = meeting.chain.first() else { return true };
    if genuine.contains(leaf.as_str()) {
        return false;
    }
    authority.is_none_or(|authority| {
        meeting
            .chain
            .iter()
            .any(|(sha256, issuer)| *issuer == authority.subject || *sha256 == authority.sha256)
    })
}

fn tally(meetings: &[Meeting], counts: impl Fn(&Meeting) -> bool) -> Tally {
    let mut tally = Tally::default();
    let mut telling = None;
    for meeting in meetings {
        if !counts(meeting) {
            tally.not_intercepted = tally.not_intercepted.saturating_add(1);
            continue;
        }
        tally.flows = tally.flows.saturating_add(1);
        let rank = match meeting.outcome {
            Outcome::Accepted => {
                tally.accepted = tally.accepted.saturating_add(1);
                0
            }
            Outcome::Rejected(rejection) => {
                let count = tally.rejected.entry(rejection.shape).or_default();
                *count = count.saturating_add(1);
                1
            }
            Outcome::Open => 2,
        };
        if telling.is_none_or(|(known, _)| rank < known) {
            telling = Some((rank, meeting.flow));
        }
    }
    tally.flow = telling.map(|(_, flow)| flow);
    tally
}

/// What the outcomes say of 5.5 and of 5.7.
fn judge(baseline: &Tally, interception: &Tally, installed: bool) -> (Opinion, Opinion) {
    let both = |reason: &str| (inconclusive(reason), inconclusive(reason));
    if baseline.accepted == 0 && baseline.flows == 0 {
        return both("the baseline has no flow of TLS with this host");
    }
    if baseline.accepted == 0 {
        return both("the app did not go on with data in the baseline either");
    }
    if interception.flows == 0 && interception.not_intercepted > 0 {
        return both("the flows of the second run were not intercepted, as their certificates show");
    }
    if interception.flows == 0 {
        return both("the second run has no flow of TLS with this host");
    }
    if interception.accepted > 0 {
        let reason = |what: &str| {
            let (accepted, flows) = (interception.accepted, interception.flows);
            format!("went on with data in {accepted} of {flows} intercepted flows, {what}")
        };
        let fails = |what: &str| Opinion {
            answer: Answer::Fails,
            confidence: Some(Certainty::Firm),
            reason: reason(what),
        };
        return if installed {
            let untested = "the device was made to trust the authority: that it was accepted is no fault";
            (inconclusive(untested), fails("whose authority no pin names"))
        } else {
            let what = "under an authority that the device does not know";
            (fails(what), fails(what))
        };
    }
    let Some(confidence) = confidence(baseline, interception) else {
        return both("the app neither went on nor turned the intercepted server away, as far as can be told");
    };
    let shapes: Vec<String> =
        interception.rejected.iter().map(|(shape, count)| format!("{count} × {}", words(*shape))).collect();
    let holds = |confidence, what: &str| Opinion {
        answer: Answer::Holds,
        confidence: Some(confidence),
        reason: format!("turned away {what} ({})", shapes.join(", ")),
    };
    if installed {
        let what =
            "an authority that the device trusts: it pins, or it takes no authority that a user installed";
        (
            inconclusive(
                "the device was made to trust the authority: repeat it with one that it does not know",
            ),
            holds(confidence.min(Certainty::Firm), what),
        )
    } else {
        (
            holds(confidence, "a certificate of an authority that the device does not know"),
            inconclusive("validation alone explains it: repeat it with the authority installed"),
        )
    }
}

fn inconclusive(reason: &str) -> Opinion {
    Opinion { answer: Answer::Inconclusive, confidence: None, reason: reason.to_owned() }
}

/// How sure a refusal under interception is; `None` where there is none.
fn confidence(baseline: &Tally, interception: &Tally) -> Option<Certainty> {
    let rejected: u64 = interception.rejected.values().sum();
    if rejected == 0 {
        return None;
    }
    if interception.rejected.contains_key(&Shape::PlaintextAlert) {
        return Some(Certainty::Certain);
    }
    if interception.rejected.contains_key(&Shape::EncryptedAlert) {
        return Some(Certainty::Firm);
    }
    // Hanging up means little where the app hangs up on the real server, too, or where some flows show neither.
    let usual = baseline.rejected.values().any(|count| *count > 0);
    Some(if usual || rejected < interception.flows { Certainty::Tentative } else { Certainty::Firm })
}

/// The shape in words.
fn words(shape: Shape) -> &'static str {
    match shape {
        Shape::PlaintextAlert => "an alert in the clear",
        Shape::EncryptedAlert => "an encrypted alert",
        Shape::Silence => "nothing after the server's flight",
        Shape::AfterHandshake => "nothing after the handshake",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(outcomes: &[Outcome]) -> Meetings {
        let meetings = outcomes.iter().zip(1..);
        let meetings =
            meetings.map(|(outcome, flow)| Meeting { flow, outcome: *outcome, chain: Vec::new() }).collect();
        BTreeMap::from([((None, "a.test".to_owned()), meetings)])
    }

    fn rejected(shape: Shape) -> Outcome {
        Outcome::Rejected(Rejection { shape, certainty: Certainty::Tentative })
    }

    fn answers(baseline: &[Outcome], interception: &[Outcome], installed: bool) -> (Opinion, Opinion) {
        let authority = TestAuthority { subject: "CN=Test".into(), sha256: String::new() };
        let compared = compare(&run(baseline), &run(interception), installed.then_some(&authority));
        let one = compared.first().expect("a contact");
        (one.validation.clone(), one.pinning.clone())
    }

    #[test]
    fn accepting_an_unknown_authority_fails_both() {
        let (validation, pinning) =
            answers(&[Outcome::Accepted], &[rejected(Shape::PlaintextAlert), Outcome::Accepted], false);
        assert_eq!((validation.answer, pinning.answer), (Answer::Fails, Answer::Fails));
    }

    #[test]
    fn silence_alone_is_worth_as_much_as_the_baseline_is_quiet() {
        let silence = [rejected(Shape::Silence)];
        let (validation, pinning) = answers(&[Outcome::Accepted], &silence, false);
        assert_eq!((validation.answer, validation.confidence), (Answer::Holds, Some(Certainty::Firm)));
        assert_eq!(pinning.answer, Answer::Inconclusive);
        let (validation, _) = answers(&[Outcome::Accepted, rejected(Shape::Silence)], &silence, false);
        assert_eq!(validation.confidence, Some(Certainty::Tentative));
        let (validation, _) = answers(&[rejected(Shape::Silence)], &silence, false);
        assert_eq!(validation.answer, Answer::Inconclusive);
    }

    #[test]
    fn an_installed_authority_tests_pinning_alone() {
        let (validation, pinning) = answers(&[Outcome::Accepted], &[rejected(Shape::AfterHandshake)], true);
        assert_eq!((validation.answer, pinning.answer), (Answer::Inconclusive, Answer::Holds));
        let (validation, pinning) = answers(&[Outcome::Accepted], &[Outcome::Accepted], true);
        assert_eq!((validation.answer, pinning.answer), (Answer::Inconclusive, Answer::Fails));
        let (validation, pinning) = answers(&[Outcome::Accepted], &[Outcome::Open], true);
        assert_eq!((validation.answer, pinning.answer), (Answer::Inconclusive, Answer::Inconclusive));
    }

    #[test]
    fn flows_that_were_not_intercepted_do_not_count() {
        let with = |sha256: &str, issuer: &str| {
            let chain = vec![(sha256.to_owned(), issuer.to_owned())];
            let meeting = Meeting { flow: 1, outcome: Outcome::Accepted, chain };
            BTreeMap::from([((None, "a.test".to_owned()), vec![meeting])])
        };
        let authority = TestAuthority { subject: "CN=Test".into(), sha256: "ff".into() };
        let answer = |under: &Meetings| {
            compare(&with("aa", "CN=Real"), under, Some(&authority)).first().map(|one| one.pinning.answer)
        };
        assert_eq!(answer(&with("aa", "CN=Real")), Some(Answer::Inconclusive));
        assert_eq!(answer(&with("bb", "CN=Real")), Some(Answer::Inconclusive));
        assert_eq!(answer(&with("bb", "CN=Test")), Some(Answer::Fails));
    }
}
