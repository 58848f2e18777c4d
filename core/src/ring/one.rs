//! One producer: loads and stores alone.

use super::{
    Position, ReserveError,
    memory::Region,
    mode::{Claim, Mode},
    span,
};
use crate::sync::Ordering;

/// The ring has one producer, which needs no compare-and-swap.
///
/// It alone knows the tail, and moves it when a record is published: a grant
/// that is dropped has taken nothing.
#[derive(Debug)]
pub struct One {
    /// The position behind the last committed record.
    tail: Position,
    /// The consumer's head when it was last loaded: never past it.
    head_seen: Position,
    /// The payload length of the grant that is out. If that grant is
    /// forgotten, its payload is wiped before the next one is lent.
    lent: usize,
}

impl One {
    pub(super) fn new() -> Self {
        Self { tail: Position::FIRST, head_seen: Position::FIRST, lent: 0 }
    }

    /// Bytes known to be free.
    #[inline]
    fn free(&self, region: Region<'_>) -> usize {
        region.capacity() - self.tail.since(self.head_seen)
    }

    #[cold]
    fn wipe_forgotten(&mut self, region: Region<'_>) {
        // `tail` has not moved since, so that the padding is the same.
        let forgotten = Claim::new(region, self.tail, self.lent);
        // SAFETY: **ownership**: the payload was the forgotten grant's, whose
        // borrow has ended, and was free then as it is now. The header is left
        // alone: nothing was stored there, and the consumer may be loading it.
        unsafe { region.bytes_mut(forgotten.payload(), forgotten.len) }.fill(0);
        self.lent = 0;
    }

    /// Checks **room**, and **zeros** for the `needed` bytes from tail.
    #[inline]
    fn invariants(&self, region: Region<'_>, needed: usize) {
        if cfg!(debug_assertions) {
            let used = self.tail.since(self.head_seen);
            assert!(used <= region.capacity(), "room: {used} bytes used");
            assert!(needed <= self.free(region), "room: {needed} bytes needed");
            // SAFETY: **ownership**: free, and no grant is out; the consumer at
            // most loads headers.
            assert!(unsafe { region.is_zero(self.tail, needed) }, "zeros");
        }
    }

    #[cfg(all(test, feature = "alloc"))]
    pub(super) fn free_is_zero(&self, region: Region<'_>) -> bool {
        // SAFETY: **ownership**: free, and no grant is out.
        unsafe { region.is_zero(self.tail, self.free(region)) }
    }
}

#[allow(private_interfaces)]
impl Mode for One {
    #[inline]
    fn claim(&mut self, region: Region<'_>, len: usize) -> Result<Claim, ReserveError> {
        let claim = Claim::new(region, self.tail, len);
        let needed = claim.needed();
        if needed > self.free(region) {
            // Before the look at head, so that the last release is seen when
            // the consumer is gone: there will be no more room then.
            let abandoned = region.is_abandoned();
            // Acquire: pairs with the consumer's Release store of head; what it
            // released has been wiped.
            self.head_seen = Position(region.head().load(Ordering::Acquire));
            let free = self.free(region);
            if needed > free {
                return Err(ReserveError::no_room(needed, free, abandoned));
            }
        }
        if self.lent > 0 {
            self.wipe_forgotten(region);
        }
        self.invariants(region, needed);
        self.lent = len;
        Ok(claim)
    }

    #[inline]
    fn give_back(&mut self, _region: Region<'_>, claim: Claim, len: usize) {
        self.tail = claim.record().plus(span(len));
        self.lent = 0;
    }

    #[inline]
    fn abandon(&mut self, _region: Region<'_>, _claim: Claim) {
        self.lent = 0;
    }

    fn leaves_last(_region: Region<'_>) -> bool {
        true
    }
}
