//! The end of a drainer, and what is left then.

use std::{any::Any, fmt, io, time::Instant};

use forebay::{Ledger, Sink, frame::Encode, pump::Undelivered};

use super::{
    account::{ChannelCounts, ChannelId},
    counters::Snapshot,
    drainer::{Drained, Drainer},
    wait::Wait,
};

/// How a drainer ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// All that was accepted has left.
    Delivered,
    /// The deadline passed before all had left.
    Deadline,
    /// The sink failed.
    Failed(io::Error),
    /// The sink panicked, with this, or a report's writer or the format did.
    Panicked(Box<dyn Any + Send>),
}

impl From<io::Result<Drained>> for End {
    fn from(drained: io::Result<Drained>) -> Self {
        match drained {
            Ok(Drained::Finished | Drained::Idle) => Self::Delivered,
            Ok(Drained::Deadline) => Self::Deadline,
            Err(error) => Self::Failed(error),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("all was delivered"),
            Self::Deadline => f.write_str("the deadline passed"),
            Self::Failed(error) => write!(f, "the sink failed: {error}"),
            Self::Panicked(_) => f.write_str("the drainer panicked"),
        }
    }
}

/// What has become of a drainer that was shut down; its senders are refused.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use forebay_std::{Drainer, End, WriteSink, forebay::frame::Prefixed};
///
/// // Room for one frame.
/// let mut wire = [0; 12];
/// let mut drainer = Drainer::new(Prefixed::flatstream(64), WriteSink::new(&mut wire[..]));
/// let mut sender = drainer.sender(1 << 10)?;
/// sender.send(b"leaves")?;
/// sender.send(b"stays")?;
///
/// let mut shutdown = drainer.shutdown(Instant::now() + Duration::from_secs(5));
/// let End::Failed(error) = shutdown.end() else { panic!("{}", shutdown.end()) };
/// assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
/// assert_eq!(shutdown.ledger().in_flight(), 1);
/// assert_eq!(shutdown.channels()[0].channel, sender.channel());
///
/// let mut left = Vec::new();
/// shutdown.for_each_undelivered(|_channel, message| left.push(format!("{message:?}")));
/// assert_eq!(left.len(), 1);
/// assert!(sender.send(b"too late").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "it says what was not delivered"]
pub struct Shutdown<F, S> {
    drainer: Drainer<F, S>,
    end: End,
}

impl<F: Encode, S: Sink<Error = io::Error> + Wait> Drainer<F, S> {
    /// Refuses new messages, delivers what was accepted, until `deadline` at
    /// most, and says what was not delivered.
    ///
    /// A message that is sent in the very moment of closing may be accepted
    /// behind the last look at its ring. It is among the undelivered then, and
    /// its sender's ledger has it.
    pub fn shutdown(mut self, deadline: Instant) -> Shutdown<F, S> {
        self.close();
        let end = self.flush_until(deadline).into();
        Shutdown::new(self, end)
    }
}

impl<F: Encode, S: Sink<Error = io::Error> + Wait> Shutdown<F, S> {
    pub(crate) fn new(mut drainer: Drainer<F, S>, end: End) -> Self {
        drainer.close();
        drainer.ended();
        Self { drainer, end }
    }

    /// How it ended.
    pub const fn end(&self) -> &End {
        &self.end
    }

    /// What became of all messages; what is in flight was not delivered.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.snapshot().ledger
    }

    /// The counts of the drainer and its senders.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.drainer.counters().snapshot()
    }

    /// What became of the messages of each channel that still has a sender or
    /// messages; what is in flight was not delivered.
    #[must_use]
    pub fn channels(&mut self) -> Vec<ChannelCounts> {
        self.drainer.channels()
    }

    /// Shows each message that was accepted and not delivered, with its
    /// channel: those in the batch in the order in which they would have left,
    /// then channel by channel.
    pub fn for_each_undelivered(&mut self, show: impl FnMut(ChannelId, Undelivered<'_>)) {
        self.drainer.for_each_undelivered(show);
    }

    /// Borrows the sink.
    pub const fn sink(&self) -> &S {
        self.drainer.sink()
    }

    /// Gives the sink back, and the undelivered up.
    pub fn into_sink(self) -> S {
        self.drainer.into_sink()
    }

    /// Gives the drainer back, to deliver the rest another way. Its senders
    /// stay refused.
    pub fn into_drainer(mut self) -> Drainer<F, S> {
        self.drainer.ended();
        self.drainer
    }
}
