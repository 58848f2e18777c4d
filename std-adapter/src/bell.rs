//! Wakes a thread that sleeps until there is work.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering, fence},
    },
    thread::{self, Thread},
    time::Instant,
};

/// A bell that one thread at a time sleeps by and any thread rings.
///
/// Ringing costs a fence and a load while the sleeper is awake. When it is
/// asleep the first to ring unparks it.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use forebay_std::Bell;
///
/// let (bell, work) = (Bell::new(), AtomicBool::new(false));
/// std::thread::scope(|threads| {
///     threads.spawn(|| {
///         work.store(true, Ordering::Release);
///         bell.ring();
///     });
///     while !work.load(Ordering::Acquire) {
///         bell.sleep(None, || work.load(Ordering::Acquire));
///     }
/// });
/// ```
///
/// # Implementation
///
/// The sleeper says that it sleeps and then looks for work; the ringer makes
/// work and then looks for a sleeper. A sequentially consistent fence between
/// the two steps of each makes it impossible that neither sees the other.
///
/// The sleeper parks ([`thread::park`]), so a ring that comes late leaves a
/// token that ends the thread's next park at once, here or elsewhere. That is
/// a spurious wake-up, which whoever parks allows for.
///
/// Invariant: `asleep` is only true while `sleeper` names the thread that set
/// it; a ringer that finds no sleeper was overtaken by one that has woken, and
/// that takes the lock, and looks for work, before it sleeps again.
#[derive(Debug, Default)]
pub struct Bell {
    asleep: AtomicBool,
    sleeper: Mutex<Option<Thread>>,
}

impl Bell {
    /// A bell that nobody sleeps by.
    #[must_use]
    pub const fn new() -> Self {
        Self { asleep: AtomicBool::new(false), sleeper: Mutex::new(None) }
    }

    /// Sleeps until [`ring`](Bell::ring), until `deadline`, or spuriously;
    /// not at all when `has_work` says so.
    ///
    /// # Panics
    ///
    /// If another thread sleeps here now.
    pub fn sleep(&self, deadline: Option<Instant>, has_work: impl FnOnce() -> bool) {
        let _asleep = Asleep::by(self);
        // Pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
        if has_work() {
            return;
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// Wakes the sleeper, if one sleeps, after work has been made.
    #[inline]
    pub fn ring(&self) {
        // Pairs with the fence in `sleep`.
        fence(Ordering::SeqCst);
        // Relaxed: the fences order it.
        if self.asleep.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Acquire: pairs with the sleeper's store, behind its name. One of
        // several ringers is enough. By comparison, so that a ringer who comes
        // too late stores nothing: loom does not know that nobody can store
        // between the two halves of an exchange.
        let exchange =
            self.asleep.compare_exchange(true, false, Ordering::Acquire, Ordering::Relaxed);
        if exchange.is_ok() {
            // Not under the lock, which the sleeper takes as it wakes.
            let sleeper = self.sleeper().clone();
            if let Some(sleeper) = sleeper {
                sleeper.unpark();
            }
        }
    }

    /// A panic under the lock, for a second sleeper, leaves the name whole.
    fn sleeper(&self) -> MutexGuard<'_, Option<Thread>> {
        self.sleeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that is about to sleep, or sleeps; a panic of `has_work` ends it
/// too.
struct Asleep<'b>(&'b Bell);

impl<'b> Asleep<'b> {
    fn by(bell: &'b Bell) -> Self {
        let mut sleeper = bell.sleeper();
        assert!(sleeper.is_none(), "one thread sleeps by a bell, not two");
        *sleeper = Some(thread::current());
        drop(sleeper);
        // Release: pairs with the exchange in `wake`.
        bell.asleep.store(true, Ordering::Release);
        Self(bell)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        // Relaxed: a ringer that still sees `true` finds no name.
        self.0.asleep.store(false, Ordering::Relaxed);
        *self.0.sleeper() = None;
    }
}
