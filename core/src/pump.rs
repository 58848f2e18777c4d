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
//! Lanes take turns. A fill begins with the lane whose turn it is, gives each
//! lane its share of the room, and then what is left to those that have more.
//! A turn ends when one of the lane's records has been taken or it has none; a
//! record that does not fit when it is its lane's turn ends the fill, so that it
//! gets an emptier batch. Between two records of a waiting lane others fill
//! fewer than `LANES` batches.
//!
//! Invariant: a record is in its ring, in the batch, or in the ledger as
//! delivered or undeliverable; a ring's head never passes a lent record that
//! has not left.

#[cfg(feature = "embedded-io-async")]
mod drive_async;

use core::{error::Error, fmt};

use heapless::Vec;

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
/// for one write; see [`Batch`](crate::Batch). Each lane's records leave in
/// order, and no lane waits for ever while others are busy. A record that the
/// format or an empty batch can never take is dropped and counted as
/// undeliverable.
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
    lanes: Vec<Consumer<'r>, LANES>,
    stage: Stage<LanePlace, B, SLICES>,
    /// The lane that is served first by the next fill.
    turn: usize,
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
            turn: 0,
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

    /// Adds a ring to drain, from the oldest record that has not been
    /// released. With all lanes taken, the lane of a ring that is
    /// [finished](Consumer::is_finished) is given to it.
    ///
    /// # Errors
    ///
    /// The consumer back when no lane is free.
    pub fn add(&mut self, mut consumer: Consumer<'r>) -> Result<(), Consumer<'r>> {
        // Back to the records that were looked at and not released.
        consumer.release(0);
        self.lanes.push(consumer).or_else(|consumer| {
            // Nothing of a finished ring is lent, as that is not released.
            match self.lanes.iter_mut().find(|lane| lane.is_finished()) {
                Some(lane) => {
                    *lane = consumer;
                    Ok(())
                }
                None => Err(consumer),
            }
        })
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
            Some(lane) => lane.bytes(lent.place),
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
        let frames = self.stage.advance(len);
        self.release();
        self.ledger.delivered += frames as u64;
        self.counts.bytes += len as u64;
        Ok(frames)
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

    /// Counts one call of the sink and takes its answer.
    fn answered<E>(&mut self, progress: Result<Progress, E>) -> Result<Drive, DriveError<E>> {
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
        self.stage.frames() == 0 && self.lanes.iter().all(Consumer::is_finished)
    }

    /// Whether there is something to write, now, in the batch or in a ring.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.stage.frames() > 0 || self.lanes.iter().any(Consumer::has_next)
    }

    /// What has been delivered, and what could not be.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// How the writes went.
    #[must_use]
    pub fn counts(&self) -> PumpCounts {
        self.counts
    }

    /// Takes committed records into the batch until it is full or the rings
    /// are empty.
    fn take(&mut self) {
        loop {
            self.take_lanes();
            if self.stage.frames() == 0 || self.stage.pending() > 0 {
                break;
            }
            // Frames of no bytes alone: they have left already, and took the
            // room of what is behind them.
            self.ledger.delivered += self.stage.advance(0) as u64;
        }
        self.release();
    }

    /// Takes from each lane its share of the room, then from each what still
    /// fits.
    fn take_lanes(&mut self) {
        // At most so many: a pump of one lane has no code to divide.
        let lanes = self.lanes.len().min(LANES);
        let share = if lanes > 1 { self.stage.free() / lanes } else { usize::MAX };
        for share in [share, usize::MAX] {
            let first = self.turn;
            for lane in (first..lanes).chain(0..first) {
                if !self.take_lane(lane, share) {
                    return;
                }
            }
            if lanes <= 1 {
                return;
            }
        }
    }

    /// Takes records of one lane until they take `share` bytes of the buffer;
    /// whether other lanes may go on.
    fn take_lane(&mut self, lane: usize, share: usize) -> bool {
        let free = self.stage.free();
        let (mut served, mut go_on) = (false, true);
        while free - self.stage.free() < share {
            if self.stage.frames() >= self.frames_max {
                go_on = false;
                break;
            }
            let Some(place) = self.lanes.get_mut(lane).and_then(Consumer::next_place) else {
                served = true;
                break;
            };
            match self.put(lane, place) {
                Ok(()) => {}
                Err(Refused::Full { .. }) if self.stage.frames() > 0 => {
                    if let Some(lane) = self.lanes.get_mut(lane) {
                        lane.put_back(place);
                    }
                    go_on = served || lane != self.turn;
                    break;
                }
                // Not even into an empty batch.
                Err(Refused::Full { .. } | Refused::Encode(_)) => self.ledger.undeliverable += 1,
            }
            served = true;
        }
        // Now, as a ring that is overwritten waits for it.
        self.release_lane(lane);
        if served && lane == self.turn {
            self.turn = if lane + 1 < self.lanes.len() { lane + 1 } else { 0 };
        }
        go_on
    }

    /// Puts one record into the batch, lent when it is large.
    #[inline]
    fn put(&mut self, lane: usize, place: Place) -> Result<(), Refused> {
        let record = self.lanes.get(lane).map_or(&[][..], |lane| lane.bytes(place));
        let frame_len_max = self.format.frame_len_max(record.len());
        let free = self.len_max.saturating_sub(self.stage.frames_len());
        if self.stage.frames() > 0 && frame_len_max > free {
            return Err(Refused::Full { needed: frame_len_max, free });
        }
        if record.len() >= self.borrow_from
            && self.stage.lend(&self.format, record, LanePlace { lane, place })?
        {
            return Ok(());
        }
        self.stage.copy(&self.format, record)
    }

    /// Releases each ring up to its first record that is still lent.
    fn release(&mut self) {
        for index in 0..self.lanes.len() {
            self.release_lane(index);
        }
    }

    /// Releases one of them; without lent records it may be overwritten again.
    fn release_lane(&mut self, index: usize) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        match self.stage.lent().find(|lent| lent.lane == index) {
            Some(lent) => lane.release_to(lent.place.begin()),
            None => lane.release_walked(),
        }
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

/// The sink took no byte and did not say that it was blocked: it will never
/// take any.
///
/// ```
/// let stuck = forebay::pump::Stuck { pending: 12 };
/// assert_eq!(stuck.to_string(), "the sink took none of 12 bytes and was not blocked");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stuck {
    /// Bytes that were to be written.
    pub pending: usize,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sink took none of {} bytes and was not blocked", self.pending)
    }
}

impl Error for Stuck {}

/// Why a round of [`Pump::drive`] failed.
///
/// ```
/// # use forebay::{Pump, frame::Plain, ring::Ring};
/// use forebay::pump::DriveError;
/// use forebay::sink::{Progress, Sink};
///
/// /// Takes nothing, ever.
/// struct Wall;
///
/// impl Sink for Wall {
///     type Error = core::convert::Infallible;
///
///     fn write(&mut self, _slices: &[&[u8]]) -> Result<Progress, Self::Error> {
///         Ok(Progress::Wrote(0))
///     }
/// }
///
/// # let mut ring = Ring::<64>::new();
/// # let (mut producer, consumer) = ring.split();
/// # let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 64]);
/// # pump.add(consumer).unwrap();
/// producer.push(b"record").unwrap();
/// let error = pump.drive(&mut Wall).unwrap_err();
/// assert!(matches!(error, DriveError::Stuck(stuck) if stuck.pending == 6));
/// assert_eq!(pump.pending(), 6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DriveError<E> {
    /// The sink reported an error.
    Sink(E),
    /// The sink took nothing.
    Stuck(Stuck),
    /// The sink says that it took more than it was given.
    PastEnd(PastEnd),
}

impl<E: fmt::Display> fmt::Display for DriveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sink(error) => error.fmt(f),
            Self::Stuck(stuck) => stuck.fmt(f),
            Self::PastEnd(past_end) => past_end.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for DriveError<E> {}
