//! The nine bytes before every payload.

use core::fmt;

use super::{StreamId, Violation};

/// The bits of a head's flags (RFC 9113, section 6).
pub mod flags {
    /// On SETTINGS and PING: an acknowledgement.
    pub const ACK: u8 = 0x01;
    /// On DATA and HEADERS: the sender's last of this stream.
    pub const END_STREAM: u8 = 0x01;
    /// On HEADERS, PUSH_PROMISE and CONTINUATION: the field block ends here.
    pub const END_HEADERS: u8 = 0x04;
    /// On DATA, HEADERS and PUSH_PROMISE: a pad length stands first.
    pub const PADDED: u8 = 0x08;
    /// On HEADERS: priority fields stand before the field block.
    pub const PRIORITY: u8 = 0x20;
}

/// The type of a frame (RFC 9113, section 6), known or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Kind(pub u8);

impl Kind {
    /// Section 6.1.
    pub const DATA: Self = Self(0);
    /// Section 6.2.
    pub const HEADERS: Self = Self(1);
    /// Section 6.3.
    pub const PRIORITY: Self = Self(2);
    /// Section 6.4.
    pub const RST_STREAM: Self = Self(3);
    /// Section 6.5.
    pub const SETTINGS: Self = Self(4);
    /// Section 6.6.
    pub const PUSH_PROMISE: Self = Self(5);
    /// Section 6.7.
    pub const PING: Self = Self(6);
    /// Section 6.8.
    pub const GOAWAY: Self = Self(7);
    /// Section 6.9.
    pub const WINDOW_UPDATE: Self = Self(8);
    /// Section 6.10.
    pub const CONTINUATION: Self = Self(9);

    /// Whether frames of this type carry a part of a field block.
    #[must_use]
    pub const fn carries_block(self) -> bool {
        matches!(self, Self::HEADERS | Self::PUSH_PROMISE | Self::CONTINUATION)
    }
}

/// The name that RFC 9113 gives it; a number where it gives none.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DATA => "DATA",
            Self::HEADERS => "HEADERS",
            Self::PRIORITY => "PRIORITY",
            Self::RST_STREAM => "RST_STREAM",
            Self::SETTINGS => "SETTINGS",
            Self::PUSH_PROMISE => "PUSH_PROMISE",
            Self::PING => "PING",
            Self::GOAWAY => "GOAWAY",
            Self::WINDOW_UPDATE => "WINDOW_UPDATE",
            Self::CONTINUATION => "CONTINUATION",
            Self(number) => return write!(f, "type {number:#04x}"),
        })
    }
}

/// A frame's head as it stands on the wire (RFC 9113, section 4.1).
///
/// ```text
///  | payload length 24 | type 8 | flags 8 | reserved 1 | stream identifier 31 |
/// ```
///
/// ```
/// use forebay::frame::http2::{Head, Kind, flags};
///
/// let head = Head::split(b"\0\0\x08\x06\x01\0\0\0\0pingpong").unwrap().0;
/// assert_eq!(head, Head { payload_len: 8, kind: Kind::PING, flags: flags::ACK, stream: 0 });
/// assert_eq!(&head.encode(), b"\0\0\x08\x06\x01\0\0\0\0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Head {
    /// The payload's length in bytes, of which 24 bits are sent.
    pub payload_len: u32,
    /// The type.
    pub kind: Kind,
    /// The flags, whose meaning is the type's.
    pub flags: u8,
    /// The stream identifier, of which 31 bits are sent; 0 for the connection.
    pub stream: u32,
}

impl Head {
    /// The length of a head in bytes.
    pub const LEN: usize = 9;

    /// The head at the front of `input`, and what follows it; `None` when
    /// there are fewer than nine bytes. The reserved bit is ignored.
    #[must_use]
    pub const fn split(input: &[u8]) -> Option<(Self, &[u8])> {
        let Some((&[l0, l1, l2, kind, flags, s0, s1, s2, s3], rest)) =
            input.split_first_chunk::<{ Self::LEN }>()
        else {
            return None;
        };
        let head = Self {
            payload_len: u32::from_be_bytes([0, l0, l1, l2]),
            kind: Kind(kind),
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & StreamId::GREATEST,
        };
        Some((head, rest))
    }

    /// The head's bytes, the reserved bit unset.
    #[must_use]
    pub const fn encode(self) -> [u8; Self::LEN] {
        let [_, l0, l1, l2] = self.payload_len.to_be_bytes();
        let [s0, s1, s2, s3] = (self.stream & StreamId::GREATEST).to_be_bytes();
        [l0, l1, l2, self.kind.0, self.flags, s0, s1, s2, s3]
    }

    /// Whether the flags hold `flag`.
    #[must_use]
    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Checks all that a head tells alone: the length against
    /// `payload_len_max` (section 4.2) and against the type's, and whether the
    /// type belongs to a stream or to the connection (section 6).
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub const fn check(self, payload_len_max: u32) -> Result<(), Violation> {
        if self.payload_len > payload_len_max {
            let (len, len_max) = (self.payload_len, payload_len_max);
            return Err(Violation::FrameTooLong { kind: self.kind, len, len_max });
        }
        self.check_type()
    }

    /// As [`check`](Head::check), without a maximum.
    pub(super) const fn check_type(self) -> Result<(), Violation> {
        let Self { payload_len: len, kind, stream, .. } = self;
        match kind {
            Kind::SETTINGS | Kind::PING | Kind::GOAWAY if stream != 0 => {
                return Err(Violation::StreamNotZero { kind, stream });
            }
            Kind::DATA
            | Kind::HEADERS
            | Kind::PRIORITY
            | Kind::RST_STREAM
            | Kind::PUSH_PROMISE
            | Kind::CONTINUATION
                if stream == 0 =>
            {
                return Err(Violation::StreamZero { kind });
            }
            _ => {}
        }
        let exact = match kind {
            Kind::PRIORITY => 5,
            Kind::RST_STREAM | Kind::WINDOW_UPDATE => 4,
            Kind::PING => 8,
            _ => return self.check_len(),
        };
        if len != exact {
            return Err(Violation::PayloadLen { kind, stream, len, expected: exact });
        }
        Ok(())
    }

    /// Lengths that are not fixed.
    const fn check_len(self) -> Result<(), Violation> {
        let Self { payload_len: len, kind, stream, .. } = self;
        let padded = self.has(flags::PADDED) as u32;
        let len_min = match kind {
            Kind::DATA => padded,
            Kind::HEADERS if self.has(flags::PRIORITY) => padded + 5,
            Kind::HEADERS => padded,
            Kind::PUSH_PROMISE => padded + 4,
            Kind::GOAWAY => 8,
            Kind::SETTINGS if self.has(flags::ACK) && len != 0 => {
                return Err(Violation::AckNotEmpty { len });
            }
            Kind::SETTINGS if !len.is_multiple_of(6) => {
                return Err(Violation::SettingsLen { len });
            }
            _ => 0,
        };
        if len < len_min {
            return Err(Violation::PayloadTooShort { kind, stream, len, len_min });
        }
        Ok(())
    }
}
