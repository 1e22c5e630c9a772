//! Flows in time: a lane an app, a bar a flow, the steps of the test beneath.

use super::shortened;
use crate::report::steps::{Began, Step};
use crate::report::stored::{StoredFlow, StoredRun, endpoint};
use crate::report::wording::{count, duration};
use crate::source::TestResult;
use crate::time::Timestamp;

/// Apps with a lane.
const LANES: usize = 24;
/// Flows that are drawn.
const FLOWS: usize = 4_000;
/// Rows of a lane, for flows at the same time.
const ROWS: usize = 8;
/// Units of a row: a bar of 6 and what parts it from the next.
const ROW: usize = 8;
/// Rows for steps at the same time.
const STEP_ROWS: usize = 4;
/// Units of a row of steps: a bar of 16 and what parts it from the next.
const STEP_ROW: usize = 20;
/// Where time begins and ends, in units of the picture.
const LEFT: f64 = 210.0;
const RIGHT: f64 = 985.0;
/// Ticks of the axis.
const TICKS: u32 = 5;
/// Characters of an app's name.
const NAME: usize = 30;
/// Units that a character takes, for labels that must fit.
const CHARACTER: f64 = 7.0;

#[derive(Default)]
pub(super) struct Timeline {
    pub(super) height: usize,
    pub(super) axis: usize,
    pub(super) label: String,
    pub(super) lanes: Vec<Lane>,
    pub(super) steps: Vec<StepBar>,
    pub(super) ticks: Vec<Tick>,
    pub(super) left_out: usize,
}

pub(super) struct Lane {
    pub(super) y: usize,
    pub(super) name: String,
    pub(super) flows: Vec<FlowBar>,
}

pub(super) struct FlowBar {
    pub(super) x: f64,
    pub(super) y: usize,
    pub(super) width: f64,
    pub(super) class: &'static str,
    pub(super) label: String,
}

pub(super) struct StepBar {
    pub(super) x: f64,
    pub(super) y: usize,
    pub(super) width: f64,
    pub(super) class: &'static str,
    pub(super) label: String,
    pub(super) short: String,
}

pub(super) struct Tick {
    pub(super) x: f64,
    pub(super) label: String,
}

/// From times to the picture.
struct Scale {
    first: Timestamp,
    seconds: f64,
}

impl Scale {
    fn x(&self, at: Timestamp) -> f64 {
        let share = at.since(self.first).as_secs_f64() / self.seconds;
        tenth(LEFT + (RIGHT - LEFT) * share.clamp(0.0, 1.0))
    }
}

/// Rounded to a tenth: more digits only make the file longer.
fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl Timeline {
    pub(super) fn new(run: &StoredRun) -> Self {
        let Some((first, last)) = run.span() else { return Self::default() };
        let scale = Scale { first, seconds: last.since(first).as_secs_f64().max(0.001) };
        let mut picture = Self::default();
        let (mut y, mut drawn) = (4_usize, 0_usize);
        let all: usize = run.apps.iter().map(|app| app.flows.len()).sum();
        for app in run.apps.iter().filter(|app| !app.flows.is_empty()).take(LANES) {
            let room = FLOWS.saturating_sub(drawn);
            let (flows, rows) = bars(&app.flows, room, y, &scale);
            drawn = drawn.saturating_add(flows.len());
            picture.lanes.push(Lane { y, name: shortened(run.name(app), NAME), flows });
            y = y.saturating_add(rows.max(2).saturating_mul(ROW)).saturating_add(8);
        }
        picture.left_out = all.saturating_sub(drawn);
        picture.axis = y;
        y = y.saturating_add(22);
        let steps = run.steps.iter().filter_map(|row| row.step.as_ref());
        let within =
            |step: &&Step| step.lasts() && step.start <= last && step.end.is_none_or(|end| end > first);
        let mut free = Vec::<f64>::new();
        for step in steps.filter(within) {
            let (from, to) = (scale.x(step.start), scale.x(step.end.unwrap_or(last)));
            let width = tenth((to - from).max(1.0));
            let row = fit(&mut free, from, tenth(from + width), STEP_ROWS);
            let short = shortened_to(&step.name, width);
            let result = step.result.map(|result| format!(": {result}")).unwrap_or_default();
            picture.steps.push(StepBar {
                x: from,
                y: y.saturating_add(row.saturating_mul(STEP_ROW)),
                width,
                class: step.result.map_or("", TestResult::as_str),
                label: format!("{}{result}", step.name),
                short,
            });
        }
        picture.height = y.saturating_add(free.len().saturating_mul(STEP_ROW));
        for tick in 0..=TICKS {
            let share = f64::from(tick) / f64::from(TICKS);
            let x = tenth(LEFT + (RIGHT - LEFT) * share);
            picture.ticks.push(Tick { x, label: duration(scale.seconds * share) });
        }
        picture.label = format!(
            "{} of {} within {}. The table of endpoints has the same in words.",
            count(u64::try_from(all).unwrap_or(u64::MAX), "flow"),
            count(u64::try_from(picture.lanes.len()).unwrap_or(u64::MAX), "app"),
            duration(scale.seconds),
        );
        picture
    }
}

/// The bars of a lane and how many rows they take: each flow goes into the first row that is free.
fn bars(flows: &[StoredFlow], most: usize, y: usize, scale: &Scale) -> (Vec<FlowBar>, usize) {
    let mut free = Vec::<f64>::new();
    let mut bars = Vec::new();
    for flow in flows.iter().take(most) {
        let from = scale.x(flow.start);
        let width = tenth((scale.x(flow.end) - from).max(4.0));
        let row = fit(&mut free, from, tenth(from + width + 1.0), ROWS);
        let layers = if flow.layers.is_empty() { "no payload".to_owned() } else { flow.layers.join(" > ") };
        let step = match (&flow.step, flow.began) {
            (Some(step), Some(Began::Grace)) => format!(", just after step {step}"),
            (Some(step), _) => format!(", in step {step}"),
            (None, Some(_)) => ", in no step".to_owned(),
            (None, None) => String::new(),
        };
        let name = endpoint(&flow.host, flow.port);
        let label = format!("flow {} to {name}: {layers}, {}{step}", flow.flow, flow.protection);
        bars.push(FlowBar {
            x: from,
            y: y.saturating_add(row.saturating_mul(ROW)),
            width,
            class: super::class(&flow.protection),
            label,
        });
    }
    (bars, free.len())
}

/// The first row of at most `most` that is free at `from`; it is taken until `until`.
fn fit(free: &mut Vec<f64>, from: f64, until: f64, most: usize) -> usize {
    let row = match free.iter().position(|until| *until <= from) {
        Some(row) => row,
        None if free.len() < most => free.len(),
        None => most.saturating_sub(1),
    };
    match free.get_mut(row) {
        Some(known) => *known = until,
        None => free.push(until),
    }
    row
}

/// As much of `label` as fits into `width`; nothing where too little fits to be read.
fn shortened_to(label: &str, width: f64) -> String {
    let mut room = 0_usize;
    while (f64::from(u32::try_from(room).unwrap_or(u32::MAX)) + 1.0) * CHARACTER < width && room < label.len()
    {
        room = room.saturating_add(1);
    }
    if room < 3 { String::new() } else { shortened(label, room) }
}
