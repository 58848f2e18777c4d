//! Writers as sinks.

use std::{
    io::{self, ErrorKind, IoSlice, Write},
    thread,
    time::{Duration, Instant},
};

use forebay::{Progress, Sink};
use heapless::Vec;

use crate::Wait;

/// The most slices that go into one `write_vectored`; a drainer gives 33.
const SLICES_MAX: usize = 64;

/// The first and the longest pause of a wait for a writer that cannot say
/// when it is writable.
const PAUSE_MIN: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// A sink over any [`io::Write`].
///
/// Each call makes one [`write_vectored`](Write::write_vectored): one system
/// call where the writer is vectored, and the first slice alone where it is
/// not. A short write and `WouldBlock` are progress, `Interrupted` is tried
/// again, every other error is passed on.
///
/// A batch is the buffer already, so a `BufWriter` behind this only copies
/// once more. Where the writer does hold bytes back, as [`io::stdout`] does,
/// a [`Drainer`](crate::Drainer) flushes it before it sleeps.
///
/// ```
/// use forebay_std::WriteSink;
/// use forebay_std::forebay::{Progress, Sink};
///
/// let mut sink = WriteSink::new(Vec::new());
/// assert_eq!(sink.write(&[b"one ", b"call"])?, Progress::Wrote(8));
/// assert_eq!(sink.into_inner(), b"one call");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct WriteSink<W> {
    writer: W,
    /// How long the next wait for a blocked writer takes.
    pause: Duration,
}

impl<W: Write> WriteSink<W> {
    /// A sink that writes to `writer`.
    pub const fn new(writer: W) -> Self {
        Self { writer, pause: PAUSE_MIN }
    }

    /// Borrows the writer.
    pub const fn writer(&self) -> &W {
        &self.writer
    }

    /// Borrows the writer, to mend it. Bytes that are written to it here come
    /// between two frames only if the last write took all that it was given.
    pub const fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Gives the writer back.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

impl<W: Write> Sink for WriteSink<W> {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        let filled = slices.iter().filter(|slice| !slice.is_empty());
        let vector: Vec<IoSlice<'_>, SLICES_MAX> =
            filled.map(|slice| IoSlice::new(slice)).take(SLICES_MAX).collect();
        match uninterrupted(|| self.writer.write_vectored(&vector)) {
            Ok(len) => {
                self.pause = PAUSE_MIN;
                Ok(Progress::Wrote(len))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Progress::Blocked),
            Err(error) => Err(error),
        }
    }
}

/// `std` has no way to await a writer, so this pauses: a little longer each
/// time until something is written.
impl<W: Write> Wait for WriteSink<W> {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        thread::sleep(left.map_or(self.pause, |left| left.min(self.pause)));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Does `io` again for as long as a signal interrupts it.
pub(crate) fn uninterrupted<T>(mut io: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match io() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
