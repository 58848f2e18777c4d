//! Operations by plain calls, on a few threads of its own.
//!
//! The runtime's pool would not do: it starts a thread whenever none is idle,
//! and one that has just given its answer is not idle yet, so that a pool that
//! is never given more than four at a time grows to dozens.
//!
//! # Implementation
//!
//! A job wakes the thread that has slept the shortest, or none: one that is
//! about to give its answer takes it before it sleeps.
//!
//! What may wait for another program, a pipe or a socket, does so in the
//! runtime's poller (`stream`): a thread is for files.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, Thread},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{AtFlags, StatxFlags, fdatasync, fsync, statx},
    io::{Errno, pread, pwrite, read, write},
    net::{SendFlags, send},
};
use tokio::sync::oneshot;

use super::stream;
use crate::uring::{
    driver::{Done, Request},
    plain::{OWN_POSITION, retry},
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
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    /// Those that sleep, and have not been woken; the last has slept shortest.
    idle: Vec<Thread>,
    /// How many are about to look into the queue.
    returning: usize,
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

    /// Those that were given to a thread.
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Whether none of them has anything to do.
    pub(super) fn are_idle(&self) -> bool {
        let state = self.shared.state();
        state.queue.is_empty() && state.idle.len() + state.returning == state.threads
    }

    /// Does `request`, where there is no ring.
    pub(super) async fn run(&self, request: Request) -> Done {
        match stream::run(request).await {
            Ok(done) => done,
            Err(request) => self.run_file(request).await,
        }
    }

    /// Does `request` on a thread. A future that is dropped leaves the call and
    /// what it holds to the thread; what has not begun is not begun.
    pub(super) async fn run_file(&self, request: Request) -> Done {
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
        if state.queue.len() <= state.returning {
            return;
        }
        let woken = state.idle.pop();
        let is_wanted = woken.is_none() && state.threads < THREADS;
        state.threads += usize::from(is_wanted);
        drop(state);
        woken.iter().for_each(Thread::unpark);
        if is_wanted {
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
                self.perform(job);
                state = self.state();
                state.returning -= 1;
            } else if state.closed {
                return;
            } else {
                state = self.sleep(state);
            }
        }
    }

    /// Sleeps until it is woken.
    fn sleep<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let this = thread::current();
        state.idle.push(this.clone());
        while state.idle.iter().any(|thread| thread.id() == this.id()) {
            drop(state);
            thread::park();
            state = self.state();
        }
        state
    }

    /// Does a job; the thread counts as one that returns.
    fn perform(&self, job: Job) {
        let Job { request, answer } = job;
        let done = (!answer.is_closed()).then(|| perform(request));
        self.state().returning += 1;
        if let Some(done) = done {
            // Nobody waits for it any more, if this fails.
            let _ = answer.send(done);
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
            self.perform(job);
            self.state().returning -= 1;
        }
    }

    /// Nothing panics under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        let woken = std::mem::take(&mut state.idle);
        drop(state);
        woken.iter().for_each(Thread::unpark);
    }
}

/// A count of bytes as the kernel gives it.
pub(super) fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn perform(mut request: Request) -> Done {
    let (mut opened, mut status) = (None, None);
    let result: Result<u32, Errno> = match &mut request {
        Request::Read { file, lease, start, end, offset: OWN_POSITION } => {
            retry(|| read(&*file, &mut lease[*start..*end])).map(count)
        }
        Request::Read { file, lease, start, end, offset } => {
            let at = offset.saturating_add(*start as u64);
            retry(|| pread(&*file, &mut lease[*start..*end], at)).map(count)
        }
        Request::Write { file, lease, start, end, offset: OWN_POSITION } => {
            retry(|| write(&*file, &lease[*start..*end])).map(count)
        }
        Request::Write { file, lease, start, end, offset } => {
            let at = offset.saturating_add(*start as u64);
            retry(|| pwrite(&*file, &lease[*start..*end], at)).map(count)
        }
        // If no descriptor was left to wait with: `stream` does these.
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
    Done { request, result, opened, status }
}
