//! The drainer: many senders, one sink, a thread that sleeps when idle.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    sync::Arc,
    thread,
    time::Instant,
};

use forebay::{
    Ledger, Pump, Sink,
    frame::Encode,
    pump::{Drive, DriveError, PumpCounts},
    ring::{BadCapacity, Producer, ReserveError, heap},
};

use crate::{Bell, write::uninterrupted};

/// The most senders of one drainer.
pub const SENDERS_MAX: usize = 64;

/// The buffer for copied frames: what one write takes at most, large records
/// aside.
const BATCH_LEN: usize = 128 * 1024;

/// After a write of less than this, with nothing left to write, the drainer
/// yields the processor once.
const SHORT: usize = 32 * 1024;

/// What a [`Drainer`] asks of its sink beside writing: to wait while it is
/// blocked, and to hold nothing back while there is nothing to write.
///
/// ```
/// use std::{io, sync::mpsc::{Sender, channel}, time::Instant};
/// use forebay_std::forebay::{Progress, Sink, frame::Plain};
/// use forebay_std::{Drained, Drainer, Wait};
///
/// /// Sends each batch to another thread; never blocked.
/// struct Channel(Sender<Vec<u8>>);
///
/// impl Sink for Channel {
///     type Error = io::Error;
///
///     fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
///         let batch = slices.concat();
///         let len = batch.len();
///         self.0.send(batch).map_err(|_| io::ErrorKind::BrokenPipe)?;
///         Ok(Progress::Wrote(len))
///     }
/// }
///
/// impl Wait for Channel {
///     fn wait(&mut self, _deadline: Option<Instant>) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// let (batches, far) = channel();
/// let mut drainer = Drainer::new(Plain, Channel(batches));
/// let mut sender = drainer.sender(256)?;
/// sender.send(b"two ")?;
/// sender.send(b"messages")?;
/// assert_eq!(drainer.flush_until(Instant::now())?, Drained::Deadline); // one write
/// assert_eq!(far.recv()?, b"two messages");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Wait {
    /// Returns when the sink may take bytes again, at `deadline`, or
    /// spuriously.
    ///
    /// # Errors
    ///
    /// What the system reports.
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()>;

    /// Passes on what the sink has taken and still holds; provided for sinks
    /// that hold nothing. Called before the drainer sleeps or ends.
    ///
    /// # Errors
    ///
    /// What the system reports; after `WouldBlock` it is waited for and
    /// called again.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Wait + ?Sized> Wait for &mut S {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        (**self).wait(deadline)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }
}

/// Drains the rings of its senders into one sink.
///
/// Runs on whichever thread calls [`run`](Drainer::run); while nothing is to
/// be sent that thread is parked, and the next [`Sender::send`] wakes it.
/// Nobody tunes it: what has gathered while one write was under way is the
/// next batch. Nothing is allocated after the senders have been made.
///
/// After an error, or a panic of the sink that was caught, every message that
/// has not left is still there. A stream that is as it was goes on where it
/// stopped; a new stream begins with a whole frame after
/// [`rewind`](Drainer::rewind):
///
/// ```
/// use forebay_std::forebay::{checksum::CRC32, frame::Prefixed};
/// use forebay_std::{Drainer, WriteSink};
///
/// let format = Prefixed::native(64, CRC32);
/// // 20 bytes are room for the first frame of 13 and a part of the second.
/// let (mut small, mut large) = ([0; 20], [0; 64]);
/// let mut drainer = Drainer::new(format, WriteSink::new(&mut small[..]));
/// let mut sender = drainer.sender(1 << 10)?;
/// sender.send(b"one")?;
/// sender.send(b"two")?;
/// drop(sender);
///
/// let error = drainer.run().unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
/// assert_eq!(drainer.ledger().delivered, 1);
///
/// *drainer.sink_mut() = WriteSink::new(&mut large[..]);
/// assert_eq!(drainer.rewind(), 7);
/// drainer.run()?;
/// assert_eq!(drainer.ledger().delivered, 2);
/// drop(drainer);
/// assert_eq!(&large[6..9], b"two");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// When the drainer is dropped its senders are refused as soon as their rings
/// are full; what was accepted and has not left is in flight in the sum of the
/// ledgers.
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
    /// Every message has left; only [`Drainer::flush_until`] says so.
    Idle,
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

    /// As [`new`](Drainer::new), with batches of up to `len` bytes, 128 KiB
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
    /// or when there are [`SENDERS_MAX`] senders already. A sender that is
    /// gone counts until its last message has left.
    pub fn sender(&mut self, capacity: usize) -> Result<Sender, SenderError> {
        let (producer, consumer) = heap::ring(capacity).map_err(SenderError::Capacity)?;
        self.pump.add(consumer).map_err(|_| SenderError::NoLane(NoLane { lanes: SENDERS_MAX }))?;
        Ok(Sender { producer, bell: Ringer(Arc::clone(&self.bell)) })
    }

    /// Drains until every sender is gone and every message has left.
    ///
    /// # Errors
    ///
    /// What the sink reports; `WriteZero` when it takes nothing and does not
    /// say that it is blocked. Messages that have not left stay: the sink can
    /// be mended through [`sink_mut`](Drainer::sink_mut), and the run resumed.
    pub fn run(&mut self) -> io::Result<()> {
        self.drain(When::Finished, None).map(|_| ())
    }

    /// Drains until `deadline`, or until it is finished.
    ///
    /// The deadline is looked at between writes: a sink whose writes block
    /// holds it up.
    ///
    /// # Errors
    ///
    /// As [`run`](Drainer::run).
    pub fn run_until(&mut self, deadline: Instant) -> io::Result<Drained> {
        self.drain(When::Finished, Some(deadline))
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
        self.drain(When::Idle, None).map(|_| ())
    }

    /// As [`flush`](Drainer::flush), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`run`](Drainer::run).
    pub fn flush_until(&mut self, deadline: Instant) -> io::Result<Drained> {
        self.drain(When::Idle, Some(deadline))
    }

    fn drain(&mut self, when: When, deadline: Option<Instant>) -> io::Result<Drained> {
        loop {
            match self.pump.drive(&mut self.sink).map_err(into_io)? {
                // A short batch and nothing behind it: whoever waits for this
                // processor may be about to send, and the next one will be
                // longer. Where nobody waits this costs a small part of a write.
                Drive::Moved { bytes, .. } if bytes < SHORT && !self.pump.has_work() => {
                    thread::yield_now();
                }
                Drive::Moved { .. } => {}
                Drive::Blocked => self.sink.wait(deadline)?,
                Drive::Idle => match uninterrupted(|| self.sink.flush()) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.sink.wait(deadline)?;
                    }
                    Err(error) => return Err(error),
                    Ok(()) if self.pump.is_finished() => return Ok(Drained::Finished),
                    Ok(()) if when == When::Idle => return Ok(Drained::Idle),
                    Ok(()) => {
                        let pump = &self.pump;
                        self.bell.sleep(deadline, || pump.has_work() || pump.is_finished());
                    }
                },
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

/// When to stop draining.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Finished,
    Idle,
}

/// A drive's error as the system would put it.
fn into_io(error: DriveError<io::Error>) -> io::Error {
    match error {
        DriveError::Sink(error) => error,
        DriveError::Stuck(stuck) => io::Error::new(ErrorKind::WriteZero, stuck),
        other => io::Error::other(other),
    }
}

/// Sends messages to a [`Drainer`] without ever waiting for it.
#[derive(Debug)]
pub struct Sender {
    // Before the bell: the drainer must see it gone when it wakes.
    producer: Producer<'static>,
    bell: Ringer,
}

/// Rings when it is dropped, too.
#[derive(Debug)]
struct Ringer(Arc<Bell>);

impl Drop for Ringer {
    fn drop(&mut self) {
        self.0.ring();
    }
}

impl Sender {
    /// Copies `message` into the ring.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] when it is refused, with the figures; it is counted.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), ReserveError> {
        self.producer.push(message)?;
        self.bell.0.ring();
        Ok(())
    }

    /// Lets `write` put a message of `len` bytes, at first zeros, in place.
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send); `write` is not called then. Should it panic,
    /// nothing is sent and nothing is counted.
    #[inline]
    pub fn send_with(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), ReserveError> {
        let mut grant = self.producer.reserve(len)?;
        write(&mut grant);
        grant.commit();
        self.bell.0.ring();
        Ok(())
    }

    /// The longest message in bytes.
    #[must_use]
    pub fn message_len_max(&self) -> usize {
        self.producer.record_len_max()
    }

    /// Whether the drainer is gone, so that nothing will leave any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.producer.is_abandoned()
    }

    /// What has been offered by this sender, accepted and refused.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.producer.ledger()
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

/// Every lane of a drainer has a sender, or the messages of one that is gone.
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
