//! Page-aligned memory that is mapped, not allocated: it costs nothing until
//! it is touched, and the kernel gets it back whole.

#![allow(unsafe_code)]

use std::{ptr::NonNull, slice};

use rustix::io::Errno;

/// Zeroed memory, aligned to a page.
///
/// Invariant OWNED: `base` is valid for reads and writes of `len` bytes until
/// the region is dropped, and only its owner hands out parts of it.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: OWNED; the memory belongs to no thread.
unsafe impl Send for Region {}
// SAFETY: a shared region gives pointers, and slices by unsafe calls alone.
unsafe impl Sync for Region {}

/// The length of a page in bytes.
pub(crate) fn page_len() -> usize {
    if cfg!(miri) { 4096 } else { rustix::param::page_size() }
}

impl Region {
    /// At least `len` bytes, in whole pages.
    pub(crate) fn new(len: usize) -> Result<Self, Errno> {
        let page = page_len();
        let len = len.max(1).checked_next_multiple_of(page).ok_or(Errno::NOMEM)?;
        Ok(Self { base: memory::map(len, page)?, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A pointer to `len` bytes from `at` on, or `None` past the end.
    pub(crate) fn part(&self, at: usize, len: usize) -> Option<NonNull<u8>> {
        if at.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: OWNED; `at` is within the region.
        Some(unsafe { self.base.add(at) })
    }

    /// The `len` bytes from `at` on.
    ///
    /// # Safety
    ///
    /// Nobody writes to them as long as the slice lives.
    ///
    /// # Panics
    ///
    /// Past the end.
    pub(crate) unsafe fn slice(&self, at: usize, len: usize) -> &[u8] {
        let part = self.part(at, len).expect("a part of the region");
        // SAFETY: OWNED, and the caller's promise; all bytes are initialized.
        unsafe { slice::from_raw_parts(part.as_ptr(), len) }
    }

    /// The `len` bytes from `at` on.
    ///
    /// # Safety
    ///
    /// Nobody else reads or writes them as long as the slice lives.
    ///
    /// # Panics
    ///
    /// Past the end.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice_mut(&self, at: usize, len: usize) -> &mut [u8] {
        let part = self.part(at, len).expect("a part of the region");
        // SAFETY: OWNED, and the caller's promise; all bytes are initialized.
        unsafe { slice::from_raw_parts_mut(part.as_ptr(), len) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: OWNED; this is the memory's end.
        unsafe { memory::unmap(self.base, self.len) };
    }
}

#[cfg(not(miri))]
mod memory {
    use std::ptr::{NonNull, null_mut};

    use rustix::{
        io::Errno,
        mm::{MapFlags, ProtFlags, mmap_anonymous, munmap},
    };

    pub(super) fn map(len: usize, _page: usize) -> Result<NonNull<u8>, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at a place of the kernel's choice.
        let base = unsafe { mmap_anonymous(null_mut(), len, protection, MapFlags::PRIVATE) }?;
        NonNull::new(base.cast()).ok_or(Errno::NOMEM)
    }

    /// # Safety
    ///
    /// The two are those of a call of `map`, and the memory is not used again.
    pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize) {
        // SAFETY: the caller's promise.
        let unmapped = unsafe { munmap(base.as_ptr().cast(), len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// Miri knows of no `mmap` by system call.
#[cfg(miri)]
mod memory {
    use std::{
        alloc::{Layout, alloc_zeroed, dealloc},
        ptr::NonNull,
    };

    use rustix::io::Errno;

    pub(super) fn map(len: usize, page: usize) -> Result<NonNull<u8>, Errno> {
        let layout = Layout::from_size_align(len, page).map_err(|_| Errno::NOMEM)?;
        // SAFETY: the length is not zero.
        NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Errno::NOMEM)
    }

    /// # Safety
    ///
    /// The two are those of a call of `map`, and the memory is not used again.
    pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize) {
        let layout = Layout::from_size_align(len, super::page_len()).expect("as it was mapped");
        // SAFETY: the caller's promise.
        unsafe { dealloc(base.as_ptr(), layout) };
    }
}
