//! Which rule a frame broke, and what that costs.

use core::{error::Error, fmt};

use super::{Kind, StreamId};

/// An error code of RST_STREAM and GOAWAY (RFC 9113, section 7), known or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Not the result of an error.
    pub const NO_ERROR: Self = Self(0x0);
    /// An unspecific violation of the protocol.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// Something unexpected on this side.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// The flow-control rules were broken.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// SETTINGS were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    /// A frame for a stream that is closed.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame of an invalid size.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// The stream was refused before anything was done for it.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// The stream is not needed any more.
    pub const CANCEL: Self = Self(0x8);
    /// The state of header compression cannot be kept.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The connection of a CONNECT was reset.
    pub const CONNECT_ERROR: Self = Self(0xA);
    /// The peer's behaviour might be generating excessive load.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xB);
    /// The transport's security is too weak.
    pub const INADEQUATE_SECURITY: Self = Self(0xC);
    /// HTTP/1.1 is asked for instead.
    pub const HTTP_1_1_REQUIRED: Self = Self(0xD);
}

/// The name that RFC 9113 gives it; a number where it gives none.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NO_ERROR => "NO_ERROR",
            Self::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            Self::INTERNAL_ERROR => "INTERNAL_ERROR",
            Self::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
            Self::SETTINGS_TIMEOUT => "SETTINGS_TIMEOUT",
            Self::STREAM_CLOSED => "STREAM_CLOSED",
            Self::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
            Self::REFUSED_STREAM => "REFUSED_STREAM",
            Self::CANCEL => "CANCEL",
            Self::COMPRESSION_ERROR => "COMPRESSION_ERROR",
            Self::CONNECT_ERROR => "CONNECT_ERROR",
            Self::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
            Self::INADEQUATE_SECURITY => "INADEQUATE_SECURITY",
            Self::HTTP_1_1_REQUIRED => "HTTP_1_1_REQUIRED",
            Self(number) => return write!(f, "error code {number:#x}"),
        })
    }
}

/// What an error costs (RFC 9113, section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Scope {
    /// The connection: GOAWAY, and nothing after it (section 5.4.1).
    Connection,
    /// The stream: RST_STREAM (section 5.4.2).
    Stream(StreamId),
}

/// The rule of RFC 9113 that a frame broke, with the figures.
///
/// ```
/// use forebay::frame::http2::{ErrorCode, Frame, Scope};
///
/// let violation = Frame::parse(b"\0\0\x04\x08\0\0\0\0\x07\0\0\0\0").unwrap_err();
/// assert_eq!(violation.code(), ErrorCode::PROTOCOL_ERROR);
/// assert!(matches!(violation.scope(), Scope::Stream(stream) if stream.number() == 7));
/// assert_eq!(violation.to_string(), "WINDOW_UPDATE of stream 7 by 0 (PROTOCOL_ERROR)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Violation {
    /// A payload over the maximum (section 4.2). Taken for a connection error
    /// whatever the type, as section 5.4.1 allows.
    FrameTooLong {
        /// The frame's type.
        kind: Kind,
        /// The payload's length that the head declares, in bytes.
        len: u32,
        /// The longest that is accepted.
        len_max: u32,
    },
    /// A payload of another length than the type has (sections 6.3, 6.4, 6.7,
    /// 6.9).
    PayloadLen {
        /// The frame's type.
        kind: Kind,
        /// Its stream.
        stream: u32,
        /// The payload's length in bytes.
        len: u32,
        /// The type's.
        expected: u32,
    },
    /// A payload too short for the type's fields (section 4.2).
    PayloadTooShort {
        /// The frame's type.
        kind: Kind,
        /// Its stream.
        stream: u32,
        /// The payload's length in bytes.
        len: u32,
        /// The least for the type and its flags.
        len_min: u32,
    },
    /// SETTINGS that are no whole number of six bytes (section 6.5).
    SettingsLen {
        /// The payload's length in bytes.
        len: u32,
    },
    /// Acknowledged SETTINGS with a payload (section 6.5).
    AckNotEmpty {
        /// The payload's length in bytes.
        len: u32,
    },
    /// A frame of a stream on stream 0.
    StreamZero {
        /// The frame's type.
        kind: Kind,
    },
    /// A frame of the connection on a stream.
    StreamNotZero {
        /// The frame's type.
        kind: Kind,
        /// The stream that it names.
        stream: u32,
    },
    /// More padding than there is payload left for it (sections 6.1, 6.2, 6.6).
    Padding {
        /// The frame's type.
        kind: Kind,
        /// The pad length.
        padding: u8,
        /// The bytes that there were for it.
        room: u32,
    },
    /// A setting's value out of its range (section 6.5.2).
    SettingValue {
        /// The setting's identifier.
        setting: u16,
        /// The value received.
        value: u32,
        /// The least that is allowed.
        least: u32,
        /// The greatest that is allowed.
        greatest: u32,
    },
    /// A PUSH_PROMISE of stream 0 (sections 5.1.1, 6.6).
    PromiseOfZero {
        /// The stream that it came on.
        stream: u32,
    },
    /// A WINDOW_UPDATE by nothing (section 6.9).
    NoIncrement {
        /// The stream, or 0 for the connection.
        stream: u32,
    },
    /// A frame between those of a field block (section 4.3).
    BlockInterrupted {
        /// The stream whose field block had not ended.
        stream: u32,
        /// The type of the frame that came.
        by: Kind,
        /// The stream of the frame that came.
        by_stream: u32,
    },
    /// A CONTINUATION where no field block was under way (section 6.10).
    NoBlock {
        /// The stream that it names.
        stream: u32,
    },
    /// More CONTINUATIONs of one field block than are accepted (section 10.5.1).
    TooManyContinuations {
        /// The stream.
        stream: u32,
        /// How many are accepted.
        continuations_max: u32,
    },
    /// The bytes given are not one whole frame: the caller's fault, not the
    /// peer's.
    NotOneFrame {
        /// Bytes given.
        given: usize,
        /// Bytes that the frame has, at least a head's.
        frame_len: usize,
    },
}

impl Violation {
    /// The code for RST_STREAM or GOAWAY.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::FrameTooLong { .. }
            | Self::PayloadLen { .. }
            | Self::PayloadTooShort { .. }
            | Self::SettingsLen { .. }
            | Self::AckNotEmpty { .. } => ErrorCode::FRAME_SIZE_ERROR,
            Self::SettingValue { setting: super::settings::INITIAL_WINDOW_SIZE, .. } => {
                ErrorCode::FLOW_CONTROL_ERROR
            }
            Self::StreamZero { .. }
            | Self::StreamNotZero { .. }
            | Self::Padding { .. }
            | Self::SettingValue { .. }
            | Self::PromiseOfZero { .. }
            | Self::NoIncrement { .. }
            | Self::BlockInterrupted { .. }
            | Self::NoBlock { .. } => ErrorCode::PROTOCOL_ERROR,
            Self::TooManyContinuations { .. } => ErrorCode::ENHANCE_YOUR_CALM,
            Self::NotOneFrame { .. } => ErrorCode::INTERNAL_ERROR,
        }
    }

    /// Whether it costs the connection or one stream.
    #[must_use]
    pub const fn scope(self) -> Scope {
        let stream = match self {
            // Sections 6.3 and 6.9; a DATA frame alters no state but its
            // stream's (section 4.2).
            Self::PayloadLen { kind: Kind::PRIORITY, stream, .. }
            | Self::PayloadTooShort { kind: Kind::DATA, stream, .. }
            | Self::NoIncrement { stream } => stream,
            _ => 0,
        };
        match StreamId::new(stream) {
            Some(stream) => Scope::Stream(stream),
            None => Scope::Connection,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FrameTooLong { kind, len, len_max } => {
                write!(f, "{kind} with a payload of {len} bytes, over the maximum of {len_max}")
            }
            Self::PayloadLen { kind, stream, len, expected } => {
                write!(f, "{kind} of stream {stream} with {len} bytes instead of {expected}")
            }
            Self::PayloadTooShort { kind, stream, len, len_min } => {
                write!(f, "{kind} of stream {stream} with {len} bytes, at least {len_min} needed")
            }
            Self::SettingsLen { len } => {
                write!(f, "SETTINGS with {len} bytes, no multiple of 6")
            }
            Self::AckNotEmpty { len } => {
                write!(f, "an acknowledgement of SETTINGS with {len} bytes")
            }
            Self::StreamZero { kind } => write!(f, "{kind} on stream 0"),
            Self::StreamNotZero { kind, stream } => {
                write!(f, "{kind} on stream {stream} instead of 0")
            }
            Self::Padding { kind, padding, room } => {
                write!(f, "{kind} with {padding} bytes of padding in {room} bytes")
            }
            Self::SettingValue { setting, value, least, greatest } => {
                write!(f, "setting {setting:#x} of {value}, allowed are {least} to {greatest}")
            }
            Self::PromiseOfZero { stream } => {
                write!(f, "PUSH_PROMISE of stream 0 on stream {stream}")
            }
            Self::NoIncrement { stream } => {
                write!(f, "WINDOW_UPDATE of stream {stream} by 0")
            }
            Self::BlockInterrupted { stream, by, by_stream } => {
                write!(f, "{by} of stream {by_stream} within the field block of stream {stream}")
            }
            Self::NoBlock { stream } => {
                write!(f, "CONTINUATION of stream {stream} without a field block")
            }
            Self::TooManyContinuations { stream, continuations_max } => {
                write!(
                    f,
                    "stream {stream}: a field block of over {continuations_max} CONTINUATIONs"
                )
            }
            Self::NotOneFrame { given, frame_len } => {
                write!(f, "{given} bytes given, the frame has {frame_len}")
            }
        }?;
        write!(f, " ({})", self.code())
    }
}

impl Error for Violation {}
