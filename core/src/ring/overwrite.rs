//! Many producers that overwrite the oldest records of a full ring.
//!
//! ```
//! use forebay::ring::Ring;
//!
//! static RING: Ring<32> = Ring::new();
//!
//! let (mut producer, mut consumer) = RING.overwrite_once().expect("made here only");
//! for record in [b"one ", b"two ", b"thre", b"four", b"five"] {
//!     producer.push(record)?;
//! }
//! let records: Vec<&[u8]> = consumer.records().collect();
//! assert_eq!(records, [b"two ", b"thre", b"four", b"five"]);
//! assert_eq!(producer.ledger().overwritten, 1);
//!
//! // What the consumer holds is not overwritten; the new one is refused.
//! producer.push(b"six ").unwrap_err();
//! assert_eq!(producer.ledger().busy, 1);
//! assert_eq!(consumer.release(4), 4);
//! producer.push(b"six ")?;
//! # Ok::<(), forebay::ring::ReserveError>(())
//! ```
//!
//! # Implementation
//!
//! The head has a **hold**: a flag that is taken by exchange, tried once and
//! never waited for. Who has it is the consumer for as long. A producer that
//! finds no room takes it, drops the oldest records and gives it back; then it
//! claims like any of [many](super::Many). The consumer has it from its look at
//! the records until it releases them.

use super::{
    Position, ReserveError,
    consumer::Walk,
    many::{abandon, claim, give_back, leaves_last},
    memory::Region,
    mode::{Claim, Joins, Mode},
};
use crate::{ledger::Ledger, sync::Ordering};

/// The ring has many producers, of which each has a clone of the handle, and
/// makes room for new records by dropping the oldest.
///
/// A record is dropped whole, a [group](super::Producer::push_group) with all
/// its records, and counted as overwritten by the producer that did it. Where
/// nothing can be dropped the new record is refused instead, as
/// [`Busy`](ReserveError::Busy).
#[derive(Debug)]
pub struct Overwrite {
    /// The head when this handle last loaded it: never past it.
    head_seen: Position,
    overwritten: u64,
    busy: u64,
}

impl Overwrite {
    pub(super) fn new() -> Self {
        Self { head_seen: Position::FIRST, overwritten: 0, busy: 0 }
    }
}

#[allow(private_interfaces)]
impl Mode for Overwrite {
    const OVERWRITES: bool = true;

    #[inline]
    fn claim(&mut self, region: Region<'_>, len: usize) -> Result<Claim, ReserveError> {
        let overwritten = &mut self.overwritten;
        claim(region, len, &mut self.head_seen, |tail, needed, free| {
            *overwritten += drop_oldest(region, tail, needed, free)?;
            Ok(())
        })
    }

    #[inline]
    fn give_back(&mut self, region: Region<'_>, claim: Claim, len: usize) {
        give_back(region, claim, len);
    }

    fn abandon(&mut self, region: Region<'_>, claim: Claim) {
        abandon(region, claim);
    }

    fn leaves_last(region: Region<'_>) -> bool {
        leaves_last(region)
    }

    #[cold]
    fn refused(&mut self, error: ReserveError, records: u64) {
        if matches!(error, ReserveError::Busy { .. }) {
            self.busy += records;
        }
    }

    fn losses(&self) -> Ledger {
        Ledger { overwritten: self.overwritten, busy: self.busy, ..Ledger::default() }
    }
}

impl Joins for Overwrite {
    fn another(&self) -> Self {
        Self { head_seen: self.head_seen, overwritten: 0, busy: 0 }
    }
}

/// Drops the oldest records until `needed` bytes are free behind `tail`; how
/// many records that were.
#[cold]
fn drop_oldest(
    region: Region<'_>,
    tail: Position,
    needed: usize,
    free: usize,
) -> Result<u64, ReserveError> {
    if !region.take_hold() {
        return Err(ReserveError::Busy { needed, free });
    }
    // Relaxed, both: who had the hold before has stored the head, and had seen
    // the tail move past it. From another tail another length is needed: the
    // caller looks again.
    let head = Position(region.head().load(Ordering::Relaxed));
    let moved = region.control().tail.load(Ordering::Relaxed) != tail.0;
    let mut walk = Walk { at: head, end: head.plus(region.capacity()) };
    let mut records = 0;
    let has_room = |at: Position| moved || room(region.capacity(), tail, at) >= needed;
    while !has_room(walk.at) {
        let Some(mut place) = walk.next(region) else { break };
        if has_room(place.begin()) {
            // The padding before it is enough.
            walk.at = place.begin();
            break;
        }
        records += 1;
        while place.more
            && let Some(next) = walk.next(region)
        {
            (place, records) = (next, records + 1);
        }
    }
    let at = walk.at;
    // None is dropped in vain.
    let enough = has_room(at);
    if enough && at != head {
        // SAFETY: **ownership**: committed, and the hold is this producer's,
        // so that nobody reads it.
        unsafe { region.wipe(head, at.since(head)) };
        // Release: pairs with the producers' Acquire load; the span is wiped.
        region.head().store(at.0, Ordering::Release);
    }
    region.give_hold_back();
    if enough { Ok(records) } else { Err(ReserveError::Busy { needed, free }) }
}

/// Bytes free behind `tail` when all before `at` is dropped. Paddings that others
/// publish meanwhile lead a walk past the tail that it knows: then there is more
/// than the capacity. `at` is never more than a capacity before `tail`, so what
/// is subtracted is always the earlier of the two.
pub(super) fn room(capacity: usize, tail: Position, at: Position) -> usize {
    at.plus(capacity).since(tail)
}
