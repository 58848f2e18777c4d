//! The three standard streams, without buffers or locks that hide a system
//! call, and without panics when one of them is closed or full.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind, Read, Write},
    os::fd::{AsFd, OwnedFd},
};

use forebay::{Progress, Sink};
use forebay_linux::FdSink;
use forebay_std::Wait;
use rustix::{event::PollFlags, io::Errno};

use crate::interrupt::{self, Waited};

/// So many bytes gather before they are written, unless the input pauses.
const GATHERED_LEN: usize = 64 * 1024;

/// A line on standard error. If that is gone there is nobody to tell.
macro_rules! report {
    ($($text:tt)*) => {
        $crate::stdio::report_line(format_args!($($text)*))
    };
}
pub(crate) use report;

/// What [`report!`] calls.
pub(crate) fn report_line(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// What went wrong with a standard stream.
#[derive(Debug)]
pub(crate) enum StdioError {
    Input(io::Error),
    Output(io::Error),
}

impl fmt::Display for StdioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => write!(f, "standard input: {error}"),
            Self::Output(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl Error for StdioError {}

/// Reads any descriptor, and waits for it even if it does not block. A signal
/// that is [watched](interrupt::watch) for ends the input.
#[derive(Debug)]
pub(crate) struct FdReader(OwnedFd);

impl FdReader {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    pub(crate) fn stdin() -> Result<Self, StdioError> {
        Ok(Self(stdin().map_err(StdioError::Input)?))
    }

    /// Waits until there is something; false when a signal has ended that.
    fn wait(&self) -> io::Result<bool> {
        Ok(interrupt::wait(Some(self.0.as_fd()), PollFlags::IN, None)? == Waited::Ready)
    }
}

impl Read for FdReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Where signals are watched for, nothing else may be waited in.
        if interrupt::watched().is_some() && !self.wait()? {
            return Ok(0);
        }
        loop {
            match rustix::io::read(&self.0, &mut *buffer) {
                Err(Errno::AGAIN) => {
                    if !self.wait()? {
                        return Ok(0);
                    }
                }
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }
}

/// Another descriptor of standard input.
pub(crate) fn stdin() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// Another descriptor of standard output.
pub(crate) fn stdout() -> io::Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned()
}

/// Standard output, written when enough has gathered and when
/// [`flush`](Output::flush) is called.
#[derive(Debug)]
pub(crate) struct Output {
    sink: FdSink<OwnedFd>,
    gathered: Vec<u8>,
}

impl Output {
    pub(crate) fn stdout() -> Result<Self, StdioError> {
        let sink = stdout().and_then(FdSink::new).map_err(StdioError::Output)?;
        Ok(Self { sink, gathered: Vec::with_capacity(2 * GATHERED_LEN) })
    }

    /// What gathers, to append to.
    pub(crate) fn gathered(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Writes what has gathered if that is enough for a write.
    pub(crate) fn flush_if_full(&mut self) -> Result<(), StdioError> {
        if self.gathered.len() >= GATHERED_LEN { self.flush() } else { Ok(()) }
    }

    /// Writes all that has gathered.
    pub(crate) fn flush(&mut self) -> Result<(), StdioError> {
        let mut left = &self.gathered[..];
        while !left.is_empty() {
            match self.sink.write(&[left]).map_err(StdioError::Output)? {
                Progress::Wrote(0) => {
                    return Err(StdioError::Output(ErrorKind::WriteZero.into()));
                }
                Progress::Wrote(len) => left = &left[len..],
                Progress::Blocked => self.sink.wait(None).map_err(StdioError::Output)?,
            }
        }
        self.gathered.clear();
        Ok(())
    }
}
