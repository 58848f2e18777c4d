//! The side that draws from the ring.

use super::{HEADER_LEN, MORE, PAD, Position, hold::Hold, memory::Region, record_len_max, span};
use crate::sync::Ordering;

/// Takes records out of a ring, in order; there is one for each ring.
///
/// Only the producer changes anything meanwhile, and only so that there are
/// more records.
#[derive(Debug)]
pub struct Consumer<'r> {
    region: Region<'r>,
    hold: Hold,
    /// All before it has been released; known while the hold is this side's.
    /// Invariant: `head <= walked`; without the hold they are equal.
    head: Position,
    /// All before it has been seen committed.
    walked: Position,
    #[cfg(feature = "alloc")]
    kept: Option<alloc::sync::Arc<super::heap::Shared>>,
}

/// A committed record's place. Valid until it is released.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    record: Position,
    pub(crate) len: usize,
    /// Whether the next place is of the same group; it is there already.
    pub(crate) more: bool,
}

impl Place {
    /// The position of the record's beginning.
    pub(crate) fn begin(self) -> Position {
        self.record
    }

    /// The position behind the record.
    pub(crate) fn end(self) -> Position {
        self.record.plus(span(self.len))
    }
}

impl<'r> Consumer<'r> {
    /// `overwritten` says that producers may take the hold.
    pub(super) fn new(region: Region<'r>, overwritten: bool) -> Self {
        Self {
            region,
            hold: Hold::new(overwritten),
            head: Position::FIRST,
            walked: Position::FIRST,
            #[cfg(feature = "alloc")]
            kept: None,
        }
    }

    #[cfg(feature = "alloc")]
    pub(super) fn keep(&mut self, shared: alloc::sync::Arc<super::heap::Shared>) {
        self.kept = Some(shared);
    }

    /// Borrows the committed records that have not been released, oldest
    /// first.
    ///
    /// Records committed meanwhile may appear at the end. All of them stay in
    /// the ring until [`release`](Consumer::release), which the borrow
    /// prevents while one of them is in use:
    ///
    /// ```compile_fail,E0499
    /// # let mut ring = forebay::ring::Ring::<64>::new();
    /// # let (mut producer, mut consumer) = ring.split();
    /// # producer.push(b"x").unwrap();
    /// let record = consumer.records().next().unwrap();
    /// consumer.release(1);
    /// assert_eq!(record, b"x");
    /// ```
    ///
    /// In a ring that is [overwritten](super::Overwrite) there are none while
    /// a producer is about to drop some. None is dropped from now on until
    /// `release`; `release(0)` leaves all of them to the producers again.
    #[inline]
    pub fn records(&mut self) -> Records<'_> {
        self.walked = self.head;
        let walk = if self.hold() && self.keeps_hold() {
            self.walk_from(self.head)
        } else {
            Walk { at: self.head, end: self.head }
        };
        Records { region: self.region, walk }
    }

    /// Whether the hold is kept for a look at the records: gives it back when
    /// there are none.
    #[inline]
    fn keeps_hold(&mut self) -> bool {
        // SAFETY: **ownership**: the word is the holder's, or it is free and
        // the producer at most stores it, atomically.
        let header = unsafe { self.region.header(self.head) };
        // Relaxed: `Walk` looks again before anything behind it is read.
        match header.load(Ordering::Relaxed) {
            0 => !self.hold.is_shared() || self.release_padding(),
            header if header & PAD != 0 => self.release_padding(),
            _ => true,
        }
    }

    /// Whether the head is this side's.
    #[inline]
    fn hold(&mut self) -> bool {
        self.hold.is_taken() || self.take_hold()
    }

    #[cold]
    fn take_hold(&mut self) -> bool {
        let taken = self.hold.take(self.region);
        if taken {
            // Relaxed: who had the hold before has stored it.
            self.head = Position(self.region.head().load(Ordering::Relaxed));
            self.walked = self.head;
        }
        taken
    }

    /// Releases padding before the oldest record, so that grants that were
    /// dropped do not fill the ring while there are no records to release.
    /// Whether the hold is kept: where it is shared, for a record only.
    #[cold]
    fn release_padding(&mut self) -> bool {
        let place = self.next_place();
        if let Some(place) = place {
            self.put_back(place);
            self.release_to(self.walked);
        } else {
            self.release_walked();
        }
        self.hold.is_taken()
    }

    /// Gives the room of the oldest `records` records back to the producer.
    /// Returns how many there were to release, at most `records`.
    ///
    /// In a ring that is [overwritten](super::Overwrite) the others are left to
    /// the producers; nothing is released while one of them drops some.
    #[inline]
    pub fn release(&mut self, records: usize) -> usize {
        self.walked = self.head;
        let mut released = 0;
        if records > 0 && self.hold() {
            let mut walk = self.walk_from(self.head);
            while released < records && walk.next(self.region).is_some() {
                released += 1;
            }
            self.walked = walk.at;
        }
        self.release_walked();
        released
    }

    /// Whether the producers are gone and every record has been released.
    ///
    /// What stands behind a grant that one of many producers has forgotten
    /// can never be read, and does not count.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // Acquire, and before the look at the records: pairs with the
        // producer's last store, so that its last commit is seen after it.
        self.region.control().producer_gone.load(Ordering::Acquire) && !self.finds_first()
    }

    /// Whether there is a record that [`next_place`](Consumer::next_place) has
    /// not given. While a producer is about to overwrite some, there may be.
    /// Padding counts, too: producers wait for its room.
    pub(crate) fn has_next(&self) -> bool {
        if !self.hold.is_taken() {
            return self.region.finds_or_may_find();
        }
        let mut walk = self.walk_from(self.walked);
        walk.next(self.region).is_some() || walk.at != self.walked
    }

    /// Whether there is a record. The producers are gone, so that nobody else
    /// takes the hold.
    fn finds_first(&self) -> bool {
        let head = if self.hold.is_taken() {
            self.head
        } else {
            // Relaxed: seen since the producers' last store has been.
            Position(self.region.head().load(Ordering::Relaxed))
        };
        Walk { at: head, end: head.plus(self.region.capacity()) }.next(self.region).is_some()
    }

    /// A walk from `at` to at most a lap behind the head. The hold is this
    /// side's.
    #[inline]
    fn walk_from(&self, at: Position) -> Walk {
        Walk { at, end: self.head.plus(self.region.capacity()) }
    }

    /// The longest record in bytes that the producer can reserve.
    #[must_use]
    pub fn record_len_max(&self) -> usize {
        record_len_max(self.region.capacity())
    }

    /// The next committed record.
    #[inline]
    pub(crate) fn next_place(&mut self) -> Option<Place> {
        if !self.hold() {
            return None;
        }
        let mut walk = self.walk_from(self.walked);
        let place = walk.next(self.region);
        self.walked = walk.at;
        self.invariants();
        place
    }

    /// Undoes [`next_place`](Consumer::next_place) back to the one that gave
    /// `place`, which has not been released.
    #[inline]
    pub(crate) fn put_back(&mut self, place: Place) {
        let (walked, end) = (self.walked, place.end());
        debug_assert!(walked.since(end) <= walked.since(self.head), "put back");
        self.walked = place.record;
    }

    /// The bytes of a record that has not been released; one that has been has
    /// none.
    #[inline]
    pub(crate) fn bytes(&self, place: Place) -> &[u8] {
        let from_head = place.record.since(self.head);
        if from_head >= self.region.capacity() || !self.hold.is_taken() {
            debug_assert!(false, "the record has been released");
            return &[];
        }
        let payload = place.record.plus(HEADER_LEN);
        // SAFETY: **ownership**: committed, as only `Walk` makes places, held
        // and not released, so that nobody writes it; releasing and giving the
        // hold back take `&mut self`.
        unsafe { self.region.bytes(payload, place.len) }
    }

    /// The position behind the last record that was walked over.
    #[cfg(all(test, feature = "alloc"))]
    pub(crate) fn walked(&self) -> Position {
        self.walked
    }

    /// Gives everything that has been walked over back, and the hold.
    #[inline]
    pub(crate) fn release_walked(&mut self) {
        if self.walked != self.head {
            self.free(self.walked);
        }
        self.hold.give_back(self.region);
        self.invariants();
    }

    /// Gives everything before `position` back, which has been walked over;
    /// anything else is left alone, the hold too.
    #[inline]
    pub(crate) fn release_to(&mut self, position: Position) {
        let len = position.since(self.head);
        let walked = self.walked.since(self.head);
        debug_assert!(len <= walked, "released past what was read");
        if len == 0 || len > walked {
            return;
        }
        self.free(position);
    }

    /// Gives everything before `position` back, which has been walked over.
    #[inline]
    fn free(&mut self, position: Position) {
        let len = position.since(self.head);
        // SAFETY: **ownership**: committed and not released, and held, as
        // something has been walked over; `&mut self` proves that no borrowed
        // record is left.
        unsafe { self.region.wipe(self.head, len) };
        self.head = position;
        // Release: pairs with the producer's Acquire load; the span is wiped.
        self.region.head().store(position.0, Ordering::Release);
        self.invariants();
    }

    /// Checks **room** as far as it has been walked, and `head <= walked`,
    /// which are equal without the hold.
    #[inline]
    fn invariants(&self) {
        let walked = self.walked.since(self.head);
        let walked_max = if self.hold.is_taken() { self.region.capacity() } else { 0 };
        debug_assert!(walked <= walked_max, "room: {walked} bytes walked over");
    }
}

impl Drop for Consumer<'_> {
    fn drop(&mut self) {
        // Release: pairs with `Producer::is_abandoned`.
        self.region.control().consumer_gone.store(true, Ordering::Release);
    }
}

/// A walk over headers. Invariant: a record that begins before `end` ends there
/// or before.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) at: Position,
    /// A lap ahead of the head, where the first record stands again; or where
    /// the walk began, when it is not to find anything.
    pub(super) end: Position,
}

impl Walk {
    /// The next record. The hold is the caller's.
    #[inline]
    pub(super) fn next(&mut self, region: Region<'_>) -> Option<Place> {
        loop {
            if self.at == self.end {
                return None;
            }
            // SAFETY: **ownership**: the word is the holder's, or it is free
            // and the producer at most stores it, atomically.
            let header = unsafe { region.header(self.at) };
            // Acquire: pairs with the producer's Release store of the header;
            // the payload is written.
            match header.load(Ordering::Acquire) {
                0 => return None,
                padding if padding & PAD != 0 => {
                    self.at = self.at.plus((padding & !PAD) as usize);
                }
                header => {
                    let len_and_one = (header & !MORE) as usize;
                    let (len, more) = (len_and_one - 1, header & MORE != 0);
                    let place = Place { record: self.at, len, more };
                    self.at = place.end();
                    return Some(place);
                }
            }
        }
    }
}

/// The committed records of a ring; see [`Consumer::records`].
#[derive(Debug)]
pub struct Records<'c> {
    region: Region<'c>,
    walk: Walk,
}

impl<'c> Iterator for Records<'c> {
    type Item = &'c [u8];

    #[inline]
    fn next(&mut self) -> Option<&'c [u8]> {
        let place = self.walk.next(self.region)?;
        let payload = place.record.plus(HEADER_LEN);
        // SAFETY: **ownership**: committed, and not released while the
        // consumer is borrowed.
        Some(unsafe { self.region.bytes(payload, place.len) })
    }
}
