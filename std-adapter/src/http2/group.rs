//! What belongs together in one stream.

use std::collections::VecDeque;

use forebay::frame::http2::StreamId;

use super::Payload;

/// Parts of one stream's message, offered whole or not at all.
///
/// ```
/// use forebay_std::forebay::frame::http2::StreamId;
/// use forebay_std::http2::{Group, Payload};
///
/// let stream = StreamId::new(1).unwrap();
/// let response = Group::new(stream)
///     .headers(b"\x88")
///     .data(Payload::new(vec![0; 100_000]))
///     .headers(b"\x40\x03sum\x01x") // trailers
///     .end();
/// # drop(response);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a group leaves when it is offered"]
pub struct Group {
    pub(super) stream: StreamId,
    pub(super) parts: VecDeque<Part>,
}

/// Something whose frames leave one behind the other.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) content: Content,
    /// Whether its last frame ends the stream.
    pub(super) end_stream: bool,
    /// Whether it is the last of its group.
    pub(super) last: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A field block, of HEADERS or of PUSH_PROMISE.
    Block { promised: Option<StreamId>, block: Vec<u8> },
    /// Data of which the first `at` bytes are in frames already.
    Data { payload: Payload, at: usize, padding: Option<u8> },
}

impl Content {
    /// Bytes that it still holds.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Block { block, .. } => block.len(),
            Self::Data { payload, at, .. } => payload.len() - at,
        }
    }
}

impl Group {
    /// An empty group of `stream`.
    pub const fn new(stream: StreamId) -> Self {
        Self { stream, parts: VecDeque::new() }
    }

    fn part(mut self, content: Content) -> Self {
        self.parts.push_back(Part { content, end_stream: false, last: false });
        self
    }

    /// Adds a header section, or trailers, whose field block (RFC 7541) this
    /// is: HEADERS, and CONTINUATIONs if the peer's frames are shorter.
    pub fn headers(self, block: &[u8]) -> Self {
        self.part(Content::Block { promised: None, block: block.to_vec() })
    }

    /// Adds the promise of stream `promised` for the request in `block`.
    pub fn push_promise(self, promised: StreamId, block: &[u8]) -> Self {
        self.part(Content::Block { promised: Some(promised), block: block.to_vec() })
    }

    /// Adds data, in as many frames as the peer's frame size and windows ask
    /// for.
    pub fn data(self, payload: Payload) -> Self {
        self.part(Content::Data { payload, at: 0, padding: None })
    }

    /// As [`data`](Group::data), each frame with so many bytes of padding
    /// where frame size and windows have room for it beside a byte of data.
    pub fn padded_data(self, payload: Payload, padding: u8) -> Self {
        self.part(Content::Data { payload, at: 0, padding: Some(padding) })
    }

    /// Ends the stream: END_STREAM goes on the last frame of the last part, on
    /// the HEADERS where that is a field block. An empty group becomes an
    /// empty DATA frame.
    pub fn end(mut self) -> Self {
        if self.parts.back().is_none_or(|part| part.is_promise()) {
            self = self.data(Payload::new([]));
        }
        if let Some(part) = self.parts.back_mut() {
            part.end_stream = true;
        }
        self
    }
}

impl Part {
    /// PUSH_PROMISE has no END_STREAM.
    pub(super) fn is_promise(&self) -> bool {
        matches!(self.content, Content::Block { promised: Some(_), .. })
    }
}
