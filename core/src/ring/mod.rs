//! Bytes waiting to leave: a lock-free ring of variable-length records, with
//! one producer or many, refusing or overwriting when full.
//!
//! ```
//! use forebay::ring::Ring;
//!
//! static RING: Ring<256> = Ring::new();
//!
//! let (mut producer, mut consumer) = RING.split_once().expect("split here only");
//!
//! // The producer, an interrupt perhaps, writes in place:
//! let mut grant = producer.reserve(5)?;
//! grant.copy_from_slice(b"drops");
//! grant.commit();
//!
//! // The consumer borrows what is committed and releases it when it has left:
//! let records: Vec<&[u8]> = consumer.records().collect();
//! assert_eq!(records, [b"drops"]);
//! consumer.release(1);
//! assert!(consumer.records().next().is_none());
//! # Ok::<(), forebay::ring::ReserveError>(())
//! ```
//!
//! [`Producer::reserve`] lends room or says how much there is; it never waits.
//! [`Grant::commit`] publishes the record with one store; until then nobody
//! sees it, and a grant that is dropped leaves nothing for the reader.
//!
//! One memory layout serves three kinds of producer. [`One`], made by
//! [`Ring::split`], uses loads and stores alone, so a Cortex-M0 without
//! compare-and-swap will do. [`Many`], made by [`Ring::share`], can be cloned
//! and adds one compare-and-swap to each claim. [`Overwrite`], made by
//! [`Ring::overwrite`], is many that make room in a full ring by dropping its
//! oldest records. [`push_group`](Producer::push_group) keeps several records
//! together, [`push_batch`](Producer::push_batch) puts them in at the price of
//! one claim.
//!
//! [`Ring`] has a constant capacity, for a `static` or the stack; with the
//! feature `alloc`, [`heap`] makes rings of a capacity chosen at run time, whose
//! handles keep them alive.
//!
//! # Implementation
//!
//! Positions count bytes since the ring was made and wrap with their word; the
//! capacity is a power of two, so `position & (capacity - 1)` is the place in
//! memory. A record is a header word of four bytes and the
//! payload, filled up to a multiple of four:
//!
//! ```text
//!            head                 walked        tail
//!   | zeros    | lent to the reader | committed   | zeros ... |
//!              |<------ at most the capacity ---->|
//!
//!   record:  | payload length + 1 | payload ... | fill to 4 |
//!            (and a bit when more of its group follows)
//!   padding: | PAD | span         | zeros ...               |
//!            (to the end of memory, before a record that would wrap, and
//!             what one of many producers claimed and did not need)
//! ```
//!
//! Invariants:
//!
//! - **room**: `tail - head <= capacity`.
//! - **zeros**: every byte of `[tail, head + capacity)` is zero, but for the
//!   payload of a grant. So a header word that is not zero was stored by a
//!   commit.
//! - **ownership**: what is claimed of `[tail, head + capacity)` is its
//!   claimer's until it is committed; `[head, tail)`, once committed, is his who
//!   holds the head. One producer alone moves `tail`, which nobody else reads;
//!   many move it by compare-and-swap, so that no byte is claimed twice. Only
//!   the holder moves `head`: the consumer, or in a ring that is overwritten
//!   whoever has taken the hold (`hold.rs`).
//!
//! Two edges order everything: the producer's Release store of a header with
//! the holder's Acquire load of it (the payload is written before it is read),
//! and the holder's Release store of `head` with the producer's Acquire load of
//! it (the span is wiped before it is written again). Where the hold changes
//! hands, that is an edge too. Another kind ends things: each side's last store says that it is gone, so that who
//! sees it and looks afterwards sees all that the other has done.

#[cfg(all(feature = "alloc", not(target_has_atomic = "ptr")))]
compile_error!("the feature `alloc` needs `alloc::sync::Arc`, which this target does not have");

mod consumer;
mod group;
#[cfg(feature = "alloc")]
pub mod heap;
mod hold;
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
mod many;
mod memory;
mod mode;
mod one;
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
mod overwrite;
mod position;
mod producer;
#[cfg(all(test, feature = "alloc", not(forebay_loom)))]
mod tests;

use core::{error::Error, fmt};

pub(crate) use consumer::Place;
pub use consumer::{Consumer, Records};
#[cfg(not(forebay_loom))]
pub use inline::Ring;
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
pub use many::Many;
pub use mode::{Joins, Mode};
pub use one::One;
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
pub use overwrite::Overwrite;
pub(crate) use position::Position;
pub use producer::{Grant, Producer, ReserveError};

use crate::sync::{AtomicBool, AtomicPosition, HeaderWord};
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
use crate::sync::{SwapBool, SwapPosition, SwapUsize};

/// Bytes of a record's header word, and the alignment of records.
const HEADER_LEN: usize = 4;
/// Marks a header word as padding.
const PAD: HeaderWord = 1 << (HeaderWord::BITS - 1);
/// Marks the header of a record whose group has more records behind it.
const MORE: HeaderWord = 1 << (HeaderWord::BITS - 2);

/// The least capacity of a ring in bytes.
pub const CAPACITY_MIN: usize = 16;
/// The greatest capacity of a ring in bytes: a header word counts lengths, which
/// are less than half of it, in 30 bits; 16 KiB on 16-bit processors, where it
/// has 14.
pub const CAPACITY_MAX: usize = 1 << (HeaderWord::BITS - 2);

/// The longest record in bytes that a ring of `capacity` bytes takes: half of
/// it, less the header, so that a record fits wherever it falls.
#[must_use]
pub const fn record_len_max(capacity: usize) -> usize {
    (capacity / 2).saturating_sub(HEADER_LEN)
}

/// Bytes that a record of `len` bytes takes in the ring; no slice is so long
/// that it overflows.
const fn span(len: usize) -> usize {
    // As `next_multiple_of`, in fewer instructions.
    (len + (2 * HEADER_LEN - 1)) & !(HEADER_LEN - 1)
}

/// The capacity of a ring is not a power of two in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BadCapacity {
    /// The capacity asked for in bytes.
    pub capacity: usize,
}

impl fmt::Display for BadCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a ring of {} bytes: the capacity is a power of two from {CAPACITY_MIN} to {CAPACITY_MAX}",
            self.capacity
        )
    }
}

impl Error for BadCapacity {}

const fn check_capacity(capacity: usize) -> Result<usize, BadCapacity> {
    if capacity.is_power_of_two() && capacity >= CAPACITY_MIN && capacity <= CAPACITY_MAX {
        Ok(capacity)
    } else {
        Err(BadCapacity { capacity })
    }
}

/// A word that one side stores often, on a cache line of its own where
/// processors have caches. (Two lines, as some fetch them in pairs.)
#[derive(Debug)]
#[cfg_attr(target_pointer_width = "64", repr(align(128)))]
struct Line<T>(T);

impl<T> core::ops::Deref for Line<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// What the consumer stores, and reads first.
#[derive(Debug)]
struct Front {
    /// All before it has been released or overwritten. Stored by who holds it.
    head: AtomicPosition,
    /// Whether somebody holds the head; only where it is overwritten.
    #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
    held: SwapBool,
}

/// The words that both sides see.
#[derive(Debug)]
struct Control {
    front: Line<Front>,
    /// Moved by each of many producers: all before it has been claimed. One
    /// producer keeps its tail to itself.
    #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
    tail: Line<SwapPosition>,
    /// How many producers there are beside one. All words of a new ring are
    /// zero, so that a `static` takes no flash.
    #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
    others: SwapUsize,
    /// Stored by the last producer, last: it will commit nothing more.
    producer_gone: AtomicBool,
    /// Stored by the consumer alone, last: it will release nothing more.
    consumer_gone: AtomicBool,
}

/// `const` but for loom, whose atomics are not.
macro_rules! control_new {
    ($($const:tt)?) => {
        $($const)? fn new() -> Self {
            Self {
                front: Line(Front {
                    head: AtomicPosition::new(Position::FIRST.0),
                    #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
                    held: SwapBool::new(false),
                }),
                #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
                tail: Line(SwapPosition::new(Position::FIRST.0)),
                #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
                others: SwapUsize::new(0),
                producer_gone: AtomicBool::new(false),
                consumer_gone: AtomicBool::new(false),
            }
        }
    };
}

impl Control {
    #[cfg(not(forebay_loom))]
    control_new!(const);
    #[cfg(forebay_loom)]
    control_new!();
}

#[cfg(not(forebay_loom))]
mod inline {
    use super::{
        Consumer, Control, Mode, One, Producer, check_capacity,
        memory::{Inline, Region},
    };
    #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
    use super::{Many, Overwrite};
    use crate::sync::SwapBool;

    /// A ring of `N` bytes in place, for a `static` or the stack.
    ///
    /// `N` is a power of two from [`CAPACITY_MIN`](super::CAPACITY_MIN) to
    /// [`CAPACITY_MAX`](super::CAPACITY_MAX); others do not compile:
    ///
    /// ```compile_fail,E0080
    /// static RING: forebay::ring::Ring<100> = forebay::ring::Ring::new();
    /// ```
    ///
    /// [`split`](Ring::split) and [`split_once`](Ring::split_once) give it one
    /// producer, [`share`](Ring::share) and [`share_once`](Ring::share_once)
    /// many, [`overwrite`](Ring::overwrite) and
    /// [`overwrite_once`](Ring::overwrite_once) many that overwrite the oldest
    /// records. All but `split` need compare-and-swap: targets without it need the feature `critical-section`, or
    /// `portable-atomic`. Without those, get a `&'static mut Ring` from
    /// `static_cell` or `cortex_m::singleton!` and [`split`](Ring::split) it.
    #[derive(Debug)]
    pub struct Ring<const N: usize> {
        control: Control,
        /// Whether handles have been made.
        split: SwapBool,
        memory: Inline<N>,
    }

    impl<const N: usize> Ring<N> {
        /// The longest record in bytes.
        pub const RECORD_LEN_MAX: usize = super::record_len_max(N);

        /// An empty ring.
        #[must_use]
        pub const fn new() -> Self {
            const {
                assert!(
                    check_capacity(N).is_ok(),
                    "the capacity of a ring is a power of two from CAPACITY_MIN to CAPACITY_MAX"
                );
            }
            Self { control: Control::new(), split: SwapBool::new(false), memory: Inline::new() }
        }

        /// Makes the two handles of a ring that nobody else has, for one
        /// producer. What an earlier pair left in the ring is gone.
        pub fn split(&mut self) -> (Producer<'_>, Consumer<'_>) {
            self.renew(One::new())
        }

        /// Makes the handles of a ring that nobody else has, for many
        /// producers: the first of them, to be cloned, and the consumer. What
        /// an earlier pair left in the ring is gone.
        #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
        pub fn share(&mut self) -> (Producer<'_, Many>, Consumer<'_>) {
            self.renew(Many::new())
        }

        /// Makes the handles of a ring that nobody else has, for many
        /// producers that overwrite the oldest records: the first of them, to
        /// be cloned, and the consumer. What an earlier pair left in the ring
        /// is gone.
        #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
        pub fn overwrite(&mut self) -> (Producer<'_, Overwrite>, Consumer<'_>) {
            self.renew(Overwrite::new())
        }

        /// Makes the two handles of a ring in a `static`, for one producer;
        /// `None` when the ring has handles already.
        #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
        pub fn split_once(&self) -> Option<(Producer<'_>, Consumer<'_>)> {
            self.once(One::new())
        }

        /// Makes the handles of a ring in a `static`, for many producers;
        /// `None` when the ring has handles already.
        #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
        pub fn share_once(&self) -> Option<(Producer<'_, Many>, Consumer<'_>)> {
            self.once(Many::new())
        }

        /// Makes the handles of a ring in a `static`, for many producers that
        /// overwrite the oldest records; `None` when the ring has handles
        /// already.
        #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
        pub fn overwrite_once(&self) -> Option<(Producer<'_, Overwrite>, Consumer<'_>)> {
            self.once(Overwrite::new())
        }

        fn renew<M: Mode>(&mut self, mode: M) -> (Producer<'_, M>, Consumer<'_>) {
            self.control = Control::new();
            *self.split.get_mut() = true;
            self.memory.wipe();
            // SAFETY: `&mut self` proves that no other handle is alive, and
            // the memory and the control have just been made new.
            unsafe { super::pair(self.region(), mode) }
        }

        #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
        fn once<M: Mode>(&self, mode: M) -> Option<(Producer<'_, M>, Consumer<'_>)> {
            // Relaxed: only one caller ever sees `false`, and it reads nothing
            // that another has written.
            if self.split.swap(true, crate::sync::Ordering::Relaxed) {
                return None;
            }
            // SAFETY: the swap gives `false` to one caller at most, and `renew`
            // sets it too, so these are the ring's first handles.
            Some(unsafe { super::pair(self.region(), mode) })
        }

        fn region(&self) -> Region<'_> {
            self.memory.region(&self.control)
        }
    }

    impl<const N: usize> Default for Ring<N> {
        fn default() -> Self {
            Self::new()
        }
    }
}

/// Makes the handles of a ring.
///
/// # Safety
///
/// The region is all zeros and its control words are new, no other handle of it
/// is or will be made while these live but by cloning this producer, and it
/// lives as long as they do.
unsafe fn pair<M: Mode>(region: memory::Region<'_>, mode: M) -> (Producer<'_, M>, Consumer<'_>) {
    (Producer::new(region, mode), Consumer::new(region, M::OVERWRITES))
}
