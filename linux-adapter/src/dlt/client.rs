//! An application's way to the daemon.

use std::{
    error::Error,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use forebay::{
    Ledger,
    frame::dlt::{Id, Level},
    ring::{BadCapacity, Many, Producer, heap},
};

use super::{
    context::Context,
    endpoint::Endpoint,
    shared::Shared,
    transport::{Injection, OnInjection, Transport},
};
use crate::PIPE_BUF;

/// The longest record that a daemon takes, in bytes.
const RECORD_LEN_MAX: usize = 65_535;
/// How long a client that is dropped waits for what it has accepted.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// The directories in which this process has a client. The daemon's answers
/// come through a FIFO that is named after the process alone.
static TAKEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// An application that is connected to the daemon, or will be when there is
/// one.
///
/// A thread of its own writes what the contexts have put into the ring: to a
/// FIFO in batches of at most `PIPE_BUF` bytes, which do not mix with those of
/// other processes. While the daemon is away messages stay in the ring. When
/// one is back, the application and its contexts are registered anew, and what
/// the last one has left unread in its FIFO is sent again.
///
/// What a daemon has read and not passed on when it is killed is lost. That
/// daemon alone knew what that was; but how many messages it had begun to read
/// is counted ([`Counts::taken`]), so who knows how many its clients got from it
/// knows how many are lost, and there are no others. Over a socket it is not
/// known what has been read.
///
/// When the client is dropped it waits a second at most for what it has
/// accepted; [`close`](Client::close) says how it went.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    producer: Mutex<Producer<'static, Many>>,
    thread: Option<JoinHandle<()>>,
    _place: Option<Place>,
}

/// What a client is to be; see [`Client::builder`].
pub struct Builder {
    app: Id,
    ecu: Id,
    description: String,
    endpoint: Endpoint,
    ring_len: usize,
    level: Level,
    on_injection: OnInjection,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, ecu, endpoint, ring_len, level, .. } = self;
        f.debug_struct("Builder")
            .field("app", app)
            .field("ecu", ecu)
            .field("endpoint", endpoint)
            .field("ring_len", ring_len)
            .field("level", level)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Sets what the application is said to be; of more than 1024 bytes the
    /// first are used.
    #[must_use]
    pub fn description(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }

    /// Sets the ECU that messages name; the daemon's clients see it. `ECU1`
    /// unless set.
    #[must_use]
    pub fn ecu(mut self, ecu: Id) -> Self {
        self.ecu = ecu;
        self
    }

    /// Sets where the daemon listens; [`Endpoint::default_fifo`] unless set.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// Sets the bytes of the ring, a power of two; 1 MiB unless set.
    #[must_use]
    pub fn ring_len(mut self, bytes: usize) -> Self {
        self.ring_len = bytes;
        self
    }

    /// Sets the level up to which contexts send before the daemon has said
    /// one; `Info` unless set.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Sets what is called with each injection. It is called on the thread
    /// that writes to the daemon, so it must not wait for that.
    #[must_use]
    pub fn on_injection(mut self, call: impl FnMut(Injection<'_>) + Send + 'static) -> Self {
        self.on_injection = Box::new(call);
        self
    }

    /// Starts the client, whether there is a daemon or not.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn start(self) -> Result<Client, StartError> {
        let Self { app, ecu, description, endpoint, ring_len, level, on_injection } = self;
        let (place, record_len_max) = match &endpoint {
            Endpoint::Fifo(directory) => (Some(Place::take(directory.clone())?), PIPE_BUF),
            Endpoint::Socket(_) => (None, RECORD_LEN_MAX),
        };
        let (producer, consumer) = heap::shared(ring_len).map_err(StartError::Ring)?;
        let record_len_max = record_len_max.min(producer.record_len_max());
        let shared = Shared::new(app, ecu, description, record_len_max, level as u8)?;
        let shared = Arc::new(shared);
        let mut transport = Transport::new(Arc::clone(&shared), endpoint, consumer, on_injection);
        let thread =
            thread::Builder::new().name(format!("dlt {app}")).spawn(move || transport.run())?;
        Ok(Client { shared, producer: Mutex::new(producer), thread: Some(thread), _place: place })
    }
}

impl Client {
    /// A client of this name that is to be started.
    #[must_use]
    pub fn builder(app: Id) -> Builder {
        Builder {
            app,
            ecu: Id::new("ECU1"),
            description: String::new(),
            endpoint: Endpoint::default_fifo(),
            ring_len: 1 << 20,
            level: Level::Info,
            on_injection: Box::new(|_| {}),
        }
    }

    /// A handle of the context of this name, which is registered if it is the
    /// first. Of a description of more than 1024 bytes the first are used.
    #[must_use]
    pub fn context(&self, id: Id, description: &str) -> Context {
        let state = self.shared.context(id, description);
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Context::new(Arc::clone(&self.shared), state, producer)
    }

    /// Waits until all that has been accepted has been taken by the daemon's
    /// FIFO or socket, `timeout` at most; whether it has.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        self.shared.flush(timeout)
    }

    /// Ends the client: flushes, refuses what comes after, unregisters.
    /// Returns how it went; what is in flight then has not left.
    #[must_use]
    pub fn close(mut self, timeout: Duration) -> Counts {
        self.end(timeout);
        self.counts()
    }

    fn end(&mut self, timeout: Duration) {
        let Some(thread) = self.thread.take() else { return };
        let _ = self.shared.flush(timeout);
        // Release: pairs with the thread's Acquire load.
        self.shared.closed.store(true, Ordering::Release);
        self.shared.waker.wake();
        // A panic is that of a call for an injection, and has been printed.
        let _ = thread.join();
    }

    /// Whether a daemon is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.progress.is_connected.load(Ordering::Relaxed)
    }

    /// Whether somebody receives what the daemon gets; `None` until it has
    /// said.
    #[must_use]
    pub fn has_receiver(&self) -> Option<bool> {
        match self.shared.log_state.load(Ordering::Relaxed) {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// What has become of the messages, and what that took.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let progress = &self.shared.progress;
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            ledger: self.shared.ledger(),
            reported: load(&progress.reported),
            resent: load(&progress.resent),
            taken: load(&progress.taken),
            cut_len: load(&progress.cut),
            unread_len: load(&progress.unread_unknown),
            connects: load(&progress.connects),
            attempts: load(&progress.attempts),
            injections: load(&progress.injections),
            damages: load(&progress.damages),
            writes: load(&progress.writes),
            blocked: load(&progress.blocked),
            waits: load(&progress.waits),
            reads: load(&progress.reads),
            wakes: self.shared.waker.wakes(),
            fifo_len: load(&progress.fifo_len),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let patience = if self.is_connected() { DROP_PATIENCE } else { Duration::ZERO };
        self.end(patience);
    }
}

/// What a client has done.
///
/// Where a message is: offered = accepted + refused; accepted = delivered + in
/// flight, which waits in the ring. A FIFO keeps what it was given until its
/// daemon reads it, so delivered + resent = taken + what the present daemon's
/// FIFO has been given. What a daemon that is gone has lost is what it had taken
/// less what its clients got; nothing else is lost, but for
/// [`unread_len`](Counts::unread_len).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What became of the messages. Delivered is what a daemon's FIFO or socket
    /// has taken.
    pub ledger: Ledger,
    /// Messages refused of which the daemon's clients have been told.
    pub reported: u64,
    /// Messages that a daemon had left unread, which are sent again to the
    /// next.
    pub resent: u64,
    /// Messages that daemons which are gone had begun to read: all that their
    /// FIFOs had been given but those left unread whole. Counted when the next
    /// daemon is there, with a FIFO of its own.
    pub taken: u64,
    /// Bytes left unread of a record whose beginning the daemon had read: a
    /// message that is lost, of this application, and then taken, or of another.
    pub cut_len: u64,
    /// Bytes left unread, of all applications, in FIFOs that this process may
    /// not read: messages that are lost.
    pub unread_len: u64,
    /// How often a daemon was connected to.
    pub connects: u64,
    /// How often that was tried.
    pub attempts: u64,
    /// Injections received.
    pub injections: u64,
    /// What the daemon sent and was not understood.
    pub damages: u64,
    /// Calls that wrote, or would have blocked.
    pub writes: u64,
    /// Those that would have blocked.
    pub blocked: u64,
    /// Calls of `poll`.
    pub waits: u64,
    /// Calls that read what the daemon sends, and wake-ups.
    pub reads: u64,
    /// Calls that woke the thread.
    pub wakes: u64,
    /// The FIFO's size in bytes, 0 when there is none.
    pub fifo_len: u64,
}

impl Counts {
    /// System calls, but for the few of a connection.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.writes + self.waits + self.reads + self.wakes
    }
}

/// A directory of which this process has the FIFO.
#[derive(Debug)]
struct Place(PathBuf);

impl Place {
    fn take(directory: PathBuf) -> Result<Self, StartError> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.contains(&directory) {
            return Err(StartError::InUse(directory));
        }
        taken.push(directory.clone());
        Ok(Self(directory))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|directory| *directory != self.0);
    }
}

/// Why a client was not started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The ring's capacity is out of range.
    Ring(BadCapacity),
    /// This process has a client in this directory already. A second
    /// application of a process is none to DLT: take another context.
    InUse(PathBuf),
    /// The system has no thread or no descriptor left.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::InUse(directory) => {
                write!(f, "this process has a DLT client in {} already", directory.display())
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
