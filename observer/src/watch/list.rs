//! A list on the screen of which only a part is held.

use super::rows::{Row, Seek, WINDOW, Window};

/// Rows that are held beyond what the screen shows, before more are asked for.
const MARGIN: usize = 100;

/// Where the selection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// So many rows up.
    Up(usize),
    /// So many rows down.
    Down(usize),
    /// To the first row.
    First,
    /// To the last row.
    Last,
}

/// Rows, which of them is selected, and which is the first on the screen.
#[derive(Clone, Debug)]
pub(super) struct List<T> {
    window: Window<T>,
    cursor: usize,
    top: usize,
    /// The number of the window that is held, or asked for.
    ticket: u64,
    /// Where the window that is asked for is taken; `None` if it has come.
    asked: Option<Seek>,
    /// Where the next one is to be taken.
    wanted: Option<Seek>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            window: Window { rows: Vec::new(), before: false, after: false },
            cursor: 0,
            top: 0,
            ticket: 0,
            asked: None,
            wanted: None,
        }
    }
}

impl<T: Row> List<T> {
    /// The rows that are held.
    pub(super) fn rows(&self) -> &[T] {
        &self.window.rows
    }

    /// The place of the selected row among those that are held.
    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    /// The selected row.
    pub(super) fn selected(&self) -> Option<&T> {
        self.window.rows.get(self.cursor)
    }

    /// The place of the first row on the screen.
    pub(super) fn top(&self) -> usize {
        self.top
    }

    /// Whether rows are on their way.
    pub(super) fn is_waiting(&self) -> bool {
        self.asked.is_some() || self.wanted.is_some()
    }

    /// Whether the last row of all is selected.
    pub(super) fn is_at_end(&self) -> bool {
        !self.window.after && self.cursor.saturating_add(1) >= self.window.rows.len()
    }

    /// Forgets everything, and wants another part.
    pub(super) fn restart(&mut self, seek: Seek) {
        let ticket = self.ticket;
        *self = Self { ticket, wanted: Some(seek), ..Self::default() };
    }

    /// Moves the selection on a screen of `page` rows.
    pub(super) fn go(&mut self, to: Move, page: usize) {
        match to {
            Move::First if self.window.before => self.wanted = Some(Seek::First),
            Move::Last if self.window.after => self.wanted = Some(Seek::Last),
            Move::First => self.cursor = 0,
            Move::Last => self.cursor = usize::MAX,
            Move::Up(rows) => self.cursor = self.cursor.saturating_sub(rows),
            Move::Down(rows) => self.cursor = self.cursor.saturating_add(rows),
        }
        self.settle(page);
    }

    /// Keeps the selection among the rows and on the screen, and wants more rows if it comes near their end.
    pub(super) fn settle(&mut self, page: usize) {
        let rows = self.window.rows.len();
        self.cursor = self.cursor.min(rows.saturating_sub(1));
        let page = page.max(1);
        self.top = self.top.min(self.cursor).min(rows.saturating_sub(page));
        self.top = self.top.max(self.cursor.saturating_add(1).saturating_sub(page));
        let margin = MARGIN.max(page);
        let near_start = self.window.before && self.cursor < margin;
        let near_end = self.window.after && self.cursor.saturating_add(margin) >= rows;
        if (near_start || near_end)
            && !self.is_waiting()
            && let Some(row) = self.selected()
        {
            self.wanted = Some(Seek::Around(row.id()));
        }
    }

    /// What is to be asked for now, with its number; once.
    pub(super) fn ask(&mut self) -> Option<(u64, Seek)> {
        let seek = self.wanted.take()?;
        self.ticket = self.ticket.wrapping_add(1);
        self.asked = Some(seek);
        Some((self.ticket, seek))
    }

    /// Takes a part that was asked for, unless another one was asked for since.
    pub(super) fn take(&mut self, ticket: u64, window: Window<T>, page: usize) {
        if ticket != self.ticket {
            return;
        }
        let Some(seek) = self.asked.take() else { return };
        // The selection stays where it is on the screen.
        let line = self.cursor.saturating_sub(self.top);
        let selected = self.selected().map(Row::id);
        self.window = window;
        self.cursor = match seek {
            Seek::First => 0,
            Seek::Last => usize::MAX,
            Seek::Around(id) => {
                let id = selected.unwrap_or(id);
                self.window.rows.partition_point(|row| row.id() < id)
            }
        };
        self.top = self.cursor.saturating_sub(line);
        self.settle(page);
    }

    /// Takes rows that came after the last one. With `follow` the last of them becomes the selected one; otherwise what has
    /// no room is asked for when the selection comes there.
    pub(super) fn add(&mut self, ticket: u64, rows: Vec<T>, more: bool, follow: bool, page: usize) {
        if ticket != self.ticket || self.window.after || self.asked.is_some() {
            return;
        }
        if more && follow {
            self.wanted = Some(Seek::Last);
            return;
        }
        self.window.rows.extend(rows);
        let excess = self.window.rows.len().saturating_sub(WINDOW);
        if follow {
            self.window.rows.drain(..excess);
            self.window.before |= excess > 0;
            self.cursor = usize::MAX;
        } else {
            self.window.rows.truncate(WINDOW);
            self.window.after = more || excess > 0;
        }
        self.settle(page);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Number(i64);

    impl Row for Number {
        fn id(&self) -> i64 {
            self.0
        }
    }

    /// What the database answers of the rows 1 to `last`.
    fn window(seek: Seek, last: i64) -> Window<Number> {
        let wide = i64::try_from(WINDOW).unwrap();
        let (from, to) = match seek {
            Seek::First => (1, wide.min(last)),
            Seek::Last => ((last - wide + 1).max(1), last),
            Seek::Around(id) => ((id - wide / 2 + 1).max(1), (id + wide / 2).min(last)),
        };
        Window { rows: (from..=to).map(Number).collect(), before: from > 1, after: to < last }
    }

    /// Answers until nothing is asked for any more.
    fn answer(list: &mut List<Number>, last: i64, page: usize) {
        for _ in 0..5 {
            let Some((ticket, seek)) = list.ask() else { return };
            list.take(ticket, window(seek, last), page);
        }
        panic!("asks again and again");
    }

    #[test]
    fn a_million_rows_are_held_in_parts() {
        let (last, page) = (1_000_000, 20);
        let mut list = List::default();
        list.restart(Seek::Last);
        answer(&mut list, last, page);
        assert_eq!(list.selected(), Some(&Number(last)));
        assert!(list.is_at_end());
        for step in 1..=100 {
            list.go(Move::Up(page), page);
            answer(&mut list, last, page);
            assert_eq!(list.selected(), Some(&Number(last - 20 * step)));
            assert!(list.rows().len() <= WINDOW);
        }
        list.go(Move::First, page);
        answer(&mut list, last, page);
        assert_eq!((list.selected(), list.top()), (Some(&Number(1)), 0));
        list.go(Move::Last, page);
        answer(&mut list, last, page);
        assert_eq!(list.selected(), Some(&Number(last)));
    }

    #[test]
    fn who_follows_sees_the_newest_and_who_reads_is_not_moved() {
        let page = 10;
        for follow in [true, false] {
            let mut list = List::default();
            list.restart(Seek::Last);
            answer(&mut list, 5, page);
            list.go(Move::First, page);
            for number in 6..2_000 {
                list.add(1, vec![Number(number)], false, follow, page);
            }
            let expected = if follow { 1_999 } else { 1 };
            assert_eq!(list.selected(), Some(&Number(expected)));
            assert!(list.rows().len() <= WINDOW);
            list.go(Move::Last, page);
            answer(&mut list, 1_999, page);
            assert_eq!(list.selected(), Some(&Number(1_999)));
        }
    }

    #[test]
    fn an_answer_to_an_older_question_is_passed_over() {
        let mut list = List::default();
        list.restart(Seek::First);
        let (old, _) = list.ask().unwrap();
        list.restart(Seek::Last);
        let (new, seek) = list.ask().unwrap();
        list.take(old, window(Seek::First, 3), 10);
        assert!(list.rows().is_empty() && list.is_waiting());
        list.take(new, window(seek, 3), 10);
        assert_eq!(list.selected(), Some(&Number(3)));
        list.add(old, vec![Number(4)], false, true, 10);
        assert_eq!(list.rows().len(), 3);
    }

    proptest! {
        #[test]
        fn the_selection_is_on_the_screen(
            last in 0..3_000_i64,
            pages in prop::collection::vec(0..60_usize, 1..5),
            moves in prop::collection::vec((0..4_u8, 0..700_usize), 0..40),
        ) {
            let mut list = List::default();
            list.restart(Seek::Last);
            for (number, (kind, rows)) in moves.into_iter().enumerate() {
                let page = pages[number % pages.len()];
                let to = match kind {
                    0 => Move::Up(rows),
                    1 => Move::Down(rows),
                    2 => Move::First,
                    _ => Move::Last,
                };
                list.go(to, page);
                answer(&mut list, last, page);
                prop_assert_eq!(list.selected().is_some(), last > 0);
                prop_assert!(list.top() <= list.cursor());
                prop_assert!(list.cursor() < list.top() + page.max(1));
                prop_assert!(list.rows().len() <= WINDOW);
            }
        }
    }
}
