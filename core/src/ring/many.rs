//! Many producers: one compare-and-swap to claim, one store to commit.
//!
//! ```
//! use forebay::ring::Ring;
//!
//! static RING: Ring<1024> = Ring::new();
//!
//! let (producer, mut consumer) = RING.share_once().expect("shared here only");
//! std::thread::scope(|threads| {
//!     for name in [b"one", b"two"] {
//!         let mut producer = producer.clone();
//!         threads.spawn(move || producer.push(name).unwrap());
//!     }
//! });
//! let mut records: Vec<&[u8]> = consumer.records().collect();
//! records.sort();
//! assert_eq!(records, [b"one", b"two"]);
//! ```
//!
//! # Implementation
//!
//! The layout is that of one producer, with the tail among the shared words.
//! A claim moves the tail over the whole span at once; its bytes are then the
//! claimer's, and it publishes them whenever it likes. The reader stops at the
//! first header that is zero, so records are delivered in the order in which
//! they were claimed, each producer's in its own order, and one that stalls
//! between claim and commit stops no other producer before the ring is full.
//!
//! A claim cannot be undone, as others may have claimed behind it. What is not
//! needed of it is published as padding.

use super::{
    Position, Producer, ReserveError,
    memory::Region,
    mode::{Claim, Joins, Mode},
    producer::put_padding,
    span,
};
use crate::sync::{Ordering, SwapPosition};

/// The ring has many producers, of which each has a clone of the handle.
///
/// Positions have 64 bits wherever the target can exchange as many at once,
/// 32-bit x86 and ARMv7-A among them. On the others, microcontrollers mostly, a
/// producer that is preempted between its look at the tail and its
/// compare-and-swap while others push exactly 2^32 bytes, or a multiple, takes
/// room that is not free; no way is known to do this by accident.
#[derive(Debug)]
pub struct Many {
    /// The consumer's head when this handle last loaded it: never past it.
    head_seen: Position,
}

impl Many {
    pub(super) fn new() -> Self {
        Self { head_seen: Position::FIRST }
    }
}

#[allow(private_interfaces)]
impl Mode for Many {
    #[inline]
    fn claim(&mut self, region: Region<'_>, len: usize) -> Result<Claim, ReserveError> {
        claim(region, len, &mut self.head_seen, |_tail, needed, free| {
            Err(ReserveError::Full { needed, free })
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
}

impl Joins for Many {
    fn another(&self) -> Self {
        Self { head_seen: self.head_seen }
    }
}

/// Takes room for a record of `len` bytes, which fits an empty ring wherever
/// it falls. Where there is none `make_room` is told the tail, and how much is
/// needed there and free; it says that another look is worth it, or why not.
#[inline]
pub(super) fn claim(
    region: Region<'_>,
    len: usize,
    head_seen: &mut Position,
    mut make_room: impl FnMut(Position, usize, usize) -> Result<(), ReserveError>,
) -> Result<Claim, ReserveError> {
    let control = region.control();
    let capacity = region.capacity();
    // Relaxed: the tail says only where room begins. That the room has been
    // wiped is known from head.
    let mut tail = Position(control.tail.load(Ordering::Relaxed));
    let mut failures = 0;
    loop {
        let claim = Claim::new(region, tail, len);
        let needed = claim.needed();
        // Others may have moved the tail further than the head that this
        // handle has seen allows.
        let free = |head: Position| capacity.checked_sub(tail.since(head));
        if free(*head_seen).is_none_or(|free| needed > free) {
            // Before the look at head: see `One`.
            let abandoned = region.is_abandoned();
            // Acquire: pairs with the Release store of head; what is before it
            // has been wiped.
            *head_seen = Position(region.head().load(Ordering::Acquire));
            // Relaxed: as above. A tail that has moved was stale beside this
            // head, which may be past it.
            let now = Position(control.tail.load(Ordering::Relaxed));
            if now != tail {
                tail = now;
                continue;
            }
            let free = free(*head_seen).unwrap_or(0);
            if needed > free {
                if abandoned {
                    return Err(ReserveError::Closed);
                }
                make_room(tail, needed, free)?;
                tail = Position(control.tail.load(Ordering::Relaxed));
                continue;
            }
        }
        match move_tail(&control.tail, tail, claim.end()) {
            Ok(()) => {
                debug_assert!(
                    // SAFETY: **ownership**: claimed just now; others at most
                    // load headers.
                    unsafe { region.is_zero(claim.begin, needed) },
                    "zeros"
                );
                return Ok(claim);
            }
            Err(now) => {
                tail = now;
                // Without exchange of its own it is one processor's.
                if cfg!(target_has_atomic = "ptr") {
                    step_aside(&mut failures);
                }
            }
        }
    }
}

/// Moves the tail, or says where it is. Where an exchange is a critical
/// section, a function of its own has all that it needs in registers.
#[cfg_attr(target_has_atomic = "ptr", inline)]
#[cfg_attr(not(target_has_atomic = "ptr"), inline(never))]
fn move_tail(tail: &SwapPosition, from: Position, to: Position) -> Result<(), Position> {
    // Relaxed: one claimer at most gets a position, whatever the order.
    match tail.compare_exchange_weak(from.0, to.0, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => Ok(()),
        Err(now) => Err(Position(now)),
    }
}

/// Pauses after another producer was faster, longer each time: it then claims
/// several times in a row, while the tail is in its cache.
#[cold]
fn step_aside(failures: &mut u32) {
    // Up to a few microseconds.
    for _ in 0..1 << *failures {
        core::hint::spin_loop();
    }
    *failures = (*failures + 1).min(6);
}

/// Publishes as padding what a record of `len` bytes does not need of `claim`.
#[inline]
pub(super) fn give_back(region: Region<'_>, claim: Claim, len: usize) {
    let rest = claim.record().plus(span(len));
    // Before the record, so that a reader behind it does not stop here.
    put_padding(region, rest, span(claim.len) - span(len));
}

/// Publishes the whole of `claim` as padding.
pub(super) fn abandon(region: Region<'_>, claim: Claim) {
    put_padding(region, claim.record(), span(claim.len));
    put_padding(region, claim.begin, claim.padding);
}

/// Takes the leave of a handle into account; whether it was the last.
pub(super) fn leaves_last(region: Region<'_>) -> bool {
    // Release: all that this handle has committed is seen by the last one to
    // leave. Acquire: if this is the last, it has seen all of it.
    region.control().others.fetch_sub(1, Ordering::AcqRel) == 0
}

/// Another producer of the same ring, with a ledger of its own.
impl<M: Joins> Clone for Producer<'_, M> {
    fn clone(&self) -> Self {
        // Relaxed: `self` is one of the producers, so the last has not left.
        self.region.control().others.fetch_add(1, Ordering::Relaxed);
        #[cfg_attr(not(feature = "alloc"), expect(unused_mut))]
        let mut clone = Self::new(self.region, self.state.mode.another());
        #[cfg(feature = "alloc")]
        {
            clone.kept = self.kept.clone();
        }
        clone
    }
}
