//! The hold of the head: who may drop or release the oldest records.
//!
//! The consumer of [`One`](super::One) or [`Many`](super::Many) has it for
//! good, and pays nothing for it. In a ring that is
//! [overwritten](super::Overwrite) it is a flag that the consumer and the
//! producers exchange.

use super::memory::Region;
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
use super::{Position, consumer::Walk};
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
use crate::sync::Ordering;

/// What the consumer knows of the hold.
#[derive(Debug)]
pub(super) struct Hold {
    /// Whether producers take it too.
    #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
    shared: bool,
    #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
    taken: bool,
}

#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
impl Hold {
    pub(super) fn new(shared: bool) -> Self {
        Self { shared, taken: !shared }
    }

    /// Whether it is the consumer's now.
    #[inline]
    pub(super) fn is_taken(&self) -> bool {
        self.taken
    }

    /// Takes it, unless a producer has it; whether it is now the consumer's.
    #[cold]
    pub(super) fn take(&mut self, region: Region<'_>) -> bool {
        self.taken = region.take_hold();
        self.taken
    }

    /// Whether producers take it too.
    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Gives it back if it was taken; the head is where it is to be.
    pub(super) fn give_back(&mut self, region: Region<'_>) {
        if self.taken {
            self.taken = false;
            region.give_hold_back();
        }
    }
}

#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
impl Region<'_> {
    /// Takes the hold, unless somebody has it.
    pub(super) fn take_hold(self) -> bool {
        let held = &self.control().front.held;
        // Acquire: pairs with `give_hold_back`; all that its last holder read
        // or wiped was before. Relaxed: somebody else's hold says nothing.
        held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Whether there is a record, or may be one as a producer has the hold.
    pub(super) fn finds_or_may_find(self) -> bool {
        // Relaxed, both: who asks has seen the claims of what it asks for. This
        // spares the producers the hold of an empty ring.
        let tail = self.control().tail.load(Ordering::Relaxed);
        if self.head().load(Ordering::Relaxed) == tail {
            return false;
        }
        if !self.take_hold() {
            return true;
        }
        // Relaxed: who had the hold before has stored it.
        let head = Position(self.head().load(Ordering::Relaxed));
        let found = Walk { at: head, end: head.plus(self.capacity()) }.next(self).is_some();
        self.give_hold_back();
        found
    }

    /// Gives the hold back, which is the caller's.
    pub(super) fn give_hold_back(self) {
        // Release: pairs with `take_hold`.
        self.control().front.held.store(false, Ordering::Release);
    }
}

/// Without exchange no ring is overwritten.
#[cfg(not(any(target_has_atomic = "ptr", feature = "portable-atomic")))]
impl Region<'_> {
    pub(super) fn finds_or_may_find(self) -> bool {
        true
    }
}

#[cfg(not(any(target_has_atomic = "ptr", feature = "portable-atomic")))]
impl Hold {
    pub(super) fn new(_shared: bool) -> Self {
        Self {}
    }

    pub(super) fn is_taken(&self) -> bool {
        true
    }

    pub(super) fn take(&mut self, _region: Region<'_>) -> bool {
        true
    }

    pub(super) fn is_shared(&self) -> bool {
        false
    }

    pub(super) fn give_back(&mut self, _region: Region<'_>) {}
}
