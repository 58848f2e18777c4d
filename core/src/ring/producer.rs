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
    /// The payload length of the grant that is out. If that grant is
    /// forgotten, its payload is wiped before the next one is lent.
    lent: usize,
    ledger: Ledger,
}

impl<'r> Producer<'r> {
    pub(super) fn new(region: Region<'r>) -> Self {
        let state = State {
            tail: FIRST_POSITION,
            head_seen: FIRST_POSITION,
            lent: 0,
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
        let padding = self.padding(len);
        let needed = padding + span(len);
        if needed > self.free() {
            // Before the look at head, so that the last release is seen when
            // the consumer is gone: there will be no more room then.
            let abandoned = self.is_abandoned();
            // Acquire: pairs with the consumer's Release store of head; what it
            // released has been wiped.
            self.state.head_seen = self.region.control().head.load(Ordering::Acquire);
            let free = self.free();
            if needed > free {
                return Err(if abandoned {
                    ReserveError::Closed
                } else {
                    ReserveError::Full { needed, free }
                });
            }
        }
        Ok(padding)
    }

    /// The bytes to pad before a record of `len` bytes so that it does not
    /// cross the end of the memory.
    #[inline]
    fn padding(&self, len: usize) -> usize {
        let to_end = self.region.to_end(self.state.tail);
        if span(len) > to_end { to_end } else { 0 }
    }

    /// Bytes known to be free.
    #[inline]
    fn free(&self) -> usize {
        self.region.capacity() - self.state.tail.wrapping_sub(self.state.head_seen)
    }

    /// Lends the payload of a record for which there is room.
    #[inline]
    fn lend(&mut self, len: usize, padding: usize) -> Grant<'_> {
        if self.state.lent > 0 {
            self.wipe_forgotten();
        }
        self.invariants(padding + span(len));
        self.state.lent = len;
        Grant { region: self.region, state: &mut self.state, padding, len }
    }

    #[cold]
    fn wipe_forgotten(&mut self) {
        // `tail` has not moved since, so that the padding is the same.
        let padding = self.padding(self.state.lent);
        let payload = self.state.tail.wrapping_add(padding + HEADER_LEN);
        // SAFETY: **ownership**: the payload was the forgotten grant's, whose
        // borrow has ended, and was free then as it is now. The header is left
        // alone: nothing was stored there, and the consumer may be loading it.
        unsafe { self.region.bytes_mut(payload, self.state.lent) }.fill(0);
        self.state.lent = 0;
    }

    /// Checks **room**, and **zeros** for the `needed` bytes from tail.
    #[inline]
    fn invariants(&self, needed: usize) {
        if cfg!(debug_assertions) {
            let used = self.state.tail.wrapping_sub(self.state.head_seen);
            assert!(used <= self.region.capacity(), "room: {used} bytes used");
            assert!(needed <= self.free(), "room: {needed} bytes needed");
            // SAFETY: **ownership**: free, and no grant is out; the consumer at
            // most loads headers.
            assert!(unsafe { self.region.is_zero(self.state.tail, needed) }, "zeros");
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
impl Producer<'_> {
    /// **zeros**, while no grant is out or forgotten, as the consumer's
    /// releases have been seen.
    pub(super) fn free_is_zero(&self) -> bool {
        // SAFETY: **ownership**: free, and no grant is out.
        unsafe { self.region.is_zero(self.state.tail, self.free()) }
    }

    pub(super) fn shared(&self) -> alloc::sync::Weak<super::heap::Shared> {
        self.kept.as_ref().map(alloc::sync::Arc::downgrade).unwrap_or_default()
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
    // No reference to the bytes is kept: it would still be live in the moment
    // in which the record is published and the bytes become the consumer's.
    region: Region<'p>,
    state: &'p mut State,
    padding: usize,
    len: usize,
}

impl Grant<'_> {
    /// Publishes the record: the consumer sees it whole from now on.
    #[inline]
    pub fn commit(self) {
        let len = self.len;
        self.publish(len);
    }

    /// Publishes the first `len` bytes as the record and gives the rest back.
    ///
    /// # Panics
    ///
    /// If `len` is more than was reserved.
    #[inline]
    pub fn commit_first(mut self, len: usize) {
        assert!(len <= self.len, "{len} bytes of a grant of {}", self.len);
        // **zeros**: what is given back is free again.
        self[len..].fill(0);
        self.publish(len);
    }

    #[inline]
    fn publish(self, len: usize) {
        let record = self.record();
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
        self.state.lent = 0;
        self.state.ledger.accept();
        core::mem::forget(self);
    }

    /// The position of the record.
    #[inline]
    fn record(&self) -> usize {
        self.state.tail.wrapping_add(self.padding)
    }

    /// The position of its payload.
    #[inline]
    fn payload(&self) -> usize {
        self.record().wrapping_add(HEADER_LEN)
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
        self.fill(0);
        self.state.lent = 0;
    }
}

impl Deref for Grant<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: **ownership**: from tail on the memory is the producer's, as
        // far as `find_room` has seen it free; the grant borrows the producer.
        unsafe { self.region.bytes(self.payload(), self.len) }
    }
}

impl DerefMut for Grant<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; the grant is borrowed mutably.
        unsafe { self.region.bytes_mut(self.payload(), self.len) }
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
