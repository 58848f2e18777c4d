//! The same operations by plain calls, on a few threads of its own.
//!
//! The runtime's pool would not do: it starts a thread whenever none is idle,
//! and one that has just given its answer is not idle yet, so that a pool that
//! is never given more than four at a time grows to dozens.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{AtFlags, StatxFlags, fdatasync, fsync, statx},
    io::{Errno, pread, pwrite},
    net::{SendFlags, send},
};
use tokio::sync::oneshot;

use crate::uring::{
    driver::{Done, Request},
    plain::retry,
};

/// The most operations at a time, and threads.
const THREADS: usize = 4;

#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    operations: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something is to be done, or there will be nothing more.
    work: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    /// How many of them sleep.
    idle: usize,
    closed: bool,
}

#[derive(Debug)]
struct Job {
    request: Request,
    answer: oneshot::Sender<Done>,
}

impl Threads {
    pub(super) fn new() -> Self {
        Self { shared: Arc::default(), operations: AtomicU64::new(0) }
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Does `request`. A future that is dropped leaves the call and what it
    /// holds to its thread; what has not begun is not begun.
    pub(super) async fn run(&self, request: Request) -> Done {
        let (answer, done) = oneshot::channel();
        self.start(Job { request, answer });
        match done.await {
            Ok(done) => done,
            // A thread that has panicked, which none does.
            Err(_) => std::future::pending().await,
        }
    }

    fn start(&self, job: Job) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let mut state = self.shared.state();
        state.queue.push_back(job);
        let wanted = state.queue.len() > state.idle && state.threads < THREADS;
        state.threads += usize::from(wanted);
        drop(state);
        self.shared.work.notify_one();
        if wanted {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("forebay-files".into());
            if thread.spawn(move || shared.work()).is_err() {
                self.shared.state().threads -= 1;
                self.shared.without_threads();
            }
        }
    }
}

impl Shared {
    /// What a thread does until the files are dropped.
    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                job.perform();
                state = self.state();
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    /// The system gives no thread: if there is none, this one does it.
    fn without_threads(&self) {
        loop {
            let mut state = self.state();
            if state.threads > 0 {
                return;
            }
            let Some(job) = state.queue.pop_front() else { return };
            drop(state);
            job.perform();
        }
    }

    /// Nothing panics under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.work.notify_all();
    }
}

impl Job {
    fn perform(self) {
        if !self.answer.is_closed() {
            // Nobody waits for it any more, if this fails.
            let _ = self.answer.send(perform(self.request));
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
        Request::Write { file, lease, start, end, offset } => {
            let at = offset.saturating_add(*start as u64);
            retry(|| pwrite(&*file, &lease[*start..*end], at)).map(count)
        }
        Request::Send { file, lease, start, end, .. } => {
            retry(|| send(&*file, &lease[*start..*end], SendFlags::NOSIGNAL)).map(count)
        }
        Request::Writable { file, .. } => {
            let writable = &mut [PollFd::new(&*file, PollFlags::OUT)];
            retry(|| poll(writable, None)).map(|_| 0)
        }
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
