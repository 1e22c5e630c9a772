//! Cells of a fixed width: what is drawn never moves what stands beside it, however wide its characters are.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use crate::report::plain::plain;

/// What stands where a text was cut.
const CUT: &str = "~";

/// The columns of a terminal that `text` takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Writes `text`, made safe, into at most `room` columns at (`x`, `y`); what has no room is cut, and says so. Returns
/// the column after it.
pub(super) fn put(buffer: &mut Buffer, (x, y): (u16, u16), room: u16, text: &str, style: Style) -> u16 {
    let area = buffer.area;
    if y < area.top() || y >= area.bottom() || x < area.left() {
        return x;
    }
    let room = room.min(area.right().saturating_sub(x));
    if room == 0 {
        return x;
    }
    let text = plain(text);
    let columns = usize::from(room);
    if width(&text) <= columns {
        return buffer.set_stringn(x, y, &text, columns, style).0;
    }
    let (end, _) = buffer.set_stringn(x, y, &text, columns.saturating_sub(1), style);
    buffer.set_stringn(end, y, CUT, 1, style).0
}

/// Like [`put`], but what is cut is the beginning: packages and hosts differ at their ends.
pub(super) fn put_end(buffer: &mut Buffer, at: (u16, u16), room: u16, text: &str, style: Style) -> u16 {
    let safe = plain(text);
    let columns = usize::from(room.min(buffer.area.right().saturating_sub(at.0)));
    if columns < 2 || width(&safe) <= columns {
        return put(buffer, at, room, text, style);
    }
    let mut rest: &str = &safe;
    while width(rest) >= columns {
        let mut chars = rest.chars();
        chars.next();
        rest = chars.as_str();
    }
    put(buffer, at, room, &format!("{CUT}{rest}"), style)
}

/// How wide a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// So many columns of the terminal.
    Fixed(u16),
    /// A part of what the others leave, in shares.
    Share(u16),
}

/// Where each column begins and how wide it is, with a space between them. The last share takes what is left.
pub(super) fn columns(widths: &[Width], area: Rect) -> Vec<(u16, u16)> {
    let gaps = u16::try_from(widths.len().saturating_sub(1)).unwrap_or(u16::MAX);
    let (mut fixed, mut shares) = (gaps, 0_u16);
    for width in widths {
        match width {
            Width::Fixed(width) => fixed = fixed.saturating_add(*width),
            Width::Share(share) => shares = shares.saturating_add(*share),
        }
    }
    let room = area.width.saturating_sub(fixed);
    let mut left = room;
    let mut shares_left = shares;
    let mut x = area.left();
    widths
        .iter()
        .map(|width| {
            let width = match width {
                Width::Fixed(width) => *width,
                Width::Share(share) => {
                    let part = u32::from(left).saturating_mul(u32::from(*share));
                    let part = part.checked_div(u32::from(shares_left)).unwrap_or(0);
                    let part = u16::try_from(part).unwrap_or(left);
                    left = left.saturating_sub(part);
                    shares_left = shares_left.saturating_sub(*share);
                    part
                }
            };
            let begin = x;
            x = x.saturating_add(width).saturating_add(1);
            (begin, width.min(area.right().saturating_sub(begin)))
        })
        .collect()
}

/// `text` in lines of at most `room` columns, broken at spaces; longer words are broken where they have no room.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let room = room.max(2);
    let text = plain(text);
    let mut lines = vec![String::new()];
    let mut used = 0_usize;
    let begin = |lines: &mut Vec<String>, used: &mut usize| {
        lines.push(String::new());
        *used = 0;
    };
    for word in text.split(' ') {
        let wide = width(word);
        let space = usize::from(used > 0);
        if used > 0 && used.saturating_add(space).saturating_add(wide) > room {
            begin(&mut lines, &mut used);
        } else if space > 0
            && let Some(line) = lines.last_mut()
        {
            line.push(' ');
            used = used.saturating_add(1);
        }
        for c in word.chars() {
            let mut bytes = [0; 4];
            let wide = width(c.encode_utf8(&mut bytes));
            if used.saturating_add(wide) > room {
                begin(&mut lines, &mut used);
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used = used.saturating_add(wide);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_share_what_is_left() {
        let area = Rect::new(2, 0, 40, 1);
        let found = columns(&[Width::Fixed(8), Width::Share(1), Width::Share(2), Width::Fixed(3)], area);
        assert_eq!(found, [(2, 8), (11, 8), (20, 18), (39, 3)]);
        let tiny = columns(&[Width::Fixed(8), Width::Share(1), Width::Fixed(3)], Rect::new(0, 0, 5, 1));
        assert_eq!(tiny, [(0, 5), (9, 0), (10, 0)]);
    }

    #[test]
    fn wide_and_hostile_texts_stay_in_their_cells() {
        for text in [
            "例え.テスト.example",
            "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
            "\x1b[2J\x1b[31mred",
            "👩‍👩‍👧‍👦👩‍👩‍👧‍👦",
        ] {
            let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
            put(&mut buffer, (5, 0), 5, "|||||", Style::new());
            let end = put(&mut buffer, (0, 0), 5, text, Style::new());
            assert!(end <= 5, "{text:?} ends at {end}");
            let end = put_end(&mut buffer, (0, 0), 5, text, Style::new());
            assert!(end <= 5, "{text:?} ends at {end}");
            put(&mut buffer, (5, 0), 1, "|", Style::new());
            assert_eq!(buffer[(5, 0)].symbol(), "|", "{text:?}");
            assert!(buffer.content().iter().all(|cell| !cell.symbol().contains('\x1b')), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_drawn_outside(
            text in "\\PC{0,30}",
            (x, y, room) in (0..90_u16, 0..9_u16, 0..90_u16),
            (wide, high) in (0..20_u16, 0..4_u16),
        ) {
            let mut buffer = Buffer::empty(Rect::new(0, 0, wide, high));
            let end = put(&mut buffer, (x, y), room, &text, Style::new());
            prop_assert!(end <= x.saturating_add(room));
            let end = put_end(&mut buffer, (x, y), room, &text, Style::new());
            prop_assert!(end <= x.saturating_add(room));
        }

        #[test]
        fn lines_have_room_and_nothing_is_lost(text in "[a-zäλ例 ]{0,60}", room in 2..30_usize) {
            let lines = wrapped(&text, room);
            prop_assert!(lines.iter().all(|line| width(line) <= room), "{lines:?}");
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
