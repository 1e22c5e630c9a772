//! What the keys do.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::table::put;
use super::theme::{BOLD, PLAIN};

const KEYS: &[(&str, &str)] = &[
    ("j k  arrows", "one row down or up"),
    ("PgDn PgUp", "a page (also Ctrl-F Ctrl-B, half a page Ctrl-D Ctrl-U)"),
    ("g G  Home End", "first row, last row"),
    ("Tab  1 2 3", "apps, flows, findings"),
    ("Enter", "details of the selected row, and back"),
    ("Space b", "scroll the details; without them, a page"),
    ("f", "follow: stay at the newest row"),
    ("/", "filter; Enter looks through it, Esc leaves it as it was"),
    ("Esc", "close the details, then take the filter away"),
    ("n", "go over to a newer run"),
    ("Ctrl-L Ctrl-Z", "draw anew, suspend"),
    ("q  Ctrl-C", "quit"),
];

const FILTERS: &[&str] = &[
    "Filter: all words have to match; - or ! before a word turns it round.",
    "pkg: host: rule: step: proto: contain the text, a word alone is looked",
    "for everywhere. sev:high is equal, sev:>=high at least. step:\"log in\"",
];

/// Draws what the keys do.
pub(super) fn draw(area: Rect, buffer: &mut Buffer) {
    let mut y = area.y;
    for (keys, what) in KEYS {
        put(buffer, (area.x.saturating_add(1), y), 15, keys, BOLD);
        put(buffer, (area.x.saturating_add(17), y), area.width.saturating_sub(17), what, PLAIN);
        y = y.saturating_add(1);
    }
    for line in FILTERS {
        if y < area.bottom() {
            put(buffer, (area.x.saturating_add(1), y), area.width.saturating_sub(1), line, PLAIN);
        }
        y = y.saturating_add(1);
    }
    for y in area.bottom()..y.min(buffer.area.bottom()) {
        let line = Rect { y, height: 1, ..area };
        put(buffer, (line.x, y), line.width, &" ".repeat(usize::from(line.width)), PLAIN);
    }
}
