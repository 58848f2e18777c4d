//! A drainer on a thread of its own.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{self, JoinHandle},
    time::Instant,
};

use forebay::{Sink, frame::Encode};

use super::{
    channel::{Channel, SenderError},
    counters::{Counters, Snapshot},
    drainer::Drainer,
    registrar::Registrar,
    sender::Sender,
    shutdown::{End, Shutdown},
    wait::Wait,
};

/// A drainer that runs on a thread of its own; see [`Drainer::spawn`].
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use forebay_std::{Drainer, End, WriteSink, forebay::frame::Plain};
///
/// let drainer = Drainer::new(Plain, WriteSink::new(vec![])).spawn()?;
/// let mut sender = drainer.sender(1 << 10)?;
/// sender.send(b"in the background")?;
///
/// let shutdown = drainer.shutdown(Instant::now() + Duration::from_secs(5));
/// assert!(matches!(shutdown.end(), End::Delivered));
/// assert_eq!(shutdown.into_sink().into_inner(), b"in the background");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// When it is dropped the thread goes on until every sender and every registrar
/// is gone, and nobody learns how it ended.
#[derive(Debug)]
pub struct Running<F, S> {
    thread: JoinHandle<Shutdown<F, S>>,
    registrar: Registrar,
    counters: Counters,
}

impl<F, S> Drainer<F, S>
where
    F: Encode + Send + 'static,
    S: Sink<Error = io::Error> + Wait + Send + 'static,
{
    /// Runs it on a new thread. When the sink fails or panics there, the senders
    /// are refused from then on, and [`Running::join`] says so.
    ///
    /// # Errors
    ///
    /// What the system reports when it has no thread; the drainer is gone then.
    pub fn spawn(mut self) -> io::Result<Running<F, S>> {
        let (registrar, counters) = (self.registrar(), self.counters());
        let thread = thread::Builder::new().name("forebay drainer".into()).spawn(move || {
            // The pump is whole after a panic of the sink; what has not left
            // is still there.
            let run = catch_unwind(AssertUnwindSafe(|| self.run_to_end()));
            Shutdown::new(self, run.map_or_else(End::Panicked, End::from))
        })?;
        Ok(Running { thread, registrar, counters })
    }
}

impl<F, S> Running<F, S>
where
    F: Encode,
    S: Sink<Error = io::Error> + Wait,
{
    /// Makes a sender with a ring of `capacity` bytes.
    ///
    /// # Errors
    ///
    /// As [`Channel::sender`].
    pub fn sender(&self, capacity: usize) -> Result<Sender, SenderError> {
        self.registrar.sender(capacity)
    }

    /// A channel, to be set up and made.
    pub fn channel(&self) -> Channel {
        self.registrar.channel()
    }

    /// A handle by which any thread makes senders.
    pub fn registrar(&self) -> Registrar {
        self.registrar.clone()
    }

    /// A handle by which any thread reads the counts.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// The counts now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.counters.snapshot()
    }

    /// Whether the thread has ended: all is done, or the sink has failed.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until every sender and every other registrar is gone and every
    /// message has left, or the sink fails.
    pub fn join(self) -> Shutdown<F, S> {
        let Self { thread, registrar, counters: _ } = self;
        drop(registrar);
        joined(thread)
    }

    /// Refuses new messages, delivers what was accepted, until `deadline` at
    /// most, and says what was not delivered.
    ///
    /// A sink that is blocked is given up at the deadline; one whose write does
    /// not return holds this up.
    pub fn shutdown(self, deadline: Instant) -> Shutdown<F, S> {
        self.registrar.shared.ask_to_end(deadline);
        joined(self.thread)
    }
}

fn joined<F, S>(thread: JoinHandle<Shutdown<F, S>>) -> Shutdown<F, S> {
    match thread.join() {
        Ok(shutdown) => shutdown,
        // Of the thread's own making, not of the sink's: that is caught there.
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
