//! A sink and a writer that fail as their script says.
//!
//! ```
//! use std::io::{IoSlice, Write};
//!
//! use forebay::{Progress, Sink};
//! use forebay_tests::faulty::{FaultySink, FaultyWriter, Step};
//!
//! let script = [Step::Take(3), Step::Blocked, Step::Fail];
//! let mut sink = FaultySink::new(script);
//! assert_eq!(sink.write(&[b"ab", b"cd"]), Ok(Progress::Wrote(3)));
//! assert_eq!(sink.write(&[b"d"]), Ok(Progress::Blocked));
//! assert!(sink.write(&[b"d"]).is_err());
//! // The script has ended: everything is taken from now on.
//! assert_eq!(sink.write(&[b"d"]), Ok(Progress::Wrote(1)));
//! assert_eq!(sink.taken, b"abcd");
//!
//! let mut writer = FaultyWriter::sequential([Step::Interrupted]);
//! let slices = [IoSlice::new(b"ab"), IoSlice::new(b"cd")];
//! assert!(writer.write_vectored(&slices).is_err());
//! assert_eq!(writer.write_vectored(&slices).unwrap(), 2);
//! ```

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind, IoSlice, Write},
    slice,
};

use forebay::{Progress, Sink};

/// What one call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes at most so many bytes.
    Take(usize),
    /// Takes none and says that none can be taken now.
    Blocked,
    /// Takes none and says that a signal came (`EINTR`). A sink does not
    /// report that: it takes the next step in the same call.
    Interrupted,
    /// Takes none and says that it took none.
    Zero,
    /// Takes none and reports an error.
    Fail,
}

/// The error of a step that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the script says so")
    }
}

impl Error for Failed {}

/// A sink that follows a script and keeps what it takes; when the script has
/// ended it takes all that it is given.
#[derive(Debug)]
pub struct FaultySink<I> {
    script: I,
    /// What it has taken.
    pub taken: Vec<u8>,
    /// How it was called: the length in bytes of what each call was given.
    pub given: Vec<usize>,
}

impl<I: Iterator<Item = Step>> FaultySink<I> {
    /// A sink that follows `script`.
    pub fn new(script: impl IntoIterator<IntoIter = I>) -> Self {
        Self { script: script.into_iter(), taken: Vec::new(), given: Vec::new() }
    }
}

impl<I: Iterator<Item = Step>> Sink for FaultySink<I> {
    type Error = Failed;

    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Failed> {
        self.given.push(slices.iter().map(|slice| slice.len()).sum());
        loop {
            return match self.script.next() {
                Some(Step::Interrupted) => continue,
                Some(Step::Blocked) => Ok(Progress::Blocked),
                Some(Step::Zero) => Ok(Progress::Wrote(0)),
                Some(Step::Fail) => Err(Failed),
                Some(Step::Take(len_max)) => {
                    Ok(Progress::Wrote(take(&mut self.taken, slices, len_max)))
                }
                None => Ok(Progress::Wrote(take(&mut self.taken, slices, usize::MAX))),
            };
        }
    }
}

/// Moves at most `len_max` bytes from the front of `slices` to the end of
/// `taken`; returns how many.
fn take(taken: &mut Vec<u8>, slices: &[&[u8]], len_max: usize) -> usize {
    let before = taken.len();
    for slice in slices {
        let left = len_max - (taken.len() - before);
        taken.extend_from_slice(&slice[..slice.len().min(left)]);
    }
    taken.len() - before
}

/// A writer that follows a script and keeps what it takes; when the script has
/// ended it takes all that it is given.
#[derive(Debug)]
pub struct FaultyWriter<I> {
    script: I,
    vectored: bool,
    /// What it has taken.
    pub taken: Vec<u8>,
    /// How often it was called.
    pub calls: usize,
}

impl<I: Iterator<Item = Step>> FaultyWriter<I> {
    /// A writer whose `write_vectored` takes from all slices.
    pub fn vectored(script: impl IntoIterator<IntoIter = I>) -> Self {
        Self { script: script.into_iter(), vectored: true, taken: Vec::new(), calls: 0 }
    }

    /// A writer whose `write_vectored` takes from the first slice that is not
    /// empty alone, as the provided one of [`Write`] does.
    pub fn sequential(script: impl IntoIterator<IntoIter = I>) -> Self {
        Self { vectored: false, ..Self::vectored(script) }
    }
}

impl<I: Iterator<Item = Step>> Write for FaultyWriter<I> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        let len_max = match self.script.next() {
            Some(Step::Interrupted) => return Err(ErrorKind::Interrupted.into()),
            Some(Step::Blocked) => return Err(ErrorKind::WouldBlock.into()),
            Some(Step::Zero) => return Ok(0),
            Some(Step::Fail) => return Err(io::Error::other(Failed)),
            Some(Step::Take(len_max)) => len_max,
            None => usize::MAX,
        };
        let first = slices.iter().find(|slice| !slice.is_empty());
        let slices = if self.vectored { slices } else { first.map_or(&[][..], slice::from_ref) };
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        Ok(take(&mut self.taken, &slices, len_max))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
