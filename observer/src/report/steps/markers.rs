//! What markers amount to: tests, each once whoever witnessed it, and labels.

use std::collections::{BTreeMap, BTreeSet};

use super::{Step, StepBasis, StepKind};
use crate::source::{Marker, MarkerKind, MarkerOrigin, TestResult};
use crate::time::Timestamp;

/// The tests of all origins, each once.
pub(super) fn tests(order: &[&Marker]) -> Vec<Step> {
    let origins: BTreeSet<MarkerOrigin> = order.iter().map(|marker| marker.origin).collect();
    // By name, what the more exact origins say.
    let mut known: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for origin in origins {
        let mut named: BTreeMap<String, Vec<Step>> = BTreeMap::new();
        for step in tests_of(origin, order) {
            named.entry(step.name.clone()).or_default().push(step);
        }
        for (name, steps) in named {
            witness(known.entry(name).or_default(), steps);
        }
    }
    let mut tests: Vec<_> = known.into_values().flatten().collect();
    tests.sort_by_key(|step| step.start);
    tests
}

/// Adds to the `known` runs of a name what another origin says of them: each of its runs is the nearest one that it does not
/// have yet, or one of its own.
fn witness(known: &mut Vec<Step>, said: Vec<Step>) {
    let mut free: BTreeSet<(Timestamp, usize)> =
        known.iter().zip(0..).map(|(step, place)| (step.start, place)).collect();
    for step in said {
        let before = free.range(..(step.start, usize::MAX)).next_back().copied();
        let after = free.range((step.start, usize::MAX)..).next().copied();
        let near = [before, after].into_iter().flatten();
        let nearest = near.min_by_key(|(start, _)| start.0.abs_diff(step.start.0));
        let Some(nearest) = nearest else {
            known.push(step);
            continue;
        };
        free.remove(&nearest);
        if let Some(same) = known.get_mut(nearest.1)
            && matches!(same.result, Some(TestResult::Unknown | TestResult::Unfinished))
            && step.result != Some(TestResult::Unfinished)
        {
            same.result = step.result;
        }
    }
}

/// The tests of one origin, in order of their begins.
fn tests_of(origin: MarkerOrigin, order: &[&Marker]) -> Vec<Step> {
    let one_at_a_time = matches!(origin, MarkerOrigin::Logcat | MarkerOrigin::Instrument);
    let mut steps: Vec<Step> = Vec::new();
    // Places in `steps` of those that run, by name and in order of their begins.
    let mut running: BTreeSet<usize> = BTreeSet::new();
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    for marker in order.iter().filter(|marker| marker.origin == origin) {
        let is_running = |running: &BTreeSet<usize>, place: Option<&usize>| {
            place.copied().filter(|place| running.contains(place))
        };
        match marker.kind {
            MarkerKind::Point => {}
            MarkerKind::RunStarted | MarkerKind::RunFinished => {
                close_all(&mut steps, &mut running, marker.at);
            }
            MarkerKind::Begin => {
                if one_at_a_time {
                    close_all(&mut steps, &mut running, marker.at);
                } else if let Some(place) = is_running(&running, latest.get(marker.label.as_str())) {
                    running.remove(&place);
                    close(steps.get_mut(place), marker.at, TestResult::Unfinished);
                }
                running.insert(steps.len());
                latest.insert(&marker.label, steps.len());
                let result = Some(TestResult::Unfinished);
                steps.push(Step { result, ..Step::of(marker, StepKind::Test) });
            }
            MarkerKind::End(result) => {
                let place = match marker.label.as_str() {
                    // Whoever ends without a name ends what began last.
                    "" => running.last().copied(),
                    name => is_running(&running, latest.get(name)),
                };
                if let Some(place) = place {
                    running.remove(&place);
                    close(steps.get_mut(place), marker.at, result);
                    continue;
                }
                let former = latest.get(marker.label.as_str()).and_then(|place| steps.get_mut(*place));
                match former {
                    // It was taken for ended when another began.
                    Some(step) if step.result == Some(TestResult::Unfinished) => step.result = Some(result),
                    _ if marker.label.is_empty() => {}
                    _ => {
                        let step = Step::of(marker, StepKind::Test);
                        steps.push(Step { end: Some(marker.at), result: Some(result), ..step });
                    }
                }
            }
        }
    }
    steps
}

fn close_all(steps: &mut [Step], running: &mut BTreeSet<usize>, at: Timestamp) {
    for place in std::mem::take(running) {
        close(steps.get_mut(place), at, TestResult::Unfinished);
    }
}

fn close(step: Option<&mut Step>, at: Timestamp, result: TestResult) {
    if let Some(step) = step {
        step.end = Some(at);
        step.result = Some(result);
    }
}

/// What labels stand for: each lasts until the next marker.
pub(super) fn labels(order: &[&Marker]) -> Vec<Step> {
    let ends = order.iter().skip(1).map(|marker| Some(marker.at)).chain([None]);
    let points = order.iter().zip(ends).filter(|(marker, _)| marker.kind == MarkerKind::Point);
    points.map(|(marker, end)| Step { end, ..Step::of(marker, StepKind::Label) }).collect()
}

impl Step {
    fn of(marker: &Marker, kind: StepKind) -> Self {
        Self {
            number: 0,
            name: marker.label.clone(),
            kind,
            origin: marker.origin,
            start: marker.at,
            end: None,
            result: None,
            basis: match marker.origin {
                MarkerOrigin::Junit => StepBasis::Inferred,
                _ => StepBasis::Observed,
            },
        }
    }
}
