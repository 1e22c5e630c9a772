//! Text from the network made safe for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every character that a terminal obeys or hides written as an escape such as `\u{1b}`.
///
/// Names, labels and headers come from whoever the device talks to: they must not move the cursor, hide a line, or
/// turn the direction of writing.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_add(16));
    for c in text.chars() {
        if is_unsafe(c) {
            // Writing to a String does not fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Controls (C0, DEL, C1), invisible characters, and those that turn the direction of writing (Unicode TR36 §2.4).
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_remains() {
        let hostile = "a\x1b[2J\x07\r\n\u{9b}31m\u{202e}gpj.exe\u{200b}";
        let shown = plain(hostile);
        assert!(!shown.chars().any(is_unsafe), "{shown:?}");
        assert!(shown.starts_with("a\\u{1b}[2J"), "{shown}");
    }

    #[test]
    fn other_scripts_stay_as_they_are() {
        assert!(matches!(plain("bücher.example 例え.テスト"), Cow::Borrowed(_)));
    }
}
