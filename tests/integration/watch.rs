//! The view of a run, in a terminal that tmux makes: what is on the screen, and what is left of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use observer::pipeline;
use observer::report::Run;
use observer::report::secrets::Secrets;
use observer::source;
use observer::store::Store;
use observer::time::Timestamp;
use observer_captures::path;
use rusqlite::Connection;
use tempfile::TempDir;

const OBSERVER: &str = env!("CARGO_BIN_EXE_observer-under-test");

/// How often a screen is looked at, every 50 ms, before it is said that something never comes.
const LOOKS: u32 = 600;

/// What is run in the terminal: its modes before and after, and how it ended, in files.
const SCRIPT: &str = "stty -a > before; sh -c 'echo $$ > pid; exec \"$0\" watch run.db' \"$OBSERVER\"; \
    echo $? > status; stty -a > after.part; mv after.part after; echo GIVEN BACK; exec sleep 1000";

/// Whether there is a tmux; says loudly that `test` is skipped if not.
fn has_tmux(test: &str) -> bool {
    let version = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let has = version.is_ok_and(|status| status.success());
    if !has {
        observer_tests::skip(test, "needs tmux");
    }
    has
}

/// A server of tmux with one window, which ends with the test.
struct Terminal {
    directory: TempDir,
}

impl Terminal {
    /// Opens a window of this size on `script`, in a fresh folder that holds `run.db`.
    fn open(
        directory: TempDir,
        script: &str,
        (width, height): (u16, u16),
        variables: &[(&str, &str)],
    ) -> Self {
        let terminal = Self { directory };
        let size = [width.to_string(), height.to_string()];
        let mut command = terminal.tmux();
        command.args(["-f", "/dev/null", "new-session", "-d", "-s", "w", "-x", &size[0], "-y", &size[1]]);
        command.arg("-c").arg(terminal.directory.path());
        command.args(["sh", "-c", script]);
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "RUST_LOG", "TMUX"] {
            command.env_remove(variable);
        }
        command.env("OBSERVER", OBSERVER).env("LC_ALL", "C.UTF-8").envs(variables.iter().copied());
        let output = command.output().expect("tmux starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.directory.path().join("tmux.socket"));
        command
    }

    fn say(&self, words: &[&str]) -> String {
        let output = self.tmux().args(words).output().expect("tmux answers");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn keys(&self, keys: &[&str]) {
        self.say(&[&["send-keys", "-t", "w"], keys].concat());
    }

    fn screen(&self) -> String {
        self.say(&["capture-pane", "-p", "-t", "w"])
    }

    /// Whether the program draws on the other screen, which full-screen programs take and give back.
    fn is_on_other_screen(&self) -> bool {
        self.say(&["display-message", "-p", "-t", "w", "#{alternate_on}"]).trim() == "1"
    }

    /// Waits for a screen of which `holds` is true, and returns it.
    fn wait(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let mut screen = self.screen();
        for _ in 0..LOOKS {
            if holds(&screen) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
            screen = self.screen();
        }
        assert!(holds(&screen), "{what}:\n{screen}");
        screen
    }

    fn wait_for(&self, words: &str) -> String {
        self.wait(words, |screen| screen.contains(words))
    }

    /// What is in a file of the folder, once it is there.
    fn file(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        let mut text = String::new();
        for _ in 0..LOOKS {
            text = fs::read_to_string(&path).unwrap_or_default();
            if text.ends_with('\n') {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        assert!(text.ends_with('\n'), "no file {name}:\n{}", self.screen());
        text
    }

    /// Checks that nothing of the view is left, and returns the code with which it ended.
    fn ended(&self) -> i32 {
        // The first line is the size, which is not the view's.
        let modes = |name| self.file(name).split_once('\n').expect("many lines").1.to_owned();
        assert_eq!(modes("after"), modes("before"), "the modes of the terminal");
        let screen = self.wait_for("GIVEN BACK");
        assert!(!self.is_on_other_screen(), "{screen}");
        assert!(!screen.contains("Findings"), "{screen}");
        assert_eq!(
            self.say(&["display-message", "-p", "-t", "w", "#{cursor_flag}"]).trim(),
            "1",
            "the cursor"
        );
        self.file("status").trim().parse().expect("a number")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    Timestamp(i64::try_from(since.as_nanos()).expect("before 2262"))
}

fn database() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a folder");
    let db = directory.path().join("run.db");
    (directory, db)
}

fn begin(db: &Path) -> Store {
    Store::begin(db, Secrets::Digest, now()).expect("a run")
}

fn feed(store: &mut Store) -> Run {
    let source = source::open(&[path("demo.pcapng")]).expect("a capture");
    let options = observer_tests::options(1).expect("options");
    pipeline::analyze(source, &options, &mut [store], &mut |_, _| {}).expect("a run")
}

fn demo(db: &Path) {
    let mut store = begin(db);
    let run = feed(&mut store);
    store.finish(&run, now()).expect("its end");
}

#[test]
fn the_terminal_is_as_it_was_however_the_view_ends() {
    if !has_tmux("the_terminal_is_as_it_was_however_the_view_ends") {
        return;
    }
    for (how, code) in [("q", 0), ("C-c", 0), ("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let (directory, db) = database();
        demo(&db);
        let terminal = Terminal::open(directory, SCRIPT, (80, 24), &[]);
        terminal.wait_for("shop.test:443");
        terminal.wait_for("finished");
        assert!(terminal.is_on_other_screen());
        if how.len() >= 3 && how != "C-c" {
            let pid = terminal.file("pid");
            let killed = Command::new("kill").args(["-s", how, pid.trim()]).status().expect("kill");
            assert!(killed.success());
        } else {
            terminal.keys(&[how]);
        }
        assert_eq!(terminal.ended(), code, "{how}");
    }
}

#[test]
fn a_terminal_that_goes_away_takes_the_view_along() {
    if !has_tmux("a_terminal_that_goes_away_takes_the_view_along") {
        return;
    }
    let (directory, db) = database();
    demo(&db);
    // In a session of another's, where the loss of the terminal is no signal for it.
    let script = "trap '' HUP; sh -c 'echo $$ > pid; trap \"\" HUP; exec \"$0\" watch run.db' \"$OBSERVER\"";
    let terminal = Terminal::open(directory, script, (80, 24), &[]);
    terminal.wait_for("finished");
    let process = PathBuf::from(format!("/proc/{}", terminal.file("pid").trim()));
    assert!(process.exists());
    terminal.say(&["kill-server"]);
    for _ in 0..LOOKS {
        if !process.join("exe").exists() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("it goes on without a terminal");
}

#[test]
fn a_run_is_watched_while_it_is_written() {
    if !has_tmux("a_run_is_watched_while_it_is_written") {
        return;
    }
    let (directory, db) = database();
    let mut store = begin(&db);
    let terminal = Terminal::open(directory, SCRIPT, (80, 24), &[]);
    let screen = terminal.wait_for("nothing yet");
    assert!(!cfg!(target_os = "linux") || screen.contains("running"), "{screen}");
    let run = feed(&mut store);
    terminal.wait_for(&format!("flows {}", run.totals.flows));
    terminal.keys(&["3"]);
    let screen = terminal.wait_for("cleartext-http");
    assert!(screen.contains(" provisional]"), "{screen}");

    // A filter that is wrong is told, and one that is right holds.
    terminal.keys(&["/", "sev:bad", "Enter"]);
    terminal.wait_for("sev: knows info low medium high critical");
    terminal.keys(&["C-u", "sev:>=high pkg:shop", "Enter"]);
    let screen = terminal.wait("the filter", |screen| {
        screen.contains("filter: sev:>=high pkg:shop")
            && !screen.contains("INFO")
            && screen.contains("! HIGH")
    });
    assert!(screen.contains("ple.shop") && !screen.contains("weather"), "{screen}");
    terminal.keys(&["g", "Enter"]);
    terminal.wait_for("frame.number in {");
    terminal.wait_for("settled when the run ends");
    terminal.keys(&["Escape"]);

    store.finish(&run, now()).expect("its end");
    terminal.wait_for("finished");
    terminal.wait_for("mixed-protection");
    terminal.keys(&["Escape"]);
    terminal.wait("no filter", |screen| !screen.contains("filter:"));

    // More room, and little.
    terminal.say(&["resize-window", "-t", "w", "-x", "120", "-y", "40"]);
    terminal.wait_for("STEP");
    terminal.say(&["resize-window", "-t", "w", "-x", "30", "-y", "5"]);
    terminal.wait_for("needs 40");
    terminal.say(&["resize-window", "-t", "w", "-x", "40", "-y", "10"]);
    terminal.wait_for("Findings");
    terminal.keys(&["q"]);
    assert_eq!(terminal.ended(), 0);

    // Nothing was written by who only looked.
    let connection = Connection::open(&db).expect("the database");
    let runs: i64 = connection.query_row("SELECT count(*) FROM runs_v1", (), |row| row.get(0)).expect("runs");
    assert_eq!(runs, 1);
}

#[test]
fn colours_are_those_that_are_wanted() {
    if !has_tmux("colours_are_those_that_are_wanted") {
        return;
    }
    for (variables, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let (directory, db) = database();
        demo(&db);
        let terminal = Terminal::open(directory, SCRIPT, (80, 24), variables);
        terminal.wait_for("shop.test:443");
        terminal.keys(&["3"]);
        terminal.wait_for("! HIGH");
        let screen = terminal.say(&["capture-pane", "-p", "-e", "-t", "w"]);
        // SGR 30 to 37 and 90 to 97, or 38: colours of the foreground (ECMA-48 section 8.3.117).
        let has = screen.split('\u{1b}').filter_map(|code| code.strip_prefix('[')).any(|code| {
            let codes = code.split('m').next().unwrap_or_default();
            codes.split([';', ':']).any(|code| matches!(code.parse(), Ok(30..=38 | 90..=97)))
        });
        assert_eq!(has, coloured, "{screen:?}");
    }
}

#[test]
fn a_stopped_view_comes_back() {
    if !has_tmux("a_stopped_view_comes_back") {
        return;
    }
    let (directory, db) = database();
    demo(&db);
    let script = "PS1='ready> ' exec sh -i";
    let terminal = Terminal::open(directory, script, (80, 24), &[("ENV", ""), ("PS1", "ready> ")]);
    terminal.wait_for("ready>");
    terminal.keys(&["\"$OBSERVER\" watch run.db", "Enter"]);
    terminal.wait_for("finished");
    terminal.keys(&["C-z"]);
    terminal.wait("the shell", |screen| screen.contains("ready>") && !screen.contains("finished"));
    assert!(!terminal.is_on_other_screen());
    terminal.keys(&["fg", "Enter"]);
    terminal.wait_for("finished");
    assert!(terminal.is_on_other_screen());
    terminal.keys(&["3"]);
    terminal.wait_for("! HIGH");
    terminal.keys(&["q"]);
    terminal.wait("the shell", |screen| screen.contains("ready>") && !screen.contains("finished"));
    assert!(!terminal.is_on_other_screen());
}

#[test]
fn without_a_terminal_it_says_so() {
    let (_directory, db) = database();
    demo(&db);
    let output =
        Command::new(OBSERVER).arg("watch").arg(&db).stdin(Stdio::null()).output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), stderr.as_str()),
        (
            Some(2),
            "observer: watch needs a terminal to draw on; `observer query` and `observer report` do not\n"
        )
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn what_cannot_be_watched_is_said_before_the_screen_is_taken() {
    if !has_tmux("what_cannot_be_watched_is_said_before_the_screen_is_taken") {
        return;
    }
    let (directory, _db) = database();
    let terminal = Terminal::open(directory, SCRIPT, (120, 24), &[]);
    terminal.wait_for("GIVEN BACK");
    assert_eq!(terminal.ended(), 3);
    terminal.wait_for("cannot open database run.db: No such file");
}
