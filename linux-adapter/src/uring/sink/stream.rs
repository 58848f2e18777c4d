//! A ring where there is one, and plain calls else.

use std::{io, os::fd::OwnedFd, time::Instant};

use forebay::{Progress, Sink};
use forebay_std::Wait;

use super::{
    super::config::{Config, SetupError},
    RingSink, SinkSet, is_stream,
};
use crate::FdSink;

/// A sink for a stream socket: through a ring where there is io_uring, by
/// [`FdSink`] where there is none.
///
/// ```
/// use forebay_linux::uring::StreamSink;
///
/// let (near, _far) = std::os::unix::net::UnixStream::pair()?;
/// let sink = StreamSink::new(near)?;
/// if let Some(why) = sink.fallback() {
///     println!("plain calls: {why}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub enum StreamSink {
    /// By a ring.
    Ring(RingSink),
    /// By plain calls, for this reason.
    Plain(FdSink<OwnedFd>, SetupError),
}

impl StreamSink {
    /// A sink for `socket`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what is no stream socket, and what `fstat(2)` reports.
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let socket = socket.into();
        is_stream(&socket)?;
        match SinkSet::new(&Config::new().queue_depth(2)) {
            Ok(set) => Ok(Self::Ring(set.member(socket, true)?)),
            Err(why) => Ok(Self::Plain(FdSink::new(socket)?, why)),
        }
    }

    /// Why there is no ring, if there is none.
    #[must_use]
    pub const fn fallback(&self) -> Option<SetupError> {
        match self {
            Self::Ring(_) => None,
            Self::Plain(_, why) => Some(*why),
        }
    }
}

impl Sink for StreamSink {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        match self {
            Self::Ring(sink) => sink.write(slices),
            Self::Plain(sink, _) => sink.write(slices),
        }
    }
}

impl Wait for StreamSink {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        match self {
            Self::Ring(sink) => sink.wait(deadline),
            Self::Plain(sink, _) => sink.wait(deadline),
        }
    }
}
