//! A frame of valid values.

use core::num::NonZeroU32;

use super::{ErrorCode, Head, Kind, Settings, Violation, flags, outline::Outline};
use crate::{
    batch::{Batch, PushError},
    frame::{Encode, EncodeError},
};

/// The identifier of a stream: 1 to 2^31 - 1 (RFC 9113, section 5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StreamId(NonZeroU32);

impl StreamId {
    /// The greatest.
    pub const GREATEST: u32 = (1 << 31) - 1;

    /// The stream of this number; `None` for 0 and for more than 31 bits.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) if number.get() <= Self::GREATEST => Some(Self(number)),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// Whether it is a client's to open; a server's are even.
    #[must_use]
    pub const fn is_clients(self) -> bool {
        self.number() % 2 == 1
    }
}

/// By how much a window grows: 1 to 2^31 - 1 bytes (RFC 9113, section 6.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Increment(NonZeroU32);

impl Increment {
    /// An increment of so many bytes; `None` for 0 and for more than 31 bits.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        match StreamId::new(bytes) {
            Some(StreamId(bytes)) => Some(Self(bytes)),
            None => None,
        }
    }

    /// Its bytes.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

/// The priority fields of PRIORITY and HEADERS (RFC 9113, section 6.3), which
/// are deprecated and still sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Priority {
    /// Whether the dependency is exclusive.
    pub exclusive: bool,
    /// The stream depended on, of which 31 bits are sent.
    pub dependency: u32,
    /// The weight less one.
    pub weight: u8,
}

impl Priority {
    const LEN: usize = 5;

    const fn decode([d0, d1, d2, d3, weight]: [u8; Self::LEN]) -> Self {
        let word = u32::from_be_bytes([d0, d1, d2, d3]);
        let dependency = word & StreamId::GREATEST;
        Self { exclusive: word != dependency, dependency, weight }
    }

    pub(super) const fn encode(self) -> [u8; Self::LEN] {
        let word = self.dependency & StreamId::GREATEST | (self.exclusive as u32) << 31;
        let [d0, d1, d2, d3] = word.to_be_bytes();
        [d0, d1, d2, d3, self.weight]
    }
}

/// One frame (RFC 9113, section 6), borrowed from wherever its bytes are.
///
/// Every value of this type can be sent; flags that a type does not define are
/// not kept. `padding` is the number of zero bytes after the payload, `None`
/// being a frame without the PADDED flag, one byte shorter than `Some(0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(missing_docs, reason = "the fields are those of the RFC's sections")]
pub enum Frame<'p> {
    /// Section 6.1.
    Data { stream: StreamId, end_stream: bool, padding: Option<u8>, data: &'p [u8] },
    /// Section 6.2.
    Headers {
        stream: StreamId,
        end_stream: bool,
        end_headers: bool,
        priority: Option<Priority>,
        padding: Option<u8>,
        fragment: &'p [u8],
    },
    /// Section 6.3.
    Priority { stream: StreamId, priority: Priority },
    /// Section 6.4.
    RstStream { stream: StreamId, code: ErrorCode },
    /// Section 6.5, without the ACK flag.
    Settings(Settings<'p>),
    /// Section 6.5, with the ACK flag.
    SettingsAck,
    /// Section 6.6.
    PushPromise {
        stream: StreamId,
        promised: StreamId,
        end_headers: bool,
        padding: Option<u8>,
        fragment: &'p [u8],
    },
    /// Section 6.7.
    Ping { ack: bool, data: [u8; 8] },
    /// Section 6.8; no stream where none was processed.
    GoAway { last_stream: Option<StreamId>, code: ErrorCode, debug: &'p [u8] },
    /// Section 6.9; no stream for the connection's window.
    WindowUpdate { stream: Option<StreamId>, increment: Increment },
    /// Section 6.10.
    Continuation { stream: StreamId, end_headers: bool, fragment: &'p [u8] },
    /// A type that RFC 9113 does not define, to be ignored (section 5.5).
    Unknown { kind: Kind, flags: u8, stream: u32, payload: &'p [u8] },
}

impl<'p> Frame<'p> {
    /// Reads the one frame that `bytes` is, as a decoder delivers it.
    ///
    /// # Errors
    ///
    /// The first [`Violation`]. The maximum length is the decoder's to check.
    pub fn parse(bytes: &'p [u8]) -> Result<Self, Violation> {
        let given = bytes.len();
        let Some((head, payload)) = Head::split(bytes) else {
            return Err(Violation::NotOneFrame { given, frame_len: Head::LEN });
        };
        if payload.len() != head.payload_len as usize {
            let frame_len = Head::LEN.saturating_add(head.payload_len as usize);
            return Err(Violation::NotOneFrame { given, frame_len });
        }
        head.check_type()?;
        // From here on every payload has the fields that its type asks for;
        // the checks below are the same ones, kept as what the code rests on.
        let mut rest = Rest { head, payload, padding: None };
        let Some(stream) = StreamId::new(head.stream) else {
            return rest.of_connection();
        };
        Ok(match head.kind {
            Kind::DATA => {
                rest.unpad()?;
                let end_stream = head.has(flags::END_STREAM);
                Self::Data { stream, end_stream, padding: rest.padding, data: rest.payload }
            }
            Kind::HEADERS => {
                let pad_len = rest.pad_len()?;
                let priority = match head.has(flags::PRIORITY) {
                    true => Some(Priority::decode(rest.take()?)),
                    false => None,
                };
                rest.cut(pad_len)?;
                Self::Headers {
                    stream,
                    end_stream: head.has(flags::END_STREAM),
                    end_headers: head.has(flags::END_HEADERS),
                    priority,
                    padding: rest.padding,
                    fragment: rest.payload,
                }
            }
            Kind::PRIORITY => Self::Priority { stream, priority: Priority::decode(rest.take()?) },
            Kind::RST_STREAM => {
                Self::RstStream { stream, code: ErrorCode(u32::from_be_bytes(rest.take()?)) }
            }
            Kind::PUSH_PROMISE => {
                let pad_len = rest.pad_len()?;
                let promised = rest.identifier()?;
                rest.cut(pad_len)?;
                Self::PushPromise {
                    stream,
                    promised: promised.ok_or(Violation::PromiseOfZero { stream: head.stream })?,
                    end_headers: head.has(flags::END_HEADERS),
                    padding: rest.padding,
                    fragment: rest.payload,
                }
            }
            Kind::WINDOW_UPDATE => {
                Self::WindowUpdate { stream: Some(stream), increment: rest.increment()? }
            }
            Kind::CONTINUATION => {
                let end_headers = head.has(flags::END_HEADERS);
                Self::Continuation { stream, end_headers, fragment: payload }
            }
            kind => Self::Unknown { kind, flags: head.flags, stream: head.stream, payload },
        })
    }

    /// The frame's head.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLong`] when the payload is over 2^24 - 1 bytes.
    pub fn head(&self) -> Result<Head, EncodeError> {
        let (outline, rest) = Outline::of(self);
        outline.head(rest.len())
    }

    /// The frame's length in bytes, head and all.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        let (outline, rest) = Outline::of(self);
        outline.frame_len_max(rest.len())
    }

    /// Writes the frame to the front of `out`; returns its length in bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLong`] when the payload is over 2^24 - 1 bytes,
    /// [`EncodeError::NoRoom`] when `out` is too short. That the payload is
    /// not over the peer's maximum is the caller's care.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (outline, rest) = Outline::of(self);
        outline.encode(rest, out)
    }

    /// Adds the frame to `batch`; a large payload is borrowed.
    ///
    /// ```
    /// use forebay::Batch;
    /// use forebay::frame::http2::{Frame, StreamId};
    ///
    /// let page = [b'-'; 8192];
    /// let stream = StreamId::new(3).unwrap();
    /// let frame = Frame::Data { stream, end_stream: true, padding: None, data: &page };
    /// let mut batch: Batch<[u8; 64]> = Batch::new([0; 64]);
    /// frame.push(&mut batch)?;
    /// assert_eq!(batch.slices().len(), 2);
    /// assert_eq!(batch.slices()[1].as_ptr(), page.as_ptr());
    /// # Ok::<(), forebay::batch::PushError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Batch::push`].
    pub fn push<B: AsRef<[u8]> + AsMut<[u8]>, const SLICES: usize>(
        &self,
        batch: &mut Batch<'p, B, SLICES>,
    ) -> Result<(), PushError> {
        let (outline, rest) = Outline::of(self);
        batch.push(&outline, rest)
    }
}

/// What is left of a payload.
struct Rest<'p> {
    head: Head,
    payload: &'p [u8],
    padding: Option<u8>,
}

impl<'p> Rest<'p> {
    /// A frame on stream 0.
    fn of_connection(mut self) -> Result<Frame<'p>, Violation> {
        let Head { kind, flags, .. } = self.head;
        Ok(match kind {
            Kind::SETTINGS if self.head.has(flags::ACK) => Frame::SettingsAck,
            Kind::SETTINGS => Frame::Settings(Settings::parse(self.payload)?),
            Kind::PING => Frame::Ping { ack: self.head.has(flags::ACK), data: self.take()? },
            Kind::GOAWAY => Frame::GoAway {
                last_stream: self.identifier()?,
                code: ErrorCode(u32::from_be_bytes(self.take()?)),
                debug: self.payload,
            },
            Kind::WINDOW_UPDATE => {
                Frame::WindowUpdate { stream: None, increment: self.increment()? }
            }
            kind => Frame::Unknown { kind, flags, stream: 0, payload: self.payload },
        })
    }

    /// Takes a field from the front.
    fn take<const LEN: usize>(&mut self) -> Result<[u8; LEN], Violation> {
        let Some((field, rest)) = self.payload.split_first_chunk() else {
            let Head { payload_len: len, kind, stream, .. } = self.head;
            // A field is eight bytes at most.
            #[allow(clippy::cast_possible_truncation)]
            let len_min = LEN as u32;
            return Err(Violation::PayloadTooShort { kind, stream, len, len_min });
        };
        self.payload = rest;
        Ok(*field)
    }

    /// A stream identifier, its reserved bit ignored.
    fn identifier(&mut self) -> Result<Option<StreamId>, Violation> {
        Ok(StreamId::new(u32::from_be_bytes(self.take()?) & StreamId::GREATEST))
    }

    fn increment(&mut self) -> Result<Increment, Violation> {
        let bytes = u32::from_be_bytes(self.take()?) & StreamId::GREATEST;
        Increment::new(bytes).ok_or(Violation::NoIncrement { stream: self.head.stream })
    }

    /// Takes the pad length, where there is one.
    fn pad_len(&mut self) -> Result<u8, Violation> {
        if !self.head.has(flags::PADDED) {
            return Ok(0);
        }
        let [pad_len] = self.take()?;
        self.padding = Some(pad_len);
        Ok(pad_len)
    }

    /// Cuts the padding off the end.
    fn cut(&mut self, pad_len: u8) -> Result<(), Violation> {
        let room = self.payload.len();
        match room.checked_sub(usize::from(pad_len)).and_then(|len| self.payload.get(..len)) {
            Some(payload) => {
                self.payload = payload;
                Ok(())
            }
            None => Err(Violation::Padding {
                kind: self.head.kind,
                padding: pad_len,
                room: u32::try_from(room).unwrap_or(u32::MAX),
            }),
        }
    }

    fn unpad(&mut self) -> Result<(), Violation> {
        let pad_len = self.pad_len()?;
        self.cut(pad_len)
    }
}
