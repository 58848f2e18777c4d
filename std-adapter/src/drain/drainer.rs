//! The thread's work: rings, batch, sink, and when to sleep.

use std::{
    io::{self, ErrorKind},
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use forebay::{
    Ledger, Pump, Sink,
    frame::Encode,
    pump::{Drive, DriveError, InsertError, PumpCounts, Undelivered},
};

use super::{
    account::{Account, ChannelCounts, ChannelId},
    channel::{Channel, SENDERS_MAX, SenderError},
    config::Config,
    counters::Counters,
    losses::{Losses, Reporter},
    registrar::Registrar,
    sender::Sender,
    shared::{NewLane, Shared},
    wait::Wait,
};
use crate::write::uninterrupted;

/// After a write of less than this, with nothing left to write, the drainer
/// yields the processor once.
const SHORT: usize = 32 * 1024;

/// How long it waits for a blocked sink before it looks around.
const GLANCE: Duration = Duration::from_millis(50);

/// Drains the rings of its senders into one sink.
///
/// Runs on whichever thread calls [`run`](Drainer::run); while nothing is to
/// be sent that thread is parked, and the next [`Sender::send`] wakes it.
/// Nobody tunes it: what has gathered while one write was under way is the
/// next batch. Nothing is allocated after the senders have been made.
///
/// [`channel`](Drainer::channel) says what becomes of messages for which there
/// is no room, and which go first; [`registrar`](Drainer::registrar) lets other
/// threads make senders while it runs; [`spawn`](Drainer::spawn) gives it a
/// thread of its own, and [`shutdown`](Drainer::shutdown) ends it and says what
/// was left.
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
/// When the drainer is dropped its senders are refused; what was accepted and
/// has not left is in flight in the sum of the ledgers.
#[derive(Debug)]
pub struct Drainer<F, S> {
    pump: Pump<'static, F, Box<[u8]>, SENDERS_MAX>,
    sink: S,
    /// The channels that have not finished, by the numbers of their lanes.
    lanes: [Option<Lane>; SENDERS_MAX],
    /// Whether a channel that has lost its last sender has not finished.
    leaving: bool,
    /// Whether senders wait for room.
    waited_for: bool,
    /// Whether losses are reported.
    reporting: bool,
    /// When it has been asked from elsewhere to have ended.
    ending: Option<Instant>,
    ring: usize,
    // Behind the pump: whoever is told must find the rings abandoned.
    line: Line,
}

/// A channel that has not finished.
#[derive(Debug)]
struct Lane {
    account: Arc<Account>,
    reporter: Option<Reporter>,
}

impl Lane {
    /// What of it has been lost by now.
    fn losses(&self, drained: Ledger) -> Losses {
        Losses {
            refused: self.account.refused(),
            overwritten: self.account.overwritten(),
            undeliverable: drained.undeliverable,
        }
    }

    fn has_report(&self, drained: impl FnOnce() -> Ledger) -> bool {
        self.reporter.as_ref().is_some_and(|reporter| reporter.has_report(self.losses(drained())))
    }
}

/// What is shared with the senders, who are told when it is dropped.
#[derive(Debug)]
struct Line(Arc<Shared>);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}

impl<F: Encode, S: Sink<Error = io::Error> + Wait> Drainer<F, S> {
    /// A drainer without senders that frames with `format` and writes to
    /// `sink`.
    pub fn new(format: F, sink: S) -> Self {
        Self::with_config(&Config::new(), format, sink)
    }

    /// As [`new`](Drainer::new), with what `config` says.
    pub fn with_config(config: &Config, format: F, sink: S) -> Self {
        let pump = Pump::new(format, vec![0; config.batch_len].into_boxed_slice())
            .borrow_from(config.borrow_from)
            .frames_max(config.frames_max)
            .len_max(config.write_len_max);
        Self::of(pump, sink, config.ring_capacity)
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
        let config = Config::new();
        let pump = Pump::new(format, vec![0; config.batch_len].into_boxed_slice());
        Self::of(configure(pump), sink, config.ring_capacity)
    }

    /// As [`new`](Drainer::new), with batches of up to `len` bytes, 128 KiB
    /// otherwise. A format that changes its payloads on the way, so that they
    /// cannot be lent from the ring, needs room here for its longest frame and
    /// four bytes more; a longer one is undeliverable.
    pub fn with_batch_len(len: usize, format: F, sink: S) -> Self {
        let pump = Pump::new(format, vec![0; len].into_boxed_slice());
        Self::of(pump, sink, Config::new().ring_capacity)
    }

    fn of(pump: Pump<'static, F, Box<[u8]>, SENDERS_MAX>, sink: S, ring: usize) -> Self {
        Self {
            pump,
            sink,
            lanes: [const { None }; SENDERS_MAX],
            leaving: false,
            waited_for: false,
            reporting: false,
            ending: None,
            ring,
            line: Line(Arc::new(Shared::new())),
        }
    }

    /// Makes a sender with a ring of `capacity` bytes, which refuses messages
    /// while that is full.
    ///
    /// # Errors
    ///
    /// [`SenderError`] when the capacity is not a power of two in the range,
    /// or when there are [`SENDERS_MAX`] senders already. A sender that is
    /// gone counts until its last message has left.
    pub fn sender(&mut self, capacity: usize) -> Result<Sender, SenderError> {
        self.channel().capacity(capacity).sender()
    }

    /// A channel, to be set up and made.
    pub fn channel(&mut self) -> Channel {
        // Lanes that have become free are found now.
        self.attend();
        self.registrar().channel()
    }

    /// A handle by which any thread makes senders, also while this runs.
    pub fn registrar(&self) -> Registrar {
        Registrar::new(&self.line.0, self.ring)
    }

    /// A handle by which any thread reads the counts.
    pub fn counters(&self) -> Counters {
        Counters(Arc::clone(&self.line.0))
    }

    /// Drains until every sender and every registrar is gone and every message
    /// has left.
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

    /// As [`run`](Drainer::run), or until it is asked to end.
    pub(crate) fn run_to_end(&mut self) -> io::Result<Drained> {
        self.drain(When::Finished, None)
    }

    fn drain(&mut self, when: When, deadline: Option<Instant>) -> io::Result<Drained> {
        loop {
            if self.line.0.is_called() {
                self.attend();
            }
            if self.reporting {
                self.report();
            }
            let deadline = earlier(deadline, self.ending);
            let drive = self.step()?;
            self.free_lanes();
            match drive {
                // A short batch and nothing behind it: whoever waits for this
                // processor may be about to send, and the next one will be
                // longer. Where nobody waits this costs a small part of a write.
                Drive::Moved { bytes, .. } if bytes < SHORT && !self.pump.has_work() => {
                    thread::yield_now();
                }
                Drive::Moved { .. } => {}
                Drive::Blocked => self.wait(deadline)?,
                Drive::Idle => match uninterrupted(|| self.sink.flush()) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(deadline)?,
                    Err(error) => return Err(error),
                    Ok(()) if self.is_finished() => return Ok(Drained::Finished),
                    Ok(()) if when == When::Idle || self.ending.is_some() => {
                        if !self.has_work() {
                            return Ok(Drained::Idle);
                        }
                    }
                    Ok(()) => self.sleep(deadline),
                },
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Drained::Deadline);
            }
        }
    }

    /// Writes once, when there is something.
    fn step(&mut self) -> io::Result<Drive> {
        let shared = &self.line.0;
        let slices = self.pump.fill();
        // What has been copied has made room; a write may take long.
        if self.waited_for {
            shared.room.made();
        }
        if slices.is_empty() {
            // Messages that never fit are counted without a write.
            shared.published.store(self.pump.ledger(), self.pump.counts(), self.pump.inserted());
            return Ok(Drive::Idle);
        }
        let progress = self.sink.write(&slices);
        let drive = self.pump.answered(progress);
        // And so has what was lent and has left now.
        if self.waited_for {
            shared.room.made();
        }
        if let Ok(Drive::Moved { frames, .. }) = drive {
            shared.published.batch(frames);
        }
        shared.published.store(self.pump.ledger(), self.pump.counts(), self.pump.inserted());
        drive.map_err(into_io)
    }

    /// Waits for the sink; for a moment only, where someone may ask from
    /// elsewhere to end.
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.line.0.published.wait();
        let glance = self.line.0.may_grow().then(|| Instant::now() + GLANCE);
        self.sink.wait(earlier(deadline, glance))
    }

    /// Sleeps until there is something to do.
    fn sleep(&mut self, deadline: Option<Instant>) {
        let mut slept = false;
        let drainer = &*self;
        drainer.line.0.bell.sleep(deadline, || {
            let awake = drainer.has_work() || drainer.is_finished();
            slept = !awake;
            awake
        });
        if slept {
            self.line.0.published.wake_up();
        }
    }

    /// Whether there is something to do that was not there before.
    fn has_work(&self) -> bool {
        self.line.0.is_called() || self.pump.has_work() || self.has_report()
    }

    fn is_finished(&self) -> bool {
        !self.line.0.may_grow() && self.pump.is_finished() && !self.has_report()
    }

    /// Takes new lanes in, frees those that are finished, and hears of the end.
    fn attend(&mut self) {
        let shared = &self.line.0;
        let mut inbox = shared.answer();
        self.ending = earlier(self.ending, inbox.deadline.take());
        for lane in inbox.lanes.drain(..) {
            let NewLane { consumer, account, reporter, waits } = lane;
            self.waited_for |= waits;
            self.reporting |= reporter.is_some();
            // The channel was given one of these when it was made. One that the
            // pump finds finished may have a loss to tell still.
            let free = self.lanes.iter_mut().enumerate().find(|(_, place)| place.is_none());
            let Some((index, place)) = free else { continue };
            if self.pump.set_lane(index, consumer, account.priority).is_ok() {
                *place = Some(Lane { account, reporter });
            }
        }
        drop(inbox);
        self.leaving = true;
        self.free_lanes();
    }

    /// Frees the lanes of channels that have gone and of which all has left,
    /// with a write or without.
    fn free_lanes(&mut self) {
        if !mem::take(&mut self.leaving) {
            return;
        }
        let shared = &self.line.0;
        for (index, place) in self.lanes.iter_mut().enumerate() {
            let Some(lane) = place else { continue };
            if !lane.account.is_deserted() {
                continue;
            }
            if self.pump.lane_is_finished(index)
                && !lane.has_report(|| self.pump.lane_ledger(index))
            {
                shared.finish(&lane.account);
                *place = None;
            } else {
                self.leaving = true;
            }
        }
    }

    /// Puts reports of losses into the batch.
    fn report(&mut self) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let Some(lane) = lane else { continue };
            let losses = lane.losses(self.pump.lane_ledger(index));
            let Some(reporter) = &mut lane.reporter else { continue };
            if let Some(report) = reporter.report(losses) {
                match self.pump.insert(report) {
                    Err(InsertError::NotNow) => {}
                    _ => reporter.sent(),
                }
            }
        }
    }

    /// Has ended, and may begin again: also when it was asked to end too late
    /// to hear it.
    pub(crate) fn ended(&mut self) {
        self.line.0.forget_end();
        self.ending = None;
    }

    /// Whether losses are to be reported.
    fn has_report(&self) -> bool {
        self.reporting
            && self.lanes.iter().enumerate().any(|(index, lane)| {
                lane.as_ref().is_some_and(|lane| lane.has_report(|| self.pump.lane_ledger(index)))
            })
    }

    /// Refuses new messages and channels from now on; senders that wait for
    /// room are refused too. What was accepted still leaves.
    pub fn close(&self) {
        self.line.0.close();
    }

    /// Says that the sink's stream has been replaced by a new one, so that a
    /// frame that had left in part leaves again whole. Returns the bytes taken
    /// back.
    pub fn rewind(&mut self) -> usize {
        self.pump.rewind()
    }

    /// What has become of the messages of each channel that is not finished.
    #[must_use]
    pub fn channels(&mut self) -> Vec<ChannelCounts> {
        self.attend();
        let lanes = self.lanes.iter().enumerate();
        let counts = lanes.filter_map(|(index, lane)| {
            let account = &lane.as_ref()?.account;
            let ledger = account.ledger() + self.pump.lane_ledger(index);
            Some(ChannelCounts { channel: account.id, priority: account.priority, ledger })
        });
        counts.collect()
    }

    /// Shows each message that was accepted and has not left whole, with its
    /// channel; see [`Pump::for_each_undelivered`]. Nothing moves thereby.
    pub fn for_each_undelivered(&mut self, mut show: impl FnMut(ChannelId, Undelivered<'_>)) {
        self.attend();
        let lanes = &self.lanes;
        self.pump.for_each_undelivered(|index, message| {
            if let Some(Some(lane)) = lanes.get(index) {
                show(lane.account.id, message);
            }
        });
    }
}

impl<F, S> Drainer<F, S> {
    /// Borrows the sink.
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// Borrows the sink, to mend it.
    pub const fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Gives the sink back; the senders are refused from now on.
    pub fn into_sink(self) -> S {
        self.sink
    }
}

impl<F: Encode, S> Drainer<F, S> {
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

/// The earlier of two instants that may never come.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// How a run of the drainer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every sender is gone and every message has left.
    Finished,
    /// Every message has left; said by [`Drainer::flush_until`], and by a run
    /// that was asked to end.
    Idle,
    /// The deadline has passed first.
    Deadline,
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
