//! The side that fills the ring.

use core::{
    error::Error,
    fmt,
    ops::{Deref, DerefMut},
};

use super::{FIRST_POSITION, HEADER_LEN, PAD, memory::Region, record_len_max, span};
use crate::{ledger::Ledger, sync::Ordering};

/// Puts records into a ring; there is one for each ring.
///
/// Only the consumer changes anything meanwhile, and only so that there is
/// more room.
#[derive(Debug)]
pub struct Producer<'r> {
    region: Region<'r>,
    state: State,
    #[cfg(feature = "alloc")]
    kept: Option<alloc::sync::Arc<super::heap::Shared>>,
}

/// What the producer alone knows.
#[derive(Debug)]
struct State {
    /// The position behind the last committed record.
    tail: usize,
    /// The consumer's head when it was last loaded: never past it.
    head_seen: usize,
    /// Bytes from `tail` that a grant may have written to without committing
    /// them, because it was forgotten; wiped before the next grant.
    dirty: usize,
    ledger: Ledger,
}

impl<'r> Producer<'r> {
    pub(super) fn new(region: Region<'r>) -> Self {
        let state = State {
            tail: FIRST_POSITION,
            head_seen: FIRST_POSITION,
            dirty: 0,
            ledger: Ledger::default(),
        };
        Self {
            region,
            state,
            #[cfg(feature = "alloc")]
            kept: None,
        }
    }

    #[cfg(feature = "alloc")]
    pub(super) fn keep(&mut self, shared: alloc::sync::Arc<super::heap::Shared>) {
        self.kept = Some(shared);
    }

    /// Reserves room for a record of `len` bytes, to be written in place.
    ///
    /// Never waits. The room is the caller's until the grant is committed or
    /// dropped; a grant that is dropped leaves nothing in the ring. One grant
    /// exists at a time:
    ///
    /// ```compile_fail,E0499
    /// # let mut ring = forebay::ring::Ring::<64>::new();
    /// # let (mut producer, _consumer) = ring.split();
    /// let first = producer.reserve(4).unwrap();
    /// let second = producer.reserve(4).unwrap();
    /// first.commit();
    /// second.commit();
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReserveError::Full`] when the consumer has not released enough yet,
    /// [`ReserveError::TooLong`] when a record of this length never fits,
    /// [`ReserveError::Closed`] when there is no room and the consumer is
    /// gone. Each is counted as refused.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Grant<'_>, ReserveError> {
        match self.find_room(len) {
            Ok(padding) => Ok(self.lend(len, padding)),
            Err(error) => {
                self.state.ledger.refuse();
                Err(error)
            }
        }
    }

    /// Copies `record` into the ring and commits it.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Producer::reserve).
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> Result<(), ReserveError> {
        let mut grant = self.reserve(record.len())?;
        grant.copy_from_slice(record);
        grant.commit();
        Ok(())
    }

    /// The longest record in bytes.
    #[must_use]
    pub fn record_len_max(&self) -> usize {
        record_len_max(self.region.capacity())
    }

    /// Whether the consumer is gone, so that nothing will leave any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        // Acquire: pairs with the consumer's last store.
        self.region.control().consumer_gone.load(Ordering::Acquire)
    }

    /// What has been offered to this ring, accepted and refused.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.state.ledger
    }

    /// The bytes to pad before a record of `len` bytes that has room.
    #[inline]
    fn find_room(&mut self, len: usize) -> Result<usize, ReserveError> {
        let capacity = self.region.capacity();
        let len_max = record_len_max(capacity);
        if len > len_max {
            return Err(ReserveError::TooLong { len, len_max });
        }
        let span = span(len);
        let to_end = self.region.to_end(self.state.tail);
        let padding = if span > to_end { to_end } else { 0 };
        let needed = padding + span;
        if needed > self.free() {
            // Acquire: pairs with the consumer's Release store of head; what it
            // released has been wiped.
            self.state.head_seen = self.region.control().head.load(Ordering::Acquire);
            let free = self.free();
            if needed > free {
                return Err(if self.is_abandoned() {
                    ReserveError::Closed
                } else {
                    ReserveError::Full { needed, free }
                });
            }
        }
        Ok(padding)
    }

    /// Bytes known to be free.
    #[inline]
    fn free(&self) -> usize {
        let used = self.state.tail.wrapping_sub(self.state.head_seen);
        debug_assert!(used <= self.region.capacity(), "room");
        self.region.capacity() - used
    }

    /// Lends the payload of a record for which there is room.
    #[inline]
    fn lend(&mut self, len: usize, padding: usize) -> Grant<'_> {
        if self.state.dirty > 0 {
            self.wipe_forgotten();
        }
        self.state.dirty = padding + span(len);
        let record = self.state.tail.wrapping_add(padding);
        let payload = record.wrapping_add(HEADER_LEN);
        // SAFETY: **ownership**: from tail on the memory is the producer's, as
        // far as `find_room` has seen it free; the grant borrows the producer.
        let bytes = unsafe { self.region.bytes_mut(payload, len) };
        Grant { region: self.region, state: &mut self.state, bytes, padding }
    }

    #[cold]
    fn wipe_forgotten(&mut self) {
        // SAFETY: **ownership**: the span was the forgotten grant's, whose
        // borrow has ended, and was free then as it is now.
        unsafe { self.region.wipe(self.state.tail, self.state.dirty) };
        self.state.dirty = 0;
    }
}

impl Drop for Producer<'_> {
    fn drop(&mut self) {
        // Release: whoever sees it sees all commits before it.
        self.region.control().producer_gone.store(true, Ordering::Release);
    }
}

/// Room for one record, written through [`DerefMut`] and published by
/// [`commit`](Grant::commit).
///
/// The bytes are zero at first. Dropping a grant gives the room back;
/// forgetting one does so at the next [`reserve`](Producer::reserve).
#[derive(Debug)]
#[must_use = "a grant that is not committed leaves nothing in the ring"]
pub struct Grant<'p> {
    region: Region<'p>,
    state: &'p mut State,
    bytes: &'p mut [u8],
    padding: usize,
}

impl Grant<'_> {
    /// Publishes the record: the consumer sees it whole from now on.
    #[inline]
    pub fn commit(self) {
        let len = self.bytes.len();
        self.publish(len);
    }

    /// Publishes the first `len` bytes as the record and gives the rest back.
    ///
    /// # Panics
    ///
    /// If `len` is more than was reserved.
    #[inline]
    pub fn commit_first(self, len: usize) {
        assert!(len <= self.bytes.len(), "{len} bytes of a grant of {}", self.bytes.len());
        // **zeros**: what is given back is free again.
        self.bytes[len..].fill(0);
        self.publish(len);
    }

    #[inline]
    fn publish(self, len: usize) {
        let record = self.state.tail.wrapping_add(self.padding);
        // The length is at most half of a capacity of 31 bits.
        #[allow(clippy::cast_possible_truncation)]
        self.put_header(record, len as u32 + 1);
        if self.padding > 0 {
            // After the record's header, so that a reader that sees the padding
            // sees the record.
            #[allow(clippy::cast_possible_truncation)]
            self.put_header(self.state.tail, PAD | self.padding as u32);
        }
        self.state.tail = record.wrapping_add(span(len));
        self.state.dirty = 0;
        self.state.ledger.accept();
        core::mem::forget(self);
    }

    #[inline]
    fn put_header(&self, position: usize, value: u32) {
        // SAFETY: **ownership**: the word is in the grant's span; the consumer
        // at most loads it, atomically.
        let header = unsafe { self.region.header(position) };
        // Release: pairs with the consumer's Acquire load; the payload is
        // written.
        header.store(value, Ordering::Release);
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        // **zeros**: the span is free again.
        self.bytes.fill(0);
        self.state.dirty = 0;
    }
}

impl Deref for Grant<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl DerefMut for Grant<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ReserveError {
    /// No room until the consumer releases some.
    Full {
        /// Bytes that the record takes now: header, fill, and padding to the
        /// end of the memory where it would cross it.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// Longer than any record that fits.
    TooLong {
        /// The record's length in bytes.
        len: usize,
        /// The longest that fits.
        len_max: usize,
    },
    /// No room, and the consumer is gone.
    Closed,
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { needed, free } => {
                write!(f, "the ring is full: {needed} bytes needed, {free} free")
            }
            Self::TooLong { len, len_max } => {
                write!(f, "a record of {len} bytes, the ring's longest is {len_max}")
            }
            Self::Closed => write!(f, "the ring is full and its consumer is gone"),
        }
    }
}

impl Error for ReserveError {}
