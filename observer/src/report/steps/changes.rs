//! The table that a flow's step is looked up in: who runs from when on.

use std::collections::{BTreeMap, BTreeSet};

use super::{Began, GRACE, Step, StepKind};
use crate::time::Timestamp;

/// From a point in time on, in which step flows begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: Timestamp,
    pub(super) step: Option<usize>,
    pub(super) began: Began,
    pub(super) beside: Vec<usize>,
}

/// In which step flows begin from when on.
pub(super) fn changes(steps: &[Step]) -> Vec<Change> {
    let grace = i64::try_from(GRACE.as_nanos()).unwrap_or(i64::MAX);
    let (mut starts, mut ends, mut instants) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    for (step, place) in steps.iter().zip(0_usize..).filter(|(step, _)| step.lasts()) {
        starts.entry(step.start).or_insert_with(Vec::new).push(place);
        instants.insert(step.start);
        if let Some(end) = step.end {
            ends.entry(end).or_insert_with(Vec::new).push(place);
            instants.insert(end);
            if step.kind == StepKind::Test {
                instants.insert(Timestamp(end.0.saturating_add(grace)));
            }
        }
    }
    let is_test = |place: &usize| steps.get(*place).is_some_and(|step| step.kind == StepKind::Test);
    let (mut tests, mut label, mut ended) = (BTreeSet::new(), None, None);
    // Before everything else is background, too.
    let first = Change { at: Timestamp(i64::MIN), step: None, began: Began::Background, beside: Vec::new() };
    let mut changes = vec![first];
    for at in instants {
        for place in ends.get(&at).into_iter().flatten() {
            if tests.remove(place) {
                ended = Some((*place, at.0.saturating_add(grace)));
            } else if label == Some(*place) {
                label = None;
            }
        }
        for place in starts.get(&at).into_iter().flatten() {
            match is_test(place) {
                true => drop(tests.insert(*place)),
                false => label = Some(*place),
            }
        }
        let (step, began) = match (tests.last().copied().or(label), ended) {
            (Some(step), _) => (Some(step), Began::Inside),
            (None, Some((step, until))) if at.0 < until => (Some(step), Began::Grace),
            (None, _) => (None, Began::Background),
        };
        let others = tests.iter().rev().filter(|place| Some(**place) != step);
        let change = Change { at, step, began, beside: others.take(BESIDE).copied().collect() };
        let same = |last: &Change| {
            (last.step, last.began, &last.beside) == (change.step, change.began, &change.beside)
        };
        if !changes.last().is_some_and(same) {
            changes.push(change);
        }
    }
    changes
}

/// Tests running beside the one that a flow began in that are named.
const BESIDE: usize = 8;
