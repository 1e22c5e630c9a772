//! What markers make of flows.

use proptest::prelude::*;

use super::*;
use crate::source::MarkerKind;
use MarkerKind::{Begin, End, Point, RunFinished, RunStarted};
use MarkerOrigin::{Http, Instrument, Junit, Logcat, Mark};
use TestResult::{Failed, Ignored, Passed, Unfinished, Unknown};

/// Milliseconds.
fn at(ms: i64) -> Timestamp {
    Timestamp(ms * 1_000_000)
}

fn steps(markers: &[(i64, MarkerKind, MarkerOrigin, &str)]) -> Steps {
    let markers: Vec<_> =
        markers.iter().map(|(ms, kind, origin, label)| Marker::new(at(*ms), *kind, *origin, label)).collect();
    Steps::new(&markers)
}

/// Name, start, end and result of each.
fn shown(steps: &Steps) -> Vec<(&str, i64, Option<i64>, Option<TestResult>)> {
    let ms = |time: Timestamp| time.0 / 1_000_000;
    steps
        .all()
        .iter()
        .map(|step| (step.name.as_str(), ms(step.start), step.end.map(ms), step.result))
        .collect()
}

fn began(steps: &Steps, ms: i64) -> (Option<&str>, Began) {
    let position = steps.position(at(ms), at(ms)).unwrap();
    (position.step.map(|step| step.name.as_str()), position.began)
}

#[test]
fn a_flow_belongs_to_the_test_in_which_it_began() {
    let steps = steps(&[
        (1_000, RunStarted, Logcat, "2 tests"),
        (1_100, Begin, Logcat, "a(T)"),
        (2_000, End(Passed), Logcat, "a(T)"),
        (2_100, Begin, Logcat, "b(T)"),
        (3_000, End(Failed), Logcat, "b(T)"),
        (3_010, RunFinished, Logcat, "2 tests"),
    ]);
    assert_eq!(
        shown(&steps),
        [("a(T)", 1_100, Some(2_000), Some(Passed)), ("b(T)", 2_100, Some(3_000), Some(Failed))]
    );
    assert_eq!(began(&steps, 1_050), (None, Began::Background));
    assert_eq!(began(&steps, 1_100), (Some("a(T)"), Began::Inside));
    assert_eq!(began(&steps, 1_999), (Some("a(T)"), Began::Inside));
    assert_eq!(began(&steps, 2_050), (Some("a(T)"), Began::Grace));
    assert_eq!(began(&steps, 2_100), (Some("b(T)"), Began::Inside));
    assert_eq!(began(&steps, 3_249), (Some("b(T)"), Began::Grace));
    assert_eq!(began(&steps, 3_250), (None, Began::Background));
}

#[test]
fn flows_that_go_on_say_into_what() {
    let steps = steps(&[
        (10, Begin, Logcat, "a(T)"),
        (20, End(Passed), Logcat, "a(T)"),
        (25, End(Ignored), Logcat, "skipped(T)"),
        (30, Begin, Logcat, "b(T)"),
        (40, End(Passed), Logcat, "b(T)"),
    ]);
    let spans = |from, to| {
        let position = steps.position(at(from), at(to)).unwrap();
        let names: Vec<_> = position.spans.iter().map(|step| step.name.as_str()).collect();
        (names.join(" "), position.spans_count)
    };
    assert_eq!(spans(15, 29), (String::new(), 0));
    assert_eq!(spans(15, 30), ("b(T)".to_owned(), 1));
    assert_eq!(spans(5, 99), ("a(T) b(T)".to_owned(), 2));
    assert_eq!(began(&steps, 5), (None, Began::Background));
}

#[test]
fn an_end_that_is_missing_is_said_to_be() {
    let crashed = steps(&[
        (1, Begin, Logcat, "a(T)"),
        (5, Begin, Logcat, "b(T)"),
        (7, RunFinished, Logcat, ""),
        (8, RunStarted, Logcat, ""),
        (9, Begin, Logcat, "c(T)"),
    ]);
    assert_eq!(
        shown(&crashed),
        [
            ("a(T)", 1, Some(5), Some(Unfinished)),
            ("b(T)", 5, Some(7), Some(Unfinished)),
            ("c(T)", 9, None, Some(Unfinished))
        ]
    );
    assert_eq!(began(&crashed, 1_000_000), (Some("c(T)"), Began::Inside));
    // It was late, not missing.
    let late =
        steps(&[(1, Begin, Logcat, "a(T)"), (5, Begin, Logcat, "b(T)"), (6, End(Failed), Logcat, "a(T)")]);
    assert_eq!(shown(&late)[0], ("a(T)", 1, Some(5), Some(Failed)));
}

#[test]
fn harnesses_may_nest_and_overlap() {
    let nested = steps(&[
        (0, Begin, Http, "suite"),
        (10, Begin, Http, "login"),
        (20, End(Passed), Http, ""),
        (30, Begin, Http, "other"),
        (35, End(Unknown), Http, "suite"),
        (40, End(Failed), Http, "other"),
    ]);
    assert_eq!(began(&nested, 5), (Some("suite"), Began::Inside));
    assert_eq!(began(&nested, 15), (Some("login"), Began::Inside));
    assert_eq!(began(&nested, 25), (Some("suite"), Began::Inside));
    assert_eq!(began(&nested, 37), (Some("other"), Began::Inside));
    let beside = nested.position(at(15), at(15)).unwrap().beside;
    assert_eq!(beside.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["suite"]);
    let again = steps(&[(0, Begin, Http, "x"), (5, Begin, Http, "x"), (9, End(Passed), Http, "x")]);
    assert_eq!(shown(&again), [("x", 0, Some(5), Some(Unfinished)), ("x", 5, Some(9), Some(Passed))]);
}

#[test]
fn witnesses_of_one_test_count_once() {
    let steps = steps(&[
        (10, Begin, Logcat, "a(T)"),
        (12, End(Passed), Logcat, "a(T)"),
        // Shorter than the other way takes.
        (13, Begin, Logcat, "b(T)"),
        (22, Begin, Instrument, "a(T)"),
        (24, End(Passed), Instrument, "a(T)"),
        (25, Begin, Instrument, "b(T)"),
        (40, RunFinished, Logcat, ""),
        (52, End(Failed), Instrument, "b(T)"),
        (0, Begin, Junit, "a(T)"),
        (7, End(Passed), Junit, "a(T)"),
        (60, Begin, Junit, "c(T)"),
        (70, End(Passed), Junit, "c(T)"),
    ]);
    assert_eq!(
        shown(&steps),
        [
            ("a(T)", 10, Some(12), Some(Passed)),
            ("b(T)", 13, Some(40), Some(Failed)),
            ("c(T)", 60, Some(70), Some(Passed))
        ]
    );
    let bases: Vec<_> = steps.all().iter().map(|step| step.basis).collect();
    assert_eq!(bases, [StepBasis::Observed, StepBasis::Observed, StepBasis::Inferred]);
}

#[test]
fn a_label_lasts_until_the_next_marker_and_a_test_goes_before_it() {
    let steps = steps(&[
        (10, Point, Mark, "log in"),
        (20, Point, Mark, "cart"),
        (30, Begin, Logcat, "a(T)"),
        (40, Point, Mark, "within"),
        (50, End(Passed), Logcat, "a(T)"),
        (60, Point, Mark, "after"),
    ]);
    assert_eq!(began(&steps, 5), (None, Began::Background));
    assert_eq!(began(&steps, 15), (Some("log in"), Began::Inside));
    assert_eq!(began(&steps, 25), (Some("cart"), Began::Inside));
    assert_eq!(began(&steps, 45), (Some("a(T)"), Began::Inside));
    assert_eq!(began(&steps, 55), (Some("a(T)"), Began::Grace));
    assert_eq!(began(&steps, 1_000), (Some("after"), Began::Inside));
}

#[test]
fn a_class_that_fails_has_no_length() {
    let steps = steps(&[(10, End(Failed), Logcat, "com.example.T")]);
    assert_eq!(shown(&steps), [("com.example.T", 10, Some(10), Some(Failed))]);
    assert_eq!(began(&steps, 10), (None, Began::Background));
}

#[test]
fn without_markers_there_are_no_steps() {
    assert_eq!(Steps::new(&[]).position(at(1), at(2)), None);
}

proptest! {
    /// The table of changes says the same as going through all steps.
    #[test]
    fn changes_agree_with_a_search(
        said in prop::collection::vec((0_i64..600, 0_u8..5, 0_usize..4, 0_usize..3), 0..24),
        when in -300_i64..1_000,
    ) {
        let names = ["", "a", "b", "c"];
        let said: Vec<_> = said.iter().map(|(ms, kind, name, origin)| {
            let kind = [Point, Begin, End(Passed), RunStarted, RunFinished][usize::from(*kind)];
            (*ms, kind, [Logcat, Http, Mark][*origin], names[*name])
        }).collect();
        let steps = steps(&said);
        prop_assert!(steps.all().is_sorted_by_key(|step| step.start));
        let Some(position) = steps.position(at(when), at(when)) else { return Ok(()) };
        let runs = |step: &&Step| step.start <= at(when) && step.end.is_none_or(|end| end > at(when));
        let is_test = |step: &&Step| step.kind == StepKind::Test;
        let test = steps.all().iter().filter(runs).rfind(is_test);
        let label = steps.all().iter().filter(runs).rfind(|step| !is_test(step));
        let grace = steps.all().iter().filter(is_test).filter(|step| step.lasts()).any(|step| {
            step.end.is_some_and(|end| end <= at(when) && at(when) < at(end.0 / 1_000_000 + 250))
        });
        match (test.or(label), grace) {
            (Some(step), _) => prop_assert_eq!(position.step, Some(step)),
            (None, true) => prop_assert_eq!(position.began, Began::Grace),
            (None, false) => prop_assert_eq!(position.began, Began::Background),
        }
    }
}
