//! What differs between one producer and many.

use core::fmt;

use super::{HEADER_LEN, Position, ReserveError, memory::Region, span};
use crate::ledger::Ledger;

/// Room that one grant owns: padding to the end of the memory, where the
/// record would cross it, and the record.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The position of the padding, or of the record where there is none.
    pub(super) begin: Position,
    pub(super) padding: usize,
    /// The payload's length.
    pub(super) len: usize,
}

impl Claim {
    /// Room for a payload of `len` bytes from `begin` on.
    #[inline]
    pub(super) fn new(region: Region<'_>, begin: Position, len: usize) -> Self {
        let to_end = region.to_end(begin);
        Self { begin, padding: if span(len) > to_end { to_end } else { 0 }, len }
    }

    /// Bytes that it takes.
    #[inline]
    pub(super) fn needed(self) -> usize {
        self.padding + span(self.len)
    }

    /// The position of the record.
    #[inline]
    pub(super) fn record(self) -> Position {
        self.begin.plus(self.padding)
    }

    /// The position of its payload.
    #[inline]
    pub(super) fn payload(self) -> Position {
        self.record().plus(HEADER_LEN)
    }

    /// The position behind it.
    #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
    #[inline]
    pub(super) fn end(self) -> Position {
        self.begin.plus(self.needed())
    }
}

/// How producers share a ring: [`One`](super::One), [`Many`](super::Many) or
/// [`Overwrite`](super::Overwrite).
///
/// Sealed: the three are all there are.
#[allow(private_interfaces)]
pub trait Mode: fmt::Debug + Sized {
    /// Whether producers drop the oldest records, so that the consumer must
    /// hold the head while it has records.
    #[doc(hidden)]
    const OVERWRITES: bool = false;

    /// Takes room for a record of `len` bytes, which fits an empty ring
    /// wherever it falls. From then on it is owned by one grant.
    #[doc(hidden)]
    fn claim(&mut self, region: Region<'_>, len: usize) -> Result<Claim, ReserveError>;

    /// Gives back what a record of the first `len` bytes does not need of
    /// `claim`, before that record is published.
    #[doc(hidden)]
    fn give_back(&mut self, region: Region<'_>, claim: Claim, len: usize);

    /// Gives back the whole of `claim`, whose payload has been wiped.
    #[doc(hidden)]
    fn abandon(&mut self, region: Region<'_>, claim: Claim);

    /// Takes the leave of a handle into account; whether it was the last.
    #[doc(hidden)]
    fn leaves_last(region: Region<'_>) -> bool;

    /// Takes note that `records` were refused.
    #[doc(hidden)]
    #[inline]
    fn refused(&mut self, _error: ReserveError, _records: u64) {}

    /// What only this mode counts.
    #[doc(hidden)]
    #[inline]
    fn losses(&self) -> Ledger {
        Ledger::default()
    }
}

/// A [`Mode`] of several producers, whose handles can be cloned.
pub trait Joins: Mode {
    /// The mode of one more handle.
    #[doc(hidden)]
    #[must_use]
    fn another(&self) -> Self;
}
