//! One connection, many threads that offer, one that writes.

use std::{
    io::{self, ErrorKind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use forebay::{
    Ledger, Progress, Sink,
    frame::http2::{ErrorCode, Frame, Increment, Settings, StreamId},
    pump::{Drive, PumpCounts, Stuck},
};

use super::{Flight, FlightCounts, FlowError, Group, Limits, OfferError, Queue, Urgency};
use crate::{Bell, Wait, write::uninterrupted};

/// Makes a connection's writer and the driver that writes to `sink`.
pub fn writer<S>(limits: Limits, sink: S) -> (Writer, Driver<S>) {
    let state = State { queue: Queue::new(limits), writers: 1 };
    let shared = Arc::new(Shared { state: Mutex::new(state), bell: Bell::new() });
    let driver = Driver {
        shared: Arc::clone(&shared),
        flight: Flight::new(),
        sink,
        counts: PumpCounts::default(),
    };
    (Writer { shared }, driver)
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    bell: Bell,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// How many handles there are.
    writers: usize,
}

impl Shared {
    /// A panic under the lock is one of the queue's own checks, which change
    /// nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle on a connection's [`Queue`], cloned for every thread that sends.
///
/// A call holds the queue's lock for as long as it takes to look at what it
/// offers. The [`Driver`] holds it to choose frames, of
/// [`Limits::flight_max`] bytes at most, and never while it writes or waits.
/// When the last handle is dropped, the driver finishes.
///
/// ```
/// use forebay_std::forebay::frame::http2::StreamId;
/// use forebay_std::http2::{Group, Limits, Payload, Urgency, writer};
/// use forebay_std::WriteSink;
///
/// let (writer, mut driver) = writer(Limits::default(), WriteSink::new(Vec::new()));
/// std::thread::scope(|threads| {
///     for number in [1, 3, 5] {
///         let (writer, stream) = (writer.clone(), StreamId::new(number).unwrap());
///         threads.spawn(move || {
///             writer.open(stream, Urgency::DEFAULT).unwrap();
///             let body = Payload::new(vec![7; 10_000]);
///             writer.offer(Group::new(stream).headers(b"\x88").data(body).end()).unwrap();
///         });
///     }
///     drop(writer);
///     driver.run().unwrap();
/// });
/// assert_eq!(driver.ledger().delivered, 3);
/// ```
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

impl Clone for Writer {
    fn clone(&self) -> Self {
        self.shared.state().writers += 1;
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.state().writers -= 1;
        self.shared.bell.ring();
    }
}

impl Writer {
    /// Does `change` to the queue, and wakes the driver.
    fn with<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let result = change(&mut self.shared.state().queue);
        self.shared.bell.ring();
        result
    }

    /// As [`Queue::open`].
    ///
    /// # Errors
    ///
    /// [`OfferError::Open`] when the stream is open.
    pub fn open(&self, stream: StreamId, urgency: Urgency) -> Result<(), OfferError> {
        self.with(|queue| queue.open(stream, urgency))
    }

    /// As [`Queue::offer`].
    ///
    /// # Errors
    ///
    /// [`OfferError`]; the refusal is counted.
    pub fn offer(&self, group: Group) -> Result<(), OfferError> {
        self.with(|queue| queue.offer(group))
    }

    /// As [`Queue::control`].
    ///
    /// # Errors
    ///
    /// [`OfferError::OfStream`] or [`OfferError::Full`].
    pub fn control(&self, frame: &Frame<'_>) -> Result<(), OfferError> {
        self.with(|queue| queue.control(frame))
    }

    /// As [`Queue::reset`].
    ///
    /// # Errors
    ///
    /// [`OfferError::Full`]; the stream is closed all the same.
    pub fn reset(&self, stream: StreamId, code: ErrorCode) -> Result<(), OfferError> {
        self.with(|queue| queue.reset(stream, code))
    }

    /// As [`Queue::close`].
    pub fn close(&self, stream: StreamId) {
        self.with(|queue| queue.close(stream));
    }

    /// As [`Queue::update`].
    ///
    /// # Errors
    ///
    /// [`FlowError`] for a window over its maximum.
    pub fn update(&self, stream: Option<StreamId>, increment: Increment) -> Result<(), FlowError> {
        self.with(|queue| queue.update(stream, increment))
    }

    /// As [`Queue::settings`].
    ///
    /// # Errors
    ///
    /// [`FlowError`] for a window over its maximum.
    pub fn settings(&self, settings: &Settings<'_>) -> Result<(), FlowError> {
        self.with(|queue| queue.settings(settings))
    }

    /// As [`Queue::is_open`].
    #[must_use]
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.shared.state().queue.is_open(stream)
    }

    /// As [`Queue::room`].
    #[must_use]
    pub fn room(&self, stream: StreamId) -> usize {
        self.shared.state().queue.room(stream)
    }

    /// As [`Queue::pending`].
    #[must_use]
    pub fn pending(&self, stream: StreamId) -> usize {
        self.shared.state().queue.pending(stream)
    }

    /// As [`Queue::has_work`].
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.shared.state().queue.has_work()
    }

    /// As [`Queue::ledger`].
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.state().queue.ledger()
    }
}

/// Writes what the [`Writer`]s of a connection offer.
///
/// A short write is resumed at its byte. After an error what was committed is
/// still there; a connection that is lost takes it along.
#[derive(Debug)]
pub struct Driver<S> {
    shared: Arc<Shared>,
    flight: Flight,
    sink: S,
    counts: PumpCounts,
}

impl<S: Sink<Error = io::Error>> Driver<S> {
    /// Commits what may leave and makes one write, if there is something to
    /// write. Never waits, unless the sink does.
    ///
    /// # Errors
    ///
    /// What the sink reports; `WriteZero` when it takes nothing and is not
    /// blocked.
    pub fn turn(&mut self) -> io::Result<Drive> {
        self.shared.state().queue.fill(&mut self.flight);
        let pending = self.flight.pending();
        if pending == 0 {
            return Ok(Drive::Idle);
        }
        self.counts.writes += 1;
        let progress = self.sink.write(&self.flight.slices())?;
        match progress {
            Progress::Blocked => {
                self.counts.blocked += 1;
                Ok(Drive::Blocked)
            }
            Progress::Wrote(0) => Err(io::Error::new(ErrorKind::WriteZero, Stuck { pending })),
            Progress::Wrote(bytes) => {
                let left = self.flight.wrote(bytes).map_err(io::Error::other)?;
                self.counts.bytes += bytes as u64;
                self.counts.short += u64::from(bytes < pending);
                Ok(Drive::Moved { bytes, frames: left.frames })
            }
        }
    }

    /// Whether there is something to write now; not while all that waits
    /// waits for a window.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.flight.is_empty() || self.shared.state().queue.has_work()
    }

    /// Bytes committed that have not left.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.flight.pending()
    }

    /// Borrows the sink.
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// Borrows the sink, to mend it.
    pub const fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The connection's ledger: [`Writer::ledger`] and what has been delivered.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let mut ledger = self.shared.state().queue.ledger();
        ledger.delivered = self.flight.counts().groups;
        ledger
    }

    /// How the writes went.
    #[must_use]
    pub const fn counts(&self) -> PumpCounts {
        self.counts
    }

    /// Frames, groups and data that have left.
    #[must_use]
    pub const fn flight_counts(&self) -> FlightCounts {
        self.flight.counts()
    }
}

impl<S: Sink<Error = io::Error> + Wait> Driver<S> {
    /// Writes until all that may leave has left; waits while the sink is
    /// blocked. What waits for a window stays.
    ///
    /// # Errors
    ///
    /// As [`turn`](Driver::turn).
    pub fn flush(&mut self) -> io::Result<()> {
        loop {
            match self.turn()? {
                Drive::Moved { .. } => {}
                Drive::Blocked => self.sink.wait(None)?,
                Drive::Idle => match uninterrupted(|| self.sink.flush()) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.sink.wait(None)?,
                    result => return result,
                },
            }
        }
    }

    /// Writes until the last [`Writer`] is gone and all that may leave has
    /// left; sleeps while there is nothing to write. What waits for a window
    /// then waits for ever, and is in flight in the ledger.
    ///
    /// # Errors
    ///
    /// As [`turn`](Driver::turn).
    pub fn run(&mut self) -> io::Result<()> {
        loop {
            self.flush()?;
            let finished = |state: &State| state.writers == 0;
            let shared = &self.shared;
            {
                let state = shared.state();
                if finished(&state) && !state.queue.has_work() {
                    return Ok(());
                }
            }
            shared.bell.sleep(None, || {
                let state = shared.state();
                state.queue.has_work() || finished(&state)
            });
        }
    }
}
