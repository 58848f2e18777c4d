//! The side that draws from the ring.

use super::{FIRST_POSITION, HEADER_LEN, MORE, PAD, memory::Region, record_len_max, span};
use crate::sync::Ordering;

/// Takes records out of a ring, in order; there is one for each ring.
///
/// Only the producer changes anything meanwhile, and only so that there are
/// more records.
#[derive(Debug)]
pub struct Consumer<'r> {
    region: Region<'r>,
    /// All before it has been released. Invariant: `head <= walked`.
    head: usize,
    /// All before it has been seen committed.
    walked: usize,
    #[cfg(feature = "alloc")]
    kept: Option<alloc::sync::Arc<super::heap::Shared>>,
}

/// A committed record's place. Valid until it is released.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    record: usize,
    pub(crate) len: usize,
    /// Whether the next place is of the same group; it is there already.
    pub(crate) more: bool,
}

impl Place {
    /// The position of the record's beginning.
    pub(crate) fn begin(self) -> usize {
        self.record
    }

    /// The position behind the record.
    pub(crate) fn end(self) -> usize {
        self.record.wrapping_add(span(self.len))
    }
}

impl<'r> Consumer<'r> {
    pub(super) fn new(region: Region<'r>) -> Self {
        Self {
            region,
            head: FIRST_POSITION,
            walked: FIRST_POSITION,
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
    pub fn records(&mut self) -> Records<'_> {
        self.release_padding();
        self.walked = self.head;
        Records { region: self.region, walk: Walk { head: self.head, at: &mut self.walked } }
    }

    /// Releases padding before the oldest record, so that grants that were
    /// dropped do not fill the ring while there are no records to release.
    fn release_padding(&mut self) {
        self.walked = self.head;
        if let Some(place) = self.next_place() {
            self.put_back(place);
        }
        self.release_to(self.walked);
    }

    /// Gives the room of the oldest `records` records back to the producer.
    /// Returns how many there were to release, at most `records`.
    pub fn release(&mut self, records: usize) -> usize {
        self.walked = self.head;
        let mut released = 0;
        while released < records && self.next_place().is_some() {
            released += 1;
        }
        self.release_to(self.walked);
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
        self.region.control().producer_gone.load(Ordering::Acquire) && !self.finds(self.head)
    }

    /// Whether there is a record that [`next_place`](Consumer::next_place) has
    /// not given.
    pub(crate) fn has_next(&self) -> bool {
        self.finds(self.walked)
    }

    fn finds(&self, mut at: usize) -> bool {
        Walk { head: self.head, at: &mut at }.next(self.region).is_some()
    }

    /// The longest record in bytes that the producer can reserve.
    #[must_use]
    pub fn record_len_max(&self) -> usize {
        record_len_max(self.region.capacity())
    }

    /// The next committed record.
    #[inline]
    pub(crate) fn next_place(&mut self) -> Option<Place> {
        let place = Walk { head: self.head, at: &mut self.walked }.next(self.region);
        self.invariants();
        place
    }

    /// Undoes [`next_place`](Consumer::next_place) back to the one that gave
    /// `place`, which has not been released.
    #[inline]
    pub(crate) fn put_back(&mut self, place: Place) {
        let (walked, end) = (self.walked, place.end());
        debug_assert!(walked.wrapping_sub(end) <= walked.wrapping_sub(self.head), "put back");
        self.walked = place.record;
    }

    /// The bytes of a record that has not been released; one that has been has
    /// none.
    #[inline]
    pub(crate) fn bytes(&self, place: Place) -> &[u8] {
        let from_head = place.record.wrapping_sub(self.head);
        if from_head >= self.region.capacity() {
            debug_assert!(false, "the record has been released");
            return &[];
        }
        let payload = place.record.wrapping_add(HEADER_LEN);
        // SAFETY: **ownership**: committed, as only `Walk` makes places, and
        // not released, so that nobody writes it; releasing takes `&mut self`.
        unsafe { self.region.bytes(payload, place.len) }
    }

    /// The position behind the last record that was walked over.
    #[inline]
    pub(crate) fn walked(&self) -> usize {
        self.walked
    }

    /// Gives everything before `position` back, which has been walked over;
    /// anything else is left alone.
    #[inline]
    pub(crate) fn release_to(&mut self, position: usize) {
        let len = position.wrapping_sub(self.head);
        let walked = self.walked.wrapping_sub(self.head);
        debug_assert!(len <= walked, "released past what was read");
        if len == 0 || len > walked {
            return;
        }
        // SAFETY: **ownership**: committed and not released; `&mut self`
        // proves that no borrowed record is left.
        unsafe { self.region.wipe(self.head, len) };
        self.head = position;
        // Release: pairs with the producer's Acquire load; the span is wiped.
        self.region.control().head.store(position, Ordering::Release);
        self.invariants();
    }

    /// Checks **room** as far as it has been walked, and `head <= walked`.
    #[inline]
    fn invariants(&self) {
        let walked = self.walked.wrapping_sub(self.head);
        debug_assert!(walked <= self.region.capacity(), "room: {walked} bytes walked over");
    }
}

impl Drop for Consumer<'_> {
    fn drop(&mut self) {
        // Release: pairs with `Producer::is_abandoned`.
        self.region.control().consumer_gone.store(true, Ordering::Release);
    }
}

/// A walk over headers.
#[derive(Debug)]
struct Walk<'w> {
    head: usize,
    at: &'w mut usize,
}

impl Walk<'_> {
    #[inline]
    fn next(&mut self, region: Region<'_>) -> Option<Place> {
        loop {
            // A whole lap ahead stands the first record again.
            if self.at.wrapping_sub(self.head) >= region.capacity() {
                return None;
            }
            // SAFETY: **ownership**: the word is the consumer's, or it is
            // free and the producer at most stores it, atomically.
            let header = unsafe { region.header(*self.at) };
            // Acquire: pairs with the producer's Release store of the header;
            // the payload is written.
            match header.load(Ordering::Acquire) {
                0 => return None,
                padding if padding & PAD != 0 => {
                    *self.at = self.at.wrapping_add((padding & !PAD) as usize);
                }
                header => {
                    let (len, more) = ((header & !MORE) as usize - 1, header & MORE != 0);
                    let place = Place { record: *self.at, len, more };
                    *self.at = place.end();
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
    walk: Walk<'c>,
}

impl<'c> Iterator for Records<'c> {
    type Item = &'c [u8];

    #[inline]
    fn next(&mut self) -> Option<&'c [u8]> {
        let place = self.walk.next(self.region)?;
        let payload = place.record.wrapping_add(HEADER_LEN);
        // SAFETY: **ownership**: committed, and not released while the
        // consumer is borrowed.
        Some(unsafe { self.region.bytes(payload, place.len) })
    }
}
