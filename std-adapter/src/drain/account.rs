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

    /// Takes over what a sender has counted that goes.
    pub(crate) fn close(&self, accepted: &Arc<Accepted>) {
        let mut books = self.books();
        books.closed += accepted.load();
        books.open.retain(|other| !Arc::ptr_eq(other, accepted));
        drop(books);
        // Relaxed: a hint to look after the lane, behind which the drainer is
        // called.
        self.senders.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether all senders are gone.
    pub(crate) fn is_deserted(&self) -> bool {
        self.senders.load(Ordering::Relaxed) == 0
    }

    #[cold]
    pub(crate) fn refuse(&self, messages: u64) {
        self.refused.fetch_add(messages, Ordering::Relaxed);
    }

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
        let refused = self.refused();
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
