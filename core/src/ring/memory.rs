//! The memory of a ring, reached by position.
//!
//! The one file that turns positions into pointers. What licenses each access
//! is the invariant **ownership** of the [ring](super): the functions here are
//! unsafe because they cannot see who calls.

use core::{cell::UnsafeCell, marker::PhantomData, ptr::NonNull, slice};

use super::{Control, HEADER_LEN, Position};
use crate::sync::{AtomicHeader, AtomicPosition, Ordering};

/// Memory of a constant size, in place. `align(8)` keeps header words aligned.
#[cfg(not(forebay_loom))]
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Inline<const N: usize>(UnsafeCell<[u8; N]>);

// SAFETY: the bytes are reached through `Region` alone, whose functions demand
// of their callers that each byte has one owner at a time.
#[cfg(not(forebay_loom))]
unsafe impl<const N: usize> Sync for Inline<N> {}

#[cfg(not(forebay_loom))]
impl<const N: usize> Inline<N> {
    pub(super) const fn new() -> Self {
        Self(UnsafeCell::new([0; N]))
    }

    pub(super) fn wipe(&mut self) {
        self.0.get_mut().fill(0);
    }

    pub(super) fn region<'r>(&'r self, control: &'r Control) -> Region<'r> {
        let base = NonNull::from(&self.0).cast();
        Region { control: control.into(), base, mask: N - 1, shared: PhantomData }
    }
}

/// Memory of a size chosen at run time.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub(super) struct Heap {
    chunks: alloc::boxed::Box<[Chunk]>,
    #[cfg(forebay_loom)]
    model: Model,
}

/// Eight bytes, so that a box of them is aligned for header words.
#[cfg(feature = "alloc")]
#[derive(Debug)]
#[repr(C, align(8))]
struct Chunk(UnsafeCell<[u8; 8]>);

// SAFETY: as for `Inline`.
#[cfg(feature = "alloc")]
unsafe impl Sync for Chunk {}

#[cfg(feature = "alloc")]
impl Heap {
    /// `capacity` is a power of two, at least 16.
    pub(super) fn new(capacity: usize) -> Self {
        let chunks = (0..capacity / 8).map(|_| Chunk(UnsafeCell::new([0; 8]))).collect();
        Self {
            chunks,
            #[cfg(forebay_loom)]
            model: Model::new(capacity),
        }
    }

    pub(super) fn region<'r>(&'r self, control: &'r Control) -> Region<'r> {
        Region {
            control: control.into(),
            base: NonNull::from(&*self.chunks).cast(),
            mask: self.chunks.len() * 8 - 1,
            #[cfg(forebay_loom)]
            model: (&self.model).into(),
            shared: PhantomData,
        }
    }
}

/// What loom watches in place of the bytes: for each word an atomic, its
/// content as a header, and a witness that is read whenever the word is read
/// or accessed atomically, and written whenever the word is lent for writing
/// or wiped. So two accesses of which one writes plainly fail the model unless
/// an edge orders them.
#[cfg(forebay_loom)]
#[derive(Debug)]
struct Model {
    headers: alloc::boxed::Box<[AtomicHeader]>,
    witnesses: alloc::boxed::Box<[crate::sync::Witness]>,
}

// SAFETY: loom runs one thread at a time and reports two accesses to a witness
// that no edge orders.
#[cfg(forebay_loom)]
unsafe impl Sync for Model {}

#[cfg(forebay_loom)]
impl Model {
    fn new(capacity: usize) -> Self {
        let words = capacity / HEADER_LEN;
        Self {
            headers: (0..words).map(|_| AtomicHeader::new(0)).collect(),
            witnesses: (0..words).map(|_| crate::sync::Witness::new(())).collect(),
        }
    }
}

/// The control words and the memory of a ring that lives at least as long as
/// `'r`, or as long as what the handle that holds this keeps alive.
///
/// Pointers rather than references, since a handle of a heap ring may free the
/// ring while it is itself an argument of a running function.
///
/// Invariant: `control` points to the ring's control words, and `base` to
/// `mask + 1` initialised bytes, a power of two, aligned to [`HEADER_LEN`],
/// each in an `UnsafeCell`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region<'r> {
    control: NonNull<Control>,
    base: NonNull<u8>,
    mask: usize,
    #[cfg(forebay_loom)]
    model: NonNull<Model>,
    shared: PhantomData<(&'r Control, &'r [UnsafeCell<u8>])>,
}

// SAFETY: a region is a shared reference to memory that is `Sync`; its
// functions demand one owner of each byte, on whichever thread.
unsafe impl Send for Region<'_> {}
// SAFETY: as for `Send`.
unsafe impl Sync for Region<'_> {}

impl<'r> Region<'r> {
    #[inline]
    pub(super) fn control(&self) -> &Control {
        // SAFETY: the invariant; the ring lives while this region's holder
        // does.
        unsafe { self.control.as_ref() }
    }

    /// All before it is free. Who may move it: see **ownership**.
    #[inline]
    pub(super) fn head(&self) -> &AtomicPosition {
        &self.control().front.head
    }

    /// Whether the consumer is gone.
    #[inline]
    pub(super) fn is_abandoned(&self) -> bool {
        // Acquire: pairs with the consumer's last store.
        self.control().consumer_gone.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn capacity(self) -> usize {
        self.mask + 1
    }

    /// Bytes from `position` to the end of the memory.
    #[inline]
    pub(super) fn to_end(self, position: Position) -> usize {
        self.capacity() - position.offset(self.mask)
    }

    #[inline]
    fn at(self, position: Position) -> NonNull<u8> {
        // SAFETY: the masked offset is below the length of the memory.
        unsafe { self.base.add(position.offset(self.mask)) }
    }

    /// The header word at `position`, a multiple of [`HEADER_LEN`].
    ///
    /// # Safety
    ///
    /// While the word may be accessed through this reference, every other
    /// access to it is through such a reference too, or ordered by an edge.
    #[cfg(not(forebay_loom))]
    #[inline]
    pub(super) unsafe fn header(self, position: Position) -> &'r AtomicHeader {
        debug_assert!(position.offset(self.mask).is_multiple_of(HEADER_LEN));
        let word = self.at(position).as_ptr().cast();
        // SAFETY: aligned by the position and the base, within the memory as
        // the capacity is a multiple of the word; the rest is the caller's.
        unsafe { AtomicHeader::from_ptr(word) }
    }

    /// As above, for loom.
    ///
    /// # Safety
    ///
    /// None is needed.
    #[cfg(forebay_loom)]
    pub(super) unsafe fn header(self, position: Position) -> &'r AtomicHeader {
        self.witness(position, HEADER_LEN);
        self.model_header(position)
    }

    #[cfg(forebay_loom)]
    fn model_header(self, position: Position) -> &'r AtomicHeader {
        &self.model().headers[position.offset(self.mask) / HEADER_LEN]
    }

    #[cfg(forebay_loom)]
    fn model(self) -> &'r Model {
        // SAFETY: as for `control`; the model lives with the memory.
        unsafe { self.model.as_ref() }
    }

    /// Lends bytes to their one owner.
    ///
    /// # Safety
    ///
    /// For `'s` the caller owns `[position, position + len)`, which does not
    /// cross the end of the memory.
    #[inline]
    pub(super) unsafe fn bytes_mut<'s>(self, position: Position, len: usize) -> &'s mut [u8]
    where
        'r: 's,
    {
        debug_assert!(len <= self.to_end(position));
        self.witness_mut(position, len);
        // SAFETY: within the memory and initialised; the caller owns it.
        unsafe { slice::from_raw_parts_mut(self.at(position).as_ptr(), len) }
    }

    /// Lends bytes for reading.
    ///
    /// # Safety
    ///
    /// For `'s` nobody writes `[position, position + len)`, which does not
    /// cross the end of the memory.
    #[inline]
    pub(super) unsafe fn bytes<'s>(self, position: Position, len: usize) -> &'s [u8]
    where
        'r: 's,
    {
        debug_assert!(len <= self.to_end(position));
        self.witness(position, len);
        // SAFETY: within the memory and initialised; nobody writes it.
        unsafe { slice::from_raw_parts(self.at(position).as_ptr(), len) }
    }

    /// Whether `len` bytes from `position` are zero, around the end of the
    /// memory.
    ///
    /// # Safety
    ///
    /// Meanwhile nobody writes them, and `len <= capacity`.
    pub(super) unsafe fn is_zero(self, position: Position, len: usize) -> bool {
        let first = len.min(self.to_end(position));
        // SAFETY: the caller's span; this part ends with the memory.
        let front = unsafe { self.bytes(position, first) };
        // SAFETY: the rest of it, from the front of the memory.
        let back = unsafe { self.bytes(position.plus(first), len - first) };
        front.iter().chain(back).all(|byte| *byte == 0)
    }

    /// Zeroes `len` bytes from `position`, around the end of the memory.
    ///
    /// One small record, the usual case of a consumer that keeps up, costs a
    /// few stores; calls would cost several times as many instructions.
    ///
    /// # Safety
    ///
    /// The caller owns them, headers included, and `len <= capacity`.
    #[inline]
    pub(super) unsafe fn wipe(self, position: Position, len: usize) {
        // Not worth the code on a microcontroller.
        let inline = cfg!(all(target_pointer_width = "64", not(forebay_loom)));
        if inline && (16..=128).contains(&len) && len <= self.to_end(position) {
            // SAFETY: the caller owns the span, which ends with the memory.
            let bytes = unsafe { self.bytes_mut(position, len) };
            match len {
                64.. => zero_ends::<64>(bytes),
                32.. => zero_ends::<32>(bytes),
                _ => zero_ends::<16>(bytes),
            }
        } else {
            // SAFETY: the same demands.
            unsafe { self.wipe_any(position, len) };
        }
    }

    /// # Safety
    ///
    /// As [`wipe`](Region::wipe).
    #[inline(never)]
    unsafe fn wipe_any(self, position: Position, len: usize) {
        let first = len.min(self.to_end(position));
        // SAFETY: the caller owns the span; this part ends with the memory.
        unsafe { self.wipe_part(position, first) };
        if len > first {
            // SAFETY: the rest of the caller's span, from the front.
            unsafe { self.wipe_part(position.plus(first), len - first) };
        }
    }

    /// # Safety
    ///
    /// As [`bytes_mut`](Region::bytes_mut).
    #[inline]
    unsafe fn wipe_part(self, position: Position, len: usize) {
        // SAFETY: the same demands.
        unsafe { self.bytes_mut(position, len) }.fill(0);
        #[cfg(forebay_loom)]
        for at in (0..len).step_by(HEADER_LEN) {
            // Relaxed: a plain write, as far as the witness goes; the caller
            // publishes the wiped span by moving `head`.
            self.model_header(position.plus(at)).store(0, Ordering::Relaxed);
        }
    }

    #[cfg(not(forebay_loom))]
    #[inline]
    fn witness(self, _position: Position, _len: usize) {}

    #[cfg(not(forebay_loom))]
    #[inline]
    fn witness_mut(self, _position: Position, _len: usize) {}

    #[cfg(forebay_loom)]
    fn witness(self, position: Position, len: usize) {
        let first = position.offset(self.mask) / HEADER_LEN;
        for witness in &self.model().witnesses[first..first + len.div_ceil(HEADER_LEN)] {
            witness.with(|_| ());
        }
    }

    #[cfg(forebay_loom)]
    fn witness_mut(self, position: Position, len: usize) {
        let first = position.offset(self.mask) / HEADER_LEN;
        for witness in &self.model().witnesses[first..first + len.div_ceil(HEADER_LEN)] {
            witness.with_mut(|_| ());
        }
    }
}

/// Zeroes `N` to `2 * N` bytes, by two pieces that may overlap.
#[inline]
fn zero_ends<const N: usize>(bytes: &mut [u8]) {
    debug_assert!((N..=2 * N).contains(&bytes.len()));
    if let Some(front) = bytes.first_chunk_mut::<N>() {
        *front = [0; N];
    }
    if let Some(back) = bytes.last_chunk_mut::<N>() {
        *back = [0; N];
    }
}
