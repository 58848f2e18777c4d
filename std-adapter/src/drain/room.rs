//! Senders that wait for room.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering, fence},
};

use crate::Bell;

/// The bells of the senders that may wait for room, and how many do.
///
/// # Implementation
///
/// As with the [`Bell`]: who waits says so and then looks for room; the drainer
/// makes room and then looks for someone who waits. A sequentially consistent
/// fence stands between the two steps of each, that of the waiting side in
/// [`Bell::sleep`]. While nobody waits the drainer pays for a fence and a load.
#[derive(Debug, Default)]
pub(crate) struct Room {
    waiting: AtomicUsize,
    bells: Mutex<Vec<Arc<Bell>>>,
}

impl Room {
    /// Makes a bell for one sender.
    pub(crate) fn enter(&self) -> Arc<Bell> {
        let bell = Arc::new(Bell::new());
        self.bells().push(Arc::clone(&bell));
        bell
    }

    /// Forgets the bell of a sender that goes.
    pub(crate) fn leave(&self, bell: &Arc<Bell>) {
        self.bells().retain(|other| !Arc::ptr_eq(other, bell));
    }

    /// Sleeps until there may be room; not at all when `has_room` says so.
    pub(crate) fn wait(&self, sleep: impl FnOnce()) {
        // Relaxed: the fence in `Bell::sleep` orders it.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(self);
        sleep();
    }

    /// Wakes those who wait, after room has been made.
    #[inline]
    pub(crate) fn made(&self) {
        // Pairs with the fence in `Bell::sleep`.
        fence(Ordering::SeqCst);
        // Relaxed: the fences order it.
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        for bell in &*self.bells() {
            bell.ring();
        }
    }

    /// A panic under the lock leaves the list whole.
    fn bells(&self) -> MutexGuard<'_, Vec<Arc<Bell>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Someone who waits; a panic ends it too.
struct Waits<'r>(&'r Room);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        // Relaxed: one who is counted for too long is rung for in vain.
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
