//! How a drainer does, in numbers.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use forebay::{Ledger, pump::PumpCounts};

use super::shared::Shared;

/// Counts of a drainer and its senders at one moment, as well as that can be
/// told while they work: a message may be seen as delivered before it is seen
/// as accepted.
///
/// ```
/// # use forebay_std::{Drainer, WriteSink, forebay::frame::Plain};
/// let mut drainer = Drainer::new(Plain, WriteSink::new(vec![]));
/// let counters = drainer.counters(); // for any thread
/// let mut sender = drainer.sender(1 << 12)?;
/// for _ in 0..5 {
///     sender.send(b"message")?;
/// }
/// drainer.flush()?;
/// assert_eq!(
///     counters.snapshot().to_string(),
///     "offered 5, accepted 5, refused 0, delivered 5, in flight 0; \
///      35 bytes in 1 system calls, 0 partial, 0 would block; 0 wake-ups; \
///      frames a write: 4-7 x 1"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What became of the messages.
    pub ledger: Ledger,
    /// Reports of losses that have left.
    pub reports: u64,
    /// Bytes that the sink took.
    pub bytes: u64,
    /// Calls of the sink to write.
    pub writes: u64,
    /// Writes that took less than was given.
    pub partial_writes: u64,
    /// Writes that took nothing because the sink was blocked.
    pub would_blocks: u64,
    /// Calls of the sink to wait until it is not blocked.
    pub waits: u64,
    /// Times that the drainer slept and was woken.
    pub wake_ups: u64,
    /// Frames that left with one write.
    pub batches: Histogram,
}

impl Snapshot {
    /// Messages accepted of which nothing else is known yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.ledger.in_flight()
    }

    /// System calls of a sink that makes one for each write and each wait, as
    /// those for descriptors do.
    #[must_use]
    pub const fn system_calls(&self) -> u64 {
        self.writes + self.waits
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, reports, bytes, partial_writes, would_blocks, wake_ups, .. } = self;
        write!(f, "{ledger}; {bytes} bytes in {} system calls, ", self.system_calls())?;
        write!(f, "{partial_writes} partial, {would_blocks} would block; {wake_ups} wake-ups")?;
        if *reports > 0 {
            write!(f, "; {reports} reports of losses")?;
        }
        write!(f, "; frames a write: {}", self.batches)
    }
}

/// How many frames left with one write, by powers of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; Histogram::LEN],
}

impl Histogram {
    /// None, 1, 2 to 3, 4 to 7, and so on; 65,536 and more.
    const LEN: usize = 18;

    /// Where a write of so many frames is counted.
    fn index(frames: usize) -> usize {
        ((usize::BITS - frames.leading_zeros()) as usize).min(Self::LEN - 1)
    }

    /// The least number of frames of each class and how many writes were of
    /// it, for the classes that have any. The first is that of writes with
    /// which no frame left whole.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let classes = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        classes.map(|(index, count)| ((1 << index) >> 1, *count))
    }

    /// All writes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total() == 0 {
            return f.write_str("none");
        }
        for (nth, (least, count)) in self.iter().enumerate() {
            let comma = if nth > 0 { ", " } else { "" };
            match least {
                0 | 1 => write!(f, "{comma}{least} x {count}")?,
                65_536 => write!(f, "{comma}65536- x {count}")?,
                _ => write!(f, "{comma}{least}-{} x {count}", 2 * least - 1)?,
            }
        }
        Ok(())
    }
}

/// Takes snapshots of a drainer from any thread, also after its end.
#[derive(Clone, Debug)]
pub struct Counters(pub(crate) Arc<Shared>);

impl Counters {
    /// The counts now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        // The drainer's first: what it has delivered was accepted before.
        let drainer = self.0.published.snapshot();
        Snapshot { ledger: drainer.ledger + self.0.senders_ledger(), ..drainer }
    }
}

/// The drainer's counts, stored by it between writes.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Published {
    delivered: AtomicU64,
    undeliverable: AtomicU64,
    reports: AtomicU64,
    bytes: AtomicU64,
    writes: AtomicU64,
    partial_writes: AtomicU64,
    would_blocks: AtomicU64,
    waits: AtomicU64,
    wake_ups: AtomicU64,
    batches: [AtomicU64; Histogram::LEN],
}

impl Published {
    pub(crate) fn store(&self, ledger: Ledger, counts: PumpCounts, reports: u64) {
        for (place, count) in [
            (&self.delivered, ledger.delivered),
            (&self.undeliverable, ledger.undeliverable),
            (&self.reports, reports),
            (&self.bytes, counts.bytes),
            (&self.writes, counts.writes),
            (&self.partial_writes, counts.short),
            (&self.would_blocks, counts.blocked),
        ] {
            // Relaxed: numbers for people.
            place.store(count, Ordering::Relaxed);
        }
    }

    /// Counts a write with which so many frames left.
    pub(crate) fn batch(&self, frames: usize) {
        if let Some(place) = self.batches.get(Histogram::index(frames)) {
            add_one(place);
        }
    }

    pub(crate) fn wait(&self) {
        add_one(&self.waits);
    }

    pub(crate) fn wake_up(&self) {
        add_one(&self.wake_ups);
    }

    /// Without the senders' part of the ledger.
    fn snapshot(&self) -> Snapshot {
        let load = |place: &AtomicU64| place.load(Ordering::Relaxed);
        let (delivered, undeliverable) = (load(&self.delivered), load(&self.undeliverable));
        Snapshot {
            ledger: Ledger { delivered, undeliverable, ..Ledger::default() },
            reports: load(&self.reports),
            bytes: load(&self.bytes),
            writes: load(&self.writes),
            partial_writes: load(&self.partial_writes),
            would_blocks: load(&self.would_blocks),
            waits: load(&self.waits),
            wake_ups: load(&self.wake_ups),
            batches: Histogram { counts: std::array::from_fn(|at| load(&self.batches[at])) },
        }
    }
}

/// The drainer alone writes, so that no exchange is needed.
fn add_one(place: &AtomicU64) {
    place.store(place.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_powers_of_two() {
        let published = Published::default();
        for frames in [0, 1, 2, 3, 4, 7, 8, 65_535, 65_536, usize::MAX] {
            published.batch(frames);
        }
        let batches = published.snapshot().batches;
        let classes: Vec<_> = batches.iter().collect();
        assert_eq!(classes, [(0, 1), (1, 1), (2, 2), (4, 2), (8, 1), (32_768, 1), (65_536, 2)]);
        assert_eq!(batches.total(), 10);
        assert_eq!(
            batches.to_string(),
            "0 x 1, 1 x 1, 2-3 x 2, 4-7 x 2, 8-15 x 1, 32768-65535 x 1, 65536- x 2"
        );
        assert_eq!(Histogram::default().to_string(), "none");
    }
}
