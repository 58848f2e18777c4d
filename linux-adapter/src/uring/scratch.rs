//! Paths for the kernel and its answers, a place for each slot.

#![allow(unsafe_code)]

use std::{ffi::CString, ptr::NonNull};

use rustix::{fs::Statx, io::Errno};

use super::{region::Region, slots::Ticket};

/// Bytes of a path, with the zero at its end (`PATH_MAX`).
const PATH_LEN: usize = 4096;
/// Of a slot: a path, then a `struct statx`.
const LEN: usize = PATH_LEN + size_of::<Statx>();

/// Memory for a path and a `struct statx` of each slot, which is the kernel's
/// while an operation of that slot is under way (HELD of `slots.rs`).
#[derive(Debug)]
pub(crate) struct Scratch(Region);

impl Scratch {
    pub(crate) fn new(depth: u16) -> Result<Self, Errno> {
        Region::new(usize::from(depth) * LEN).map(Self)
    }

    /// Whether a path is short enough.
    pub(crate) fn takes_path(path: &CString) -> bool {
        path.as_bytes_with_nul().len() <= PATH_LEN
    }

    fn at(&self, ticket: Ticket, at: usize) -> NonNull<u8> {
        let at = ticket.index() * LEN + at;
        self.0.part(at, 1).expect("scratch for each slot")
    }

    /// Puts a path with its zero into the place of a slot that is free.
    ///
    /// # Panics
    ///
    /// If it is too long, see [`takes_path`](Scratch::takes_path).
    pub(crate) fn fill(&mut self, ticket: Ticket, path: &[u8]) -> NonNull<u8> {
        assert!(path.len() <= PATH_LEN, "a path of {} bytes", path.len());
        // SAFETY: the slot is free, so its place is not with the kernel.
        let place = unsafe { self.0.slice_mut(ticket.index() * LEN, path.len()) };
        place.copy_from_slice(path);
        self.at(ticket, 0)
    }

    /// Where the kernel puts its answer for a slot.
    pub(crate) fn answer(&self, ticket: Ticket) -> NonNull<u8> {
        self.at(ticket, PATH_LEN)
    }

    /// The answer that the kernel gave for an operation that is over.
    pub(crate) fn status(&self, ticket: Ticket) -> Statx {
        let place = self.answer(ticket).cast::<Statx>();
        // SAFETY: within the place of the slot, which the kernel does not write
        // to any more; any bytes are a valid `struct statx`.
        unsafe { place.read_unaligned() }
    }
}
