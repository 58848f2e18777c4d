//! Moves records from rings through a batch to a sink, without doing I/O
//! itself.
//!
//! ```
//! use forebay::{Pump, checksum::CRC32, frame::Prefixed, ring::Ring};
//!
//! let mut ring = Ring::<1024>::new();
//! let (mut producer, consumer) = ring.split();
//! let mut pump: Pump<_, _, 1> = Pump::new(Prefixed::flatstream(64), [0; 512]);
//! pump.add(consumer).unwrap();
//!
//! for message in ["many", "small", "messages"] {
//!     producer.push(message.as_bytes())?;
//! }
//!
//! // One slice for one write, which may well go short:
//! let mut wire = Vec::new();
//! let taken = {
//!     let slices = pump.fill();
//!     assert_eq!(slices.len(), 1);
//!     wire.extend_from_slice(&slices[0][..10]);
//!     10
//! };
//! assert_eq!(pump.wrote(taken), Ok(1));
//! assert_eq!(pump.ledger().delivered, 1);
//! # Ok::<(), forebay::ring::ReserveError>(())
//! ```
//!
//! # Implementation
//!
//! [`fill`](Pump::fill) walks the rings and copies small records, framed, into
//! the batch's buffer; their room in the ring is released at once, since the
//! batch has them. Large records stay in the ring and are lent as slices of
//! their own; from the first of them on, that ring is released only as they
//! leave. [`wrote`](Pump::wrote) advances by exactly the bytes that went.
//!
//! What is taken first is told in `pump/take.rs`: by priority, lanes of one
//! priority in turns, groups of records together.
//!
//! Invariant: a record is in its ring, in the batch, or in the ledger as
//! delivered or undeliverable; a ring's head never passes a lent record that
//! has not left. Whose the frames of the batch are is kept beside it
//! (`pump/runs.rs`), so that each lane has a ledger of its own.

#[cfg(feature = "embedded-io-async")]
mod drive_async;
mod error;
mod lane;
mod runs;
mod take;
mod undelivered;

use heapless::Vec;

pub use self::{
    error::{DriveError, InsertError, Stuck},
    undelivered::Undelivered,
};
use self::{
    lane::Lane,
    runs::{Cargo, Runs},
};
use crate::{
    batch::{BORROW_FROM_DEFAULT, PastEnd},
    frame::Encode,
    ledger::Ledger,
    ring::{Consumer, Place},
    sink::{Progress, Sink},
    stage::{Refused, Slices, Stage},
};

/// Drains up to `LANES` rings, fairly, into one batch after the other.
///
/// `F` frames each record ([`Plain`](crate::frame::Plain) when the producers
/// framed them already), `B` is the batch's buffer, `SLICES` the most slices
/// for one write; see [`Batch`](crate::Batch). A record that the format or an
/// empty batch can never take is dropped and counted as undeliverable.
///
/// Each lane's records leave in order. Of lanes with one
/// [priority](Pump::add_lane) none waits for ever while others are busy; one
/// with a lower priority waits for as long as those above it are. The records
/// of a [group](crate::ring::Producer::push_group) leave side by side, and in
/// one batch when an empty batch has room for all of them. (A pump of one lane,
/// where nothing can come between them, may part them over two batches.)
///
/// ```
/// use forebay::pump::Drive;
/// use forebay::sink::{Progress, Sink};
/// use forebay::{Pump, frame::Plain, ring::Ring};
///
/// #[derive(Default)]
/// struct Wire(Vec<u8>);
///
/// impl Sink for Wire {
///     type Error = core::convert::Infallible;
///
///     fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Self::Error> {
///         let before = self.0.len();
///         slices.iter().for_each(|slice| self.0.extend_from_slice(slice));
///         Ok(Progress::Wrote(self.0.len() - before))
///     }
/// }
///
/// let (mut small, mut large) = (Ring::<64>::new(), Ring::<1024>::new());
/// let (mut small, small_lane) = small.split();
/// let (mut large, large_lane) = large.split();
/// let mut pump: Pump<_, _, 2> = Pump::new(Plain, [0; 512]).borrow_from(100);
/// pump.add(small_lane).unwrap();
/// pump.add(large_lane).unwrap();
///
/// large.push(&[0; 300])?; // is written from where it lies in its ring
/// small.push(b"one ")?;
/// small.push(b"two ")?;
/// let mut wire = Wire::default();
/// assert_eq!(pump.drive(&mut wire)?, Drive::Moved { bytes: 308, frames: 3 });
/// assert!(wire.0.starts_with(b"one two "));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pump<'r, F, B, const LANES: usize, const SLICES: usize = 33> {
    format: F,
    lanes: Vec<Lane<'r>, LANES>,
    stage: Stage<LanePlace, B, SLICES>,
    runs: Runs<LANES>,
    /// The first record that has not been taken of a group of which a part has.
    group: Option<LanePlace>,
    inserted: u64,
    borrow_from: usize,
    frames_max: usize,
    len_max: usize,
    ledger: Ledger,
    counts: PumpCounts,
}

/// A record lent from a ring.
#[derive(Clone, Copy, Debug)]
struct LanePlace {
    lane: usize,
    place: Place,
}

/// How a pump's writes went; see [`Pump::drive`].
///
/// ```
/// # use forebay::{Pump, frame::Plain, ring::Ring};
/// use forebay::pump::PumpCounts;
/// use forebay::sink::{Progress, Sink};
///
/// /// Takes five bytes, and then no more for now.
/// struct Five(bool);
///
/// impl Sink for Five {
///     type Error = core::convert::Infallible;
///
///     fn write(&mut self, _slices: &[&[u8]]) -> Result<Progress, Self::Error> {
///         let full = std::mem::replace(&mut self.0, true);
///         Ok(if full { Progress::Blocked } else { Progress::Wrote(5) })
///     }
/// }
///
/// # let mut ring = Ring::<64>::new();
/// # let (mut producer, consumer) = ring.split();
/// # let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 64]);
/// # pump.add(consumer).unwrap();
/// producer.push(b"a record")?;
/// let mut sink = Five(false);
/// pump.drive(&mut sink)?;
/// pump.drive(&mut sink)?;
/// assert_eq!(pump.counts(), PumpCounts { writes: 2, bytes: 5, short: 1, blocked: 1 });
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PumpCounts {
    /// Calls of the sink.
    pub writes: u64,
    /// Bytes that it took.
    pub bytes: u64,
    /// Calls that took less than was given.
    pub short: u64,
    /// Calls that took nothing because the sink was blocked.
    pub blocked: u64,
}

/// What one round of [`Pump::drive`] did.
///
/// ```
/// use forebay::pump::{Drive, DriveError};
/// use forebay::{Pump, Sink, frame::Encode};
///
/// /// Writes until nothing is left or the sink is blocked; says whether it is.
/// fn flush<F: Encode, S: Sink>(
///     pump: &mut Pump<'_, F, [u8; 512], 1>,
///     sink: &mut S,
/// ) -> Result<bool, DriveError<S::Error>> {
///     loop {
///         match pump.drive(sink)? {
///             Drive::Moved { .. } => {}
///             Drive::Idle => return Ok(false),
///             Drive::Blocked => return Ok(true),
///         }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Drive {
    /// There was nothing to write.
    Idle,
    /// The sink took some bytes.
    Moved {
        /// Bytes taken.
        bytes: usize,
        /// Frames that have left whole thereby.
        frames: usize,
    },
    /// The sink takes none now; there is something to write.
    Blocked,
}

impl<'r, F, B, const LANES: usize, const SLICES: usize> Pump<'r, F, B, LANES, SLICES>
where
    F: Encode,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// A pump without rings whose batches have `buffer` for copied frames.
    pub const fn new(format: F, buffer: B) -> Self {
        const {
            assert!(LANES >= 1, "a pump has at least one lane");
            assert!(SLICES >= 1, "a pump has at least one slice");
        }
        Self {
            format,
            lanes: Vec::new(),
            stage: Stage::new(buffer),
            runs: Runs::new(),
            group: None,
            inserted: 0,
            borrow_from: BORROW_FROM_DEFAULT,
            frames_max: usize::MAX,
            len_max: usize::MAX,
            ledger: EMPTY,
            counts: PumpCounts { writes: 0, bytes: 0, short: 0, blocked: 0 },
        }
    }

    /// Sets the record length in bytes from which records are lent from the
    /// ring rather than copied.
    #[must_use]
    pub fn borrow_from(mut self, len: usize) -> Self {
        self.borrow_from = len;
        self
    }

    /// Sets the most frames in a batch, at least one.
    #[must_use]
    pub fn frames_max(mut self, frames: usize) -> Self {
        // With none at all nothing would ever leave.
        self.frames_max = frames.max(1);
        self
    }

    /// Sets the most bytes in a batch, and so in a write: `PIPE_BUF` for a
    /// shared FIFO. A longer frame goes alone.
    #[must_use]
    pub fn len_max(mut self, bytes: usize) -> Self {
        self.len_max = bytes.max(1);
        self
    }

    /// Adds a ring to drain, with the priority 0: see
    /// [`add_lane`](Pump::add_lane).
    ///
    /// # Errors
    ///
    /// The consumer back when no lane is free.
    pub fn add(&mut self, consumer: Consumer<'r>) -> Result<(), Consumer<'r>> {
        self.add_lane(consumer, 0).map(|_| ())
    }

    /// Adds a ring to drain, from the oldest record that has not been
    /// released, and returns the lane's number. The lane of a ring that is
    /// [finished](Consumer::is_finished), and of which nothing is in the batch
    /// any more, is given to it.
    ///
    /// A fill takes records of a priority when it finds none of a higher one;
    /// what is in the batch already stays before them. A lane that is never
    /// empty keeps those of lower priorities waiting for ever.
    ///
    /// ```
    /// use forebay::{Pump, frame::Plain, ring::Ring};
    ///
    /// let (mut bulk, mut urgent) = (Ring::<64>::new(), Ring::<64>::new());
    /// let (mut bulk, bulk_lane) = bulk.split();
    /// let (mut urgent, urgent_lane) = urgent.split();
    /// let mut pump: Pump<_, _, 2> = Pump::new(Plain, [0; 64]);
    /// pump.add_lane(bulk_lane, 0).unwrap();
    /// pump.add_lane(urgent_lane, 7).unwrap();
    ///
    /// bulk.push(b"can wait")?;
    /// urgent.push(b"alarm, ")?;
    /// assert_eq!(pump.fill()[..], [b"alarm, can wait"]);
    /// # Ok::<(), forebay::ring::ReserveError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The consumer back when no lane is free.
    pub fn add_lane(
        &mut self,
        mut consumer: Consumer<'r>,
        priority: u8,
    ) -> Result<usize, Consumer<'r>> {
        // Back to the records that were looked at and not released.
        consumer.release(0);
        let finished = if LANES == 1 {
            // Without the code of a search.
            (self.lanes.is_full() && self.lane_is_finished(0)).then_some(0)
        } else {
            (0..self.lanes.len()).find(|lane| self.lane_is_finished(*lane))
        };
        let new = Lane::new(consumer, priority);
        if let Some((lane, old)) = finished.and_then(|lane| Some((lane, self.lanes.get_mut(lane)?)))
        {
            *old = new;
            return Ok(lane);
        }
        let lane = self.lanes.len();
        self.lanes.push(new).map_err(|new| new.consumer)?;
        Ok(lane)
    }

    /// As [`add_lane`](Pump::add_lane), as the lane of this number: one that is
    /// [finished](Pump::lane_is_finished), or the next that there has not been
    /// yet. For those who keep something of their own beside each lane.
    ///
    /// # Errors
    ///
    /// The consumer back when the lane is not free.
    pub fn set_lane(
        &mut self,
        lane: usize,
        mut consumer: Consumer<'r>,
        priority: u8,
    ) -> Result<(), Consumer<'r>> {
        if lane > self.lanes.len() || !self.lane_is_finished(lane) {
            return Err(consumer);
        }
        consumer.release(0);
        let new = Lane::new(consumer, priority);
        match self.lanes.get_mut(lane) {
            Some(old) => *old = new,
            None => self.lanes.push(new).map_err(|new| new.consumer)?,
        }
        Ok(())
    }

    /// Takes committed records into the batch and lends what is to be
    /// written, oldest first; no slices when there is nothing.
    ///
    /// What an earlier call lent and [`wrote`](Pump::wrote) did not take is
    /// lent again, before anything new.
    ///
    /// The slices are gone when `wrote` is called, which releases the records
    /// that they lie in:
    ///
    /// ```compile_fail,E0499
    /// # use forebay::{Pump, frame::Plain, ring::Ring};
    /// # let mut ring = Ring::<64>::new();
    /// # let (mut producer, consumer) = ring.split();
    /// # let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 64]);
    /// # pump.add(consumer).unwrap();
    /// # producer.push(b"record").unwrap();
    /// let slices = pump.fill();
    /// pump.wrote(6).unwrap();
    /// assert_eq!(slices[0], b"record");
    /// ```
    pub fn fill(&mut self) -> Slices<'_, SLICES> {
        self.take();
        let lanes = &self.lanes;
        self.stage.slices(|lent| match lanes.get(lent.lane) {
            Some(lane) => lane.consumer.bytes(lent.place),
            None => &[],
        })
    }

    /// Says that the sink took the first `len` bytes of what
    /// [`fill`](Pump::fill) lent; returns how many frames have thereby left
    /// whole. Their records' room in the rings is free again.
    ///
    /// # Errors
    ///
    /// [`PastEnd`] when less than that was lent; nothing has moved.
    pub fn wrote(&mut self, len: usize) -> Result<usize, PastEnd> {
        let pending = self.stage.pending();
        if len > pending {
            return Err(PastEnd { len, pending });
        }
        let frames = self.advance(len);
        self.release();
        self.counts.bytes += len as u64;
        Ok(frames)
    }

    /// Moves the batch past `len` bytes and counts the frames that ended
    /// within them.
    fn advance(&mut self, len: usize) -> usize {
        let frames = self.stage.advance(len);
        if LANES == 1 {
            self.ledger.delivered += frames as u64;
            return frames;
        }
        let mut left = frames;
        while let Some((cargo, count)) = self.runs.pop(left) {
            left -= count;
            match cargo {
                Cargo::Inserted => self.inserted += count as u64,
                Cargo::Record(lane) => {
                    self.ledger.delivered += count as u64;
                    if let Some(lane) = self.lanes.get_mut(lane) {
                        lane.delivered += count as u64;
                    }
                }
            }
        }
        frames
    }

    /// Puts a frame of the caller's own into the batch, behind what is there
    /// and before all that is still in the rings: news of a loss, for example.
    /// It is copied, and no ledger knows of it. Only pumps of two lanes or more
    /// tell such frames from records; others do not compile.
    ///
    /// ```
    /// # use forebay::{Pump, frame::Plain, ring::Ring};
    /// # let mut ring = Ring::<64>::new();
    /// # let (mut producer, consumer) = ring.split();
    /// # let mut pump: Pump<_, _, 2> = Pump::new(Plain, [0; 64]);
    /// # pump.add(consumer).unwrap();
    /// producer.push(b"message")?;
    /// pump.insert(b"3 were lost, ")?;
    /// assert_eq!(pump.fill()[..], [b"3 were lost, message"]);
    /// assert_eq!(pump.wrote(20), Ok(2));
    /// assert_eq!((pump.ledger().delivered, pump.inserted()), (1, 1));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InsertError::NotNow`] when it does not fit beside what is in the
    /// batch, or when that ends within a group of records;
    /// [`InsertError::Never`] when the format or an empty batch cannot take it.
    pub fn insert(&mut self, payload: &[u8]) -> Result<(), InsertError> {
        const { assert!(LANES >= 2, "a pump of one lane does not tell frames apart") };
        let is_empty = self.stage.frames() == 0;
        let frame_len_max = self.format.frame_len_max(payload.len());
        let free = self.len_max.saturating_sub(self.stage.frames_len());
        if self.group.is_some()
            || self.stage.frames() >= self.frames_max
            || !self.runs.takes(Cargo::Inserted)
            || (!is_empty && frame_len_max > free)
        {
            return Err(InsertError::NotNow);
        }
        match self.stage.copy(&self.format, payload) {
            Ok(()) => {
                self.runs.push(Cargo::Inserted);
                Ok(())
            }
            Err(Refused::Full { .. }) if !is_empty => Err(InsertError::NotNow),
            Err(_) => Err(InsertError::Never),
        }
    }

    /// Takes back what has left of the first frame, so that a new peer gets it
    /// from its beginning; returns how many bytes that were. To be called when
    /// the sink's stream has been replaced by a new one.
    pub fn rewind(&mut self) -> usize {
        self.stage.rewind()
    }

    /// Fills, writes once and takes the answer.
    ///
    /// # Errors
    ///
    /// [`DriveError::Sink`] for what the sink reports, [`DriveError::Stuck`]
    /// when it took nothing and did not say that it was blocked,
    /// [`DriveError::PastEnd`] when it says that it took more than there was.
    /// What was to be written stays with the pump, for the next call.
    pub fn drive<S: Sink>(&mut self, sink: &mut S) -> Result<Drive, DriveError<S::Error>> {
        let slices = self.fill();
        if slices.is_empty() {
            return Ok(Drive::Idle);
        }
        let progress = sink.write(&slices);
        self.answered(progress)
    }

    /// Counts one call of the sink and takes its answer: what
    /// [`drive`](Pump::drive) does with it, for those who make the call
    /// themselves.
    ///
    /// # Errors
    ///
    /// As `drive`.
    pub fn answered<E>(&mut self, progress: Result<Progress, E>) -> Result<Drive, DriveError<E>> {
        let pending = self.pending();
        self.counts.writes += 1;
        match progress.map_err(DriveError::Sink)? {
            Progress::Wrote(0) => Err(DriveError::Stuck(Stuck { pending })),
            Progress::Wrote(bytes) => {
                if bytes < pending {
                    self.counts.short += 1;
                }
                let frames = self.wrote(bytes).map_err(DriveError::PastEnd)?;
                Ok(Drive::Moved { bytes, frames })
            }
            Progress::Blocked => {
                self.counts.blocked += 1;
                Ok(Drive::Blocked)
            }
        }
    }

    /// Bytes in the batch that have not left.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.stage.pending()
    }

    /// Whether every producer is gone and everything has left.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.stage.frames() == 0 && self.lanes.iter().all(|lane| lane.consumer.is_finished())
    }

    /// Whether the producers of a lane are gone and everything of it has left;
    /// so too when there is no such lane.
    #[must_use]
    pub fn lane_is_finished(&self, lane: usize) -> bool {
        let finished = self.lanes.get(lane).is_none_or(|lane| lane.consumer.is_finished());
        finished && !self.has_in_batch(lane)
    }

    /// Whether there is something to write, now, in the batch or in a ring.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.stage.frames() > 0 || self.lanes.iter().any(|lane| lane.consumer.has_next())
    }

    /// What has been delivered, and what could not be.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Whether frames of a lane are in the batch.
    fn has_in_batch(&self, lane: usize) -> bool {
        if LANES == 1 {
            return lane == 0 && self.stage.frames() > 0;
        }
        self.runs.iter().any(|cargo| cargo == Cargo::Record(lane))
    }

    /// What has been delivered of one lane, and what could not be; nothing when
    /// there is no such lane. A lane that is given to another ring begins anew;
    /// but a pump of one lane has one ledger for all the rings that it had.
    #[must_use]
    pub fn lane_ledger(&self, lane: usize) -> Ledger {
        if LANES == 1 {
            return if lane == 0 { self.ledger } else { Ledger::default() };
        }
        self.lanes.get(lane).map(Lane::ledger).unwrap_or_default()
    }

    /// Frames that were put in by [`insert`](Pump::insert) and have left.
    #[must_use]
    pub fn inserted(&self) -> u64 {
        self.inserted
    }

    /// How the writes went.
    #[must_use]
    pub fn counts(&self) -> PumpCounts {
        self.counts
    }
}

/// `Default` is not const.
const EMPTY: Ledger = Ledger {
    offered: 0,
    accepted: 0,
    refused: 0,
    busy: 0,
    delivered: 0,
    overwritten: 0,
    undeliverable: 0,
};
