//! Rings whose capacity is chosen at run time.
//!
//! ```
//! use forebay::ring::heap;
//!
//! let (mut producer, mut consumer) = heap::ring(1 << 16)?;
//! std::thread::spawn(move || {
//!     producer.push(b"from another thread").unwrap();
//! })
//! .join()
//! .unwrap();
//! assert_eq!(consumer.records().next(), Some(&b"from another thread"[..]));
//! # Ok::<(), forebay::ring::BadCapacity>(())
//! ```

use alloc::sync::Arc;

use super::{
    BadCapacity, Consumer, Control, Many, Mode, One, Overwrite, Producer, check_capacity,
    memory::Heap,
};

/// What the handles of a heap ring keep alive.
#[derive(Debug)]
pub(super) struct Shared {
    control: Control,
    memory: Heap,
}

impl Shared {
    fn region(&self) -> super::memory::Region<'_> {
        self.memory.region(&self.control)
    }
}

/// Makes a ring of `capacity` bytes on the heap, for one producer, and gives
/// its two handles, which keep it alive.
///
/// # Errors
///
/// [`BadCapacity`] unless `capacity` is a power of two from
/// [`CAPACITY_MIN`](super::CAPACITY_MIN) to
/// [`CAPACITY_MAX`](super::CAPACITY_MAX).
pub fn ring(capacity: usize) -> Result<(Producer<'static>, Consumer<'static>), BadCapacity> {
    handles(capacity, One::new())
}

/// Makes a ring of `capacity` bytes on the heap, for many producers: the first
/// of them, to be cloned, and the consumer.
///
/// # Errors
///
/// As [`ring`].
pub fn shared(
    capacity: usize,
) -> Result<(Producer<'static, Many>, Consumer<'static>), BadCapacity> {
    handles(capacity, Many::new())
}

/// Makes a ring of `capacity` bytes on the heap, for many producers that
/// overwrite the oldest records: the first of them, to be cloned, and the
/// consumer.
///
/// # Errors
///
/// As [`ring`].
pub fn overwriting(
    capacity: usize,
) -> Result<(Producer<'static, Overwrite>, Consumer<'static>), BadCapacity> {
    handles(capacity, Overwrite::new())
}

fn handles<M: Mode>(
    capacity: usize,
    mode: M,
) -> Result<(Producer<'static, M>, Consumer<'static>), BadCapacity> {
    let capacity = check_capacity(capacity)?;
    let shared = Arc::new(Shared { control: Control::new(), memory: Heap::new(capacity) });
    let pinned: *const Shared = Arc::as_ptr(&shared);
    // SAFETY: an `Arc` does not move what it holds. The region made from this
    // reference keeps pointers, not the reference, and each handle gets a clone
    // of the `Arc` that it drops after its last access.
    let region = unsafe { &*pinned }.region();
    // SAFETY: all new, and these are its only handles.
    let (mut producer, mut consumer) = unsafe { super::pair(region, mode) };
    producer.keep(Arc::clone(&shared));
    consumer.keep(shared);
    Ok((producer, consumer))
}
