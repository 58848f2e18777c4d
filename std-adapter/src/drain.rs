//! The drainer: many senders, one sink, a thread that sleeps when idle.

use std::{error::Error, fmt, io, sync::Arc, time::Instant};

use forebay::{
    Ledger, Pump, Sink,
    frame::Encode,
    pump::{Drive, DriveError, PumpCounts},
    ring::{BadCapacity, Producer, ReserveError, heap},
};

use crate::Bell;

/// The most senders of one drainer.
pub const SENDERS_MAX: usize = 64;

/// The buffer for copied frames: what one write takes at most, large records
/// aside.
const BATCH_LEN: usize = 64 * 1024;

/// Waits for a sink that was blocked.
pub trait Wait {
    /// Returns when the sink may take bytes again, at `deadline`, or
    /// spuriously.
    ///
    /// # Errors
    ///
    /// What the system reports.
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()>;
}

/// Drains the rings of its senders into one sink.
///
/// Runs on whichever thread calls [`run`](Drainer::run); while nothing is to
/// be sent that thread is parked, and the next [`Sender::send`] wakes it.
/// Nobody tunes it: what has gathered while one write was under way is the
/// next batch.
#[derive(Debug)]
pub struct Drainer<F, S> {
    pump: Pump<'static, F, Box<[u8]>, SENDERS_MAX>,
    sink: S,
    bell: Arc<Bell>,
}

/// How a run of the drainer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every sender is gone and every message has left.
    Finished,
    /// The deadline has passed first.
    Deadline,
}

impl<F: Encode, S: Sink<Error = io::Error> + Wait> Drainer<F, S> {
    /// A drainer without senders that frames with `format` and writes to
    /// `sink`.
    pub fn new(format: F, sink: S) -> Self {
        Self::with_pump(|pump| pump, format, sink)
    }

    /// As [`new`](Drainer::new), with the pump's limits set by `configure`:
    ///
    /// ```
    /// # use forebay_std::{Drainer, WriteSink, forebay::frame::Plain};
    /// // Shared FIFO: no write over PIPE_BUF.
    /// let drainer = Drainer::with_pump(|pump| pump.len_max(4096), Plain, WriteSink::new(vec![]));
    /// # drop(drainer);
    /// ```
    pub fn with_pump(
        configure: impl FnOnce(
            Pump<'static, F, Box<[u8]>, SENDERS_MAX>,
        ) -> Pump<'static, F, Box<[u8]>, SENDERS_MAX>,
        format: F,
        sink: S,
    ) -> Self {
        let pump = Pump::new(format, vec![0; BATCH_LEN].into_boxed_slice());
        Self { pump: configure(pump), sink, bell: Arc::new(Bell::new()) }
    }

    /// As [`new`](Drainer::new), with batches of up to `len` bytes, 64 KiB
    /// otherwise. A format that changes its payloads on the way, so that they
    /// cannot be lent from the ring, needs room here for its longest frame and
    /// four bytes more; a longer one is undeliverable.
    pub fn with_batch_len(len: usize, format: F, sink: S) -> Self {
        let pump = Pump::new(format, vec![0; len].into_boxed_slice());
        Self { pump, sink, bell: Arc::new(Bell::new()) }
    }

    /// Makes a sender with a ring of `capacity` bytes.
    ///
    /// # Errors
    ///
    /// [`SenderError`] when the capacity is not a power of two in the range,
    /// or when there are [`SENDERS_MAX`] senders already.
    pub fn sender(&mut self, capacity: usize) -> Result<Sender, SenderError> {
        let (producer, consumer) = heap::ring(capacity).map_err(SenderError::Capacity)?;
        self.pump.add(consumer).map_err(|_| SenderError::NoLane(NoLane { lanes: SENDERS_MAX }))?;
        Ok(Sender { producer: Some(producer), bell: Arc::clone(&self.bell) })
    }

    /// Drains until every sender is gone and every message has left.
    ///
    /// # Errors
    ///
    /// What the sink reports. Messages that have not left stay: the sink can
    /// be mended through [`sink_mut`](Drainer::sink_mut), and the run resumed.
    pub fn run(&mut self) -> io::Result<()> {
        self.run_to(None).map(|_| ())
    }

    /// Drains until `deadline`, or until it is finished.
    ///
    /// # Errors
    ///
    /// As [`run`](Drainer::run).
    pub fn run_until(&mut self, deadline: Instant) -> io::Result<Drained> {
        self.run_to(Some(deadline))
    }

    /// Drains until all that the senders have committed has left. Waits while
    /// the sink is blocked, and never for a sender: for a thread that itself
    /// sends, before it waits for something else.
    ///
    /// ```
    /// # use forebay_std::{Drainer, WriteSink, forebay::frame::Plain};
    /// let mut drainer = Drainer::new(Plain, WriteSink::new(vec![]));
    /// let mut sender = drainer.sender(1 << 12)?;
    /// sender.send(b"gone before ")?;
    /// sender.send(b"the next read")?;
    /// drainer.flush()?;
    /// assert_eq!(drainer.sink().writer(), b"gone before the next read");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Drainer::run).
    pub fn flush(&mut self) -> io::Result<()> {
        loop {
            match self.pump.drive(&mut self.sink).map_err(into_io)? {
                Drive::Moved { .. } => {}
                Drive::Blocked => self.sink.wait(None)?,
                Drive::Idle => return Ok(()),
            }
        }
    }

    fn run_to(&mut self, deadline: Option<Instant>) -> io::Result<Drained> {
        loop {
            match self.pump.drive(&mut self.sink).map_err(into_io)? {
                Drive::Moved { .. } => {}
                Drive::Blocked => self.sink.wait(deadline)?,
                Drive::Idle if self.pump.is_finished() => return Ok(Drained::Finished),
                Drive::Idle => {
                    let pump = &self.pump;
                    self.bell.sleep(deadline, || pump.has_work() || pump.is_finished());
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Drained::Deadline);
            }
        }
    }

    /// Says that the sink's stream has been replaced by a new one, so that a
    /// frame that had left in part leaves again whole. Returns the bytes taken
    /// back.
    pub fn rewind(&mut self) -> usize {
        self.pump.rewind()
    }

    /// Borrows the sink.
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// Borrows the sink, to mend it.
    pub const fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// What has been delivered, and what could not be.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.pump.ledger()
    }

    /// How the writes went.
    #[must_use]
    pub fn counts(&self) -> PumpCounts {
        self.pump.counts()
    }
}

/// A drive's error as the system would put it.
fn into_io(error: DriveError<io::Error>) -> io::Error {
    match error {
        DriveError::Sink(error) => error,
        DriveError::Stuck(stuck) => io::Error::new(io::ErrorKind::WriteZero, stuck),
        other => io::Error::other(other.to_string()),
    }
}

/// Sends messages to a [`Drainer`] without ever waiting for it.
#[derive(Debug)]
pub struct Sender {
    /// `None` only while it is dropped.
    producer: Option<Producer<'static>>,
    bell: Arc<Bell>,
}

impl Sender {
    /// Copies `message` into the ring.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] when it is refused, with the figures; it is counted.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), ReserveError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    /// Lets `write` put a message of `len` bytes, at first zeros, in place.
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send); `write` is not called then.
    #[inline]
    pub fn send_with(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), ReserveError> {
        let Some(producer) = &mut self.producer else { return Err(ReserveError::Closed) };
        let mut grant = producer.reserve(len)?;
        write(&mut grant);
        grant.commit();
        self.bell.ring();
        Ok(())
    }

    /// What has been offered by this sender, accepted and refused.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.producer.as_ref().map(Producer::ledger).unwrap_or_default()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // The drainer must see the producer gone when it wakes.
        self.producer = None;
        self.bell.ring();
    }
}

/// Why a sender was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SenderError {
    /// Its ring's capacity is out of range.
    Capacity(BadCapacity),
    /// The drainer has no lane left.
    NoLane(NoLane),
}

/// Every lane of a drainer has a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLane {
    /// How many there are.
    pub lanes: usize,
}

impl fmt::Display for SenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity(error) => error.fmt(f),
            Self::NoLane(NoLane { lanes }) => {
                write!(f, "the drainer's {lanes} lanes all have a sender")
            }
        }
    }
}

impl Error for SenderError {}
