//! The backend for every system: threads that read and write at offsets.

use std::{
    collections::VecDeque,
    fmt, fs, io, mem,
    ops::Deref,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use super::{
    Backend, BadConfig, Block, Completion, Config, Done, Lease, Operation, Rejected, Tally, Ticket,
    pool::Pool, positioned,
};
use crate::write::uninterrupted;

/// The most threads of a backend, without another number.
pub const THREADS_MAX: usize = 4;

/// A file of [`Threads`]; clones share it, and the last one closes it.
#[derive(Clone, Debug)]
pub struct File(Arc<fs::File>);

impl Deref for File {
    type Target = fs::File;

    fn deref(&self) -> &fs::File {
        &self.0
    }
}

/// Does file operations on a few threads, which are started as they are
/// needed and sleep while nothing is to be done.
///
/// ```
/// use forebay_std::file::{Backend, Block, Config, Done, Operation, Options, Threads};
///
/// let path = std::env::temp_dir().join(format!("forebay-threads-{}", std::process::id()));
/// let mut files = Threads::new(&Config::default())?;
///
/// files.submit(Operation::Open { path: path.clone(), options: Options::CREATE })?;
/// let opened = files.reap(Block::UntilOne)?.expect("one is under way");
/// let Done::Opened(file) = opened.result? else { panic!("opened, or an error") };
///
/// let mut lease = files.lease().expect("none is out");
/// lease[..5].copy_from_slice(b"bytes");
/// files.submit(Operation::Write { file: file.clone(), lease, range: 0..5, offset: 0 })?;
/// let written = files.reap(Block::UntilOne)?.expect("one is under way");
/// assert_eq!(written.result?.moved(), Some(5));
///
/// files.submit(Operation::Sync { file, data_only: true })?;
/// files.reap(Block::UntilOne)?.expect("one is under way").result?;
/// assert_eq!(std::fs::read(&path)?, b"bytes");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An operation that is under way cannot be given up, only one that waits for
/// a thread. A read or write that a signal interrupts is made again.
///
/// # Implementation
///
/// One lock guards the queue of what is to be done and the queue of what has
/// been; a thread takes it twice for each operation, the caller once for each
/// batch of completions. Invariant: an operation is in exactly one place, the
/// first queue, a thread's hands, the second queue, or `ready`; and `tally`
/// counts all of them.
pub struct Threads {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    workers: Vec<JoinHandle<()>>,
    workers_max: usize,
    tally: Tally,
    /// Completions that were taken together, the rest of them.
    ready: VecDeque<Finished>,
}

/// What is called after each completion, to wake who reaps.
type Wake = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something is to be done, or there will be nothing more.
    work: Condvar,
    /// Something has been done.
    done: Condvar,
    wake: OnceLock<Wake>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Ticket, Operation<File, Lease>)>,
    finished: VecDeque<Finished>,
    /// How many threads sleep.
    idle: usize,
    /// Whether `reap` sleeps.
    reaping: bool,
    closed: bool,
}

struct Finished {
    completion: Completion<File, Lease>,
    /// How many bytes were asked for.
    asked: usize,
}

impl Threads {
    /// A backend that starts up to [`THREADS_MAX`] threads.
    ///
    /// # Errors
    ///
    /// If an option is wrong.
    pub fn new(config: &Config) -> Result<Self, BadConfig> {
        config.check()?;
        Ok(Self {
            shared: Arc::default(),
            pool: Pool::new(config.buffer_count(), config.buffer_len),
            workers: Vec::new(),
            workers_max: THREADS_MAX,
            tally: Tally::new(config.queue_depth),
            ready: VecDeque::new(),
        })
    }

    /// Sets how many threads there may be, at least one.
    #[must_use]
    pub fn threads_max(mut self, threads: usize) -> Self {
        self.workers_max = threads.max(1);
        self
    }

    /// Calls `wake` after each completion, on the thread of it, for who waits
    /// elsewhere than in [`reap`](Backend::reap). It must not panic.
    ///
    /// # Panics
    ///
    /// If it was called before.
    #[must_use]
    pub fn on_completion(self, wake: impl Fn() + Send + Sync + 'static) -> Self {
        assert!(self.shared.wake.set(Box::new(wake)).is_ok(), "one wake-up a backend");
        self
    }

    /// Starts a thread if one is wanted and may be. Where the system gives
    /// none at all, the operations are done here.
    fn start(&mut self) {
        if self.workers.len() == self.workers_max {
            return;
        }
        let shared = self.shared.clone();
        let worker = thread::Builder::new().name("forebay-file".into());
        match worker.spawn(move || shared.work()) {
            Ok(worker) => self.workers.push(worker),
            Err(_) if self.workers.is_empty() => {
                let mut state = self.shared.state();
                while let Some((ticket, operation)) = state.queue.pop_front() {
                    drop(state);
                    self.shared.finish(perform(ticket, operation));
                    state = self.shared.state();
                }
            }
            Err(_) => {}
        }
    }
}

impl Backend for Threads {
    type File = File;
    type Lease = Lease;

    fn name(&self) -> &'static str {
        "threads"
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn attach(&mut self, file: fs::File) -> io::Result<File> {
        Ok(File(Arc::new(file)))
    }

    fn lease(&mut self) -> Option<Lease> {
        self.pool.lease()
    }

    fn submit(
        &mut self,
        operation: Operation<File, Lease>,
    ) -> Result<Ticket, Rejected<File, Lease>> {
        let ticket = match self.tally.ticket(&operation) {
            Ok(ticket) => ticket,
            Err(why) => {
                self.tally.rejected();
                return Err(Rejected { operation, why });
            }
        };
        self.tally.submitted();
        let mut state = self.shared.state();
        state.queue.push_back((ticket, operation));
        let (queued, idle) = (state.queue.len(), state.idle);
        drop(state);
        if idle > 0 {
            self.shared.work.notify_one();
        }
        if queued > idle {
            self.start();
        }
        Ok(ticket)
    }

    fn cancel(&mut self, ticket: Ticket) -> bool {
        let mut state = self.shared.state();
        let at = state.queue.iter().position(|(queued, _)| *queued == ticket);
        let Some((ticket, operation)) = at.and_then(|at| state.queue.remove(at)) else {
            return false;
        };
        let asked = operation.asked();
        let lease = operation.into_lease();
        let completion = Completion { ticket, result: Ok(Done::Cancelled), lease };
        state.finished.push_back(Finished { completion, asked });
        true
    }

    fn reap(&mut self, block: Block) -> io::Result<Option<Completion<File, Lease>>> {
        if self.tally.in_flight() == 0 {
            return Ok(None);
        }
        if self.ready.is_empty() {
            let mut state = self.shared.finished(block);
            mem::swap(&mut self.ready, &mut state.finished);
        }
        let Some(Finished { completion, asked }) = self.ready.pop_front() else { return Ok(None) };
        self.tally.reaped(&completion.result, asked);
        Ok(Some(completion))
    }
}

impl Shared {
    /// What a thread does until the backend is dropped.
    fn work(&self) {
        let mut state = self.state();
        while !state.closed {
            if let Some((ticket, operation)) = state.queue.pop_front() {
                drop(state);
                self.finish(perform(ticket, operation));
                state = self.state();
            } else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    fn finish(&self, finished: Finished) {
        let mut state = self.state();
        state.finished.push_back(finished);
        let reaping = mem::take(&mut state.reaping);
        drop(state);
        if reaping {
            self.done.notify_one();
        }
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// Waits for completions for as long as `block` says.
    fn finished(&self, block: Block) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while state.finished.is_empty() {
            let left = match block {
                Block::Never => break,
                Block::Until(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    Some(left)
                }
                Block::UntilOne => None,
            };
            state.reaping = true;
            state = match left {
                None => self.done.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.reaping = false;
        }
        state
    }

    /// Nothing panics under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // What has not begun goes with the queue.
        self.shared.state().closed = true;
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A thread that has panicked is gone as well.
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads")
            .field("threads", &self.workers.len())
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}

/// Does an operation, here and now.
fn perform(ticket: Ticket, operation: Operation<File, Lease>) -> Finished {
    let asked = operation.asked();
    let (result, lease) = match operation {
        Operation::Open { path, options } => {
            (options.open(path).map(|file| Done::Opened(File(Arc::new(file)))), None)
        }
        Operation::Read { file, mut lease, range, offset } => {
            let bytes = &mut lease[range];
            let result = uninterrupted(|| positioned::read(&file, bytes, offset));
            (result.map(Done::Moved), Some(lease))
        }
        Operation::Write { file, lease, range, offset } => {
            let result = uninterrupted(|| positioned::write(&file, &lease[range.clone()], offset));
            (result.map(Done::Moved), Some(lease))
        }
        Operation::Sync { file, data_only: true } => {
            (uninterrupted(|| file.sync_data()).map(|()| Done::Synced), None)
        }
        Operation::Sync { file, data_only: false } => {
            (uninterrupted(|| file.sync_all()).map(|()| Done::Synced), None)
        }
        Operation::Len { file } => (file.metadata().map(|it| Done::Len(it.len())), None),
        Operation::Close { file } => {
            drop(file);
            (Ok(Done::Closed), None)
        }
    };
    Finished { completion: Completion { ticket, result, lease }, asked }
}
