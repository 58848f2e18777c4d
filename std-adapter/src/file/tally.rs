//! What every backend keeps of its operations, for who implements one.

use std::{io, ops::DerefMut};

use super::{Counts, Done, Operation, Ticket, Why};

/// How many operations of a backend are submitted and not reaped, and what
/// became of the others.
///
/// A backend asks for a [`ticket`](Tally::ticket), begins the operation, and
/// says that it has [`submitted`](Tally::submitted) or
/// [`rejected`](Tally::rejected) it; a completion that it gives back is
/// [`reaped`](Tally::reaped).
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    depth: usize,
    in_flight: usize,
    next: u64,
    counts: Counts,
}

impl Tally {
    /// That of a backend for `depth` operations.
    #[must_use]
    pub fn new(depth: usize) -> Self {
        Self { depth, in_flight: 0, next: 0, counts: Counts::default() }
    }

    /// The most operations that may be submitted and not reaped.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// How many are submitted and not reaped.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What the backend has done so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The name of `operation`, if it may begin.
    ///
    /// # Errors
    ///
    /// [`Why::Range`] and [`Why::Full`].
    pub fn ticket<F, L: DerefMut<Target = [u8]>>(
        &self,
        operation: &Operation<F, L>,
    ) -> Result<Ticket, Why> {
        operation.check_range()?;
        if self.in_flight == self.depth {
            return Err(Why::Full { depth: self.depth });
        }
        Ok(Ticket::new(self.next))
    }

    /// Notes that the operation of the last ticket has begun.
    pub fn submitted(&mut self) {
        self.next += 1;
        self.in_flight += 1;
        self.counts.submitted += 1;
    }

    /// Notes an operation that has not begun.
    pub fn rejected(&mut self) {
        self.counts.rejected += 1;
    }

    /// Notes a completion that is given back, of an operation that asked for
    /// `asked` bytes.
    pub fn reaped<F>(&mut self, result: &io::Result<Done<F>>, asked: usize) {
        self.in_flight -= 1;
        self.counts.reap(result, asked);
    }
}
