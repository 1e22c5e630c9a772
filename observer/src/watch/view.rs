//! Drawing: the model on the cells of a terminal. Severities and states are words; colours only repeat them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::list::List;
use super::model::{Model, Tab};
use super::rows::{AppRow, FindingRow, FlowRow, Header, Row, State};
use super::table::{Width, columns, put, put_end, width, wrapped};
use super::theme::{BOLD, DIM, PLAIN, REVERSED, Theme, severity_text};
use super::{help, pane};
use crate::report::stored::endpoint;
use crate::report::wording::{number, size};
use crate::time::Timestamp;

/// The least room that anything is shown in.
const LEAST: (u16, u16) = (40, 8);
/// Columns from which on the details stand beside the list.
const BESIDE: u16 = 120;
/// Columns from which on a list shows the step.
const WITH_STEP: u16 = 96;
/// Rows from which on the details stand below the list, and not in its place.
const BELOW: u16 = 16;
/// Rows above the list: header, numbers, tabs.
const ABOVE: u16 = 3;

/// Where list and details are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Areas {
    /// The list with its titles.
    list: Rect,
    /// The details.
    details: Rect,
}

impl Areas {
    /// The areas of a screen.
    #[must_use]
    pub(super) fn of(screen: Rect, open: bool) -> Self {
        let body = Rect {
            y: screen.y.saturating_add(ABOVE),
            height: screen.height.saturating_sub(ABOVE.saturating_add(1)),
            ..screen
        };
        let none = Rect { height: 0, ..body };
        if !open {
            return Self { list: body, details: none };
        }
        if screen.width >= BESIDE {
            let half = body.width / 2;
            let list = Rect { width: half, ..body };
            let x = body.x.saturating_add(half).saturating_add(1);
            let details = Rect { x, width: body.width.saturating_sub(half).saturating_sub(1), ..body };
            return Self { list, details };
        }
        if body.height >= BELOW {
            let half = body.height / 2;
            let list = Rect { height: half, ..body };
            let y = body.y.saturating_add(half);
            return Self { list, details: Rect { y, height: body.height.saturating_sub(half), ..body } };
        }
        Self { list: none, details: body }
    }

    /// Rows of the list on the screen.
    #[must_use]
    pub(super) fn page(self) -> usize {
        usize::from(self.list.height.saturating_sub(1))
    }

    /// How far the details can be scrolled.
    #[must_use]
    pub(super) fn scroll(self, model: &Model) -> usize {
        let lines = pane::lines(model, self.details.width).len();
        lines.saturating_sub(usize::from(self.details.height.saturating_sub(1)))
    }
}

/// Draws everything.
pub(super) fn draw(model: &Model, theme: Theme, database: &str, buffer: &mut Buffer) {
    let screen = buffer.area;
    if screen.width < LEAST.0 || screen.height < LEAST.1 {
        let words = format!(
            "observer watch needs {} columns and {} rows; here are {} and {}. q quits.",
            LEAST.0, LEAST.1, screen.width, screen.height
        );
        for (y, line) in (screen.y..screen.bottom()).zip(wrapped(&words, usize::from(screen.width))) {
            put(buffer, (screen.x, y), screen.width, &line, Style::new());
        }
        return;
    }
    let mut view = View { model, theme, buffer };
    view.header(screen, database);
    view.numbers(screen);
    view.tabs(screen);
    let areas = Areas::of(screen, model.open);
    if model.help {
        help::draw(Areas::of(screen, false).list, view.buffer);
    } else {
        match model.tab {
            Tab::Apps => view.apps(areas.list),
            Tab::Flows => view.flows(areas.list),
            Tab::Findings => view.findings(areas.list),
        }
        view.details(areas.details);
    }
    view.last_line(screen);
}

/// What stands in a column.
struct Cell {
    text: String,
    style: Style,
    /// Whether the end of the text is worth more than its beginning.
    ends_matter: bool,
}

impl Cell {
    fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style, ends_matter: false }
    }

    fn of_end(text: impl Into<String>, style: Style) -> Self {
        Self { ends_matter: true, ..Self::new(text, style) }
    }
}

struct View<'a> {
    model: &'a Model,
    theme: Theme,
    buffer: &'a mut Buffer,
}

impl View<'_> {
    fn line(&self, screen: Rect, from_top: u16) -> Rect {
        Rect { y: screen.y.saturating_add(from_top), height: 1, ..screen }
    }

    /// Words one after the other; what has no room is cut.
    fn words(&mut self, line: Rect, words: &[(&str, Style)]) -> u16 {
        let mut x = line.x;
        for (word, style) in words {
            x = put(self.buffer, (x, line.y), line.right().saturating_sub(x), word, *style);
        }
        x
    }

    fn header(&mut self, screen: Rect, database: &str) {
        let line = self.line(screen, 0);
        let header = self.model.header.as_ref();
        let run = header.map(|header| format!("  run {}", header.run)).unwrap_or_default();
        let state = header.map_or("reading", |header| header.state.word());
        let newer = header.and_then(|header| header.newer);
        let newer = newer.map(|newer| format!("  (n: run {newer} is newer)")).unwrap_or_default();
        let step = header.and_then(|header| header.step.as_deref());
        let step = step.map(|step| format!("  step: {step}")).unwrap_or_default();
        let follow = if self.model.follow { "  following" } else { "" };
        let name = if screen.width >= 60 { " observer watch  " } else { " " };
        // The name of the file gives way to the rest.
        let rest = [name, run.as_str(), "  ", state, follow, newer.as_str()].into_iter().map(width);
        let room = usize::from(screen.width).saturating_sub(rest.fold(0, usize::saturating_add));
        let room = u16::try_from(room.max(8)).unwrap_or(screen.width);
        let x = put(self.buffer, (line.x, line.y), line.width, name, PLAIN);
        let x = put(self.buffer, (x, line.y), room, database, BOLD);
        let rest = Rect { x, width: line.right().saturating_sub(x), ..line };
        self.words(
            rest,
            &[(&run, PLAIN), ("  ", PLAIN), (state, BOLD), (follow, PLAIN), (&newer, BOLD), (&step, PLAIN)],
        );
        self.buffer.set_style(line, REVERSED);
    }

    fn numbers(&mut self, screen: Rect) {
        let line = self.line(screen, 1);
        let Some(header) = &self.model.header else { return };
        let mut parts = vec![
            frames(header, self.model),
            format!("flows {}", number(header.flows)),
            unattributed(header, self.model),
        ];
        parts.push(match header.lost {
            Some(lost) => format!("lost {}", number(lost)),
            None => "lost: at the end".to_owned(),
        });
        if self.model.sums.beyond > 0 {
            parts.push(format!("of further apps {}", number(self.model.sums.beyond)));
        }
        let text = format!(" {}", parts.join("  "));
        let x = put(self.buffer, (line.x, line.y), line.width, &text, PLAIN);
        if let Some(reason) = &header.inconclusive {
            let words = format!("  INCONCLUSIVE: {reason}");
            put(self.buffer, (x, line.y), line.right().saturating_sub(x), &words, BOLD);
        }
    }

    fn tabs(&mut self, screen: Rect) {
        let line = self.line(screen, 2);
        let sums = &self.model.sums;
        let is_final = self.model.header.as_ref().is_none_or(|header| header.state == State::Finished);
        let early = if is_final || screen.width < 60 { "" } else { " provisional" };
        let mut x = line.x;
        for (place, tab) in (1..).zip(Tab::ALL) {
            let count = match tab {
                Tab::Apps => u64::try_from(sums.apps.len()).unwrap_or(u64::MAX),
                Tab::Flows => sums.flows,
                Tab::Findings => sums.findings,
            };
            let more = if sums.complete { "" } else { "+" };
            let chosen = tab == self.model.tab;
            let (open, close) = if chosen { ("[", "]") } else { (" ", " ") };
            let early = if tab == Tab::Findings { early } else { "" };
            let text = format!("{open}{place} {} {}{more}{early}{close}", tab.name(), number(count));
            let style = if chosen { BOLD } else { PLAIN };
            x = put(self.buffer, (x, line.y), line.right().saturating_sub(x), &text, style);
        }
        if !self.model.filter.is_empty() {
            let text = format!("  filter: {}", self.model.filter);
            x = put(self.buffer, (x, line.y), line.right().saturating_sub(x), &text, BOLD);
        }
        if self.model.is_waiting() {
            put(self.buffer, (x, line.y), line.right().saturating_sub(x), "  reading ...", DIM);
        }
    }

    /// The titles of columns; returns where the columns are.
    fn titles(&mut self, area: Rect, titles: &[(&str, Width)]) -> Vec<(u16, u16)> {
        let widths: Vec<_> = titles.iter().map(|(_, width)| *width).collect();
        // The first two columns mark the selected row.
        let cells = Rect { x: area.x.saturating_add(2), width: area.width.saturating_sub(2), ..area };
        let columns = columns(&widths, cells);
        if area.height > 0 {
            for ((title, _), (x, room)) in titles.iter().zip(&columns) {
                put(self.buffer, (*x, area.y), *room, title, PLAIN);
            }
            let style = Style::new().add_modifier(Modifier::UNDERLINED | Modifier::BOLD);
            self.buffer.set_style(Rect { height: 1, ..area }, style);
        }
        columns
    }

    /// Draws the rows from `top` on, each by its cells.
    fn rows<T>(
        &mut self,
        area: Rect,
        columns: &[(u16, u16)],
        rows: &[T],
        (top, cursor): (usize, usize),
        cells: impl Fn(&T) -> Vec<Cell>,
    ) {
        let lines = area.y.saturating_add(1)..area.bottom();
        for (y, (place, row)) in lines.zip(rows.iter().enumerate().skip(top)) {
            for (cell, (x, room)) in cells(row).iter().zip(columns) {
                let put = if cell.ends_matter { put_end } else { put };
                put(self.buffer, (*x, y), *room, &cell.text, cell.style);
            }
            if place == cursor {
                put(self.buffer, (area.x, y), 1, ">", BOLD);
                self.buffer.set_style(Rect { y, height: 1, ..area }, REVERSED);
            }
        }
        if rows.is_empty() && area.height > 1 && !self.model.is_waiting() {
            let words = if self.model.filter.is_empty() {
                "nothing yet"
            } else {
                "nothing that the filter lets through; Esc takes it away"
            };
            put(self.buffer, (area.x.saturating_add(2), area.y.saturating_add(1)), area.width, words, DIM);
        }
    }

    fn apps(&mut self, area: Rect) {
        let mut titles = vec![
            ("GRAVEST", Width::Fixed(10)),
            ("APP", Width::Share(1)),
            ("FINDINGS", Width::Fixed(8)),
            ("    FLOWS", Width::Fixed(9)),
            ("    BYTES", Width::Fixed(9)),
        ];
        let with_uid = area.width >= 76;
        if with_uid {
            titles.insert(2, ("    UID", Width::Fixed(7)));
        }
        let columns = self.titles(area, &titles);
        let theme = self.theme;
        let model = self.model;
        let at = (model.app_top, model.app_cursor);
        self.rows(area, &columns, &model.sums.apps, at, |app: &AppRow| {
            let name = app_name(app.key.0.as_deref());
            let name = match &app.label {
                Some(label) if with_uid && app.key.0.as_ref() != Some(label) => format!("{name}  {label}"),
                _ => name.to_owned(),
            };
            let name = if with_uid { Cell::new(name, PLAIN) } else { Cell::of_end(name, PLAIN) };
            let worst = app.worst.map_or(("", PLAIN), |worst| (severity_text(worst), theme.severity(worst)));
            let mut cells = vec![
                Cell::new(worst.0, worst.1),
                name,
                Cell::new(right(&number(app.findings), 8), PLAIN),
                Cell::new(right(&number(app.flows), 9), PLAIN),
                Cell::new(right(&size(app.bytes), 9), PLAIN),
            ];
            if with_uid {
                let uid = app.key.1.map(|uid| uid.to_string()).unwrap_or_default();
                cells.insert(2, Cell::new(right(&uid, 7), PLAIN));
            }
            cells
        });
    }

    fn flows(&mut self, area: Rect) {
        let narrow = area.width < 72;
        let with_step = area.width >= WITH_STEP;
        let mut titles = vec![
            ("TIME UTC", Width::Fixed(8)),
            ("APP", Width::Share(2)),
            ("HOST", Width::Share(3)),
            ("PROTOCOL", Width::Fixed(if narrow { 6 } else { 12 })),
            ("VERSION", Width::Fixed(8)),
            ("PROTECTION", Width::Fixed(if narrow { 6 } else { 10 })),
        ];
        if narrow {
            titles.remove(4);
        }
        if with_step {
            titles.push(("STEP", Width::Share(1)));
        }
        let columns = self.titles(area, &titles);
        let theme = self.theme;
        let model = self.model;
        self.rows(area, &columns, model.flows.rows(), place(&model.flows), |flow: &FlowRow| {
            let layers = if flow.layers.is_empty() { flow.transport.clone() } else { flow.layers.join("/") };
            let mut cells = vec![
                Cell::new(time_of_day(flow.start), PLAIN),
                Cell::of_end(app_name(flow.app.as_deref()), PLAIN),
                Cell::of_end(endpoint(&flow.host, flow.port), PLAIN),
                Cell::new(layers, PLAIN),
                Cell::new(flow.version.clone().unwrap_or_default(), PLAIN),
                Cell::new(flow.protection.clone(), theme.protection(&flow.protection)),
            ];
            if narrow {
                cells.remove(4);
            }
            cells.push(Cell::new(flow.step.clone().unwrap_or_default(), PLAIN));
            cells
        });
    }

    fn findings(&mut self, area: Rect) {
        let with_step = area.width >= WITH_STEP;
        let narrow = area.width < 72;
        let mut titles = vec![
            ("SEVERITY", Width::Fixed(10)),
            ("RULE", Width::Share(5)),
            ("APP", Width::Share(3)),
            ("HOST", Width::Share(4)),
            ("MESSAGE", Width::Share(if with_step { 10 } else { 5 })),
        ];
        if narrow {
            titles.truncate(4);
        } else if with_step {
            titles.push(("STEP", Width::Share(2)));
        }
        let columns = self.titles(area, &titles);
        let theme = self.theme;
        let model = self.model;
        self.rows(area, &columns, model.findings.rows(), place(&model.findings), |finding: &FindingRow| {
            let excused = if finding.excused { "(excused) " } else { "" };
            let style = if finding.excused { DIM } else { PLAIN };
            vec![
                Cell::new(severity_text(finding.severity), theme.severity(finding.severity)),
                Cell::new(finding.rule.clone(), style),
                Cell::of_end(app_name(finding.app.as_deref()), style),
                Cell::of_end(endpoint(&finding.host, Some(finding.port)), style),
                Cell::new(format!("{excused}{}", finding.message), style),
                Cell::new(finding.step.clone().unwrap_or_default(), style),
            ]
        });
    }

    fn details(&mut self, area: Rect) {
        if area.height == 0 {
            return;
        }
        let lines = pane::lines(self.model, area.width);
        let room = usize::from(area.height.saturating_sub(1));
        let hidden = lines.len().saturating_sub(self.model.scroll.saturating_add(room));
        let more = if hidden > 0 { format!(" {hidden} more lines: Space") } else { String::new() };
        let title = format!("-- details (Enter closes){more} ");
        let dashes = usize::from(area.width).saturating_sub(width(&title));
        let title = format!("{title}{}", "-".repeat(dashes));
        put(self.buffer, (area.x, area.y), area.width, &title, DIM);
        let ys = area.y.saturating_add(1)..area.bottom();
        for (y, (text, kind)) in ys.zip(lines.iter().skip(self.model.scroll)) {
            let style = match kind {
                pane::Kind::Title => BOLD,
                pane::Kind::Severity(severity) => self.theme.severity(*severity),
                pane::Kind::Text => PLAIN,
            };
            put(self.buffer, (area.x, y), area.width, text, style);
        }
    }

    fn last_line(&mut self, screen: Rect) {
        let y = screen.bottom().saturating_sub(1);
        let mut x = screen.x;
        if let Some(typed) = &self.model.typed {
            x = put(self.buffer, (x, y), screen.width, "/", BOLD);
            // The end is what is being typed.
            let room = usize::from(screen.width).saturating_sub(2);
            let mut shown = typed.as_str();
            while width(&crate::report::plain::plain(shown)) > room {
                let mut chars = shown.chars();
                chars.next();
                shown = chars.as_str();
            }
            x = put(self.buffer, (x, y), screen.right().saturating_sub(x), shown, PLAIN);
            x = put(self.buffer, (x, y), 1, " ", REVERSED);
        }
        let left = screen.right().saturating_sub(x);
        if let Some(message) = &self.model.message {
            let message = if self.model.typed.is_some() { format!("  {message}") } else { message.clone() };
            // What is wrong is said even if that hides what was typed.
            let room = u16::try_from(width(&message)).unwrap_or(u16::MAX).min(screen.width);
            let x = if room > left { screen.right().saturating_sub(room) } else { x };
            put(self.buffer, (x, y), room, &message, self.theme.of(BOLD.fg(Color::Red)));
        } else if self.model.typed.is_none() {
            let hint = if self.model.help {
                " any key: back"
            } else if screen.width >= 76 {
                " ? help  / filter  Tab lists  Enter details  f follow  g G ends  q quit"
            } else {
                " ? help  / filter  q quit"
            };
            put(self.buffer, (x, y), left, hint, DIM);
        }
    }
}

/// Which rows of a list are on the screen, and which is selected.
fn place<T: Row>(list: &List<T>) -> (usize, usize) {
    (list.top(), list.cursor())
}

fn app_name(name: Option<&str>) -> &str {
    name.unwrap_or("unattributed")
}

/// The time of day, UTC.
fn time_of_day(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('T').and_then(|(_, time)| time.get(..8)).map(str::to_owned).unwrap_or(text)
}

fn right(text: &str, room: usize) -> String {
    format!("{text:>room$}")
}

/// The frames, or the number of the last one of any flow.
fn frames(header: &Header, model: &Model) -> String {
    match header.frames {
        Some(frames) => format!("frames {}", number(frames)),
        None => format!("to frame {}", number(model.sums.frames)),
    }
}

/// The flows without an owner. Before the end they are counted here; through a filter only those that it lets through.
fn unattributed(header: &Header, model: &Model) -> String {
    match header.unattributed {
        Some(unattributed) => format!("unattributed {}", number(unattributed)),
        None if model.filter.is_empty() => format!("unattributed {}", number(model.sums.unattributed)),
        None => "unattributed: filtered".to_owned(),
    }
}
