//! What is done by plain calls beside the ring.

use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::AsFd,
};

use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

use super::file::File;

/// The offset that means the file's own position: the one for what has no
/// offsets, as pipes and sockets.
pub(crate) const OWN_POSITION: u64 = u64::MAX;

/// A count behind `start` bytes that have been there before; an error behind
/// some comes again at the next try.
pub(crate) fn more(start: usize, result: Result<usize, Errno>) -> Result<usize, Errno> {
    match result {
        Ok(len) => Ok(start + len),
        Err(_) if start > 0 => Ok(start),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn negative(errno: Errno) -> i32 {
    -errno.raw_os_error()
}

/// Calls again what a signal has interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// What a transfer from or to the page cache came to.
#[derive(Debug)]
pub(crate) enum Cached {
    /// This is what `pread(2)` or `pwrite(2)` would say.
    All(Result<usize, Errno>),
    /// So many bytes have moved, the others would have to wait.
    Only(usize),
}

/// Reads what the page cache has (`RWF_NOWAIT`, `preadv2(2)`).
#[inline(always)]
pub(crate) fn read_cached(file: &File, bytes: &mut [u8], offset: u64) -> Cached {
    let mut len = 0;
    while len < bytes.len() {
        let into = &mut [IoSliceMut::new(&mut bytes[len..])];
        let at = offset.saturating_add(len as u64);
        match preadv2(file.as_fd(), into, at, ReadWriteFlags::NOWAIT) {
            // The end of the file: what is not in the cache would be EAGAIN.
            Ok(0) => break,
            Ok(more) => len += more,
            Err(Errno::INTR) => {}
            // Of a pipe or a socket: what there was.
            Err(Errno::AGAIN) if offset == OWN_POSITION && len > 0 => break,
            Err(Errno::AGAIN) => return Cached::Only(len),
            // Not this kind of file, or not this kernel; a seccomp filter.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                file.no_nowait();
                return Cached::Only(len);
            }
            Err(_) if len > 0 => break,
            Err(errno) => return Cached::All(Err(errno)),
        }
    }
    Cached::All(Ok(len))
}

/// Writes what the page cache takes without waiting (`RWF_NOWAIT`,
/// `pwritev2(2)`): not of ext4 and tmpfs, whose buffered writes refuse the flag.
#[cfg_attr(not(feature = "tokio"), allow(dead_code))]
pub(crate) fn write_cached(file: &File, bytes: &[u8], offset: u64) -> Cached {
    let mut len = 0;
    while len < bytes.len() {
        let from = &[IoSlice::new(&bytes[len..])];
        let at = offset.saturating_add(len as u64);
        match pwritev2(file.as_fd(), from, at, ReadWriteFlags::NOWAIT) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if offset == OWN_POSITION && len > 0 => break,
            Err(Errno::AGAIN) => return Cached::Only(len),
            // `EINVAL` from file systems that take the flag for reads alone; a
            // real one comes again.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                file.no_nowait_writes();
                return Cached::Only(len);
            }
            Err(_) if len > 0 => break,
            Err(errno) => return Cached::All(Err(errno)),
        }
    }
    Cached::All(Ok(len))
}
