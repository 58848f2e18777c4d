//! Reads and writes of files through a bounded number of buffers, off the
//! threads that tend the sockets.

use std::{
    fs::File,
    io,
    ops::{Deref, DerefMut, Range},
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::spawn_blocking;

/// Files, and the buffers through which their bytes pass.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pool: Arc<Mutex<Pool>>,
    buffer_len: usize,
}

#[derive(Debug)]
struct Pool {
    idle: Vec<Box<[u8]>>,
    lent: usize,
    lent_max: usize,
    most: usize,
}

/// A buffer, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    bytes: Box<[u8]>,
    pool: Arc<Mutex<Pool>>,
}

impl Files {
    /// At most `most` buffers of `buffer_len` bytes at a time.
    pub(crate) fn new(buffer_len: usize, most: usize) -> Self {
        let pool = Pool { idle: Vec::new(), lent: 0, lent_max: 0, most };
        Self { pool: Arc::new(Mutex::new(pool)), buffer_len }
    }

    /// Lends a buffer, or `None` while all are out.
    pub(crate) fn lease(&self) -> Option<Lease> {
        let mut pool = locked(&self.pool);
        if pool.lent == pool.most {
            return None;
        }
        pool.lent += 1;
        pool.lent_max = pool.lent_max.max(pool.lent);
        let idle = pool.idle.pop();
        drop(pool);
        let bytes = idle.unwrap_or_else(|| vec![0; self.buffer_len].into_boxed_slice());
        Some(Lease { bytes, pool: self.pool.clone() })
    }

    /// How many buffers are lent, and how many have been at the same time.
    pub(crate) fn lent(&self) -> (usize, usize) {
        let pool = locked(&self.pool);
        (pool.lent, pool.lent_max)
    }

    /// Reads into a range of the buffer, from `offset` on; 0 at the end.
    pub(crate) async fn read(
        &self,
        file: &Arc<File>,
        mut lease: Lease,
        range: Range<usize>,
        offset: u64,
    ) -> (Lease, io::Result<usize>) {
        let file = file.clone();
        off(move || {
            let result = file.read_at(&mut lease[range], offset);
            (lease, result)
        })
        .await
    }

    /// Writes a range of the buffer to `offset`.
    pub(crate) async fn write(
        &self,
        file: &Arc<File>,
        lease: Lease,
        range: Range<usize>,
        offset: u64,
    ) -> (Lease, io::Result<()>) {
        let file = file.clone();
        off(move || {
            let result = file.write_all_at(&lease[range], offset);
            (lease, result)
        })
        .await
    }
}

/// Does what may block on a thread that may be blocked.
pub(crate) async fn off<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("file operations do not panic")
}

fn locked(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut pool = locked(&self.pool);
        pool.lent -= 1;
        pool.idle.push(std::mem::take(&mut self.bytes));
    }
}
