//! How a file backend is set up.

use std::{error::Error, fmt, ops::RangeInclusive};

/// How a file backend is set up.
///
/// The thread backend reads `queue_depth`, `buffers` and `buffer_len`; the rest
/// is for who chooses between it and the system's own completions
/// (`forebay_linux::file`).
///
/// ```
/// use forebay_std::file::{BadConfig, Config};
///
/// let config = Config { queue_depth: 32, ..Config::default() };
/// assert_eq!(config.check(), Ok(()));
/// assert_eq!(config.buffer_count(), 32);
///
/// let error = Config { queue_depth: 5000, ..config }.check().unwrap_err();
/// assert_eq!(error.to_string(), "queue_depth 5000: from 1 to 4096");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Use the system's own completions (io_uring), not threads.
    pub enabled: bool,
    /// The most operations that are submitted and not reaped; 1 to 4096.
    pub queue_depth: usize,
    /// A thread of the kernel looks for submissions (`IORING_SETUP_SQPOLL`).
    pub sqpoll: bool,
    /// The processor of that thread.
    pub sqpoll_cpu: Option<u32>,
    /// The buffers are registered with the kernel where it allows it.
    pub registered_buffers: bool,
    /// Go on with threads where the system's own completions cannot be had;
    /// without it, that is an error.
    pub fallback: bool,
    /// How many buffers there are; as many as `queue_depth` without a number.
    /// At most 16,384, which is as many as io_uring registers.
    pub buffers: Option<usize>,
    /// The length of each buffer in bytes: a multiple of 4096, to 16 MiB.
    pub buffer_len: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            queue_depth: 128,
            sqpoll: false,
            sqpoll_cpu: None,
            registered_buffers: true,
            fallback: true,
            buffers: None,
            buffer_len: 64 * 1024,
        }
    }
}

/// What buffers and their lengths are multiples of: a page, and what unbuffered
/// I/O demands of nearly every device.
pub const ALIGN: usize = 4096;

const DEPTHS: RangeInclusive<usize> = 1..=4096;
const BUFFERS: RangeInclusive<usize> = 1..=16_384;
const LENGTHS: RangeInclusive<usize> = ALIGN..=16 << 20;

impl Config {
    /// How many buffers there are.
    #[must_use]
    pub fn buffer_count(&self) -> usize {
        self.buffers.unwrap_or(self.queue_depth)
    }

    /// Checks every option.
    ///
    /// # Errors
    ///
    /// Which one is wrong, its value, and what it may be.
    pub fn check(&self) -> Result<(), BadConfig> {
        let within = |option, value, range: RangeInclusive<usize>| {
            let (least, most) = (*range.start(), *range.end());
            if range.contains(&value) {
                Ok(())
            } else {
                Err(BadConfig::OutOfRange { option, value, least, most })
            }
        };
        within("queue_depth", self.queue_depth, DEPTHS)?;
        within("buffers", self.buffer_count(), BUFFERS)?;
        within("buffer_len", self.buffer_len, LENGTHS)?;
        if !self.buffer_len.is_multiple_of(ALIGN) {
            return Err(BadConfig::NotAMultiple {
                option: "buffer_len",
                value: self.buffer_len,
                of: ALIGN,
            });
        }
        match self.sqpoll_cpu {
            Some(cpu) if !self.sqpoll => Err(BadConfig::CpuWithoutSqpoll { cpu }),
            _ => Ok(()),
        }
    }
}

/// An option that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadConfig {
    /// A number that is too small or too large.
    OutOfRange {
        /// The option.
        option: &'static str,
        /// What it is.
        value: usize,
        /// The least that it may be.
        least: usize,
        /// The most that it may be.
        most: usize,
    },
    /// A number that must be a multiple of another one.
    NotAMultiple {
        /// The option.
        option: &'static str,
        /// What it is.
        value: usize,
        /// What it must be a multiple of.
        of: usize,
    },
    /// A processor for a thread that was not asked for.
    CpuWithoutSqpoll {
        /// Which processor.
        cpu: u32,
    },
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { option, value, least, most } => {
                write!(f, "{option} {value}: from {least} to {most}")
            }
            Self::NotAMultiple { option, value, of } => {
                write!(f, "{option} {value}: a multiple of {of}")
            }
            Self::CpuWithoutSqpoll { cpu } => {
                write!(f, "sqpoll_cpu {cpu}: only together with sqpoll")
            }
        }
    }
}

impl Error for BadConfig {}
