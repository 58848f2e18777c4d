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
    head: Position,
    /// Where a walk ends: a lap behind the head, or at the head without the
    /// hold. Invariant: `head <= walked <= end`.
    end: Position,
    /// All before it has been seen committed.
    walked: Position,
    /// Records between the two, where [`Records`] walked; the pump keeps an
    /// account of its own.
    seen: usize,
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

    /// The position of its bytes.
    fn payload(self) -> Position {
        self.record.plus(HEADER_LEN)
    }
}

impl<'r> Consumer<'r> {
    /// `overwritten` says that producers may take the hold.
    pub(super) fn new(region: Region<'r>, overwritten: bool) -> Self {
        Self {
            region,
            hold: Hold::new(overwritten),
            head: Position::FIRST,
            end: Position::FIRST.plus(if overwritten { 0 } else { region.capacity() }),
            walked: Position::FIRST,
            seen: 0,
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
    /// a producer is about to drop some. From the first record on none is
    /// dropped until `release`; `release(0)` leaves all of them to the
    /// producers again.
    #[inline]
    pub fn records(&mut self) -> Records<'_, 'r> {
        (self.walked, self.seen) = (self.head, 0);
        Records { consumer: self }
    }

    /// At the end of the walk: whether it may go on, since the hold has been
    /// taken.
    #[cold]
    fn takes_hold(&mut self) -> bool {
        let taken = !self.hold.is_taken() && self.hold.take(self.region);
        if taken {
            // Relaxed: who had the hold before has stored it.
            let head = Position(self.region.head().load(Ordering::Relaxed));
            (self.head, self.walked) = (head, head);
            self.end = head.plus(self.region.capacity());
        }
        taken
    }

    /// Gives the room of the oldest `records` records back to the producer.
    /// Returns how many there were to release, at most `records`.
    ///
    /// In a ring that is [overwritten](super::Overwrite) the others are left to
    /// the producers; nothing is released while one of them drops some.
    #[inline]
    pub fn release(&mut self, records: usize) -> usize {
        // All that have been seen, mostly: where they end is known.
        let released =
            if records > 0 && records == self.seen { records } else { self.walk_over(records) };
        self.seen = 0;
        self.release_walked();
        released
    }

    /// Walks from the head over at most `records` records; how many it found.
    fn walk_over(&mut self, records: usize) -> usize {
        self.walked = self.head;
        let mut found = 0;
        while found < records && self.next_place().is_some() {
            found += 1;
        }
        found
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
        let mut walk = Walk { at: self.walked, end: self.end };
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

    /// The longest record in bytes that the producer can reserve.
    #[must_use]
    pub fn record_len_max(&self) -> usize {
        record_len_max(self.region.capacity())
    }

    /// The next committed record.
    #[inline]
    pub(crate) fn next_place(&mut self) -> Option<Place> {
        loop {
            let mut walk = Walk { at: self.walked, end: self.end };
            let place = walk.next(self.region);
            self.walked = walk.at;
            if place.is_some() || walk.at != walk.end || !self.takes_hold() {
                self.invariants();
                return place;
            }
        }
    }

    /// There is none behind `walked`.
    #[cold]
    fn ends_at(&mut self, walked: Position) {
        if self.seen > 0 {
            // What is behind them stays when they are released.
            self.walked = walked;
        } else {
            // Grants that were dropped do not fill the ring while there are no
            // records to release, and nothing is held for none.
            self.release_walked();
        }
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
        if place.record.since(self.head) >= self.end.since(self.head) {
            debug_assert!(false, "the record has been released");
            return &[];
        }
        // SAFETY: **ownership**: committed, as only `Walk` makes places, held
        // and not released, so that nobody writes it; releasing and giving the
        // hold back take `&mut self`.
        unsafe { self.region.bytes(place.payload(), place.len) }
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
        if self.hold.is_shared() {
            self.give_hold_back();
        }
        self.invariants();
    }

    #[cold]
    fn give_hold_back(&mut self) {
        self.hold.give_back(self.region);
        self.end = self.head;
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
        self.end = position.plus(self.region.capacity());
        // Release: pairs with the producer's Acquire load; the span is wiped.
        self.region.head().store(position.0, Ordering::Release);
        self.invariants();
    }

    /// Checks **room** as far as it has been walked, and where walks end.
    #[inline]
    fn invariants(&self) {
        let lap = if self.hold.is_taken() { self.region.capacity() } else { 0 };
        debug_assert_eq!(self.end.since(self.head), lap, "end of a walk");
        let walked = self.walked.since(self.head);
        debug_assert!(walked <= lap, "room: {walked} bytes walked over");
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
pub struct Records<'c, 'r> {
    consumer: &'c mut Consumer<'r>,
}

impl<'c> Iterator for Records<'c, '_> {
    type Item = &'c [u8];

    #[inline]
    fn next(&mut self) -> Option<&'c [u8]> {
        let consumer = &mut *self.consumer;
        let walked = consumer.walked;
        let Some(place) = consumer.next_place() else {
            consumer.ends_at(walked);
            return None;
        };
        consumer.seen += 1;
        // SAFETY: **ownership**: committed, held, and not released while the
        // consumer is borrowed.
        Some(unsafe { consumer.region.bytes(place.payload(), place.len) })
    }
}
