//! The handle by which a thread sends.

use std::{
    error::Error,
    fmt::{self, Write as _},
    sync::{Arc, atomic::Ordering},
};

use forebay::{
    frame::{
        Order,
        dlt::{Argument, Extended, Header, Id, Level, MessageWriter, UserRecord, WriteError},
    },
    ring::{Many, Producer, ReserveError},
};
use rustix::time::{ClockId, clock_gettime};

use super::shared::{ContextState, Shared};

/// The payload's byte order: this machine's.
const NATIVE: Order = if cfg!(target_endian = "big") { Order::Big } else { Order::Little };

/// Sends the messages of a context without ever waiting.
///
/// A message is written in place in the client's ring. When there is no room
/// the newest is refused and counted; the daemon's clients are told how many
/// as soon as there is. A message whose level is not enabled is not offered.
///
/// Handles are clones: each thread has its own. Those of one context share its
/// level and its counter. The counter goes on for a message that is refused,
/// too, so that a receiver sees the gap.
#[derive(Debug)]
pub struct Context {
    shared: Arc<Shared>,
    state: Arc<ContextState>,
    producer: Producer<'static, Many>,
    /// Where what is not yet a text becomes one.
    text: String,
}

impl Context {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: Arc<ContextState>,
        producer: Producer<'static, Many>,
    ) -> Self {
        Self { shared, state, producer, text: String::new() }
    }

    /// The name.
    #[must_use]
    pub fn id(&self) -> Id {
        self.state.id
    }

    /// The greatest level that is sent, `None` when none is. The daemon
    /// changes it at any time.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        // Relaxed: nothing else is read by it.
        Level::new(self.state.level.load(Ordering::Relaxed))
    }

    /// Whether messages of this level are sent.
    #[inline]
    #[must_use]
    pub fn is_enabled(&self, level: Level) -> bool {
        // Relaxed: as above.
        level as u8 <= self.state.level.load(Ordering::Relaxed)
    }

    /// Sends a text.
    ///
    /// # Errors
    ///
    /// [`SendError`] when it is refused, with the figures; it is counted.
    #[inline]
    pub fn log(&mut self, level: Level, text: &str) -> Result<(), SendError> {
        self.log_arguments(level, &[text.into()])
    }

    /// Sends what `format_args!` makes, as a text.
    ///
    /// # Errors
    ///
    /// As [`log`](Context::log).
    pub fn log_fmt(&mut self, level: Level, text: fmt::Arguments<'_>) -> Result<(), SendError> {
        if !self.is_enabled(level) {
            return Ok(());
        }
        if let Some(text) = text.as_str() {
            return self.log(level, text);
        }
        let mut own = std::mem::take(&mut self.text);
        own.clear();
        // A `Display` that fails has written what it could.
        let _ = own.write_fmt(text);
        let sent = self.log(level, &own);
        self.text = own;
        sent
    }

    /// Sends arguments of any types.
    ///
    /// # Errors
    ///
    /// As [`log`](Context::log).
    #[inline]
    pub fn log_arguments(
        &mut self,
        level: Level,
        arguments: &[Argument<'_>],
    ) -> Result<(), SendError> {
        let len = arguments
            .iter()
            .fold(0, |len: usize, argument| len.saturating_add(argument.len_bytes()));
        self.send(level, true, len, |message| {
            arguments.iter().try_for_each(|argument| message.argument(argument))
        })
    }

    /// Sends a message that is described elsewhere.
    ///
    /// # Errors
    ///
    /// As [`log`](Context::log).
    pub fn log_non_verbose(
        &mut self,
        level: Level,
        message_id: u32,
        data: &[u8],
    ) -> Result<(), SendError> {
        self.send(level, false, data.len().saturating_add(4), |message| {
            message.non_verbose(message_id, data)
        })
    }

    #[inline]
    fn send(
        &mut self,
        level: Level,
        verbose: bool,
        payload_len: usize,
        write: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), WriteError>,
    ) -> Result<(), SendError> {
        if !self.is_enabled(level) {
            return Ok(());
        }
        let (shared, state) = (&*self.shared, &*self.state);
        let extended = Extended::log(level, shared.app, state.id);
        let header = Header {
            order: NATIVE,
            // Relaxed: a number for each.
            counter: state.counter.fetch_add(1, Ordering::Relaxed),
            ecu: Some(shared.ecu),
            session: Some(shared.pid),
            timestamp: Some(timestamp()),
            extended: Some(Extended { verbose, ..extended }),
        };
        match put(shared, &mut self.producer, &header, payload_len, write) {
            Ok(()) => {
                // Relaxed: a count.
                state.accepted.fetch_add(1, Ordering::Relaxed);
                shared.waker.ring();
                Ok(())
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    #[cold]
    fn refused(&self, error: SendError) -> SendError {
        // Relaxed: counts.
        self.state.refused.fetch_add(1, Ordering::Relaxed);
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
        error
    }
}

/// Writes a record into the ring, whole or not at all.
#[inline]
fn put(
    shared: &Shared,
    producer: &mut Producer<'static, Many>,
    header: &Header,
    payload_len: usize,
    write: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), WriteError>,
) -> Result<(), SendError> {
    // Relaxed: a message that races with the end is in flight at the end.
    if shared.closed.load(Ordering::Relaxed) {
        return Err(SendError::Closed);
    }
    let (len, len_max) = (payload_len.saturating_add(HEAD_LEN), shared.record_len_max);
    if len > len_max {
        return Err(SendError::TooLong { len, len_max });
    }
    let mut grant = producer.reserve(len).map_err(SendError::Ring)?;
    let head_len = UserRecord::put_log_head(&mut grant).map_err(SendError::Write)?;
    let room = grant.get_mut(head_len..).unwrap_or_default();
    let mut message = MessageWriter::new(header, room).map_err(SendError::Write)?;
    // A grant that is dropped leaves nothing.
    write(&mut message).map_err(SendError::Write)?;
    let written = head_len + message.finish();
    debug_assert_eq!(written, len);
    grant.commit();
    Ok(())
}

/// Bytes of a record before the payload: its head, and a message's headers with
/// all their fields.
const HEAD_LEN: usize = 8 + 26;

impl Clone for Context {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared), Arc::clone(&self.state), self.producer.clone())
    }
}

/// Time since the start of the machine, in units of 0.1 ms; it wraps after five
/// days.
fn timestamp() -> u32 {
    let now = clock_gettime(ClockId::Monotonic);
    let units = now.tv_sec.wrapping_mul(10_000).wrapping_add(now.tv_nsec / 100_000);
    // The low bits, as libdlt does.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    {
        units as u32
    }
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The ring has no room for it.
    Ring(ReserveError),
    /// Its record is longer than the daemon takes, or than goes through a FIFO
    /// in one piece.
    TooLong {
        /// The record's length in bytes.
        len: usize,
        /// The longest.
        len_max: usize,
    },
    /// Its arguments make no message.
    Write(WriteError),
    /// The client has ended.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::TooLong { len, len_max } => {
                write!(f, "a record of {len} bytes, the longest has {len_max}")
            }
            Self::Write(error) => error.fmt(f),
            Self::Closed => write!(f, "the client has ended"),
        }
    }
}

impl Error for SendError {}
