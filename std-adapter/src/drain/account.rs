//! What the senders of one channel count.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use forebay::Ledger;

/// Names a channel of a drainer: the first is 0, and no name is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub(crate) u64);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel {}", self.0)
    }
}

/// What became of the messages of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelCounts {
    /// Which channel.
    pub channel: ChannelId,
    /// Its priority.
    pub priority: u8,
    /// Its part of the drainer's ledger.
    pub ledger: Ledger,
}

/// The counts of one channel's senders.
///
/// A sender stores how many of its messages were accepted, on a cache line of
/// its own; losses, which are rare, are counted in one place for all.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: ChannelId,
    pub(crate) priority: u8,
    refused: AtomicU64,
    /// Refused too, as the drainer was closed: nobody is told of these.
    late: AtomicU64,
    /// Of the refused.
    busy: AtomicU64,
    overwritten: AtomicU64,
    /// How many senders there are.
    senders: AtomicUsize,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// What the senders that are gone have had accepted.
    closed: u64,
    open: Vec<Arc<Accepted>>,
}

/// Stored by one sender, read by whoever wants to know.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Accepted(AtomicU64);

impl Accepted {
    #[inline]
    pub(crate) fn store(&self, count: u64) {
        // Relaxed: a number for people.
        self.0.store(count, Ordering::Relaxed);
    }

    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Account {
    pub(crate) fn new(id: ChannelId, priority: u8) -> Self {
        Self {
            id,
            priority,
            refused: AtomicU64::new(0),
            late: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            overwritten: AtomicU64::new(0),
            senders: AtomicUsize::new(0),
            books: Mutex::default(),
        }
    }

    /// A new sender's place to count.
    pub(crate) fn open(&self) -> Arc<Accepted> {
        let accepted = Arc::default();
        self.senders.fetch_add(1, Ordering::Relaxed);
        self.books().open.push(Arc::clone(&accepted));
        accepted
    }

    /// Takes over what a sender has counted that goes; whether it was the last.
    pub(crate) fn close(&self, accepted: &Arc<Accepted>) -> bool {
        let mut books = self.books();
        books.closed += accepted.load();
        books.open.retain(|other| !Arc::ptr_eq(other, accepted));
        drop(books);
        // Release: all that this sender has done is seen by the last one to
        // close, which calls the drainer. Acquire: if this is the last, it has
        // seen all of it.
        self.senders.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether all senders are gone.
    pub(crate) fn is_deserted(&self) -> bool {
        // Relaxed: a hint to look after the lane, and a call is behind it.
        self.senders.load(Ordering::Relaxed) == 0
    }

    #[cold]
    pub(crate) fn refuse(&self, messages: u64) {
        self.refused.fetch_add(messages, Ordering::Relaxed);
    }

    #[cold]
    pub(crate) fn refuse_late(&self, messages: u64) {
        self.late.fetch_add(messages, Ordering::Relaxed);
    }

    /// Those for which there was no room, or never is.
    #[inline]
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn overwrite(&self, overwritten: u64, busy: u64) {
        self.overwritten.fetch_add(overwritten, Ordering::Relaxed);
        self.busy.fetch_add(busy, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn overwritten(&self) -> u64 {
        self.overwritten.load(Ordering::Relaxed)
    }

    /// What the senders know of what became of their messages.
    pub(crate) fn ledger(&self) -> Ledger {
        let books = self.books();
        let accepted = books.closed + books.open.iter().map(|one| one.load()).sum::<u64>();
        let refused = self.refused() + self.late.load(Ordering::Relaxed);
        Ledger {
            offered: accepted + refused,
            accepted,
            refused,
            busy: self.busy.load(Ordering::Relaxed),
            overwritten: self.overwritten(),
            ..Ledger::default()
        }
    }

    /// A panic under the lock leaves the books whole.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
