//! The same operations by plain calls, on a few threads of the runtime's pool.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{AtFlags, StatxFlags, fdatasync, fsync, statx},
    io::{Errno, pread, pwrite},
    net::{SendFlags, send},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::uring::{
    driver::{Done, Request},
    plain::retry,
};

/// The most operations, and so threads, at a time.
const THREADS: usize = 4;

#[derive(Debug)]
pub(super) struct Threads {
    free: Arc<Semaphore>,
    operations: AtomicU64,
}

impl Threads {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(THREADS)), operations: AtomicU64::new(0) }
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Does `request`. A future that is dropped leaves the call and what it
    /// holds to its thread.
    pub(super) async fn run(&self, request: Request) -> Done {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        self.operations.fetch_add(1, Ordering::Relaxed);
        let task = spawn_blocking(move || {
            let done = perform(request);
            drop(permit);
            done
        });
        match task.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and with it this future.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

fn perform(mut request: Request) -> Done {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let (mut opened, mut status) = (None, None);
    let result = match &mut request {
        Request::Read { file, lease, start, end, offset } => {
            let at = offset.saturating_add(*start as u64);
            retry(|| pread(&*file, &mut lease[*start..*end], at)).map(count)
        }
        Request::Write { file, lease, len, offset } => {
            retry(|| pwrite(&*file, &lease[..*len], *offset)).map(count)
        }
        Request::Send { file, lease, start, end, .. } => {
            retry(|| send(&*file, &lease[*start..*end], SendFlags::NOSIGNAL)).map(count)
        }
        Request::Writable { file, .. } => {
            let writable = &mut [PollFd::new(&*file, PollFlags::OUT)];
            retry(|| poll(writable, None)).map(|_| 0)
        }
        Request::Moved { .. } => Ok(0),
        Request::Sync { file, data_only: true } => retry(|| fdatasync(&*file)).map(|()| 0),
        Request::Sync { file, data_only: false } => retry(|| fsync(&*file)).map(|()| 0),
        Request::Open { path, options } => retry(|| options.open(&*path)).map(|fd| {
            opened = Some(fd);
            0
        }),
        Request::Status { file, .. } => {
            statx(&*file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(|answer| {
                status = Some(answer);
                0
            })
        }
    };
    let result: Result<u32, Errno> = result;
    Done { request, result, opened, status }
}
