//! The two queues that the kernel and a program share, over atomics.
//!
//! # Implementation
//!
//! The kernel owns the head of the submission queue and the tail of the
//! completion queue, this side the other two. Whoever publishes an index
//! stores it with Release after the entries; whoever reads the other's index
//! loads it with Acquire before the entries.
//!
//! Invariant MAPPED: every pointer of [`Queues`] is aligned and valid for
//! reads and writes as long as the `Queues` lives, and nobody but the kernel
//! uses the memory behind it otherwise. Entries of the submission queue from
//! its tail on, and those of the completion queue from its head to its tail,
//! are this side's.

#![allow(unsafe_code)]

use std::{
    ops::Deref,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering, fence},
};

use rustix::io_uring::{IoringSqFlags, io_uring_sqe};

/// `struct io_uring_cqe` of `linux/io_uring.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

const _: () = assert!(size_of::<Completion>() == 16 && size_of::<io_uring_sqe>() == 64);

/// A word that the kernel shares.
struct Word(NonNull<AtomicU32>);

impl Deref for Word {
    type Target = AtomicU32;

    fn deref(&self) -> &AtomicU32 {
        // SAFETY: MAPPED; a `Word` is a part of a `Queues` and not given out.
        unsafe { self.0.as_ref() }
    }
}

/// Where the parts of the queues are.
pub(crate) struct Places {
    pub(crate) sq_head: NonNull<AtomicU32>,
    pub(crate) sq_tail: NonNull<AtomicU32>,
    pub(crate) sq_flags: NonNull<AtomicU32>,
    /// The order in which entries are taken, one word each.
    pub(crate) sq_array: NonNull<AtomicU32>,
    pub(crate) sq_entries: NonNull<io_uring_sqe>,
    pub(crate) sq_len: u32,
    pub(crate) cq_head: NonNull<AtomicU32>,
    pub(crate) cq_tail: NonNull<AtomicU32>,
    pub(crate) cq_entries: NonNull<Completion>,
    pub(crate) cq_len: u32,
}

/// This side of the two queues.
pub(crate) struct Queues {
    sq_head: Word,
    sq_tail: Word,
    sq_flags: Word,
    sq_entries: NonNull<io_uring_sqe>,
    sq_len: u32,
    /// The tail as this side knows it; published by `publish`.
    tail: u32,
    cq_head: Word,
    cq_tail: Word,
    cq_entries: NonNull<Completion>,
    cq_len: u32,
}

// SAFETY: the memory belongs to no thread; all access goes through `&mut self`
// or atomics.
unsafe impl Send for Queues {}

impl core::fmt::Debug for Queues {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Queues")
            .field("sq_len", &self.sq_len)
            .field("cq_len", &self.cq_len)
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

impl Queues {
    /// # Safety
    ///
    /// MAPPED holds for `places` as long as the result lives; both lengths are
    /// powers of two, and the arrays that long.
    pub(crate) unsafe fn new(places: Places) -> Self {
        for index in 0..places.sq_len {
            // SAFETY: MAPPED; the array has `sq_len` words.
            let word = unsafe { places.sq_array.add(index as usize) };
            // Entry i is always at place i. Relaxed: published with the tail.
            Word(word).store(index, Ordering::Relaxed);
        }
        let tail = Word(places.sq_tail).load(Ordering::Relaxed);
        Self {
            sq_head: Word(places.sq_head),
            sq_tail: Word(places.sq_tail),
            sq_flags: Word(places.sq_flags),
            sq_entries: places.sq_entries,
            sq_len: places.sq_len,
            tail,
            cq_head: Word(places.cq_head),
            cq_tail: Word(places.cq_tail),
            cq_entries: places.cq_entries,
            cq_len: places.cq_len,
        }
    }

    /// Entries that the kernel has not taken yet, published or not.
    pub(crate) fn pending(&self) -> u32 {
        // Acquire: pairs with the kernel's store of the head, after which the
        // places before it are ours to write.
        self.tail.wrapping_sub(self.sq_head.load(Ordering::Acquire))
    }

    /// Entries for which there is room.
    pub(crate) fn room(&self) -> u32 {
        self.sq_len - self.pending()
    }

    /// Puts an entry behind the others; the kernel sees it after
    /// [`publish`](Queues::publish).
    ///
    /// # Safety
    ///
    /// Whatever memory and descriptor the entry names stays valid, and unused
    /// by anybody else, until its completion has been popped.
    ///
    /// # Panics
    ///
    /// If there is no [`room`](Queues::room).
    pub(crate) unsafe fn push(&mut self, entry: io_uring_sqe) {
        assert!(self.room() > 0, "{} entries in a queue of {}", self.pending(), self.sq_len);
        let index = (self.tail & (self.sq_len - 1)) as usize;
        // SAFETY: MAPPED; the index is below `sq_len`.
        let place = unsafe { self.sq_entries.add(index) };
        // SAFETY: MAPPED; the place is not the kernel's, as there is room.
        unsafe { place.write(entry) };
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel all that has been pushed.
    pub(crate) fn publish(&self) {
        // Release: pairs with the kernel's load of the tail; the entries come
        // before it.
        self.sq_tail.store(self.tail, Ordering::Release);
    }

    /// Takes back what the kernel has not taken; how many entries that is.
    /// Only where no thread of the kernel looks at the queue by itself.
    pub(crate) fn withdraw(&mut self) -> u32 {
        let count = self.pending();
        self.tail = self.tail.wrapping_sub(count);
        self.sq_tail.store(self.tail, Ordering::Release);
        count
    }

    /// Takes back the oldest entry that the kernel has not taken; the others
    /// move up. Only where no thread of the kernel looks at the queue by
    /// itself.
    pub(crate) fn withdraw_oldest(&mut self) {
        let count = self.pending();
        assert!(count > 0, "an empty queue");
        let place = |at: u32| {
            let index = at & (self.sq_len - 1);
            // SAFETY: MAPPED; the index is below `sq_len`.
            unsafe { self.sq_entries.add(index as usize) }
        };
        let first = self.tail.wrapping_sub(count);
        for at in 1..count {
            // SAFETY: MAPPED; this side's, as the kernel has not taken it.
            let entry = unsafe { place(first.wrapping_add(at)).read() };
            // SAFETY: MAPPED; as above, the one before it.
            unsafe { place(first.wrapping_add(at - 1)).write(entry) };
        }
        self.tail = self.tail.wrapping_sub(1);
        self.publish();
    }

    /// The kernel's flags. After [`publish`](Queues::publish), whether its
    /// polling thread sleeps.
    pub(crate) fn flags_after_publish(&self) -> IoringSqFlags {
        // SeqCst: the tail is published before the flags are read, as the
        // thread sets NEED_WAKEUP before it looks at the tail a last time; with
        // less, both could miss the other.
        fence(Ordering::SeqCst);
        self.flags()
    }

    /// The kernel's flags.
    pub(crate) fn flags(&self) -> IoringSqFlags {
        // Relaxed: what they announce is fetched by a system call.
        IoringSqFlags::from_bits_retain(self.sq_flags.load(Ordering::Relaxed))
    }

    /// Completions that are there.
    pub(crate) fn ready(&self) -> u32 {
        // Acquire: pairs with the kernel's store of the tail after the entries.
        let tail = self.cq_tail.load(Ordering::Acquire);
        tail.wrapping_sub(self.cq_head.load(Ordering::Relaxed))
    }

    /// Takes the oldest completion.
    pub(crate) fn pop(&mut self) -> Option<Completion> {
        if self.ready() == 0 {
            return None;
        }
        let head = self.cq_head.load(Ordering::Relaxed);
        let index = (head & (self.cq_len - 1)) as usize;
        // SAFETY: MAPPED; the index is below `cq_len`.
        let place = unsafe { self.cq_entries.add(index) };
        // SAFETY: MAPPED; the entry is before the tail, so it is written, and
        // at the head, so the kernel does not write it again yet.
        let completion = unsafe { place.read() };
        // Release: pairs with the kernel's load of the head; the entry has been
        // read before.
        self.cq_head.store(head.wrapping_add(1), Ordering::Release);
        Some(completion)
    }
}

/// The kernel's side, for the kernel of the tests.
#[cfg(test)]
impl Queues {
    pub(crate) fn kernel_take(&self) -> Option<io_uring_sqe> {
        let head = self.sq_head.load(Ordering::Relaxed);
        if head == self.sq_tail.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: MAPPED; below `sq_len`.
        let place = unsafe { self.sq_entries.add((head & (self.sq_len - 1)) as usize) };
        // SAFETY: MAPPED; before the tail, so it is written.
        let entry = unsafe { place.read() };
        self.sq_head.store(head.wrapping_add(1), Ordering::Release);
        Some(entry)
    }

    /// Whether there was room.
    pub(crate) fn kernel_post(&self, completion: Completion) -> bool {
        let tail = self.cq_tail.load(Ordering::Relaxed);
        if tail.wrapping_sub(self.cq_head.load(Ordering::Acquire)) == self.cq_len {
            return false;
        }
        // SAFETY: MAPPED; below `cq_len`.
        let place = unsafe { self.cq_entries.add((tail & (self.cq_len - 1)) as usize) };
        // SAFETY: MAPPED; at the tail and not full, so nobody reads it.
        unsafe { place.write(completion) };
        self.cq_tail.store(tail.wrapping_add(1), Ordering::Release);
        true
    }

    pub(crate) fn kernel_flag(&self, flag: IoringSqFlags, on: bool) {
        if on {
            self.sq_flags.fetch_or(flag.bits(), Ordering::Relaxed);
        } else {
            self.sq_flags.fetch_and(!flag.bits(), Ordering::Relaxed);
        }
    }
}
