//! Tests of the comparison, without a database.

use super::*;

fn endpoint(port: u16, values: &[(Aspect, &str)]) -> Endpoint {
    let mut endpoint = Endpoint { port: Some(port), transport: "tcp".to_owned(), ..Endpoint::default() };
    for (aspect, value) in values {
        endpoint.values.entry(*aspect).or_default().insert((*value).to_owned());
    }
    endpoint
}

fn tls(port: u16, version: &str) -> Endpoint {
    endpoint(port, &[(Aspect::Protection, "encrypted"), (Aspect::Version, version)])
}

fn clear(port: u16) -> Endpoint {
    endpoint(port, &[(Aspect::Protection, "cleartext"), (Aspect::Protocol, "http")])
}

fn finding(severity: Severity, weight: Weight) -> FindingState {
    FindingState {
        rule: "cleartext-http".to_owned(),
        severity,
        weight,
        app: Some("test.shop".to_owned()),
        host: "a.test".to_owned(),
        port: 80,
        message: "GET http://a.test/".to_owned(),
    }
}

/// The changes of one app that both runs have.
fn changes(tell: impl FnOnce(&mut Reviewer)) -> (Review, Vec<Change>) {
    let mut reviewer = Reviewer::new(Some(Severity::High));
    reviewer.app(Some("test.shop"), 2, 2);
    tell(&mut reviewer);
    let review = reviewer.finish(Side::default(), Side::default());
    let changes = review.apps.iter().flat_map(|app| app.changes.clone()).collect();
    (review, changes)
}

fn hosts(before: &[Endpoint], after: &[Endpoint]) -> Vec<Change> {
    changes(|reviewer| reviewer.endpoints(Some("test.shop"), "a.test", before, after)).1
}

#[test]
fn a_lower_version_and_lost_protection_are_worse() {
    let worse = |before: &[Endpoint], after: &[Endpoint]| {
        hosts(before, after).iter().map(|change| (change.kind, change.worse)).collect::<Vec<_>>()
    };
    assert_eq!(worse(&[tls(443, "TLS 1.3")], &[tls(443, "TLS 1.3")]), []);
    assert_eq!(worse(&[tls(443, "TLS 1.3")], &[tls(443, "TLS 1.2")]), [(Kind::TlsVersion, true)]);
    assert_eq!(worse(&[tls(443, "TLS 1.2")], &[tls(443, "TLS 1.3")]), [(Kind::TlsVersion, false)]);
    let both = endpoint(
        443,
        &[(Aspect::Protection, "encrypted"), (Aspect::Version, "TLS 1.2"), (Aspect::Version, "TLS 1.3")],
    );
    assert_eq!(worse(&[tls(443, "TLS 1.3")], std::slice::from_ref(&both)), [(Kind::TlsVersion, true)]);
    assert_eq!(worse(&[tls(443, "TLS 1.2")], &[both]), [(Kind::TlsVersion, false)]);
    let upgraded = endpoint(25, &[(Aspect::Protection, "opportunistic")]);
    assert_eq!(worse(&[upgraded], &[clear(25)]), [(Kind::Protection, true)]);
    assert_eq!(
        worse(&[clear(80)], &[endpoint(80, &[(Aspect::Protection, "encrypted")])]),
        [(Kind::Protection, false)]
    );
    // The same host without protection, on another port: new, and worse, unless it was so before.
    assert_eq!(worse(&[tls(443, "TLS 1.3")], &[tls(443, "TLS 1.3"), clear(80)]), [(Kind::Endpoint, true)]);
    assert_eq!(worse(&[clear(8080)], &[clear(8080), clear(80)]), [(Kind::Endpoint, false)]);
    assert_eq!(worse(&[], &[clear(80)]), [(Kind::Endpoint, false)]);
}

#[test]
fn what_one_run_does_not_show_is_no_change() {
    let (before, mut after) = (tls(443, "TLS 1.3"), tls(443, "TLS 1.3"));
    after.values.remove(&Aspect::Version);
    after.values.insert(Aspect::Protection, BTreeSet::from(["empty".to_owned()]));
    assert_eq!(hosts(&[before], &[after]), []);
    let gone = hosts(&[tls(443, "TLS 1.3")], &[]);
    assert_eq!(
        (gone[0].sign, gone[0].worse, gone[0].before.join(" ")),
        (Sign::NotSeen, false, "encrypted TLS 1.3".to_owned())
    );
}

#[test]
fn certificates_differ_by_key_and_issuer() {
    let with = |sha256: &str, issuer: &str, key: &str| {
        let leaf = Leaf {
            sha256: sha256.to_owned(),
            subject: "CN=a.test".to_owned(),
            issuer: issuer.to_owned(),
            spki_sha256: key.to_owned(),
            not_after: "2027-01-01".to_owned(),
        };
        Endpoint { leaves: BTreeSet::from([leaf]), ..tls(443, "TLS 1.2") }
    };
    let note = |before: &Endpoint, after: &Endpoint| {
        hosts(std::slice::from_ref(before), std::slice::from_ref(after))
            .first()
            .and_then(|one| one.note.clone())
    };
    let old = with("aa", "CN=A", "k1");
    assert_eq!(note(&old, &old), None);
    assert_eq!(note(&old, &with("bb", "CN=A", "k1")).unwrap(), "the same key");
    assert_eq!(note(&old, &with("bb", "CN=B", "k2")).unwrap(), "another key, another issuer");
    let unread = tls(443, "TLS 1.2");
    assert_eq!(note(&old, &unread), None, "a chain that cannot be read is no other chain");
}

#[test]
fn findings_are_new_graver_or_not_seen() {
    use Weight::{Excused, Held, Noted};
    let high = || finding(Severity::High, Held);
    let one = |before, after| changes(|reviewer| reviewer.finding(before, after)).1;
    assert_eq!(one(Some(high()), Some(high())), []);
    assert!(one(None, Some(high()))[0].worse);
    assert!(!one(None, Some(finding(Severity::Low, Held)))[0].worse);
    assert!(!one(None, Some(finding(Severity::High, Noted)))[0].worse);
    assert!(one(Some(finding(Severity::Low, Held)), Some(high()))[0].worse);
    assert!(one(Some(finding(Severity::High, Excused)), Some(high()))[0].worse, "the excuse is over");
    assert!(!one(Some(high()), Some(finding(Severity::High, Excused)))[0].worse);
    assert_eq!(one(Some(finding(Severity::High, Excused)), None), []);
    let reached = |after: &[Endpoint]| {
        let (_, changes) = changes(|reviewer| {
            reviewer.finding(Some(high()), None);
            reviewer.endpoints(Some("test.shop"), "a.test", &[clear(80)], after);
        });
        changes.into_iter().find(|change| change.kind == Kind::Finding).unwrap()
    };
    let change = reached(&[clear(80)]);
    assert_eq!((change.sign, change.worse), (Sign::NotSeen, false));
    assert!(change.note.unwrap().contains("reached again"));
    assert!(reached(&[]).note.unwrap().contains("not exercised"));
    assert!(reached(&[tls(443, "TLS 1.3")]).note.unwrap().contains("not exercised"));
}

#[test]
fn verdicts_that_become_violated_are_worse_and_open_ones_are_a_doubt() {
    use Judgement::{Inconclusive, NoViolationObserved, NotExercised, Violated};
    let one =
        |before, after| changes(|reviewer| reviewer.verdict(Some("test.shop"), "cl-mss:5.1", before, after));
    let worse = |before, after| one(before, after).1.first().map(|change| change.worse);
    assert_eq!(worse(Some(Violated), Some(Violated)), None);
    assert_eq!(worse(Some(NoViolationObserved), Some(Violated)), Some(true));
    assert_eq!(worse(Some(Violated), Some(NoViolationObserved)), Some(false));
    assert_eq!(worse(None, Some(Violated)), Some(true));
    assert_eq!(worse(None, Some(NotExercised)), None);
    assert_eq!(worse(Some(Violated), None), None);
    let doubts = one(Some(Violated), Some(Inconclusive)).0.doubts.join("\n");
    assert!(doubts.contains("became inconclusive: 1"), "{doubts}");
}

#[test]
fn an_app_that_was_not_exercised_is_told_once() {
    let mut reviewer = Reviewer::new(None);
    reviewer.app(Some("test.shop"), 3, 0);
    reviewer.endpoints(Some("test.shop"), "a.test", &[tls(443, "TLS 1.3"), clear(80)], &[]);
    let review = reviewer.finish(Side::default(), Side::default());
    let kinds: Vec<_> = review.apps[0].changes.iter().map(|change| (change.sign, change.kind)).collect();
    assert_eq!(kinds, [(Sign::NotSeen, Kind::App)]);
    assert!(review.doubts.iter().any(|doubt| doubt.contains("in both runs")));
}

#[test]
fn what_is_beyond_the_bound_is_counted_and_still_weighs() {
    let (review, changes) = changes(|reviewer| {
        for port in 0..20_000 {
            reviewer.finding(None, Some(FindingState { port, ..finding(Severity::High, Weight::Held) }));
        }
    });
    assert_eq!((changes.len(), review.worse), (MAX_CHANGES, 20_000));
    assert_eq!(review.left_out.get("changes"), Some(&10_000));
}
