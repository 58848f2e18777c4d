//! A field block is one run of frames.

use super::{Head, Kind, StreamId, Violation, flags};

/// Checks that nothing comes between the frames of a field block.
///
/// After HEADERS or PUSH_PROMISE without END_HEADERS only CONTINUATIONs of
/// that stream may follow, until one has END_HEADERS (RFC 9113, sections 4.3
/// and 6.10); and no more of them than are allowed here, since each may be
/// empty and the block would never end (section 10.5.1).
///
/// ```
/// use forebay::frame::http2::{BlockOrder, Head, Kind, Violation};
///
/// let mut order = BlockOrder::new(8);
/// let head = |kind, stream| Head { payload_len: 0, kind, flags: 0, stream };
/// order.check(head(Kind::HEADERS, 1))?;
/// order.check(head(Kind::CONTINUATION, 1))?;
/// let violation = order.check(head(Kind::PING, 0)).unwrap_err();
/// let expected = Violation::BlockInterrupted { stream: 1, by: Kind::PING, by_stream: 0 };
/// assert_eq!(violation, expected);
/// # Ok::<(), Violation>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BlockOrder {
    continuations_max: u32,
    open: Option<Open>,
}

/// A block under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    stream: StreamId,
    continuations: u32,
}

impl BlockOrder {
    /// No block is under way; `continuations_max` CONTINUATIONs a block are
    /// accepted.
    #[must_use]
    pub const fn new(continuations_max: u32) -> Self {
        Self { continuations_max, open: None }
    }

    /// The stream whose field block has not ended. While there is one, every
    /// error is one of the connection, since the block is lost.
    #[must_use]
    pub fn open(&self) -> Option<StreamId> {
        self.open.map(|open| open.stream)
    }

    /// Takes the next frame's head, of whatever type.
    ///
    /// # Errors
    ///
    /// [`Violation::BlockInterrupted`], [`Violation::NoBlock`],
    /// [`Violation::TooManyContinuations`], [`Violation::StreamZero`]. All are
    /// connection errors; nothing has changed.
    pub fn check(&mut self, head: Head) -> Result<(), Violation> {
        let Head { kind, stream: number, .. } = head;
        if let Some(Open { stream, .. }) = self.open
            && (kind != Kind::CONTINUATION || number != stream.number())
        {
            let stream = stream.number();
            return Err(Violation::BlockInterrupted { stream, by: kind, by_stream: number });
        }
        if !kind.carries_block() {
            return Ok(());
        }
        let stream = StreamId::new(number).ok_or(Violation::StreamZero { kind })?;
        let continuations = match (self.open, kind) {
            (None, Kind::CONTINUATION) => return Err(Violation::NoBlock { stream: number }),
            (None, _) => 0,
            (Some(open), _) => open.continuations + 1,
        };
        if continuations > self.continuations_max {
            let continuations_max = self.continuations_max;
            return Err(Violation::TooManyContinuations { stream: number, continuations_max });
        }
        let ended = head.has(flags::END_HEADERS);
        self.open = (!ended).then_some(Open { stream, continuations });
        Ok(())
    }
}
