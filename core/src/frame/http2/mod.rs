//! HTTP/2 frames (RFC 9113): ten types, read and written strictly.
//!
//! ```
//! use forebay::Decoder;
//! use forebay::frame::http2::{Frame, Http2, StreamId};
//!
//! let stream = StreamId::new(1).unwrap();
//! let mut wire = [0; 64];
//! let data = Frame::Data { stream, end_stream: true, padding: None, data: b"body" };
//! let len = data.encode(&mut wire)?;
//! assert_eq!(&wire[..len], b"\0\0\x04\x00\x01\0\0\0\x01body");
//!
//! let format = Http2::new(Http2::PAYLOAD_LEN_MAX_LEAST);
//! let mut decoder = Decoder::new(format, vec![0; 1 << 15])?;
//! decoder.free()[..len].copy_from_slice(&wire[..len]);
//! decoder.received(len);
//! let frame = decoder.next_frame()?.unwrap();
//! assert_eq!(Frame::parse(frame.payload), Ok(data));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! There are two levels. A [`Head`] is the nine bytes before every payload, as
//! they came. A [`Frame`] holds valid values alone: stream identifiers are
//! [`StreamId`]s where zero is not allowed, increments are [`Increment`]s,
//! [`Settings`] are in their ranges. [`Frame::parse`] leads from bytes to the
//! second level or says which rule was broken: a [`Violation`] with the
//! figures, RFC 9113's [error code](Violation::code), and whether it costs the
//! stream or the connection ([`Violation::scope`]).
//!
//! [`Http2`] is the format for a [`Decoder`](crate::Decoder): what it delivers
//! as payload is the whole frame, head and all. A violation that costs the
//! stream alone is reported and its frame skipped; one that costs the
//! connection gives up the rest, since "a connection error ... prevents
//! further processing of the frame layer" (section 5.4.1). What frames mean
//! together is not looked at, but for one rule that a reader of frames cannot
//! leave to others: a field block is one run of frames, which [`BlockOrder`]
//! checks.
//!
//! A frame leaves by [`Frame::encode`] into the caller's bytes or by
//! [`Frame::push`] into a [`Batch`](crate::Batch), where a large payload stays
//! where it is. HPACK (RFC 7541) and flow control are above this module; for
//! the latter, and for a writer of many streams, see `forebay-std`.

mod block;
mod frame;
mod head;
mod outline;
mod settings;
mod violation;

pub use block::BlockOrder;
pub use frame::{Frame, Increment, Priority, StreamId};
pub use head::{Head, Kind, flags};
pub use settings::{Setting, Settings, SettingsError};
pub use violation::{ErrorCode, Scope, Violation};

use super::{Decode, Reason, Resync, Step};

/// What a client sends first (RFC 9113, section 3.4); its SETTINGS follow.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// HTTP/2's frames as a format to [`Decode`].
///
/// The payload that a decoder delivers is the whole frame, for
/// [`Frame::parse`]. A length over the maximum is refused as soon as the head
/// is there, and so is every other rule that the head alone breaks, before
/// anything is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2 {
    payload_len_max: u32,
}

impl Http2 {
    /// The least `SETTINGS_MAX_FRAME_SIZE`, which every endpoint accepts, in
    /// bytes without the head (RFC 9113, section 4.2).
    pub const PAYLOAD_LEN_MAX_LEAST: u32 = 1 << 14;
    /// The greatest `SETTINGS_MAX_FRAME_SIZE`.
    pub const PAYLOAD_LEN_MAX_GREATEST: u32 = (1 << 24) - 1;

    /// Frames of payloads of at most `payload_len_max` bytes: the
    /// `SETTINGS_MAX_FRAME_SIZE` that this endpoint has told its peer. Values
    /// that the setting cannot have become the nearest that it can.
    #[must_use]
    pub const fn new(payload_len_max: u32) -> Self {
        let payload_len_max = if payload_len_max < Self::PAYLOAD_LEN_MAX_LEAST {
            Self::PAYLOAD_LEN_MAX_LEAST
        } else if payload_len_max > Self::PAYLOAD_LEN_MAX_GREATEST {
            Self::PAYLOAD_LEN_MAX_GREATEST
        } else {
            payload_len_max
        };
        Self { payload_len_max }
    }

    /// The longest payload in bytes.
    #[must_use]
    pub const fn payload_len_max(&self) -> u32 {
        self.payload_len_max
    }

    fn violated(violation: Violation, frame_len: usize) -> Step {
        let reason = Reason::Http2(violation);
        match violation.scope() {
            Scope::Connection => Step::Damaged { skip: 1, reason, resync: true },
            Scope::Stream(_) => Step::Damaged { skip: frame_len, reason, resync: false },
        }
    }
}

impl Decode for Http2 {
    fn buffer_len_min(&self) -> usize {
        (self.payload_len_max as usize).saturating_add(Head::LEN)
    }

    fn decode(&self, input: &mut [u8], _seen: usize) -> Step {
        let Some((head, _)) = Head::split(input) else {
            return Step::Incomplete { needed: Head::LEN };
        };
        let frame_len = Head::LEN + head.payload_len as usize;
        let checked = head.check(self.payload_len_max);
        if let Err(violation) = checked
            && violation.scope() == Scope::Connection
        {
            return Self::violated(violation, frame_len);
        }
        let Some(frame) = input.get(..frame_len) else {
            return Step::Incomplete { needed: frame_len };
        };
        // Its checks of the head are those above but for the maximum.
        match checked.and_then(|()| Frame::parse(frame)) {
            Ok(_) => Step::Frame { payload: 0..frame_len, frame_len },
            Err(violation) => Self::violated(violation, frame_len),
        }
    }

    /// Nothing marks the beginning of a frame, and the connection is over.
    fn resync(&self, input: &[u8]) -> Resync {
        Resync::Skip(input.len())
    }
}
