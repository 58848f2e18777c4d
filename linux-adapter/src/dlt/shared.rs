//! What the client's handle, its contexts and its thread all see.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use forebay::{
    Ledger,
    frame::dlt::{Id, UserRecord},
};

use super::waker::Waker;

/// The daemon has not said whether somebody receives.
pub(super) const STATE_UNKNOWN: u8 = 2;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) app: Id,
    pub(super) ecu: Id,
    pub(super) pid: u32,
    pub(super) description: String,
    /// The longest record that a context may send.
    pub(super) record_len_max: usize,
    pub(super) level: u8,
    pub(super) waker: Waker,
    /// No message is accepted any more.
    pub(super) closed: AtomicBool,
    /// Contexts in the order of their positions. Locked where one is made and
    /// where the daemon speaks, never where a message is sent.
    contexts: Mutex<Vec<Arc<ContextState>>>,
    /// Contexts made so far: what the thread compares with what it has
    /// announced.
    pub(super) context_count: AtomicU64,
    /// Messages refused in all contexts.
    pub(super) refused: AtomicU64,
    pub(super) log_state: AtomicU8,
    pub(super) progress: Progress,
    flushing: Mutex<Flushing>,
    flushed: Condvar,
}

/// A context as all its handles see it.
#[derive(Debug)]
pub(super) struct ContextState {
    pub(super) id: Id,
    pub(super) description: String,
    /// The greatest level's number that is sent.
    pub(super) level: AtomicU8,
    /// The counter of the next message.
    pub(super) counter: AtomicU8,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// What the thread has done. It alone stores, all relaxed: figures.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) delivered: AtomicU64,
    pub(super) undeliverable: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) blocked: AtomicU64,
    pub(super) waits: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) attempts: AtomicU64,
    pub(super) resent: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) cut: AtomicU64,
    pub(super) unread_unknown: AtomicU64,
    pub(super) reported: AtomicU64,
    pub(super) injections: AtomicU64,
    pub(super) damages: AtomicU64,
    pub(super) fifo_len: AtomicU64,
    pub(super) is_connected: AtomicBool,
}

#[derive(Debug, Default)]
struct Flushing {
    asked: u64,
    done: u64,
    ended: bool,
}

impl Shared {
    pub(super) fn new(
        app: Id,
        ecu: Id,
        description: String,
        record_len_max: usize,
        level: u8,
    ) -> io::Result<Self> {
        Ok(Self {
            app,
            ecu,
            pid: std::process::id(),
            description,
            record_len_max,
            level,
            waker: Waker::new()?,
            closed: AtomicBool::new(false),
            contexts: Mutex::default(),
            context_count: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            log_state: AtomicU8::new(STATE_UNKNOWN),
            progress: Progress::default(),
            flushing: Mutex::default(),
            flushed: Condvar::new(),
        })
    }

    /// A panic under the lock leaves the list whole.
    pub(super) fn contexts(&self) -> MutexGuard<'_, Vec<Arc<ContextState>>> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The context of this name, made if there is none yet.
    pub(super) fn context(&self, id: Id, description: &str) -> Arc<ContextState> {
        let mut contexts = self.contexts();
        if let Some(known) = contexts.iter().find(|context| context.id == id) {
            return Arc::clone(known);
        }
        let context = Arc::new(ContextState {
            id,
            description: cut(description).to_owned(),
            level: AtomicU8::new(self.level),
            counter: AtomicU8::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        contexts.push(Arc::clone(&context));
        // Release: who sees the count sees the context; the lock, too.
        self.context_count.store(contexts.len() as u64, Ordering::Release);
        drop(contexts);
        self.waker.wake();
        context
    }

    /// The process id as the daemon's records have it.
    pub(super) fn pid_in_records(&self) -> i32 {
        self.pid.cast_signed()
    }

    /// The records that announce the contexts from one on, and how many
    /// contexts are announced then; without a first one, the application and
    /// all of its contexts.
    pub(super) fn announcements(&self, first: Option<usize>) -> (Vec<Vec<u8>>, usize) {
        let (app, pid) = (self.app, self.pid_in_records());
        let mut records = Vec::new();
        if first.is_none() {
            let description = cut(&self.description).as_bytes();
            records.push(record(&UserRecord::RegisterApp { app, pid, description }));
        }
        let contexts = self.contexts();
        for (position, context) in (0..).zip(&*contexts).skip(first.unwrap_or(0)) {
            records.push(record(&UserRecord::RegisterContext {
                app,
                context: context.id,
                position,
                // The daemon answers with the level that it has for it.
                level: -1,
                trace: -1,
                pid,
                description: context.description.as_bytes(),
            }));
        }
        (records, contexts.len())
    }

    pub(super) fn ledger(&self) -> Ledger {
        let progress = &self.progress;
        // Before what is accepted, so that no message is delivered that was
        // not accepted.
        let delivered = progress.delivered.load(Ordering::Relaxed);
        let undeliverable = progress.undeliverable.load(Ordering::Relaxed);
        let contexts = self.contexts();
        let sum = |count: fn(&ContextState) -> &AtomicU64| {
            contexts.iter().map(|context| count(context).load(Ordering::Relaxed)).sum::<u64>()
        };
        let accepted = sum(|context| &context.accepted);
        let refused = sum(|context| &context.refused);
        let offered = accepted + refused;
        Ledger { offered, accepted, refused, delivered, undeliverable, ..Ledger::default() }
    }

    fn flushing(&self) -> MutexGuard<'_, Flushing> {
        self.flushing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that has been accepted has left; whether it has.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut flushing = self.flushing();
        flushing.asked += 1;
        let ticket = flushing.asked;
        drop(flushing);
        self.waker.wake();
        let mut flushing = self.flushing();
        while flushing.done < ticket {
            let left = deadline.saturating_duration_since(Instant::now());
            if flushing.ended || left.is_zero() {
                return false;
            }
            let waited = self.flushed.wait_timeout(flushing, left);
            flushing = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The flushes asked for so far, to be looked at before the ring is.
    pub(super) fn flushes_asked(&self) -> u64 {
        self.flushing().asked
    }

    /// Says that nothing was left after `asked` flushes had been asked for.
    pub(super) fn flushed(&self, asked: u64) {
        let mut flushing = self.flushing();
        if flushing.done < asked {
            flushing.done = asked;
            self.flushed.notify_all();
        }
    }

    /// Says that nothing leaves any more.
    pub(super) fn ended(&self) {
        self.flushing().ended = true;
        self.flushed.notify_all();
    }
}

/// A description that fits a record of `PIPE_BUF` bytes with what is before it.
fn cut(description: &str) -> &str {
    const DESCRIPTION_LEN_MAX: usize = 1024;
    let mut end = description.len().min(DESCRIPTION_LEN_MAX);
    while !description.is_char_boundary(end) {
        end -= 1;
    }
    &description[..end]
}

/// The bytes of a record with a description, which has been cut.
pub(super) fn record(record: &UserRecord<'_>) -> Vec<u8> {
    let mut out = vec![0; 2048];
    let len = record.put(&mut out);
    debug_assert!(len.is_ok(), "{len:?}");
    out.truncate(len.unwrap_or(0));
    out
}
