//! What a drainer asks of its sink.

use std::{io, time::Instant};

/// What a [`Drainer`](crate::Drainer) asks of its sink beside writing: to wait while it is
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
