//! Styles, and the words that say the same without them.

use ratatui::style::{Color, Modifier, Style};

use crate::rules::Severity;

/// As the terminal writes.
pub(super) const PLAIN: Style = Style::new();
/// Stands out.
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
/// Stands back.
pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
/// The selected row, and the first line.
pub(super) const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// What the screen looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    /// Whether colours are used; without them, only what every terminal has: bold, dim, reversed.
    pub(super) color: bool,
}

impl Theme {
    pub(super) fn of(self, style: Style) -> Style {
        if self.color { style } else { Style { fg: None, bg: None, ..style } }
    }

    pub(super) fn severity(self, severity: Severity) -> Style {
        self.of(match severity {
            Severity::Critical => Style::new().fg(Color::Magenta).add_modifier(Modifier::BOLD),
            Severity::High => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            Severity::Medium => Style::new().fg(Color::Yellow),
            Severity::Low => Style::new().fg(Color::Cyan),
            Severity::Info => Style::new().fg(Color::Blue),
        })
    }

    pub(super) fn protection(self, protection: &str) -> Style {
        self.of(match protection {
            "cleartext" => Style::new().fg(Color::Red),
            "opaque" | "opportunistic" => Style::new().fg(Color::Yellow),
            "encrypted" => Style::new().fg(Color::Green),
            _ => Style::new().add_modifier(Modifier::DIM),
        })
    }
}

/// A sign and a word: `! HIGH`.
pub(super) fn severity_text(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "# CRITICAL",
        Severity::High => "! HIGH",
        Severity::Medium => "* MEDIUM",
        Severity::Low => "- LOW",
        Severity::Info => ". INFO",
    }
}
