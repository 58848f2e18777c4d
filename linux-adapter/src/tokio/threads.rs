//! Operations by plain calls, on a few threads of its own.
//!
//! The runtime's pool would not do: it starts a thread whenever none is idle,
//! and one that has just given its answer is not idle yet, so that a pool that
//! is never given more than four at a time grows to dozens.
//!
//! # Implementation
//!
//! To wake a thread and to be woken by it takes several times as long as a
//! write into the page cache. So a thread that has nothing to do looks for more
//! for a moment before it sleeps, if that would have paid the last time; and a
//! task whose operation goes to such a thread looks for the answer for a
//! moment, if the last ones came within that. Where there is one processor
//! nobody looks.
//!
//! What may wait for another program, a pipe or a socket, does so in the
//! runtime's poller (`stream`): a thread is for files.

use std::{
    collections::VecDeque,
    hint::spin_loop,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{AtFlags, StatxFlags, fdatasync, fsync, statx},
    io::{Errno, pread, pwrite, read, write},
    net::{SendFlags, send},
};
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    task::coop::consume_budget,
};

use super::stream;
use crate::uring::{
    driver::{Done, Request},
    plain::{OWN_POSITION, retry},
};

/// The most operations at a time, and threads.
const THREADS: usize = 4;
/// For how long a thread looks for more before it sleeps.
const LOOKS_FOR: Duration = Duration::from_micros(50);
/// For how long a task looks for its answer before it gives way.
const ANSWER_WITHIN: Duration = Duration::from_micros(20);

#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    operations: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something is to be done, or there will be nothing more.
    work: Condvar,
    /// The length of the queue, for those who look.
    queued: AtomicUsize,
    /// Whether the last operation was over within [`ANSWER_WITHIN`].
    is_quick: AtomicBool,
    may_look: bool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    /// How many of them sleep.
    idle: usize,
    /// How many of them look.
    looking: usize,
    closed: bool,
}

#[derive(Debug)]
struct Job {
    request: Request,
    answer: oneshot::Sender<Done>,
}

impl Threads {
    pub(super) fn new() -> Self {
        let may_look = thread::available_parallelism().is_ok_and(|count| count.get() > 1);
        let shared = Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            queued: AtomicUsize::new(0),
            is_quick: AtomicBool::new(false),
            may_look,
        };
        Self { shared: Arc::new(shared), operations: AtomicU64::new(0) }
    }

    /// Those that were given to a thread.
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Does `request` where there is no ring.
    pub(super) async fn run(&self, request: Request) -> Done {
        match stream::run(request).await {
            Ok(done) => done,
            Err(request) => self.run_file(request).await,
        }
    }

    /// Does `request` on a thread. A future that is dropped leaves the call and
    /// what it holds to the thread; what has not begun is not begun.
    pub(super) async fn run_file(&self, request: Request) -> Done {
        consume_budget().await;
        let (answer, mut done) = oneshot::channel();
        let is_taken = self.start(Job { request, answer });
        if is_taken && let Some(done) = self.look(&mut done) {
            return done;
        }
        match done.await {
            Ok(done) => done,
            // A thread that has panicked, which none does.
            Err(_) => std::future::pending().await,
        }
    }

    /// Queues a job; whether a thread looks for it.
    fn start(&self, job: Job) -> bool {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let mut state = self.shared.state();
        state.queue.push_back(job);
        let queued = state.queue.len();
        self.shared.queued.store(queued, Ordering::Relaxed);
        let is_taken = queued <= state.looking;
        let wanted = queued > state.idle + state.looking && state.threads < THREADS;
        state.threads += usize::from(wanted);
        drop(state);
        if !is_taken {
            self.shared.work.notify_one();
        }
        if wanted {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("forebay-files".into());
            if thread.spawn(move || shared.work()).is_err() {
                self.shared.state().threads -= 1;
                self.shared.without_threads();
            }
        }
        is_taken
    }

    /// Looks for an answer.
    fn look(&self, done: &mut oneshot::Receiver<Done>) -> Option<Done> {
        if !self.shared.is_quick.load(Ordering::Relaxed) {
            return None;
        }
        let begin = Instant::now();
        loop {
            match done.try_recv() {
                Ok(done) => return Some(done),
                Err(TryRecvError::Empty) if begin.elapsed() < ANSWER_WITHIN => spin_loop(),
                Err(_) => return None,
            }
        }
    }
}

impl Shared {
    /// What a thread does until the files are dropped.
    fn work(&self) {
        let mut looks = self.may_look;
        let mut state = self.state();
        let mut idle_since = None;
        loop {
            if let Some(job) = state.queue.pop_front() {
                self.queued.store(state.queue.len(), Ordering::Relaxed);
                drop(state);
                if let Some(since) = idle_since.take() {
                    looks = self.may_look && Instant::now().duration_since(since) < LOOKS_FOR;
                }
                self.perform(job);
                state = self.state();
                continue;
            }
            if state.closed {
                return;
            }
            let since = *idle_since.get_or_insert_with(Instant::now);
            if looks && since.elapsed() < LOOKS_FOR {
                state.looking += 1;
                drop(state);
                self.look(since);
                state = self.state();
                state.looking -= 1;
            } else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    /// Looks for work.
    fn look(&self, since: Instant) {
        // Relaxed: a hint, the queue is behind the mutex.
        while self.queued.load(Ordering::Relaxed) == 0 && since.elapsed() < LOOKS_FOR {
            spin_loop();
        }
    }

    fn perform(&self, job: Job) {
        if job.answer.is_closed() {
            return;
        }
        let begin = Instant::now();
        let done = perform(job.request);
        self.is_quick.store(begin.elapsed() < ANSWER_WITHIN, Ordering::Relaxed);
        // Nobody waits for it any more, if this fails.
        let _ = job.answer.send(done);
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
