//! Operations that are over and whose completions nobody has taken yet.
//!
//! # Implementation
//!
//! What went through the ring lies in its slot, and here is its ticket. What a
//! plain call did at once never had a slot: all of it is here. The newest is
//! looked at first, as it is the one asked for where one operation is waited
//! for at a time.

use std::collections::VecDeque;

use rustix::io::Errno;

use super::{arena::Lease, slots::Ticket};

/// An operation that is over.
#[derive(Debug)]
pub(crate) enum Over {
    /// What it held is in its slot.
    Slot(Ticket),
    /// A transfer by a plain call.
    Moved(Ticket, Lease, Result<usize, Errno>),
}

impl Over {
    fn ticket(&self) -> Ticket {
        match self {
            Self::Slot(ticket) | Self::Moved(ticket, ..) => *ticket,
        }
    }
}

/// Those that are over, oldest first.
#[derive(Debug)]
pub(crate) struct Ready {
    queue: VecDeque<Over>,
    at_once: usize,
    generation: u64,
}

impl Ready {
    pub(crate) fn new(depth: usize) -> Self {
        Self { queue: VecDeque::with_capacity(depth), at_once: 0, generation: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Those that have no slot.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Notes what has a slot.
    pub(crate) fn slot(&mut self, ticket: Ticket) {
        self.queue.push_back(Over::Slot(ticket));
    }

    /// Notes what a plain call did.
    #[inline]
    pub(crate) fn moved(&mut self, lease: Lease, result: Result<usize, Errno>) -> Ticket {
        let ticket = Ticket::at_once(self.generation);
        self.generation += 1;
        self.at_once += 1;
        self.queue.push_back(Over::Moved(ticket, lease, result));
        ticket
    }

    /// Takes the newest, if it is this and has no slot.
    #[inline]
    pub(crate) fn take_newest(&mut self, ticket: Ticket) -> Option<(Lease, Result<usize, Errno>)> {
        if !matches!(self.queue.back(), Some(Over::Moved(newest, ..)) if *newest == ticket) {
            return None;
        }
        match self.queue.pop_back() {
            Some(Over::Moved(_, lease, result)) => {
                self.at_once -= 1;
                Some((lease, result))
            }
            _ => None,
        }
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<Over> {
        let over = self.queue.pop_front()?;
        self.note_taken(&over);
        Some(over)
    }

    /// Strikes out what is not to be told again.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Over> {
        let at = self.queue.iter().rposition(|over| over.ticket() == ticket)?;
        let over = self.queue.remove(at)?;
        self.note_taken(&over);
        Some(over)
    }

    fn note_taken(&mut self, over: &Over) {
        self.at_once -= usize::from(matches!(over, Over::Moved(..)));
    }
}
