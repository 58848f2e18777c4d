//! The side that fills the ring: its handle and its grants.
//!
//! What differs between one producer and many is in [`One`],
//! [`Many`](super::Many) and [`Overwrite`](super::Overwrite); the rest is here
//! once.

use core::{
    error::Error,
    fmt,
    ops::{Deref, DerefMut},
};

use super::{
    HEADER_LEN, PAD, Position,
    memory::Region,
    mode::{Claim, Mode},
    one::One,
    record_len_max, span,
};
use crate::{
    ledger::{Ledger, Offers},
    sync::{HeaderWord, Ordering},
};

/// Puts records into a ring.
///
/// With [`One`] there is one for each ring, made of loads and stores alone;
/// with [`Many`](super::Many) and [`Overwrite`](super::Overwrite) it can be
/// cloned, one for each thread or interrupt. Each counts what was offered to
/// it.
///
/// The consumer meanwhile only makes more room; other producers, where there
/// are any, only take some.
#[derive(Debug)]
pub struct Producer<'r, M: Mode = One> {
    pub(super) region: Region<'r>,
    pub(super) state: State<M>,
    #[cfg(feature = "alloc")]
    pub(super) kept: Option<alloc::sync::Arc<super::heap::Shared>>,
}

/// What this handle alone knows.
#[derive(Debug)]
pub(super) struct State<M> {
    pub(super) mode: M,
    offers: Offers,
}

impl<'r, M: Mode> Producer<'r, M> {
    pub(super) fn new(region: Region<'r>, mode: M) -> Self {
        Self {
            region,
            state: State { mode, offers: Offers::default() },
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
    /// dropped; a grant that is dropped leaves nothing for the reader. One
    /// grant of a handle exists at a time:
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
    /// gone; [`ReserveError::Busy`] in place of `Full` in a ring that is
    /// overwritten. Each is counted as refused.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Grant<'_, M>, ReserveError> {
        self.grant(len, 1)
    }

    /// Takes room of `len` bytes, or counts `records` as refused.
    #[inline]
    pub(super) fn grant(&mut self, len: usize, records: u64) -> Result<Grant<'_, M>, ReserveError> {
        let claim = self.claim(len, records)?;
        Ok(Grant { region: self.region, state: &mut self.state, claim })
    }

    #[inline]
    fn claim(&mut self, len: usize, records: u64) -> Result<Claim, ReserveError> {
        let len_max = self.region.capacity() / 2 - HEADER_LEN;
        let claim = if len > len_max {
            Err(ReserveError::TooLong { len, len_max })
        } else {
            self.state.mode.claim(self.region, len)
        };
        if let Err(error) = claim {
            self.state.offers.refuse(records);
            self.state.mode.refused(error, records);
        }
        claim
    }

    /// Copies `record` into the ring and commits it.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Producer::reserve).
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> Result<(), ReserveError> {
        // Not by `reserve`: a result of a claim costs less than one of a grant.
        let claim = self.claim(record.len(), 1)?;
        let mut grant = Grant { region: self.region, state: &mut self.state, claim };
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
        self.region.is_abandoned()
    }

    /// What has been offered through this handle, accepted and refused, and
    /// what was overwritten by it.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.state.offers.ledger() + self.state.mode.losses()
    }
}

#[cfg(all(test, feature = "alloc"))]
impl Producer<'_> {
    /// **zeros**, while no grant is out or forgotten, as the consumer's
    /// releases have been seen.
    pub(super) fn free_is_zero(&self) -> bool {
        self.state.mode.free_is_zero(self.region)
    }

    pub(super) fn shared(&self) -> alloc::sync::Weak<super::heap::Shared> {
        self.kept.as_ref().map(alloc::sync::Arc::downgrade).unwrap_or_default()
    }
}

impl<M: Mode> Drop for Producer<'_, M> {
    fn drop(&mut self) {
        if M::leaves_last(self.region) {
            // Release: whoever sees it sees all commits before it.
            self.region.control().producer_gone.store(true, Ordering::Release);
        }
    }
}

/// Room for one record, written through [`DerefMut`] and published by
/// [`commit`](Grant::commit).
///
/// The bytes are zero at first. Dropping a grant leaves nothing for the
/// reader. Forgetting one (`core::mem::forget`) gives the room back at the
/// next [`reserve`](Producer::reserve) of [`One`]; among
/// [`Many`](super::Many), overwriting or not, it holds up what comes behind it
/// for good.
#[derive(Debug)]
#[must_use = "a grant that is not committed leaves nothing in the ring"]
pub struct Grant<'p, M: Mode = One> {
    // No reference to the bytes is kept: it would still be live in the moment
    // in which the record is published and the bytes become the consumer's.
    region: Region<'p>,
    state: &'p mut State<M>,
    claim: Claim,
}

impl<M: Mode> Grant<'_, M> {
    /// Publishes the record: the consumer sees it whole from now on.
    #[inline]
    pub fn commit(self) {
        let len = self.claim.len;
        self.publish(len);
    }

    /// Publishes the first `len` bytes as the record and gives the rest back.
    ///
    /// # Panics
    ///
    /// If `len` is more than was reserved.
    #[inline]
    pub fn commit_first(mut self, len: usize) {
        assert!(len <= self.claim.len, "{len} bytes of a grant of {}", self.claim.len);
        // **zeros**: what is given back is free again.
        self[len..].fill(0);
        self.publish(len);
    }

    #[inline]
    fn publish(self, len: usize) {
        self.state.mode.give_back(self.region, self.claim, len);
        put_record(self.region, self.claim, len, 0);
        self.state.offers.accept(1);
        core::mem::forget(self);
    }

    /// Stores the header of a record that is not the first, `at` bytes behind
    /// the first's header.
    pub(super) fn put_inner_header(&mut self, at: usize, len: usize, mark: HeaderWord) {
        debug_assert!(at + span(len) <= span(self.claim.len));
        // SAFETY: **ownership**: the word is in the span of the claim.
        let header = unsafe { self.region.header(self.claim.record().plus(at)) };
        // Relaxed: the first header is stored after it and publishes it.
        header.store(header_of(len, mark), Ordering::Relaxed);
    }

    /// Publishes all of the claim as `records` records, of which the first has
    /// `len` bytes and the others have their headers.
    pub(super) fn publish_all(self, len: usize, mark: HeaderWord, records: u64) {
        self.state.mode.give_back(self.region, self.claim, self.claim.len);
        put_record(self.region, self.claim, len, mark);
        self.state.offers.accept(records);
        core::mem::forget(self);
    }
}

/// The header word of a record; `mark` is [`MORE`](super::MORE) or nothing.
#[inline]
fn header_of(len: usize, mark: HeaderWord) -> HeaderWord {
    // The length is less than half of the greatest capacity.
    #[allow(clippy::cast_possible_truncation)]
    let len = len as HeaderWord;
    (len + 1) | mark
}

/// Publishes the first `len` bytes of a claim as a record, and with it the
/// records behind it that are in the claim.
#[inline]
fn put_record(region: Region<'_>, claim: Claim, len: usize, mark: HeaderWord) {
    put_header(region, claim.record(), header_of(len, mark));
    // After the record's header, so that a reader that sees the padding sees
    // the record.
    put_padding(region, claim.begin, claim.padding);
}

/// Publishes padding of `len` bytes, if that is any.
#[inline]
pub(super) fn put_padding(region: Region<'_>, position: Position, len: usize) {
    if len > 0 {
        // Less than the greatest capacity.
        #[allow(clippy::cast_possible_truncation)]
        put_header(region, position, PAD | len as HeaderWord);
    }
}

#[inline]
fn put_header(region: Region<'_>, position: Position, value: HeaderWord) {
    // SAFETY: **ownership**: the word is in the span of a claim; the consumer
    // at most loads it, atomically.
    let header = unsafe { region.header(position) };
    // Release: pairs with the consumer's Acquire load; the payload is written.
    header.store(value, Ordering::Release);
}

impl<M: Mode> Drop for Grant<'_, M> {
    fn drop(&mut self) {
        // **zeros**: the span is free again, or padding.
        self.fill(0);
        self.state.mode.abandon(self.region, self.claim);
    }
}

impl<M: Mode> Deref for Grant<'_, M> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: **ownership**: the mode claimed it for this grant alone,
        // which borrows its producer.
        unsafe { self.region.bytes(self.claim.payload(), self.claim.len) }
    }
}

impl<M: Mode> DerefMut for Grant<'_, M> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; the grant is borrowed mutably.
        unsafe { self.region.bytes_mut(self.claim.payload(), self.claim.len) }
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
        /// The length in bytes of the record, or of the group.
        len: usize,
        /// The longest that fits.
        len_max: usize,
    },
    /// No room, and the consumer is gone.
    Closed,
    /// No room, and the oldest record cannot be overwritten now: the consumer
    /// has it, it is not committed yet, or another producer is about to
    /// overwrite it.
    Busy {
        /// Bytes that the record takes now, as for `Full`.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
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
            Self::Busy { needed, free } => write!(
                f,
                "the ring is full and its oldest record in use: {needed} bytes needed, {free} free"
            ),
        }
    }
}

impl Error for ReserveError {}

impl ReserveError {
    #[cold]
    pub(super) fn no_room(needed: usize, free: usize, abandoned: bool) -> Self {
        if abandoned { Self::Closed } else { Self::Full { needed, free } }
    }
}
