//! Lines out of bytes that arrive in pieces.

/// Bytes of a line that are kept; the rest of a longer one is passed over. logd cuts a message at about 4 KiB
/// (`LOGGER_ENTRY_MAX_PAYLOAD`, AOSP `liblog/include/log/log_read.h`), and a test's name is shorter.
const MAX_LINE: usize = 8 << 10;

/// Puts lines together.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// Whether bytes of the line at hand were passed over.
    is_cut: bool,
    cut: u64,
}

impl Lines {
    /// Takes bytes and hands on the lines that they complete, without their ends.
    pub(super) fn feed(&mut self, bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let is_whole = self.partial.is_empty() && piece.len() <= MAX_LINE && pieces.peek().is_some();
            if is_whole && !self.is_cut {
                line(trimmed(piece));
                continue;
            }
            let room = MAX_LINE.saturating_sub(self.partial.len());
            self.is_cut |= piece.len() > room;
            self.partial.extend(piece.iter().take(room));
            if pieces.peek().is_some() {
                self.flush(line);
            }
        }
    }

    /// Hands on what no line end came after.
    pub(super) fn finish(&mut self, line: &mut dyn FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.flush(line);
        }
    }

    /// Lines that were cut so far.
    pub(super) fn cut(&self) -> u64 {
        self.cut
    }

    fn flush(&mut self, line: &mut dyn FnMut(&[u8])) {
        line(trimmed(&self.partial));
        self.cut = self.cut.saturating_add(u64::from(self.is_cut));
        self.partial.clear();
        self.is_cut = false;
    }
}

/// Without the carriage return that adb's older shells add.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `SECONDS.FRACTION` since the epoch, with up to nine digits, in nanoseconds; `None` for anything else.
pub(super) fn epoch(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}").parse().ok()?;
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, u64) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, &mut |line| found.push(line.to_vec()));
        }
        lines.finish(&mut |line| found.push(line.to_vec()));
        (found, lines.cut())
    }

    #[test]
    fn a_line_without_end_does_not_grow() {
        let long = vec![b'x'; MAX_LINE * 3];
        let (lines, cut) = all(&[&long, &long, b"y\nz\r\n", b"end"]);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE, 1, 3]);
        assert_eq!(cut, 1);
    }

    #[test]
    fn points_in_time_are_read_to_the_nanosecond() {
        assert_eq!(epoch("1.5"), Some(1_500_000_000));
        assert_eq!(epoch("1795297582.791735"), Some(1_795_297_582_791_735_000));
        assert_eq!(epoch("12"), Some(12_000_000_000));
        for bad in ["", ".5", "-1.0", "1.0000000001", "99999999999999999999.0", "1.x", "9223372037.0"] {
            assert_eq!(epoch(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(
            text in "[ab\r\n]{0,40}",
            cuts in prop::collection::vec(0_usize..41, 0..4),
        ) {
            let whole = all(&[text.as_bytes()]);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts {
                pieces.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            pieces.push(&text.as_bytes()[from..]);
            prop_assert_eq!(all(&pieces), whole);
        }
    }
}
