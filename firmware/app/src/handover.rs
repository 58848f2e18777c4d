//! Moves a value from the main loop into an interrupt, once.

use core::cell::Cell;

use critical_section::Mutex;

/// Where the main loop leaves what an interrupt will own.
///
/// The interrupt takes it into a variable of its own at its first run; only
/// that move is a critical section.
pub struct Handover<T>(Mutex<Cell<Option<T>>>);

impl<T> Handover<T> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Cell::new(None)))
    }

    /// Leaves `value` for the interrupt.
    pub fn leave(&self, value: T) {
        critical_section::with(|token| self.0.borrow(token).set(Some(value)));
    }

    /// What the interrupt owns: taken into `slot`, if it is not there already.
    pub fn take<'s>(&self, slot: &'s mut Option<T>) -> Option<&'s mut T> {
        if slot.is_none() {
            *slot = critical_section::with(|token| self.0.borrow(token).take());
        }
        slot.as_mut()
    }
}

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Self::new()
    }
}
