//! How far a task's thread waits for writes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A slow wait is followed by so many times as long without any.
const PAUSE: u32 = 100;

/// Waits that are allowed as long as they are short.
#[derive(Debug)]
pub(super) struct Patience {
    /// What is not slow; none where no wait is allowed.
    limit: Option<Duration>,
    begin: Instant,
    /// The end of the pause, in nanoseconds since `begin`.
    paused_until: AtomicU64,
    waits: AtomicU64,
    slow: AtomicU64,
}

impl Patience {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            begin: Instant::now(),
            paused_until: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        }
    }

    /// Waits so far, and those of them that took longer than the limit.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.waits.load(Ordering::Relaxed), self.slow.load(Ordering::Relaxed))
    }

    /// Makes a call that may wait, if that is allowed just now.
    pub(super) fn wait<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        let limit = self.limit?;
        let before = self.begin.elapsed();
        // Relaxed: threads that do not know of it yet may wait as well.
        if nanos(before) < self.paused_until.load(Ordering::Relaxed) {
            return None;
        }
        let result = call();
        let after = self.begin.elapsed();
        self.note(limit, before, after);
        Some(result)
    }

    fn note(&self, limit: Duration, before: Duration, after: Duration) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let took = after.saturating_sub(before);
        if took > limit {
            self.slow.fetch_add(1, Ordering::Relaxed);
            let until = after.saturating_add(took.saturating_mul(PAUSE));
            self.paused_until.fetch_max(nanos(until), Ordering::Relaxed);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_unless_it_is_allowed() {
        let patience = Patience::new(None);
        assert_eq!(patience.wait(|| 5), None);
        assert_eq!(patience.counts(), (0, 0));
    }

    #[test]
    fn a_slow_wait_is_followed_by_a_pause() {
        let patience = Patience::new(Some(Duration::MAX));
        assert_eq!(patience.wait(|| 5), Some(5));
        assert_eq!(patience.wait(|| 6), Some(6));
        assert_eq!(patience.counts(), (2, 0));
        // What took an hour, a minute being the limit.
        let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
        patience.note(minute, Duration::ZERO, hour);
        assert_eq!(patience.counts(), (3, 1));
        assert_eq!(patience.wait(|| 7), None);
        let until = Duration::from_nanos(patience.paused_until.load(Ordering::Relaxed));
        assert_eq!(until, hour * 101);
        // A shorter one does not shorten it.
        patience.note(minute, Duration::ZERO, minute * 2);
        assert_eq!(patience.paused_until.load(Ordering::Relaxed), nanos(hour * 101));
    }

    #[test]
    fn a_wait_within_the_limit_is_not_slow() {
        let patience = Patience::new(Some(Duration::from_micros(10)));
        patience.note(Duration::from_micros(10), Duration::ZERO, Duration::from_micros(10));
        assert_eq!(patience.counts(), (1, 0));
        assert_eq!(patience.wait(|| 5), Some(5));
    }
}
