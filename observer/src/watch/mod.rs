//! A terminal view of a run, while it is written or afterwards.
//!
//! It looks at the database alone, and only reads: whoever writes the run is not disturbed, and need not know of it.
//! A thread of its own asks the database ([`reader`]), so that no question, however long it takes, keeps a key waiting;
//! lists are held in parts ([`list`]), so that a run of any size takes the same memory. What keys and news do to what is
//! shown is in [`model`], which knows no terminal; [`view`] draws it.

mod ask;
mod condition;
mod detail;
mod filter;
mod help;
mod list;
mod listed;
mod model;
mod pane;
mod process;
mod read;
mod reader;
mod rows;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod view;

use std::path::Path;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEventKind};

use self::model::{Model, Then};
use self::reader::Told;
use self::terminal::Screen;
use self::theme::Theme;
use self::view::Areas;

pub use self::reader::WatchError;

/// How long a key is waited for before it is looked for news and signals.
const PATIENCE: Duration = Duration::from_millis(100);

/// The same while an answer is on its way.
const SHORT: Duration = Duration::from_millis(15);

/// Shows a run of the database at `path`, the newest if none is named, until somebody quits.
///
/// # Errors
/// When the database cannot be read or has no such run, or the terminal does not obey.
pub fn watch(path: &Path, run: Option<i64>, color: bool) -> Result<(), WatchError> {
    let reader = reader::start(path, run)?;
    let database = path.to_string_lossy();
    let theme = Theme { color };
    let mut model = Model::new();
    let mut screen = Screen::open()?;
    let mut dirty = true;
    loop {
        if let Some(signal) = screen.signal() {
            return Ok(screen.die(signal)?);
        }
        while let Some(told) =
            reader.told().map_err(|_gone| WatchError::Lost("its reader ended".to_owned()))?
        {
            if let Told::Failed(reason) = told {
                return Err(WatchError::Lost(reason));
            }
            model.take(told);
            dirty = true;
        }
        let size = screen.terminal().size()?;
        let areas = Areas::of(size.into(), model.open);
        model.set_page(areas.page());
        model.limit_scroll(areas.scroll(&model));
        for ask in model.asks() {
            reader.ask(ask);
        }
        if dirty {
            screen.terminal().draw(|frame| view::draw(&model, theme, &database, frame.buffer_mut()))?;
            dirty = false;
        }
        let mut wait = if model.is_busy() { SHORT } else { PATIENCE };
        while event::poll(wait)? {
            wait = Duration::ZERO;
            dirty = true;
            let Event::Key(key) = event::read()? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            match model.key(key) {
                Then::Stay => {}
                Then::Quit => return Ok(()),
                Then::Suspend => screen.suspend()?,
                Then::Redraw => screen.terminal().clear()?,
            }
        }
    }
}
