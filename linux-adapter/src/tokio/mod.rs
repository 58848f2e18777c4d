//! Files as futures inside an existing tokio runtime: no second runtime, no
//! thread for a transfer.
//!
//! ```
//! use forebay_linux::tokio::{Config, Files, OpenOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! # let path = std::env::temp_dir().join(format!("forebay-files-{}", std::process::id()));
//! let files = Files::new(&Config::new())?;
//! let options = OpenOptions::read_write().create(0o600);
//! let file = files.open(&path, options).await?;
//!
//! let mut lease = files.lease().await;
//! lease[..5].copy_from_slice(b"bytes");
//! let (lease, written) = file.write_at(lease, 5, 0).await;
//! assert_eq!(written?, 5);
//! file.sync_data().await?;
//!
//! let (lease, len) = file.read_at(lease, 0).await;
//! assert_eq!(&lease[..len?], b"bytes");
//! # std::fs::remove_file(&path)
//! # }
//! ```
//!
//! # Implementation
//!
//! A read takes what the page cache has by a plain call that never waits
//! (`RWF_NOWAIT`), as a wake-up costs more than the copy; so does a write what
//! the cache takes, on file systems that can say so. The rest, and the other
//! operations, go to a ring whose descriptor sits in the runtime's own
//! poller (`hub`). Where there is no io_uring, a few threads do
//! it, and [`Files::fallback`] says why.
//!
//! Buffers are those of [`uring`]: leases from a bounded pool,
//! given to an operation by value. A future that is dropped leaves its
//! operation to the kernel; its lease is back in the pool when that is over.

mod hub;
mod threads;

use std::{
    ffi::CString,
    fmt, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::io::Errno;
use tokio::{runtime::Handle, sync::Semaphore, task::coop::consume_budget};

use crate::uring::{
    self, Feature, Way,
    arena::Arena,
    driver::{Done, Request},
    offer,
    outcome::check_transfer,
    plain::{Cached, more, read_cached, write_cached},
    scratch::Scratch,
    setup,
};
pub use crate::uring::{Alignment, Config, Degraded, Lease, OpenOptions, SetupError, Why};
use hub::Hub;
use threads::Threads;

/// Buffers of a pool for which no number is set.
const BUFFERS: u32 = 64;

/// Opens files whose operations are futures.
///
/// A clone is another handle to the same ring and the same buffers; they may be
/// used from many tasks and threads at once. They belong to the runtime in
/// which they were made. The last one to go waits for what the kernel has under
/// way, at most [`Config::close_within`].
#[derive(Clone)]
pub struct Files {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    arena: Arc<Arena>,
    /// As many permits as buffers are free.
    leases: Arc<Semaphore>,
    reads: Way,
    writes: Way,
    lacks: Vec<Degraded>,
    fallback: Option<SetupError>,
    cached_reads: AtomicU64,
    cache_misses: AtomicU64,
    cached_writes: AtomicU64,
    write_misses: AtomicU64,
}

/// Who does what cannot be done at once.
#[derive(Debug)]
enum Engine {
    Ring(Arc<Hub>),
    Threads(Threads),
}

/// Which way the operations of a [`Files`] went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads answered from the page cache at once.
    pub cached_reads: u64,
    /// Reads of which the page cache had not all.
    pub cache_misses: u64,
    /// Writes that the page cache took at once.
    pub cached_writes: u64,
    /// Writes that it did not take, or not all of, without waiting. A file
    /// whose file system takes none so has one.
    pub write_misses: u64,
    /// Operations given to the ring.
    pub ring_operations: u64,
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Operations given to threads.
    pub thread_operations: u64,
    /// Operations that ended when nobody waited for them any more.
    pub orphans: u64,
    /// Files that such an open opened; each was closed.
    pub late_opens: u64,
}

impl Files {
    /// Files by io_uring, or by threads where there is none. `config` is that
    /// of a context; a pool for which no number of buffers is set has 64.
    ///
    /// ```
    /// # use forebay_linux::tokio::{Config, Files};
    /// let error = Files::new(&Config::new()).unwrap_err();
    /// assert!(error.to_string().contains("runtime"));
    /// ```
    ///
    /// # Errors
    ///
    /// A configuration that is wrong, no memory for the buffers, or no runtime
    /// that this is called in.
    ///
    /// # Panics
    ///
    /// As [`AsyncFd::new`](tokio::io::unix::AsyncFd::new), in a runtime without
    /// I/O.
    pub fn new(config: &Config) -> io::Result<Self> {
        Handle::try_current().map_err(io::Error::other)?;
        config.depth()?;
        let (arena, leases) = pool(config)?;
        let mut lacks = Vec::new();
        let mut config = config.clone();
        config.single_issuer = false;
        if config.iopoll.take().is_some() {
            // Such a ring is polled by calls, not by its descriptor.
            lacks.push(Degraded { feature: Feature::IoPoll, errno: Errno::OPNOTSUPP });
        }
        let (engine, fallback) = match setup::driver(&config, Arc::clone(&arena)) {
            Ok((driver, more)) => {
                lacks.extend(more);
                (Engine::Ring(Hub::new(driver)?), None)
            }
            Err(why @ SetupError::Ring(_)) => (Engine::Threads(Threads::new()), Some(why)),
            Err(why) => return Err(why.into()),
        };
        Ok(Self::with(&config, engine, arena, leases, lacks, fallback))
    }

    /// Files by threads, whatever the kernel offers; `why` is told by
    /// [`fallback`](Files::fallback).
    ///
    /// # Errors
    ///
    /// As [`new`](Files::new).
    pub fn by_threads(config: &Config, why: SetupError) -> io::Result<Self> {
        Handle::try_current().map_err(io::Error::other)?;
        config.depth()?;
        let (arena, leases) = pool(config)?;
        let engine = Engine::Threads(Threads::new());
        Ok(Self::with(config, engine, arena, leases, Vec::new(), Some(why)))
    }

    fn with(
        config: &Config,
        engine: Engine,
        arena: Arc<Arena>,
        leases: Arc<Semaphore>,
        mut lacks: Vec<Degraded>,
        fallback: Option<SetupError>,
    ) -> Self {
        let (mut reads, mut writes) = (config.reads, config.writes);
        if let Err(why) = offer::cached_reads() {
            if reads == Way::Inline {
                lacks.push(why);
            }
            (reads, writes) = (Way::Ring, Way::Ring);
        }
        let inner = Inner {
            engine,
            arena,
            leases,
            reads,
            writes,
            lacks,
            fallback,
            cached_reads: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
            cached_writes: AtomicU64::new(0),
            write_misses: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Why threads do the work and no ring; `None` when a ring does.
    #[must_use]
    pub fn fallback(&self) -> Option<SetupError> {
        self.inner.fallback
    }

    /// What the ring goes without, with the reasons.
    #[must_use]
    pub fn lacks(&self) -> &[Degraded] {
        &self.inner.lacks
    }

    /// Which way the operations went.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            cached_reads: self.inner.cached_reads.load(Ordering::Relaxed),
            cache_misses: self.inner.cache_misses.load(Ordering::Relaxed),
            cached_writes: self.inner.cached_writes.load(Ordering::Relaxed),
            write_misses: self.inner.write_misses.load(Ordering::Relaxed),
            ..Counts::default()
        };
        match &self.inner.engine {
            Engine::Ring(hub) => {
                let (driver, ring) = hub.driver().counts();
                counts.ring_operations = driver.operations;
                counts.enters = ring.enters;
                counts.orphans = driver.orphans;
                counts.late_opens = driver.late_opens;
            }
            Engine::Threads(threads) => counts.thread_operations = threads.operations(),
        }
        counts
    }

    /// The length of a buffer in bytes.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        self.inner.arena.buffer_len()
    }

    /// Buffers that are free just now.
    #[must_use]
    pub fn leases_free(&self) -> usize {
        self.inner.arena.free()
    }

    /// Lends a buffer, after waiting for one if all are out. A task that waits
    /// for a second one while it holds a first may wait for ever, when all do
    /// so.
    pub async fn lease(&self) -> Lease {
        loop {
            // The semaphore is never closed.
            let permit = self.inner.leases.acquire().await.ok();
            if let Some(lease) = self.inner.arena.lease() {
                // It comes back with the lease.
                permit.into_iter().for_each(|permit| permit.forget());
                return lease;
            }
        }
    }

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// What `openat(2)` reports; `InvalidInput` for a path with a zero byte or
    /// of 4096 bytes and more.
    pub async fn open(&self, path: impl AsRef<Path>, options: OpenOptions) -> io::Result<File> {
        let path = path.as_ref().as_os_str().as_bytes();
        let wrong = Why::Path { len: path.len() };
        let path = CString::new(path).map_err(|_| invalid(wrong))?;
        if !Scratch::takes_path(&path) {
            return Err(invalid(wrong));
        }
        let done = self.run(Request::Open { path, options }).await;
        match (done.opened, done.result) {
            (Some(fd), _) => Ok(self.file(uring::File::new(fd, options.is_direct(), None))),
            (None, Err(errno)) => Err(errno.into()),
            (None, Ok(_)) => Err(Errno::BADF.into()),
        }
    }

    /// Takes over an open file.
    pub fn adopt(&self, file: std::fs::File) -> File {
        self.file(file.into())
    }

    fn file(&self, file: uring::File) -> File {
        File { files: self.clone(), file }
    }

    async fn run(&self, request: Request) -> Done {
        match &self.inner.engine {
            Engine::Ring(hub) => hub.run(request).await,
            Engine::Threads(threads) => threads.run(request).await,
        }
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("fallback", &self.inner.fallback)
            .field("leases_free", &self.leases_free())
            .finish_non_exhaustive()
    }
}

/// The buffers, and as many permits.
fn pool(config: &Config) -> io::Result<(Arc<Arena>, Arc<Semaphore>)> {
    let buffers = config.buffers.unwrap_or(BUFFERS);
    let leases = Arc::new(Semaphore::new(buffers as usize));
    let freed = Arc::clone(&leases);
    let freed = Box::new(move || freed.add_permits(1));
    let arena = Arena::new(buffers, config.buffer_len, Some(freed)).map_err(SetupError::Buffers)?;
    Ok((Arc::new(arena), leases))
}

fn invalid(why: Why) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// An open file whose operations are futures.
///
/// Operations of one file, or of several clones, may be under way at the same
/// time, in any order.
#[derive(Clone, Debug)]
pub struct File {
    files: Files,
    file: uring::File,
}

impl File {
    /// Reads from `offset` on, as many bytes as the lease has; how many were
    /// read is less at the end of the file, and zero behind it.
    #[inline]
    pub async fn read_at(&self, lease: Lease, offset: u64) -> (Lease, io::Result<usize>) {
        let len = lease.len();
        self.read_len_at(lease, len, offset).await
    }

    /// Reads up to `len` bytes into the front of the lease. Errors come with
    /// the lease: those of `pread(2)`, and `InvalidInput` for more bytes than
    /// the lease has and for what `O_DIRECT` does not take.
    // Inline: as `Context::read` is.
    #[inline]
    pub async fn read_len_at(
        &self,
        mut lease: Lease,
        len: usize,
        offset: u64,
    ) -> (Lease, io::Result<usize>) {
        if let Err(why) = check_transfer(&self.file, &lease, len, offset) {
            return (lease, Err(invalid(why)));
        }
        let mut start = 0;
        let inner = &*self.files.inner;
        if self.file.nowait() && inner.reads == Way::Inline {
            // A loop over a cached file gives way to others now and then.
            consume_budget().await;
            match read_cached(&self.file, &mut lease[..len], offset) {
                Cached::All(result) => {
                    inner.cached_reads.fetch_add(1, Ordering::Relaxed);
                    return (lease, result.map_err(io::Error::from));
                }
                Cached::Only(len) => start = len,
            }
            inner.cache_misses.fetch_add(1, Ordering::Relaxed);
        }
        let file = self.file.clone();
        self.transfer(Request::Read { file, lease, start, end: len, offset }, start).await
    }

    /// Writes the first `len` bytes of the lease to `offset`; how many were
    /// written may be less. Errors come with the lease, as for reads.
    pub async fn write_at(
        &self,
        lease: Lease,
        len: usize,
        offset: u64,
    ) -> (Lease, io::Result<usize>) {
        if let Err(why) = check_transfer(&self.file, &lease, len, offset) {
            return (lease, Err(invalid(why)));
        }
        let mut start = 0;
        let inner = &*self.files.inner;
        if self.file.nowait_writes() && inner.writes == Way::Inline {
            consume_budget().await;
            match write_cached(&self.file, &lease[..len], offset) {
                Cached::All(result) => {
                    inner.cached_writes.fetch_add(1, Ordering::Relaxed);
                    return (lease, result.map_err(io::Error::from));
                }
                Cached::Only(len) => start = len,
            }
            inner.write_misses.fetch_add(1, Ordering::Relaxed);
        }
        let file = self.file.clone();
        self.transfer(Request::Write { file, lease, start, end: len, offset }, start).await
    }

    async fn transfer(&self, request: Request, start: usize) -> (Lease, io::Result<usize>) {
        let done = self.files.run(request).await;
        let result = more(start, done.result).map_err(io::Error::from);
        match done.request.into_lease() {
            Some(lease) => (lease, result),
            None => unreachable!("a transfer has a lease"),
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

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A ring for one thread is not one for tasks.
const _: () = {
    const fn for_tasks<T: Send + Sync + Clone>() {}
    for_tasks::<Files>();
    for_tasks::<File>();
};
