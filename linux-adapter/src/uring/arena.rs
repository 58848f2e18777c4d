//! Buffers that the kernel may use: owned by an arena, lent as leases.
//!
//! # Implementation
//!
//! One [`Region`] of page-aligned buffers of one length, and the list of those
//! that are free.
//!
//! Invariant LEASED: the index of a buffer is in the free list or in exactly
//! one [`Lease`]. The bytes of a buffer are the lease's owner's, by its borrow
//! rules; while an operation is under way its slot owns the lease, and nobody
//! borrows from it.

#![allow(unsafe_code)]

use std::{
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::io::Errno;

use super::region::{Region, page_len};

/// What is called when a buffer has become free.
type Freed = Box<dyn Fn() + Send + Sync>;

/// Buffers of one length.
pub(crate) struct Arena {
    region: Region,
    buffer_len: usize,
    count: u32,
    free: Mutex<Vec<u32>>,
    freed: Option<Freed>,
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("buffer_len", &self.buffer_len)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Arena {
    /// `count` buffers of `buffer_len` bytes, rounded up to whole pages.
    pub(crate) fn new(count: u32, buffer_len: usize, freed: Option<Freed>) -> Result<Self, Errno> {
        let buffer_len =
            buffer_len.max(1).checked_next_multiple_of(page_len()).ok_or(Errno::NOMEM)?;
        let len = buffer_len.checked_mul(count as usize).ok_or(Errno::NOMEM)?;
        let region = Region::new(len)?;
        // The lowest first: what is never lent is never touched.
        Ok(Self { region, buffer_len, count, free: Mutex::new((0..count).rev().collect()), freed })
    }

    /// Lends a buffer, if one is free.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        let index = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Lease { arena: Arc::clone(self), index })
    }

    /// The buffers that are free.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn free(&self) -> usize {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn buffer_len(&self) -> usize {
        self.buffer_len
    }

    /// All of its memory, to be registered.
    pub(crate) fn memory(&self) -> (NonNull<u8>, usize) {
        let len = self.region.len();
        (self.region.part(0, len).unwrap_or(NonNull::dangling()), len)
    }
}

/// One buffer of a context, to be filled by a read or written from.
///
/// It is aligned to a page and is given to an operation by value, so that
/// nobody can look into it, free it or use it twice while the kernel works:
///
/// ```compile_fail,E0382
/// # use forebay_linux::uring::{Config, Context, File, Lease};
/// # fn show(context: &mut Context, file: &File, lease: Lease) {
/// let ticket = context.read(file, lease, 4096, 0);
/// println!("{:?}", &lease[..4]); // it is with the kernel
/// # }
/// ```
///
/// A dropped lease goes back to where it came from. It may outlive its
/// context.
pub struct Lease {
    arena: Arc<Arena>,
    index: u32,
}

impl Lease {
    fn at(&self) -> usize {
        self.index as usize * self.arena.buffer_len
    }

    /// Where it is; for an entry of the kernel's queue.
    pub(crate) fn pointer(&self) -> NonNull<u8> {
        self.arena.region.part(self.at(), self.arena.buffer_len).unwrap_or(NonNull::dangling())
    }

    /// Whether it is of this arena.
    pub(crate) fn is_of(&self, arena: &Arc<Arena>) -> bool {
        Arc::ptr_eq(&self.arena, arena)
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: LEASED; the bytes are this lease's, which is borrowed.
        unsafe { self.arena.region.slice(self.at(), self.arena.buffer_len) }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: LEASED; the bytes are this lease's, which is borrowed
        // mutably.
        unsafe { self.arena.region.slice_mut(self.at(), self.arena.buffer_len) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.arena.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
        if let Some(freed) = &self.arena.freed {
            freed();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("index", &self.index).field("len", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_lent_once_and_comes_back() {
        let arena = Arc::new(Arena::new(3, 1000, None).unwrap());
        let mut leases: Vec<Lease> = std::iter::from_fn(|| arena.lease()).collect();
        assert_eq!((leases.len(), arena.free()), (3, 0));
        for (lease, byte) in leases.iter_mut().zip(1..) {
            assert_eq!(lease.len(), 4096);
            assert_eq!(lease.as_ptr().addr() % 4096, 0);
            lease.fill(byte);
        }
        for (lease, byte) in leases.iter().zip(1..) {
            assert!(lease.iter().all(|&it| it == byte), "two leases share a buffer");
        }
        leases.remove(1);
        assert_eq!(arena.free(), 1);
        assert_eq!(arena.lease().unwrap()[..], [2; 4096][..]);
    }

    #[test]
    fn a_lease_outlives_the_handle_of_its_arena() {
        let arena = Arc::new(Arena::new(1, 4096, None).unwrap());
        let mut lease = arena.lease().unwrap();
        drop(arena);
        lease.fill(7);
        assert_eq!(lease[4095], 7);
    }

    #[test]
    fn what_waits_for_a_buffer_is_told() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let told = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&told);
        let freed = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let arena = Arc::new(Arena::new(2, 1, Some(Box::new(freed))).unwrap());
        drop((arena.lease(), arena.lease()));
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn too_much_memory_is_an_error() {
        assert_eq!(Arena::new(u32::MAX, usize::MAX / 2, None).unwrap_err(), Errno::NOMEM);
    }
}
