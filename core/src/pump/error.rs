//! What can go wrong between a pump and its sink.

use core::{error::Error, fmt};

use crate::batch::PastEnd;

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

/// Why a round of [`Pump::drive`](super::Pump::drive) failed.
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

/// Why [`Pump::insert`](super::Pump::insert) did not put a frame in.
///
/// ```
/// # use forebay::{Pump, frame::Prefixed, ring::Ring};
/// use forebay::pump::InsertError;
///
/// let mut pump: Pump<_, _, 2> = Pump::new(Prefixed::flatstream(10), [0; 32]);
/// assert_eq!(pump.insert(&[0; 11]), Err(InsertError::Never));
/// pump.insert(&[0; 10])?;
/// assert_eq!(pump.insert(&[0; 10]), Err(InsertError::NotNow));
/// pump.wrote(14)?;
/// pump.insert(&[0; 10])?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum InsertError {
    /// There will be room when some of the batch has left.
    NotNow,
    /// The format or an empty batch can never take it.
    Never,
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotNow => "no room in the batch before some of it has left",
            Self::Never => "neither the format nor an empty batch can take the frame",
        })
    }
}

impl Error for InsertError {}
