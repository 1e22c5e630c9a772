//! What is shown, and how keys and news change it. No terminal and no database here.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::filter::{Filter, MAX_LENGTH};
use super::list::{List, Move};
use super::read::Sums;
use super::reader::{Ask, Told};
use super::rows::{AppKey, AppRow, Detail, FindingRow, FlowRow, Header, Seek, Selected, State};

/// The lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tab {
    /// Apps.
    Apps,
    /// Flows.
    #[default]
    Flows,
    /// Findings.
    Findings,
}

impl Tab {
    /// In the order of the screen.
    pub(super) const ALL: [Self; 3] = [Self::Apps, Self::Flows, Self::Findings];

    /// The name on the screen.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apps => "Apps",
            Self::Flows => "Flows",
            Self::Findings => "Findings",
        }
    }

    fn step(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        let at = at.saturating_add(by) % Self::ALL.len();
        Self::ALL.get(at).copied().unwrap_or_default()
    }
}

/// What becomes of the program after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It goes on.
    Stay,
    /// It ends.
    Quit,
    /// It is stopped, as Ctrl-Z does.
    Suspend,
    /// It draws everything anew.
    Redraw,
}

/// Everything that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) header: Option<Header>,
    pub(super) tab: Tab,
    pub(super) sums: Sums,
    pub(super) flows: List<FlowRow>,
    pub(super) findings: List<FindingRow>,
    app: AppKey,
    pub(super) app_cursor: usize,
    pub(super) app_top: usize,
    /// Whether the selection stays at the newest row.
    pub(super) follow: bool,
    pub(super) filter: Filter,
    /// The filter that is being typed.
    pub(super) typed: Option<String>,
    /// What is to be said in the last line.
    pub(super) message: Option<String>,
    pub(super) help: bool,
    /// Whether the details are shown.
    pub(super) open: bool,
    /// What the details are of, and they themselves.
    pub(super) details: Option<(Selected, Vec<Detail>)>,
    asked_details: Option<Selected>,
    pub(super) scroll: usize,
    /// Rows of the list on the screen.
    page: usize,
    asks: Vec<Ask>,
}

impl Model {
    /// Nothing read yet.
    #[must_use]
    pub(super) fn new() -> Self {
        let mut model = Self { follow: true, page: 1, ..Self::default() };
        model.restart();
        model
    }

    /// The lists begin anew.
    fn restart(&mut self) {
        let seek = if self.follow { Seek::Last } else { Seek::First };
        self.flows.restart(seek);
        self.findings.restart(seek);
        self.forget_details();
    }

    fn forget_details(&mut self) {
        (self.details, self.asked_details, self.scroll) = (None, None, 0);
    }

    /// The list has so many rows on the screen from now on.
    pub(super) fn set_page(&mut self, page: usize) {
        self.page = page;
        self.flows.settle(page);
        self.findings.settle(page);
        self.settle_apps();
    }

    /// The details cannot be scrolled further than that.
    pub(super) fn limit_scroll(&mut self, most: usize) {
        self.scroll = self.scroll.min(most);
    }

    /// What is to be asked for now.
    pub(super) fn asks(&mut self) -> Vec<Ask> {
        let mut asks = std::mem::take(&mut self.asks);
        match self.tab {
            Tab::Apps => {}
            Tab::Flows => asks.extend(self.flows.ask().map(|(ticket, seek)| Ask::Flows(ticket, seek))),
            Tab::Findings => {
                asks.extend(self.findings.ask().map(|(ticket, seek)| Ask::Findings(ticket, seek)));
            }
        }
        let selected = self.selected();
        if self.open && selected.is_some() && selected != self.asked_details {
            self.asked_details.clone_from(&selected);
            asks.extend(selected.map(Ask::Details));
        }
        asks
    }

    /// What is selected in the list that is shown.
    pub(super) fn selected(&self) -> Option<Selected> {
        match self.tab {
            Tab::Apps => self.sums.apps.get(self.app_cursor).map(|app| Selected::App(app.key.clone())),
            Tab::Flows => self.flows.selected().map(|flow| Selected::Flow(flow.id)),
            Tab::Findings => self.findings.selected().map(|finding| Selected::Finding(finding.id)),
        }
    }

    /// Whether what is shown is on its way.
    pub(super) fn is_waiting(&self) -> bool {
        match self.tab {
            Tab::Apps => !self.sums.complete,
            Tab::Flows => self.flows.is_waiting(),
            Tab::Findings => self.findings.is_waiting(),
        }
    }

    /// Whether answers are waited for.
    #[must_use]
    pub(super) fn is_busy(&self) -> bool {
        let details = self.open && self.details.as_ref().map(|(of, _)| of) != self.asked_details.as_ref();
        self.is_waiting() || !self.sums.complete || details
    }

    /// Takes what the database says.
    pub(super) fn take(&mut self, told: Told) {
        match told {
            Told::Header(header) => {
                let first = self.header.is_none();
                if first && header.state == State::Finished {
                    // There is nothing to follow: it is read from its beginning.
                    self.follow = false;
                    self.restart();
                }
                self.header = Some(header);
            }
            Told::Settled => self.restart(),
            Told::Sums(sums) => {
                self.sums = sums;
                let key = &self.app;
                if let Some(at) = self.sums.apps.iter().position(|app| app.key == *key) {
                    self.app_cursor = at;
                }
                self.settle_apps();
                // New findings belong into the details of an app.
                if self.tab == Tab::Apps {
                    self.asked_details = None;
                }
            }
            Told::Flows(ticket, window) => self.flows.take(ticket, window, self.page),
            Told::Findings(ticket, window) => self.findings.take(ticket, window, self.page),
            Told::MoreFlows(ticket, rows, more) => {
                self.flows.add(ticket, rows, more, self.follow, self.page);
            }
            Told::MoreFindings(ticket, rows, more) => {
                self.findings.add(ticket, rows, more, self.follow, self.page);
            }
            Told::Details(of, lines) => {
                if self.asked_details.as_ref() == Some(&of) {
                    if self.details.as_ref().map(|(of, _)| of) != Some(&of) {
                        self.scroll = 0;
                    }
                    self.details = Some((of, lines));
                }
            }
            Told::Failed(reason) => self.message = Some(reason),
        }
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Then {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        self.message = None;
        match key.code {
            KeyCode::Char('c') if control => return Then::Quit,
            KeyCode::Char('z') if control => return Then::Suspend,
            KeyCode::Char('l') if control => return Then::Redraw,
            _ => {}
        }
        if self.typed.is_some() {
            self.type_key(key.code, control);
            return Then::Stay;
        }
        if self.help {
            self.help = false;
            return Then::Stay;
        }
        let page = self.page.max(1);
        match key.code {
            KeyCode::Char('f') if control => self.go(Move::Down(page)),
            KeyCode::Char('b') if control => self.go(Move::Up(page)),
            KeyCode::Char('d') if control => self.go(Move::Down(page.div_ceil(2))),
            KeyCode::Char('u') if control => self.go(Move::Up(page.div_ceil(2))),
            KeyCode::Char(_) if control => {}
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Char('?') | KeyCode::F(1) => self.help = true,
            KeyCode::Char('j') | KeyCode::Down => self.go(Move::Down(1)),
            KeyCode::Char('k') | KeyCode::Up => self.go(Move::Up(1)),
            KeyCode::PageDown => self.go(Move::Down(page)),
            KeyCode::PageUp => self.go(Move::Up(page)),
            KeyCode::Char('g') | KeyCode::Home => self.go(Move::First),
            KeyCode::Char('G') | KeyCode::End => self.go(Move::Last),
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.show(self.tab.step(1)),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => {
                self.show(self.tab.step(Tab::ALL.len().saturating_sub(1)));
            }
            KeyCode::Char('1') => self.show(Tab::Apps),
            KeyCode::Char('2') => self.show(Tab::Flows),
            KeyCode::Char('3') => self.show(Tab::Findings),
            KeyCode::Enter => self.toggle_details(),
            KeyCode::Char(' ') if self.open => self.scroll = self.scroll.saturating_add(5),
            KeyCode::Char('b') if self.open => self.scroll = self.scroll.saturating_sub(5),
            KeyCode::Char(' ') => self.go(Move::Down(page)),
            KeyCode::Char('b') => self.go(Move::Up(page)),
            KeyCode::Char('/') => self.typed = Some(self.filter.to_string()),
            KeyCode::Char('f') => self.toggle_follow(),
            KeyCode::Char('n') => self.go_to_newer(),
            KeyCode::Esc if self.open => self.toggle_details(),
            KeyCode::Esc if !self.filter.is_empty() => self.set_filter(Filter::default()),
            _ => {}
        }
        Then::Stay
    }

    fn type_key(&mut self, code: KeyCode, control: bool) {
        let Some(typed) = &mut self.typed else { return };
        match code {
            KeyCode::Esc => self.typed = None,
            KeyCode::Enter => match Filter::parse(typed) {
                Ok(filter) => {
                    self.typed = None;
                    self.set_filter(filter);
                }
                Err(error) => self.message = Some(error.to_string()),
            },
            KeyCode::Backspace => {
                typed.pop();
            }
            KeyCode::Char('u') if control => typed.clear(),
            KeyCode::Char('w') if control => {
                let word = typed.trim_end().rfind(char::is_whitespace).map_or(0, |at| at.saturating_add(1));
                typed.truncate(word);
            }
            KeyCode::Char(c) if !control && typed.chars().count() < MAX_LENGTH => typed.push(c),
            _ => {}
        }
    }

    fn set_filter(&mut self, filter: Filter) {
        if filter == self.filter {
            return;
        }
        self.filter = filter.clone();
        self.asks.push(Ask::Filter(filter));
        self.sums = Sums::default();
        self.restart();
    }

    fn go_to_newer(&mut self) {
        let Some(run) = self.header.as_ref().and_then(|header| header.newer) else {
            self.message = Some("there is no newer run".to_owned());
            return;
        };
        self.asks.push(Ask::Run(run));
        self.header = None;
        self.sums = Sums::default();
        self.follow = true;
        self.restart();
    }

    fn toggle_follow(&mut self) {
        self.follow = !self.follow;
        if self.follow && self.tab != Tab::Apps {
            self.go(Move::Last);
        }
    }

    fn toggle_details(&mut self) {
        self.open = !self.open;
        self.forget_details();
    }

    fn show(&mut self, tab: Tab) {
        if tab == self.tab {
            return;
        }
        self.tab = tab;
        self.forget_details();
        if self.follow {
            match tab {
                Tab::Apps => {}
                Tab::Flows => self.flows.go(Move::Last, self.page),
                Tab::Findings => self.findings.go(Move::Last, self.page),
            }
        }
    }

    /// Moves the selection; who moves away from the newest row does not follow any more.
    fn go(&mut self, to: Move) {
        match self.tab {
            Tab::Apps => {
                self.app_cursor = match to {
                    Move::First => 0,
                    Move::Last => usize::MAX,
                    Move::Up(rows) => self.app_cursor.saturating_sub(rows),
                    Move::Down(rows) => self.app_cursor.saturating_add(rows),
                };
                self.settle_apps();
                self.app = self.selected_app().map(|app| app.key.clone()).unwrap_or_default();
            }
            Tab::Flows => {
                self.flows.go(to, self.page);
                self.follow &= to == Move::Last || self.flows.is_at_end();
            }
            Tab::Findings => {
                self.findings.go(to, self.page);
                self.follow &= to == Move::Last || self.findings.is_at_end();
            }
        }
    }

    fn selected_app(&self) -> Option<&AppRow> {
        self.sums.apps.get(self.app_cursor)
    }

    fn settle_apps(&mut self) {
        let rows = self.sums.apps.len();
        self.app_cursor = self.app_cursor.min(rows.saturating_sub(1));
        let page = self.page.max(1);
        self.app_top = self.app_top.min(self.app_cursor).min(rows.saturating_sub(page));
        self.app_top = self.app_top.max(self.app_cursor.saturating_add(1).saturating_sub(page));
    }
}
