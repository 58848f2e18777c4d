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
//! the cache takes, on file systems that can say so (xfs); where they cannot,
//! the task's thread may be allowed to wait for it (`patience`), or a thread
//! does it if it has nothing else to do (`threads`). The rest, and the other
//! operations, go to a ring (`hub`) whose descriptor sits in the runtime's own
//! poller (`reaper`). Where there is no io_uring the threads, a few, do that
//! too, but for what waits for pipes and sockets (`stream`), and
//! [`Files::fallback`] says why.
//!
//! Buffers are those of [`uring`]: leases from a bounded pool,
//! given to an operation by value. A future that is dropped leaves its
//! operation to the kernel; its lease is back in the pool when that is over.

mod file;
mod hub;
mod patience;
mod read;
mod reaper;
mod stream;
mod threads;

use std::{
    ffi::CString,
    fmt, io,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::io::Errno;
use tokio::{runtime::Handle, sync::Semaphore};

use crate::uring::{
    self, Feature, Way,
    arena::Arena,
    driver::{Done, Request},
    offer,
    scratch::Scratch,
    setup,
};
pub use crate::uring::{Alignment, Config, Degraded, Lease, OpenOptions, SetupError, Why};
pub use file::File;
use hub::Hub;
use patience::Patience;
pub use read::ReadAt;
use threads::Threads;

/// Buffers of a pool for which no number is set.
const BUFFERS: u32 = 64;

/// Opens files whose operations are futures.
///
/// A clone is another handle to the same ring and the same buffers; they may be
/// used from many tasks and threads at once, of several runtimes too. The
/// runtime in which they were made does their work; when it ends before them, a
/// thread does.
///
/// When the last one goes, what is under way is cancelled. In a runtime that is
/// all: the end of it is left to the runtime's threads, which do not wait.
/// Elsewhere, and when the runtime ends, it is waited for, at most
/// [`Config::close_within`].
#[derive(Clone)]
pub struct Files {
    inner: Arc<Inner>,
}

struct Inner {
    /// Who does what cannot be done at once; threads do it if there is none,
    /// and what the ring is not for.
    ring: Option<Hub>,
    threads: Threads,
    patience: Patience,
    /// Whether the ring opens files and asks for their metadata.
    ring_opens: bool,
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
    /// Writes for which the thread of the task waited, see
    /// [`Config::waiting_writes`].
    pub waiting_writes: u64,
    /// Those of them that took longer than the limit.
    pub slow_writes: u64,
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
        let ring = match setup::driver(&config, Arc::clone(&arena)) {
            Ok((driver, more)) => {
                lacks.extend(more);
                Ok(Hub::new(driver)?)
            }
            Err(why @ SetupError::Ring(_)) => Err(why),
            Err(why) => return Err(why.into()),
        };
        Ok(Self::with(&config, ring, arena, leases, lacks))
    }

    /// Files by threads, whatever the kernel offers; `why` is told by
    /// [`fallback`](Files::fallback). Pipes and sockets are waited for in a
    /// runtime with I/O; in one without, that panics.
    ///
    /// # Errors
    ///
    /// As [`new`](Files::new).
    pub fn by_threads(config: &Config, why: SetupError) -> io::Result<Self> {
        Handle::try_current().map_err(io::Error::other)?;
        config.depth()?;
        let (arena, leases) = pool(config)?;
        Ok(Self::with(config, Err(why), arena, leases, Vec::new()))
    }

    fn with(
        config: &Config,
        ring: Result<Hub, SetupError>,
        arena: Arc<Arena>,
        leases: Arc<Semaphore>,
        mut lacks: Vec<Degraded>,
    ) -> Self {
        let (mut reads, mut writes) = (config.reads, config.writes);
        if let Err(why) = offer::cached_reads() {
            if reads == Way::Inline {
                lacks.push(why);
            }
            (reads, writes) = (Way::Ring, Way::Ring);
        }
        let fallback = ring.as_ref().err().copied();
        let inner = Inner {
            ring: ring.ok(),
            threads: Threads::new(),
            patience: Patience::new(config.waiting_writes),
            ring_opens: !lacks.iter().any(|lack| lack.feature == Feature::OpenAndStatus),
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
        (counts.waiting_writes, counts.slow_writes) = self.inner.patience.counts();
        counts.thread_operations = self.inner.threads.operations();
        if let Some(hub) = &self.inner.ring {
            let (driver, ring) = hub.ask(|driver| driver.counts());
            counts.ring_operations = driver.operations;
            counts.enters = ring.enters;
            counts.orphans = driver.orphans;
            counts.late_opens = driver.late_opens;
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
        match &self.inner.ring {
            Some(ring) if self.inner.ring_opens || !request.opens_or_asks() => {
                ring.run(request).await
            }
            _ => self.inner.threads.run(request).await,
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

/// A ring for one thread is not one for tasks.
const _: () = {
    const fn for_tasks<T: Send + Sync + Clone>() {}
    for_tasks::<Files>();
    for_tasks::<File>();
};

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    /// A ring of Linux 5.1 to 5.5 reads and writes; threads do the rest.
    #[test]
    fn a_ring_that_cannot_open_leaves_that_to_threads() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut config = Config::new().reads(Way::Ring);
            config.single_issuer = false;
            let (arena, leases) = pool(&config).unwrap();
            let driver = match setup::driver(&config, Arc::clone(&arena)) {
                Ok((driver, _)) => driver,
                Err(why) => return println!("SKIPPED: {why}"),
            };
            let lacks = vec![Degraded { feature: Feature::OpenAndStatus, errno: Errno::NOSYS }];
            let ring = Ok(Hub::new(driver).unwrap());
            let files = Files::with(&config, ring, arena, leases, lacks);
            let file = files.open("/proc/self/stat", OpenOptions::read_only()).await.unwrap();
            file.len().await.unwrap();
            let counts = files.counts();
            assert_eq!((counts.thread_operations, counts.ring_operations), (2, 0));
            let (_, len) = file.read_at(files.lease().await, 0).await;
            assert!(len.unwrap() > 0);
            let counts = files.counts();
            assert_eq!((counts.thread_operations, counts.ring_operations), (2, 1));
        });
    }
}
