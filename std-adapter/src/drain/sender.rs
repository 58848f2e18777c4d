//! Sending messages to a drainer.

use std::{
    error::Error,
    fmt,
    marker::PhantomData,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use forebay::{
    Ledger,
    ring::{Many, Mode, One, Overwrite, Producer, ReserveError},
};

use super::{
    account::{Accepted, Account, ChannelId},
    policy::Policy,
    shared::Shared,
};
use crate::Bell;

/// Sends messages to a [`Drainer`](crate::Drainer): without ever waiting,
/// unless its channel's [`Policy`] is to wait for room.
///
/// The sender of a channel that was made by
/// [`Channel::shared`](crate::Channel::shared) can be cloned: [`SharedSender`].
#[derive(Debug)]
pub struct Sender<M = One> {
    // Before the link: the drainer must see it gone when it wakes.
    way: Way,
    link: Link,
    mode: PhantomData<M>,
}

/// A sender whose clones share its channel.
pub type SharedSender = Sender<Many>;

/// How messages go into the ring.
#[derive(Debug)]
pub(crate) enum Way {
    One(Producer<'static, One>),
    Many(Producer<'static, Many>),
    Overwrite(Producer<'static, Overwrite>),
}

impl Way {
    /// Puts one message in; takes `write` only if there is room.
    #[inline]
    fn put(
        &mut self,
        len: usize,
        write: &mut Option<impl FnOnce(&mut [u8])>,
    ) -> Result<(), ReserveError> {
        match self {
            Self::One(producer) => put(producer, len, write),
            Self::Many(producer) => put(producer, len, write),
            Self::Overwrite(producer) => put(producer, len, write),
        }
    }

    fn put_group(&mut self, messages: &[&[u8]]) -> Result<(), ReserveError> {
        match self {
            Self::One(producer) => producer.push_group(messages),
            Self::Many(producer) => producer.push_group(messages),
            Self::Overwrite(producer) => producer.push_group(messages),
        }
    }

    fn message_len_max(&self) -> usize {
        match self {
            Self::One(producer) => producer.record_len_max(),
            Self::Many(producer) => producer.record_len_max(),
            Self::Overwrite(producer) => producer.record_len_max(),
        }
    }

    /// What this sender has overwritten, and could not.
    fn overwritten(&self) -> Option<Ledger> {
        match self {
            Self::One(_) | Self::Many(_) => None,
            Self::Overwrite(producer) => {
                let Ledger { overwritten, busy, .. } = producer.ledger();
                Some(Ledger { overwritten, busy, ..Ledger::default() })
            }
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Self::One(producer) => producer.is_abandoned(),
            Self::Many(producer) => producer.is_abandoned(),
            Self::Overwrite(producer) => producer.is_abandoned(),
        }
    }
}

#[inline]
fn put<M: Mode>(
    producer: &mut Producer<'static, M>,
    len: usize,
    write: &mut Option<impl FnOnce(&mut [u8])>,
) -> Result<(), ReserveError> {
    let mut grant = producer.reserve(len)?;
    if let Some(write) = write.take() {
        write(&mut grant);
    }
    grant.commit();
    Ok(())
}

/// What a sender has to do with its drainer, and counts.
#[derive(Debug)]
struct Link {
    shared: Arc<Shared>,
    account: Arc<Account>,
    policy: Policy,
    /// For a sender that may wait.
    bell: Option<Arc<Bell>>,
    accepted: u64,
    refused: u64,
    /// As far as the account knows of it.
    overwritten: Ledger,
    /// Where others read what was accepted.
    published: Arc<Accepted>,
}

impl Link {
    fn new(shared: &Arc<Shared>, account: Arc<Account>, policy: Policy) -> Self {
        Self {
            shared: Arc::clone(shared),
            policy,
            bell: matches!(policy, Policy::Wait(_)).then(|| shared.room.enter()),
            accepted: 0,
            refused: 0,
            overwritten: Ledger::default(),
            published: account.open(),
            account,
        }
    }

    #[inline]
    fn accept(&mut self, messages: u64) {
        self.accepted += messages;
        self.published.store(self.accepted);
        self.shared.bell.ring();
    }

    /// Tells the account what has been overwritten by now.
    fn overwrite(&mut self, now: Ledger) {
        if now != self.overwritten {
            let overwritten = now.overwritten - self.overwritten.overwritten;
            self.account.overwrite(overwritten, now.busy - self.overwritten.busy);
            self.overwritten = now;
        }
    }

    #[cold]
    fn refuse(&mut self, messages: u64, error: SendError) -> SendError {
        self.refused += messages;
        if error == SendError::Closed {
            // No news to the drainer, which may be about to end.
            self.account.refuse_late(messages);
            return error;
        }
        self.account.refuse(messages);
        // For the report of it; and what fills the ring may be no message but
        // room that was given up when one panicked.
        self.shared.bell.ring();
        error
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let is_last = self.account.close(&self.published);
        if let Some(bell) = &self.bell {
            self.shared.room.leave(bell);
        }
        if is_last {
            // The lane may be free, and the run finished.
            self.shared.call();
        }
    }
}

impl<M> Sender<M> {
    pub(crate) fn new(
        way: Way,
        shared: &Arc<Shared>,
        account: Arc<Account>,
        policy: Policy,
    ) -> Self {
        Self { way, link: Link::new(shared, account, policy), mode: PhantomData }
    }

    /// Copies `message` into the ring.
    ///
    /// # Errors
    ///
    /// [`SendError`] when it is refused, with the figures; it is counted.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    /// Lets `write` put a message of `len` bytes, at first zeros, in place.
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send); `write` is not called then. Should it panic,
    /// nothing is sent and nothing is counted.
    #[inline]
    pub fn send_with(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), SendError> {
        let writing = Writing(self);
        let sent = writing.0.put_with(len, write);
        mem::forget(writing);
        sent
    }

    #[inline]
    fn put_with(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> Result<(), SendError> {
        if self.link.shared.is_closed() {
            return Err(self.link.refuse(1, SendError::Closed));
        }
        let mut write = Some(write);
        let sent = self.way.put(len, &mut write);
        self.look_what_was_overwritten();
        match sent {
            Ok(()) => {
                self.link.accept(1);
                Ok(())
            }
            Err(error) => self.no_room(error, 1, |way| way.put(len, &mut write)),
        }
    }

    /// Copies `messages` into the ring as one indivisible group: they leave
    /// side by side, in one write when a batch has room for all of them, or
    /// none is accepted.
    ///
    /// ```
    /// # use forebay_std::{Drainer, WriteSink, forebay::frame::Plain};
    /// let mut drainer = Drainer::new(Plain, WriteSink::new(vec![]));
    /// let mut sender = drainer.sender(1 << 10)?;
    /// sender.send_group(&[b"HEADERS ", b"CONTINUATION"])?;
    /// drainer.flush()?;
    /// assert_eq!(drainer.sink().writer(), b"HEADERS CONTINUATION");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send); each message is counted.
    pub fn send_group(&mut self, messages: &[&[u8]]) -> Result<(), SendError> {
        let count = messages.len() as u64;
        if self.link.shared.is_closed() {
            return Err(self.link.refuse(count, SendError::Closed));
        }
        let sent = self.way.put_group(messages);
        self.look_what_was_overwritten();
        match sent {
            Ok(()) => {
                self.link.accept(count);
                Ok(())
            }
            Err(error) => self.no_room(error, count, |way| way.put_group(messages)),
        }
    }

    #[inline]
    fn look_what_was_overwritten(&mut self) {
        if let Some(now) = self.way.overwritten() {
            self.link.overwrite(now);
        }
    }

    /// Waits for room where the policy is to wait; counts what comes of it.
    #[cold]
    fn no_room(
        &mut self,
        error: ReserveError,
        messages: u64,
        put: impl FnMut(&mut Way) -> Result<(), ReserveError>,
    ) -> Result<(), SendError> {
        let sent = match (self.link.policy, &self.link.bell) {
            (Policy::Wait(limit), Some(bell)) => {
                // As in `refuse`.
                self.link.shared.bell.ring();
                wait(&self.link.shared, bell, limit, error, &mut self.way, put)
            }
            _ => Err(error.into()),
        };
        match sent {
            Ok(()) => {
                self.link.accept(messages);
                Ok(())
            }
            Err(error) => Err(self.link.refuse(messages, error)),
        }
    }

    /// The longest message in bytes.
    #[must_use]
    pub fn message_len_max(&self) -> usize {
        self.way.message_len_max()
    }

    /// Whether the drainer is gone, so that nothing will leave any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.way.is_abandoned()
    }

    /// The channel's name in the drainer's counts.
    #[must_use]
    pub fn channel(&self) -> ChannelId {
        self.link.account.id
    }

    /// What has been offered by this sender, accepted and refused, and what it
    /// has overwritten of any sender of its channel.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let Link { accepted, refused, .. } = self.link;
        let overwritten = self.way.overwritten().unwrap_or_default();
        Ledger { offered: accepted + refused, accepted, refused, ..overwritten }
    }
}

/// A message that is being written. Dropped, as the writing has panicked, it
/// rings: others may wait for the room that is given up.
struct Writing<'s, M>(&'s mut Sender<M>);

impl<M> Drop for Writing<'_, M> {
    fn drop(&mut self) {
        self.0.link.shared.bell.ring();
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        // What a message has overwritten whose writing panicked.
        self.look_what_was_overwritten();
    }
}

/// Tries `put` whenever there may be room, until `limit` has passed.
fn wait(
    shared: &Shared,
    bell: &Bell,
    limit: Duration,
    error: ReserveError,
    way: &mut Way,
    mut put: impl FnMut(&mut Way) -> Result<(), ReserveError>,
) -> Result<(), SendError> {
    let begin = Instant::now();
    // A limit beyond the clock's end is none.
    let deadline = begin.checked_add(limit);
    let mut last = Err(error);
    loop {
        let (needed, free) = match last {
            Ok(()) => return Ok(()),
            Err(ReserveError::Full { needed, free }) => (needed, free),
            Err(error) => return Err(error.into()),
        };
        if shared.is_closed() {
            return Err(SendError::Closed);
        }
        let waited = begin.elapsed();
        if waited >= limit {
            return Err(SendError::TimedOut { needed, free, waited });
        }
        shared.room.wait(|| {
            bell.sleep(deadline, || {
                last = put(way);
                shared.is_closed() || !matches!(last, Err(ReserveError::Full { .. }))
            });
        });
        if let (Err(ReserveError::Full { .. }), true) = (last, begin.elapsed() >= limit) {
            // Room that came in time, though this thread did not.
            last = put(way);
        }
    }
}

/// Another sender of the same channel, with counts of its own.
impl Clone for Sender<Many> {
    fn clone(&self) -> Self {
        let way = match &self.way {
            Way::Many(producer) => Way::Many(producer.clone()),
            Way::Overwrite(producer) => Way::Overwrite(producer.clone()),
            Way::One(_) => unreachable!("`Channel::shared` makes a ring of many producers"),
        };
        let Link { shared, account, policy, .. } = &self.link;
        Self::new(way, shared, Arc::clone(account), *policy)
    }
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No room before the drainer has released some.
    Full {
        /// Bytes of the ring that the message takes now, padding included.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// No room, and the oldest messages could not be overwritten just then.
    Busy {
        /// Bytes of the ring that the message takes now, padding included.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// Longer than any message that fits.
    TooLong {
        /// The length in bytes of the message, or of the group.
        len: usize,
        /// The longest that fits.
        len_max: usize,
    },
    /// No room, and none came while the sender waited.
    TimedOut {
        /// Bytes of the ring that the message takes now, padding included.
        needed: usize,
        /// Bytes that are free.
        free: usize,
        /// How long that was.
        waited: Duration,
    },
    /// The drainer is closed or gone.
    Closed,
}

impl From<ReserveError> for SendError {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::Full { needed, free } => Self::Full { needed, free },
            ReserveError::Busy { needed, free } => Self::Busy { needed, free },
            ReserveError::TooLong { len, len_max } => Self::TooLong { len, len_max },
            // `Closed`, and whatever a ring may refuse for later: nothing that
            // time would mend.
            _ => Self::Closed,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { needed, free } => {
                write!(f, "the ring is full: {needed} bytes needed, {free} free")
            }
            Self::Busy { needed, free } => {
                write!(f, "the ring is full and in use: {needed} bytes needed, {free} free")
            }
            Self::TooLong { len, len_max } => {
                write!(f, "a message of {len} bytes, the ring's longest is {len_max}")
            }
            Self::TimedOut { needed, free, waited } => write!(
                f,
                "the ring is full after {waited:?} of waiting: {needed} bytes needed, {free} free"
            ),
            Self::Closed => f.write_str("the drainer is closed"),
        }
    }
}

impl Error for SendError {}

#[cfg(test)]
mod tests {
    use forebay::ring::heap;

    use super::*;

    /// A thread that runs again long after its time is over may have been given
    /// room before.
    #[test]
    fn room_that_came_in_time_is_found_when_the_time_is_over() {
        let shared = Shared::new();
        let bell = shared.room.enter();
        let (producer, _consumer) = heap::ring(64).unwrap();
        let mut way = Way::One(producer);
        let full = ReserveError::Full { needed: 1, free: 0 };
        let (begin, limit) = (Instant::now(), Duration::from_millis(2));
        // No room until the time is over, and nobody to say when there is.
        let put = |_: &mut Way| if begin.elapsed() < limit { Err(full) } else { Ok(()) };
        let sent = wait(&shared, &bell, limit, full, &mut way, put);
        assert_eq!(sent, Ok(()));
    }
}
