//! Wakes a thread that sleeps until there is work.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering, fence},
    },
    thread::{self, Thread},
    time::Instant,
};

/// A bell that one thread sleeps by and any thread rings.
///
/// Ringing costs a fence and a load while the sleeper is awake, and an unpark
/// when it is asleep.
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
#[derive(Debug, Default)]
pub struct Bell {
    asleep: AtomicBool,
    /// The first thread that slept here.
    sleeper: OnceLock<Thread>,
}

impl Bell {
    /// A bell that nobody sleeps by.
    #[must_use]
    pub const fn new() -> Self {
        Self { asleep: AtomicBool::new(false), sleeper: OnceLock::new() }
    }

    /// Sleeps until [`ring`](Bell::ring), until `deadline`, or spuriously;
    /// not at all when `has_work` says so.
    ///
    /// # Panics
    ///
    /// If another thread has slept here.
    pub fn sleep(&self, deadline: Option<Instant>, has_work: impl FnOnce() -> bool) {
        let me = thread::current();
        assert_eq!(self.sleeper.get_or_init(|| me.clone()).id(), me.id(), "a bell has one sleeper");
        self.asleep.store(true, Ordering::Relaxed);
        // Pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
        if !has_work() {
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
                }
            }
        }
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Wakes the sleeper, if it sleeps, after work has been made.
    #[inline]
    pub fn ring(&self) {
        // Pairs with the fence in `sleep`.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // One of several ringers is enough.
        if self.asleep.swap(false, Ordering::Relaxed)
            && let Some(sleeper) = self.sleeper.get()
        {
            sleeper.unpark();
        }
    }
}
