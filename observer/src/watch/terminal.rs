//! The terminal: taken over, and given back as it was, however the program ends.

use std::io::{self, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::low_level;

/// The signals that end the program, once the terminal is given back.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// The terminal while the view has it: raw, on its other screen. Dropped, it is as it was before. A panic gives it back
/// first, so that its message can be read.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    /// The signal that came last; 0 is none.
    signal: Arc<AtomicUsize>,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When it does not obey.
    pub(super) fn open() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in ENDING {
            let value = usize::try_from(number).unwrap_or(0);
            signal_hook::flag::register_usize(number, Arc::clone(&signal), value)?;
        }
        match ratatui::try_init() {
            Ok(terminal) => {
                watch_over();
                Ok(Self { terminal, signal })
            }
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// What is drawn on.
    pub(super) fn terminal(&mut self) -> &mut DefaultTerminal {
        &mut self.terminal
    }

    /// The signal that asks the program to end, if one came.
    pub(super) fn signal(&self) -> Option<i32> {
        i32::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0)
    }

    /// Gives the terminal back, stops this process as Ctrl-Z does, and takes the terminal over again when it goes on.
    ///
    /// # Errors
    /// When the terminal does not obey any more.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        low_level::raise(SIGTSTP)?;
        self.terminal = ratatui::try_init()?;
        self.terminal.clear()
    }

    /// Gives the terminal back and ends the process as `signal` does, so that who sent it sees that it had its effect.
    ///
    /// # Errors
    /// When the signal has no effect.
    pub(super) fn die(self, signal: i32) -> io::Result<()> {
        drop(self);
        low_level::emulate_default_handler(signal)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// How often is looked whether the terminal is still there.
#[cfg(target_os = "linux")]
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

/// Ends the process once its terminal is gone, as SIGHUP does, which only the leader of a session gets: what reads keys
/// (crossterm) goes round and round at a terminal's end, and comes back to nobody.
#[cfg(target_os = "linux")]
fn watch_over() {
    std::thread::spawn(|| {
        while !is_gone() {
            std::thread::sleep(LOOK);
        }
        low_level::emulate_default_handler(SIGHUP)
    });
}

#[cfg(not(target_os = "linux"))]
fn watch_over() {}

/// Whether the window was closed, or the connection to it lost.
#[cfg(target_os = "linux")]
fn is_gone() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let output = stdout();
    let mut ends = [PollFd::new(&output, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let asked = poll(&mut ends, Some(&at_once));
    let [end] = ends;
    asked.is_ok() && end.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Leaves raw mode and the other screen. A terminal that is gone needs nothing back.
fn give_back() {
    let _ = ratatui::try_restore();
    let _ = execute!(stdout(), Show);
}
