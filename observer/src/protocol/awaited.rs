//! Commands that wait for their replies: a client of SMTP, FTP or POP3 may send several before the first is answered.

use std::collections::VecDeque;

use super::Progress;
use super::dialogue::Turn;
use crate::flow::Direction;

/// Commands that may wait for their replies.
const MAX_AWAITED: usize = 64;

/// What replies are awaited to, in order.
pub(super) struct Awaited<C> {
    commands: VecDeque<C>,
    /// Whether anybody has said something.
    spoken: bool,
}

impl<C> Default for Awaited<C> {
    fn default() -> Self {
        Self { commands: VecDeque::new(), spoken: false }
    }
}

impl<C: PartialEq> Awaited<C> {
    /// Somebody says something; a server that does so unasked and first says its `greeting`.
    pub(super) fn speak(&mut self, direction: Direction, greeting: C) {
        let first = !std::mem::replace(&mut self.spoken, true);
        if first && direction == Direction::ToOriginator {
            self.commands.push_front(greeting);
        }
    }

    /// The client gives a command, behind which `turn` follows; too many of them are not followed.
    pub(super) fn ask(&mut self, command: C, turn: Turn) -> Turn {
        if self.commands.len() >= MAX_AWAITED {
            return Turn::Stop(Progress::Done);
        }
        self.commands.push_back(command);
        turn
    }

    /// Replies are to come to a command that was not seen, or whose first replies were not.
    pub(super) fn expect(&mut self, command: C) {
        if self.commands.len() < MAX_AWAITED {
            self.commands.push_back(command);
        }
    }

    /// What the next reply is to.
    pub(super) fn next(&self) -> Option<&C> {
        self.commands.front()
    }

    /// What the reply that is now whole was to.
    pub(super) fn answer(&mut self) -> Option<C> {
        self.commands.pop_front()
    }

    /// The server says what is no reply: it does not agree to TLS (RFC 3207 §4), where `request` asked for that.
    pub(super) fn no_reply(&mut self, request: &C) -> Turn {
        if self.commands.front() != Some(request) {
            return Turn::Next;
        }
        self.commands.pop_front();
        Turn::Release
    }

    /// Commands or replies are missing.
    pub(super) fn lose(&mut self) {
        self.commands.clear();
        self.spoken = true;
    }
}
