//! Making channels.

use std::{error::Error, fmt, sync::Arc};

use forebay::ring::{BadCapacity, Consumer, Many, One, heap};

use super::{
    losses::{Losses, Reporter, WriteReport},
    policy::Policy,
    registrar::Registrar,
    sender::{Sender, SharedSender, Way},
    shared::NewLane,
};

/// The most channels of one drainer at a time.
pub const SENDERS_MAX: usize = 64;

/// A channel that is about to be made; see [`Drainer::channel`](crate::Drainer::channel) and
/// [`Registrar::channel`].
///
/// ```
/// use std::time::Duration;
///
/// use forebay_std::{Drainer, Policy, WriteSink, forebay::frame::Plain};
///
/// let mut drainer = Drainer::new(Plain, WriteSink::new(vec![]));
/// let mut bulk = drainer.channel().capacity(1 << 12).sender()?;
/// let mut urgent = drainer
///     .channel()
///     .capacity(1 << 10)
///     .policy(Policy::Wait(Duration::from_millis(10)))
///     .priority(1)
///     .sender()?;
/// bulk.send(b"can wait")?;
/// urgent.send(b"alarm, ")?;
/// drainer.flush()?;
/// assert_eq!(drainer.sink().writer(), b"alarm, can wait");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a channel is made by `sender` or `shared`"]
pub struct Channel {
    registrar: Registrar,
    capacity: usize,
    policy: Policy,
    priority: u8,
    report: Option<WriteReport>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capacity, policy, priority, .. } = self;
        f.debug_struct("Channel")
            .field("capacity", capacity)
            .field("policy", policy)
            .field("priority", priority)
            .finish_non_exhaustive()
    }
}

impl Channel {
    pub(crate) fn new(registrar: Registrar, capacity: usize) -> Self {
        Self { registrar, capacity, policy: Policy::default(), priority: 0, report: None }
    }

    /// Sets the capacity of its ring in bytes, a power of two; otherwise that
    /// of the drainer's [`Config`](crate::Config).
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// Sets what becomes of a message for which there is no room; it is
    /// [refused](Policy::Refuse) otherwise.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets its priority, 0 otherwise. Batches are filled from the channels of
    /// the highest priority that have anything; channels of one priority take
    /// turns. A channel that always has something keeps those below it waiting
    /// for ever.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Has losses of the channel told in it: as soon as there is room, and
    /// before its next message, the drainer sends what `write` makes of them.
    ///
    /// `write` is given the losses since its last report and a buffer of
    /// [`REPORT_LEN_MAX`](crate::REPORT_LEN_MAX) bytes. It writes a message to
    /// the front and returns its length; with zero nothing is sent now, and
    /// these losses are part of the next. It is called on the thread that
    /// drains.
    ///
    /// Reports are not in the ledger; [`Snapshot::reports`](crate::Snapshot::reports)
    /// counts them. One that the format cannot carry is dropped.
    ///
    /// ```
    /// # use forebay_std::{Drainer, WriteSink, forebay::frame::Plain};
    /// let mut drainer = Drainer::new(Plain, WriteSink::new(vec![]));
    /// let mut sender = drainer
    ///     .channel()
    ///     .capacity(32)
    ///     .report(|losses, out| {
    ///         let text = format!("{} lost, ", losses.total());
    ///         out[..text.len()].copy_from_slice(text.as_bytes());
    ///         text.len()
    ///     })
    ///     .sender()?;
    /// sender.send(b"message")?;
    /// sender.send(&[0; 1000]).unwrap_err();
    /// drainer.flush()?;
    /// assert_eq!(drainer.sink().writer(), b"1 lost, message");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// The drainer's run does when `write` returns more than the buffer's
    /// length, or panics itself. These losses are part of the next report then.
    pub fn report(
        mut self,
        write: impl FnMut(Losses, &mut [u8]) -> usize + Send + 'static,
    ) -> Self {
        self.report = Some(Box::new(write));
        self
    }

    /// Makes the channel for one sender.
    ///
    /// # Errors
    ///
    /// [`SenderError`] when the capacity is not a power of two in the range,
    /// when there are [`SENDERS_MAX`] channels already, and when the drainer
    /// is closed or gone. A channel counts until its last message has left.
    pub fn sender(self) -> Result<Sender, SenderError> {
        if self.policy == Policy::Overwrite {
            return self.overwriting();
        }
        let (producer, consumer) = heap::ring(self.capacity).map_err(SenderError::Capacity)?;
        self.open::<One>(Way::One(producer), consumer)
    }

    /// Makes the channel for a sender that can be cloned. All clones share the
    /// ring and its order.
    ///
    /// ```
    /// # use forebay_std::{Drainer, WriteSink, forebay::frame::Plain};
    /// let mut drainer = Drainer::new(Plain, WriteSink::new(vec![]));
    /// let sender = drainer.channel().shared()?;
    /// std::thread::scope(|threads| {
    ///     for _ in 0..4 {
    ///         let mut sender = sender.clone();
    ///         threads.spawn(move || sender.send(b"x").unwrap());
    ///     }
    /// });
    /// drainer.flush()?;
    /// assert_eq!(drainer.sink().writer(), b"xxxx");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`sender`](Channel::sender).
    pub fn shared(self) -> Result<SharedSender, SenderError> {
        if self.policy == Policy::Overwrite {
            return self.overwriting();
        }
        let (producer, consumer) = heap::shared(self.capacity).map_err(SenderError::Capacity)?;
        self.open::<Many>(Way::Many(producer), consumer)
    }

    fn overwriting<M>(self) -> Result<Sender<M>, SenderError> {
        let (producer, consumer) =
            heap::overwriting(self.capacity).map_err(SenderError::Capacity)?;
        self.open(Way::Overwrite(producer), consumer)
    }

    fn open<M>(self, way: Way, consumer: Consumer<'static>) -> Result<Sender<M>, SenderError> {
        let Self { registrar, policy, priority, report, .. } = self;
        let shared = &registrar.shared;
        if shared.is_closed() {
            return Err(SenderError::Closed);
        }
        if !shared.take_lane() {
            return Err(SenderError::NoLane(NoLane { lanes: SENDERS_MAX }));
        }
        let account = shared.new_account(priority);
        let reporter = report.map(Reporter::new);
        let waits = matches!(policy, Policy::Wait(_));
        let lane = NewLane { consumer, account: Arc::clone(&account), reporter, waits };
        let sender = Sender::new(way, shared, Arc::clone(&account), policy);
        if !shared.deliver(lane) {
            drop(sender);
            shared.finish(&account);
            return Err(SenderError::Closed);
        }
        Ok(sender)
    }
}

/// Why a sender was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SenderError {
    /// Its ring's capacity is out of range.
    Capacity(BadCapacity),
    /// The drainer has no lane left.
    NoLane(NoLane),
    /// The drainer is closed or gone.
    Closed,
}

/// Every lane of a drainer has a sender, or the messages of one that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLane {
    /// How many there are.
    pub lanes: usize,
}

impl fmt::Display for SenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity(error) => error.fmt(f),
            Self::NoLane(NoLane { lanes }) => {
                write!(f, "the drainer's {lanes} lanes all have a sender")
            }
            Self::Closed => f.write_str("the drainer takes no senders any more"),
        }
    }
}

impl Error for SenderError {}
