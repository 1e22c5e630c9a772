//! The view over a database that the pipeline wrote, drawn without a terminal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::Color;
use rusqlite::Connection;
use tempfile::TempDir;

use super::model::{Model, Tab, Then};
use super::reader::{self, Handle};
use super::rows::{FindingRow, FlowRow, Header, Seek, State, Window};
use super::theme::Theme;
use super::view::{self, Areas};
use super::{Told, WatchError};
use crate::pipeline::{self, Options};
use crate::report::secrets::Secrets;
use crate::rules::Severity;
use crate::source;
use crate::store::Store;
use crate::time::Timestamp;
use crate::trust::TrustStore;

const NOON: Timestamp = Timestamp(1_795_262_400_000_000_000);

/// Writes the run of the demo's capture; without its end if `finish` is false.
fn demo(db: &Path, finish: bool) -> Option<Store> {
    let mut trust = TrustStore::default();
    trust.add_file(&observer_captures::roots()).unwrap();
    let options = Options { trust: Arc::new(trust), ..Options::default() };
    let mut store = Store::begin(db, Secrets::Digest, NOON).unwrap();
    let source = source::open(&[observer_captures::path("demo.pcapng")]).unwrap();
    let run = pipeline::analyze(source, &options, &mut [&mut store], &mut |_, _| {}).unwrap();
    if finish {
        store.finish(&run, NOON).unwrap();
        return None;
    }
    Some(store)
}

/// A view, its reader, and a screen of a fixed size.
struct Watcher {
    model: Model,
    reader: Handle,
    terminal: Terminal<TestBackend>,
}

impl Watcher {
    fn new(db: &Path, width: u16, height: u16) -> Self {
        let reader = reader::start(db, None).unwrap();
        let terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let mut watcher = Self { model: Model::new(), reader, terminal };
        watcher.settle();
        watcher
    }

    /// Goes on until the reader has nothing to say.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..2_000 {
            let size = self.terminal.size().unwrap();
            let areas = Areas::of(size.into(), self.model.open);
            self.model.set_page(areas.page());
            self.model.limit_scroll(areas.scroll(&self.model));
            for ask in self.model.asks() {
                self.reader.ask(ask);
            }
            let mut told = false;
            while let Some(news) = self.reader.told().unwrap() {
                assert!(!matches!(news, Told::Failed(_)), "{news:?}");
                self.model.take(news);
                told = true;
            }
            quiet = if told || self.model.is_busy() || self.model.header.is_none() { 0 } else { quiet + 1 };
            if quiet > 3 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("never quiet: {:?}", self.model);
    }

    /// Goes on until `holds`, however long the reader takes to look.
    fn until(&mut self, what: &str, holds: impl Fn(&Model) -> bool) {
        for _ in 0..100 {
            self.settle();
            if holds(&self.model) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what}: {:?}", self.model);
    }

    fn press(&mut self, codes: &[KeyCode]) {
        for code in codes {
            assert_eq!(self.model.key(KeyEvent::from(*code)), Then::Stay);
            self.settle();
        }
    }

    fn enter(&mut self, filter: &str) {
        self.press(&[KeyCode::Char('/')]);
        self.model.typed = Some(filter.to_owned());
        self.press(&[KeyCode::Enter]);
    }

    fn screen(&mut self) -> String {
        let theme = Theme { color: false };
        let model = &self.model;
        self.terminal.draw(|frame| view::draw(model, theme, "run.db", frame.buffer_mut())).unwrap();
        text(self.terminal.backend().buffer())
    }
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut line = String::new();
        let mut x = buffer.area.left();
        while x < buffer.area.right() {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(super::table::width(symbol).max(1)).unwrap();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn database() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let db = directory.path().join("run.db");
    (directory, db)
}

#[test]
fn a_finished_run_looks_like_this() {
    let (_directory, db) = database();
    demo(&db, true);
    let mut watcher = Watcher::new(&db, 80, 24);
    insta::assert_snapshot!("flows_80x24", watcher.screen());
    watcher.press(&[KeyCode::Char('1')]);
    insta::assert_snapshot!("apps_80x24", watcher.screen());
    watcher.press(&[KeyCode::Char('3'), KeyCode::Down, KeyCode::Enter]);
    insta::assert_snapshot!("finding_80x24", watcher.screen());
    watcher.press(&[KeyCode::Enter, KeyCode::Char('?')]);
    insta::assert_snapshot!("help_80x24", watcher.screen());

    let mut watcher = Watcher::new(&db, 120, 40);
    watcher.press(&[KeyCode::Tab]);
    insta::assert_snapshot!("findings_120x40", watcher.screen());
    watcher.press(&[KeyCode::Enter]);
    insta::assert_snapshot!("finding_120x40", watcher.screen());
    watcher.press(&[KeyCode::Char('2'), KeyCode::Down, KeyCode::Enter]);
    insta::assert_snapshot!("flow_120x40", watcher.screen());
    watcher.press(&[KeyCode::Char('1'), KeyCode::Enter]);
    insta::assert_snapshot!("app_120x40", watcher.screen());
}

#[test]
fn any_size_is_drawn() {
    let (_directory, db) = database();
    demo(&db, true);
    let mut watcher = Watcher::new(&db, 80, 24);
    for keys in [&[][..], &[KeyCode::Char('1')], &[KeyCode::Char('3'), KeyCode::Enter], &[KeyCode::Char('?')]]
    {
        watcher.press(keys);
        for (width, height) in [(1, 1), (1, 50), (40, 10), (39, 10), (40, 7), (40, 8), (60, 12), (300, 100)] {
            watcher.terminal.backend_mut().resize(width, height);
            watcher.settle();
            let screen = watcher.screen();
            let big = width >= 40 && height >= 8;
            assert_eq!(screen.contains("run 1"), big, "{width}x{height}\n{screen}");
        }
    }
    let mut watcher = Watcher::new(&db, 40, 10);
    insta::assert_snapshot!("flows_40x10", watcher.screen());
    let mut watcher = Watcher::new(&db, 30, 6);
    insta::assert_snapshot!("too_small", watcher.screen());
}

#[test]
fn a_run_is_followed_to_its_end() {
    let (_directory, db) = database();
    let mut store = Store::begin(&db, Secrets::Digest, NOON).unwrap();
    // The process of the test began before the run, by its clock.
    let connection = Connection::open(&db).unwrap();
    connection.execute("UPDATE runs_v1 SET started = 9000000000000000000", ()).unwrap();
    let mut watcher = Watcher::new(&db, 80, 24);
    assert_eq!(watcher.model.header.as_ref().unwrap().state, State::Running);
    assert!(watcher.screen().contains("nothing yet"), "{}", watcher.screen());

    let source = source::open(&[observer_captures::path("demo.pcapng")]).unwrap();
    let run = pipeline::analyze(source, &Options::default(), &mut [&mut store], &mut |_, _| {}).unwrap();
    watcher.until("flows come", |model| model.sums.flows == run.totals.flows);
    watcher.until("the newest is selected", |model| {
        model.follow && model.flows.selected().map(|flow| flow.id) == Some(run.totals.flows.cast_signed())
    });
    let early = watcher.model.sums.findings;
    assert!(early > 0);
    assert!(watcher.screen().contains(" provisional"), "{}", watcher.screen());
    watcher.press(&[KeyCode::Char('3')]);
    assert_eq!(watcher.model.findings.rows().len() as u64, early);

    store.finish(&run, NOON).unwrap();
    let all = (run.assessment.findings.len() + run.assessment.suppressed.len()) as u64;
    watcher.until("the end is noticed", |model| {
        model.header.as_ref().unwrap().state == State::Finished && model.sums.findings == all
    });
    assert_eq!(watcher.model.findings.rows().len() as u64, all);
}

#[test]
fn a_run_whose_process_is_gone_was_killed() {
    let (_directory, db) = database();
    drop(demo(&db, false));
    let connection = Connection::open(&db).unwrap();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    connection.execute("UPDATE runs_v1 SET pid = ?", [child.id()]).unwrap();
    let mut watcher = Watcher::new(&db, 80, 24);
    if cfg!(target_os = "linux") {
        assert_eq!(watcher.model.header.as_ref().unwrap().state, State::Killed);
    }
    // What was found before is there.
    watcher.press(&[KeyCode::Char('3'), KeyCode::Char('g'), KeyCode::Enter]);
    assert!(watcher.screen().contains("provisional"), "{}", watcher.screen());
    assert!(!watcher.model.findings.rows().is_empty());
}

#[test]
fn filters_hold_in_all_lists() {
    let (_directory, db) = database();
    demo(&db, true);
    let connection = Connection::open(&db).unwrap();
    connection
        .execute_batch(
            "INSERT INTO markers_v1 (run, at, label) SELECT 1, min(event_start) - 1, 'start' FROM flows_v1;
            INSERT INTO markers_v1 (run, at, label)
                SELECT 1, (min(event_start) + max(event_start)) / 2, 'log in' FROM flows_v1;",
        )
        .unwrap();
    let count = |sql: &str| -> u64 {
        let count: i64 = connection.query_row(sql, (), |row| row.get(0)).unwrap();
        count.cast_unsigned()
    };
    let later = "event_start >= (SELECT max(at) FROM markers_v1)";
    let mut watcher = Watcher::new(&db, 80, 24);
    assert_eq!(watcher.model.header.as_ref().unwrap().step.as_deref(), Some("log in"));
    for (filter, flows, findings) in [
        ("pkg:SHOP", "owner.name LIKE '%shop%'", "app LIKE '%shop%'"),
        (
            "host:shop.test:443",
            "destination_domain LIKE '%shop.test' AND destination_port = 443",
            "host LIKE '%shop.test' AND port = 443",
        ),
        (
            "proto:cleartext",
            "network_protection = 'cleartext'",
            "flow IN (SELECT id FROM flows WHERE network_protection = 'cleartext')",
        ),
        (
            "-proto:dns",
            "network_protocol IS NOT 'dns'",
            "flow NOT IN (SELECT id FROM flows WHERE network_protocol = 'dns')",
        ),
        (
            "step:\"log in\"",
            later,
            "flow IN (SELECT id FROM flows_v1 WHERE event_start >= (SELECT max(at) FROM markers_v1))",
        ),
        (
            "rule:cleartext-http",
            "flow.id IN (SELECT flow FROM finding_frames JOIN findings ON findings.id = finding WHERE rule = 'cleartext-http')",
            "rule LIKE 'cleartext-http%'",
        ),
        (
            "sev:>=high pkg:shop",
            "owner.name LIKE '%shop%' AND flow.id IN (SELECT flow FROM finding_frames JOIN findings ON findings.id = finding WHERE severity IN ('high', 'critical'))",
            "severity IN ('high', 'critical') AND app LIKE '%shop%'",
        ),
        ("!weather", "owner.name NOT LIKE '%weather%'", "app NOT LIKE '%weather%'"),
        ("nothing-like-it", "0", "0"),
    ] {
        watcher.enter(filter);
        let sums = &watcher.model.sums;
        let wanted = count(&format!(
            "SELECT count(*) FROM flows_v1 AS flow LEFT JOIN owners_v1 AS owner ON owner.id = flow.owner WHERE {flows}"
        ));
        assert_eq!(sums.flows, wanted, "{filter}");
        let wanted = count(&format!(
            "SELECT count(*) FROM (SELECT findings.*, (SELECT flow FROM finding_frames WHERE finding = findings.id AND position = 0) AS flow FROM findings) WHERE {findings}"
        ));
        assert_eq!(sums.findings, wanted, "{filter}");
        assert_eq!(sums.apps.iter().map(|app| app.flows).sum::<u64>(), sums.flows, "{filter}");
        assert_eq!(watcher.model.flows.rows().len() as u64, watcher.model.sums.flows, "{filter}");
        watcher.press(&[KeyCode::Char('3')]);
        assert_eq!(watcher.model.findings.rows().len() as u64, watcher.model.sums.findings, "{filter}");
        watcher.press(&[KeyCode::Char('2')]);
    }
    assert!(watcher.screen().contains("nothing that the filter lets through"), "{}", watcher.screen());
    watcher.press(&[KeyCode::Esc]);
    assert!(watcher.model.filter.is_empty() && watcher.model.sums.flows > 0);

    watcher.press(&[KeyCode::Char('/')]);
    watcher.press(&"app:x".chars().map(KeyCode::Char).collect::<Vec<_>>());
    watcher.press(&[KeyCode::Enter]);
    assert!(watcher.screen().contains("there is no app: but pkg: host:"), "{}", watcher.screen());
    assert!(watcher.model.filter.is_empty(), "a wrong filter changes nothing");
    watcher.press(&[KeyCode::Esc]);
    assert!(watcher.model.typed.is_none());
}

#[test]
fn a_long_run_is_read_in_parts() {
    const FLOWS: i64 = 100_000;
    let (_directory, db) = database();
    demo(&db, true);
    let mut connection = Connection::open(&db).unwrap();
    let columns: Vec<String> = connection
        .prepare("SELECT name FROM pragma_table_info('flows_v1')")
        .unwrap()
        .query_map((), |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let rest = columns.iter().filter(|name| !["id", "number"].contains(&name.as_str())).cloned();
    let rest = rest.collect::<Vec<_>>().join(", ");
    let transaction = connection.transaction().unwrap();
    let before: i64 = transaction.query_row("SELECT count(*) FROM flows_v1", (), |row| row.get(0)).unwrap();
    transaction
        .execute(
            &format!(
                "WITH RECURSIVE n (n) AS (SELECT ?1 + 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)
                INSERT INTO flows_v1 (id, number, {rest}) SELECT n, n, {rest} FROM n, flows_v1 WHERE id = 1"
            ),
            (before, FLOWS),
        )
        .unwrap();
    transaction.commit().unwrap();
    let mut watcher = Watcher::new(&db, 80, 24);
    let selected = |watcher: &Watcher| watcher.model.flows.selected().map(|flow| flow.id);
    assert_eq!((watcher.model.sums.flows.cast_signed(), selected(&watcher)), (FLOWS, Some(1)));
    watcher.press(&[KeyCode::Char('G')]);
    assert_eq!(selected(&watcher), Some(FLOWS));
    for _ in 0..100 {
        watcher.press(&[KeyCode::PageUp]);
    }
    assert_eq!(selected(&watcher), Some(FLOWS - 100 * 19));
    assert!(watcher.model.flows.rows().len() <= super::rows::WINDOW);
    watcher.press(&[KeyCode::Char('g')]);
    assert_eq!(selected(&watcher), Some(1));
    // A rare one in the middle of nowhere.
    connection.execute("UPDATE flows_v1 SET destination_domain = 'needle' WHERE id = 77777", ()).unwrap();
    watcher.enter("host:needle");
    assert_eq!((watcher.model.sums.flows, selected(&watcher)), (1, Some(77_777)));
}

#[test]
fn a_database_without_that_run_is_refused() {
    let (_directory, db) = database();
    demo(&db, true);
    let refused = |run: Option<i64>, db: &Path| match reader::start(db, run) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("opened"),
    };
    assert!(refused(Some(7), &db).ends_with("has no run 7"));
    let connection = Connection::open(&db).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM runs_v1").unwrap();
    assert!(refused(None, &db).ends_with("has no run yet"));
    let missing = db.with_file_name("missing.db");
    assert!(matches!(reader::start(&missing, None), Err(WatchError::Query(_))));
}

/// A model that was told rows which nobody wants to see.
fn hostile() -> Model {
    let evil = "\x1b[2J\x1b]0;owned\x07\u{202e}例え\u{301}.example".to_owned();
    let mut model = Model::new();
    model.take(Told::Header(Header {
        run: 1,
        state: State::Running,
        step: Some(evil.clone()),
        inconclusive: Some(evil.clone()),
        ..Header::default()
    }));
    let tickets = model.asks();
    assert!(matches!(tickets.as_slice(), [reader::Ask::Flows(1, Seek::Last)]), "{tickets:?}");
    let flow = FlowRow {
        id: 1,
        start: NOON,
        app: Some(evil.clone()),
        host: evil.clone(),
        port: Some(443),
        transport: evil.clone(),
        layers: vec![evil.clone()],
        version: Some(evil.clone()),
        protection: evil.clone(),
        step: Some(evil.clone()),
    };
    model.take(Told::Flows(1, Window { rows: vec![flow], before: false, after: false }));
    model.key(KeyEvent::from(KeyCode::Char('3')));
    assert_eq!(model.asks().len(), 1);
    let finding = FindingRow {
        id: 1,
        severity: Severity::Critical,
        rule: evil.clone(),
        app: Some(evil.clone()),
        host: evil.clone(),
        port: 1,
        message: evil.clone(),
        excused: false,
        step: Some(evil),
    };
    model.take(Told::Findings(1, Window { rows: vec![finding], before: false, after: false }));
    model
}

#[test]
fn what_strangers_sent_obeys_nobody() {
    let mut model = hostile();
    for tab in ['1', '2', '3'] {
        model.key(KeyEvent::from(KeyCode::Char(tab)));
        for (width, height) in [(40, 8), (80, 24), (200, 50)] {
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
            view::draw(&model, Theme { color: true }, "\x1b]0;db\x07", &mut buffer);
            for cell in buffer.content() {
                let safe = !cell.symbol().chars().any(|c| c.is_control() || c == '\u{202e}');
                assert!(safe, "{:?}", cell.symbol());
            }
        }
    }
}

#[test]
fn without_colours_there_are_none_and_words_tell() {
    let mut model = hostile();
    assert_eq!(model.tab, Tab::Findings);
    model.set_page(10);
    let mut buffer = Buffer::empty(Rect::new(0, 0, 80, 24));
    view::draw(&model, Theme { color: false }, "run.db", &mut buffer);
    assert!(buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(text(&buffer).contains("# CRITICAL"));
    let mut buffer = Buffer::empty(Rect::new(0, 0, 80, 24));
    view::draw(&model, Theme { color: true }, "run.db", &mut buffer);
    assert!(buffer.content().iter().any(|cell| cell.fg == Color::Magenta));
}

#[test]
fn keys_end_and_suspend() {
    let mut model = Model::new();
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    assert_eq!(model.key(KeyEvent::from(KeyCode::Char('q'))), Then::Quit);
    assert_eq!(model.key(control('c')), Then::Quit);
    assert_eq!(model.key(control('z')), Then::Suspend);
    assert_eq!(model.key(control('l')), Then::Redraw);
    // While a filter is typed, letters are letters.
    model.key(KeyEvent::from(KeyCode::Char('/')));
    for c in "quiet here".chars() {
        assert_eq!(model.key(KeyEvent::from(KeyCode::Char(c))), Then::Stay);
    }
    assert_eq!(model.typed.as_deref(), Some("quiet here"));
    model.key(control('w'));
    assert_eq!(model.typed.as_deref(), Some("quiet "));
    model.key(KeyEvent::from(KeyCode::Backspace));
    model.key(control('u'));
    assert_eq!(model.typed.as_deref(), Some(""));
    assert_eq!(model.key(control('c')), Then::Quit);
}
