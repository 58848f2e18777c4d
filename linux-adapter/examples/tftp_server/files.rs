//! The bytes of files, through a bounded number of buffers: by io_uring in the
//! runtime's own poller, or by a few threads where there is none.

use std::{
    fs, io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use forebay_linux::tokio::{Config, File, Files as Backend, Lease};
use tokio::task::spawn_blocking;

/// Files, and the buffers through which their bytes pass.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    backend: Backend,
    buffers: usize,
    lent_max: Arc<AtomicUsize>,
}

impl Files {
    /// At most `buffers` buffers of `buffer_len` bytes at a time.
    pub(crate) fn new(buffer_len: usize, buffers: usize) -> io::Result<Self> {
        let count = u32::try_from(buffers).map_err(|_| io::ErrorKind::InvalidInput)?;
        let backend = Backend::new(&Config::new().buffers(count).buffer_len(buffer_len))?;
        Ok(Self { backend, buffers, lent_max: Arc::default() })
    }

    /// Takes over an open file.
    pub(crate) fn adopt(&self, file: fs::File) -> File {
        self.backend.adopt(file)
    }

    /// Lends a buffer, or `None` while all are out. To be called by one task,
    /// so that nobody else takes the last one.
    pub(crate) async fn lease(&self) -> Option<Lease> {
        if self.backend.leases_free() == 0 {
            return None;
        }
        let lease = self.backend.lease().await;
        self.lent_max.fetch_max(self.lent().0, Ordering::Relaxed);
        Some(lease)
    }

    /// How many buffers are lent, and how many have been at the same time.
    pub(crate) fn lent(&self) -> (usize, usize) {
        (self.buffers - self.backend.leases_free(), self.lent_max.load(Ordering::Relaxed))
    }

    /// Whether io_uring does the work, and if it does not, why.
    pub(crate) fn how(&self) -> String {
        match self.backend.fallback() {
            None => "files by io_uring".into(),
            Some(why) => format!("files by threads: {why}"),
        }
    }
}

/// Reads into a range of the buffer, from `offset` on; 0 at the end.
pub(crate) async fn read(
    file: &File,
    mut lease: Lease,
    range: Range<usize>,
    offset: u64,
) -> (Lease, io::Result<usize>) {
    // The front of a lease is what is read into, so the range goes there.
    lease[..range.end].rotate_left(range.start);
    let (mut lease, result) = file.read_len_at(lease, range.len(), offset).await;
    lease[..range.end].rotate_right(range.start);
    (lease, result)
}

/// Writes the first `len` bytes of the buffer to `offset`.
pub(crate) async fn write(
    file: &File,
    mut lease: Lease,
    mut len: usize,
    mut offset: u64,
) -> (Lease, io::Result<()>) {
    while len > 0 {
        let (back, result) = file.write_at(lease, len, offset).await;
        lease = back;
        match result {
            Ok(0) => return (lease, Err(io::ErrorKind::WriteZero.into())),
            Ok(wrote) => {
                lease.copy_within(wrote..len, 0);
                len -= wrote;
                offset += wrote as u64;
            }
            Err(error) => return (lease, Err(error)),
        }
    }
    (lease, Ok(()))
}

/// Does what may block on a thread that may be blocked.
pub(crate) async fn off<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("opening and renaming do not panic")
}
