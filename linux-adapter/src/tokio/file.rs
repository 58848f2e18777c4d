//! An open file.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::Ordering,
};

use rustix::io::pwrite;
use tokio::task::coop::consume_budget;

use super::{Files, invalid, read::ReadAt};
use crate::uring::{
    self, Alignment, Lease, Way,
    driver::{Done, Request},
    outcome::check_transfer,
    plain::{Cached, OWN_POSITION, more, retry, write_cached},
};

/// An open file whose operations are futures.
///
/// Operations of one file, or of several clones, may be under way at the same
/// time, in any order.
#[derive(Clone, Debug)]
pub struct File {
    pub(super) files: Files,
    pub(super) file: uring::File,
}

impl File {
    /// Reads from `offset` on, as many bytes as the lease has; how many were
    /// read is less at the end of the file, and zero behind it.
    ///
    /// The offset `u64::MAX` is the file's own position, for reads and writes.
    /// Pipes and sockets, which have no other, are waited for so, in the
    /// runtime's poller; less than was asked for is then what there was.
    #[inline]
    pub fn read_at(&self, lease: Lease, offset: u64) -> ReadAt<'_> {
        let len = lease.len();
        self.read_len_at(lease, len, offset)
    }

    /// Reads up to `len` bytes into the front of the lease. Errors come with
    /// the lease: those of `pread(2)`, and `InvalidInput` for more bytes than
    /// the lease has and for what `O_DIRECT` does not take.
    #[inline]
    pub const fn read_len_at(&self, lease: Lease, len: usize, offset: u64) -> ReadAt<'_> {
        ReadAt::new(self, lease, len, offset)
    }

    /// Writes the first `len` bytes of the lease to `offset`; how many were
    /// written may be less. Errors come with the lease, as for reads. A write
    /// whose future is dropped may be made all the same, or not, or in part.
    pub async fn write_at(
        &self,
        lease: Lease,
        len: usize,
        offset: u64,
    ) -> (Lease, io::Result<usize>) {
        if let Err(why) = check_transfer(&self.file, &lease, len, offset) {
            return (lease, Err(invalid(why)));
        }
        let inner = &*self.files.inner;
        let is_buffered = inner.writes == Way::Inline && self.file.alignment().is_none();
        let mut start = 0;
        if is_buffered {
            consume_budget().await;
            match self.write_now(&lease[..len], offset) {
                Cached::All(result) => return (lease, result.map_err(io::Error::from)),
                Cached::Only(len) => start = len,
            }
        }
        let request = Request::Write { file: self.file.clone(), lease, start, end: len, offset };
        // The kernel has threads for this, too: they take longer for one write,
        // and are faster with many. None of ours is for what waits for a reader.
        let done = if is_buffered && offset != OWN_POSITION && inner.threads.are_idle() {
            inner.threads.run_file(request).await
        } else {
            self.files.run(request).await
        };
        moved(done, start)
    }

    /// Writes what can be written at once.
    fn write_now(&self, bytes: &[u8], offset: u64) -> Cached {
        let inner = &*self.files.inner;
        let mut start = 0;
        if self.file.nowait_writes() {
            match write_cached(&self.file, bytes, offset) {
                Cached::All(result) => {
                    inner.cached_writes.fetch_add(1, Ordering::Relaxed);
                    return Cached::All(result);
                }
                Cached::Only(len) => start = len,
            }
            inner.write_misses.fetch_add(1, Ordering::Relaxed);
        }
        if offset == OWN_POSITION {
            return Cached::Only(start);
        }
        let at = offset.saturating_add(start as u64);
        match inner.patience.wait(|| retry(|| pwrite(&self.file, &bytes[start..], at))) {
            Some(result) => Cached::All(more(start, result)),
            None => Cached::Only(start),
        }
    }

    /// Waits until the data is on the disk, and what is needed to find it
    /// (`fdatasync(2)`).
    ///
    /// # Errors
    ///
    /// What the system call reports.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync(true).await
    }

    /// The same with all metadata (`fsync(2)`).
    ///
    /// # Errors
    ///
    /// What the system call reports.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.sync(false).await
    }

    async fn sync(&self, data_only: bool) -> io::Result<()> {
        let request = Request::Sync { file: self.file.clone(), data_only };
        Ok(self.files.run(request).await.result.map(drop)?)
    }

    /// The length of the file in bytes.
    ///
    /// # Errors
    ///
    /// What `statx(2)` reports.
    pub async fn len(&self) -> io::Result<u64> {
        let request = Request::Status { file: self.file.clone(), known: None };
        let done = self.files.run(request).await;
        done.result?;
        Ok(done.status.map_or(0, |status| status.stx_size))
    }

    /// Whether the file has no bytes.
    ///
    /// # Errors
    ///
    /// As [`len`](File::len).
    pub async fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// What transfers are to be aligned to; `None` without `O_DIRECT`.
    #[must_use]
    pub fn alignment(&self) -> Option<Alignment> {
        self.file.alignment()
    }

    /// The files that it belongs to.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }
}

/// What became of a transfer, behind `start` bytes that have been moved before.
pub(super) fn moved(done: Done, start: usize) -> (Lease, io::Result<usize>) {
    let result = done.result.map(|len| len as usize);
    match done.request.into_lease() {
        Some(lease) => (lease, more(start, result).map_err(io::Error::from)),
        None => unreachable!("a transfer has a lease"),
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
