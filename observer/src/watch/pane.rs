//! The details in lines.

use super::model::Model;
use super::rows::Detail;
use super::table::wrapped;
use super::theme::severity_text;
use crate::rules::Severity;

/// What a line of the details is.
pub(super) enum Kind {
    Title,
    Severity(Severity),
    Text,
}

/// The details in lines that have room.
pub(super) fn lines(model: &Model, room: u16) -> Vec<(String, Kind)> {
    const NAMES: usize = 13;
    let room = usize::from(room);
    let Some((_, details)) = model.details.as_ref().filter(|_| model.open) else {
        let words = if model.selected().is_none() { "nothing is selected" } else { "reading ..." };
        return vec![(words.to_owned(), Kind::Text)];
    };
    let mut lines = Vec::new();
    for detail in details {
        match detail {
            Detail::Title(title) => {
                if !lines.is_empty() {
                    lines.push((String::new(), Kind::Text));
                }
                lines.extend(wrapped(title, room).into_iter().map(|line| (line, Kind::Title)));
            }
            Detail::Pair(name, value) => {
                let value = wrapped(value, room.saturating_sub(NAMES));
                let names = std::iter::once(*name).chain(std::iter::repeat(""));
                lines.extend(
                    value.iter().zip(names).map(|(line, name)| (format!("{name:NAMES$}{line}"), Kind::Text)),
                );
            }
            Detail::Finding(severity, words) => {
                let text = format!("{} {words}", severity_text(*severity));
                lines.extend(wrapped(&text, room).into_iter().map(|line| (line, Kind::Severity(*severity))));
            }
            Detail::Text(text) => {
                lines.extend(wrapped(text, room).into_iter().map(|line| (line, Kind::Text)));
            }
            // Its spaces count.
            Detail::Code(code) => {
                lines.extend(wrapped(code, room).into_iter().map(|line| (line, Kind::Text)))
            }
        }
    }
    lines
}
