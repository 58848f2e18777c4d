//! A whole message: headers and payload, read borrowed and written in place.

use super::{
    Malformed, WriteError,
    argument::{Argument, Arguments},
    bytes::{Reader, Writer},
    header::{self, HEADER_LEN_MIN, Header, LEN_AT},
};
use crate::frame::Order;

/// Bytes of the head of a user record.
pub(super) const RECORD_HEAD_LEN: usize = 8;
/// The longest message in bytes that is written: a daemon's record of 65,535
/// bytes, less the head.
pub const MESSAGE_LEN_MAX: usize = u16::MAX as usize - RECORD_HEAD_LEN;

/// A received message, borrowed.
///
/// ```
/// use forebay::frame::dlt::{Id, Level, Message, Value};
///
/// let bytes = b"\x3d\0\0\x22ECU1\0\0\x3e\x66\0\xff\xf8\xcb\x41\x01RUSTRING\0\x82\0\0\x02\0x\0";
/// let message = Message::parse(bytes)?;
/// let extended = message.header.extended.unwrap();
/// assert_eq!((extended.app, extended.context), (Id::new("RUST"), Id::new("RING")));
/// assert_eq!(extended.kind.level(), Some(Level::Info));
/// let argument = message.arguments().next().unwrap()?;
/// assert_eq!(argument.value, Value::Utf8(b"x"));
/// # Ok::<(), forebay::frame::dlt::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Both headers.
    pub header: Header,
    /// What is behind them.
    pub payload: &'a [u8],
    /// Bytes before the payload.
    payload_at: usize,
}

impl<'a> Message<'a> {
    /// Reads the message at the front of `bytes`; not a byte behind what its
    /// length covers.
    ///
    /// # Errors
    ///
    /// [`Malformed`], with the figures.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let len = match extent(bytes) {
            Extent::Known { len } => len,
            Extent::Needed { needed } => {
                return Err(Malformed::Cut { at: 0, needed, left: bytes.len() });
            }
            Extent::Malformed(malformed) => return Err(malformed),
        };
        let cut = Malformed::Cut { at: 0, needed: len, left: bytes.len() };
        let mut input = Reader::new(bytes.get(..len).ok_or(cut)?, Order::Big);
        let header = Header::take(&mut input)?;
        Ok(Self { header, payload: input.rest, payload_at: input.at })
    }

    /// Bytes of the whole message.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.payload_at + self.payload.len()
    }

    /// Whether the payload is arguments that describe themselves.
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.header.extended.is_some_and(|extended| extended.verbose)
    }

    /// The arguments of a verbose message; none of one that is not.
    #[must_use]
    pub fn arguments(&self) -> Arguments<'a> {
        let mut input = Reader::new(self.payload, self.header.order);
        input.at = self.payload_at;
        let left = match self.header.extended {
            Some(extended) if extended.verbose => extended.arguments,
            _ => 0,
        };
        Arguments { input, left }
    }

    /// The message id and the data of a message that is not verbose: what they
    /// mean is described elsewhere.
    ///
    /// # Errors
    ///
    /// [`Malformed::Cut`] when the payload is shorter than the id.
    pub fn non_verbose(&self) -> Result<(u32, &'a [u8]), Malformed> {
        let mut input = Reader::new(self.payload, self.header.order);
        input.at = self.payload_at;
        let id = input.u32()?;
        Ok((id, input.rest))
    }
}

/// How long the message at the front of some bytes is.
pub(super) enum Extent {
    Known { len: usize },
    Needed { needed: usize },
    Malformed(Malformed),
}

pub(super) fn extent(bytes: &[u8]) -> Extent {
    if let Some(&flags) = bytes.first()
        && let Err(malformed) = header::check_version(flags)
    {
        return Extent::Malformed(malformed);
    }
    let Some(&[flags, _, high, low]) = bytes.first_chunk() else {
        return Extent::Needed { needed: HEADER_LEN_MIN };
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let len_min = header::len_by_flags(flags);
    if len < len_min {
        return Extent::Malformed(Malformed::LenTooShort { len, len_min });
    }
    Extent::Known { len }
}

/// What stands at the front of `bytes` instead of `magic`, or that it is not
/// all there.
pub(super) fn check_magic(bytes: &[u8], magic: [u8; 4]) -> Option<Extent> {
    match bytes.first_chunk() {
        Some(received) if *received == magic => None,
        Some(&received) => Some(Extent::Malformed(Malformed::Magic { received })),
        None => Some(Extent::Needed { needed: magic.len() }),
    }
}

/// Writes a message in place: headers, then arguments one by one.
///
/// ```
/// use forebay::frame::Order;
/// use forebay::frame::dlt::{Argument, Extended, Header, Id, Level, Message, MessageWriter};
///
/// let header = Header {
///     order: Order::Little,
///     counter: 0,
///     ecu: Some(Id::new("ECU1")),
///     session: None,
///     timestamp: Some(123_456), // 12.3456 s
///     extended: Some(Extended::log(Level::Warn, Id::new("PUMP"), Id::new("FILL"))),
/// };
/// let mut out = [0; 64];
/// let mut message = MessageWriter::new(&header, &mut out)?;
/// message.argument(&"level".into())?;
/// message.argument(&Argument::from(0.75_f32).name("h").unit("m"))?;
/// let len = message.finish();
///
/// let message = Message::parse(&out[..len])?;
/// assert_eq!(message.arguments().count(), 2);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the length is written by `finish`"]
pub struct MessageWriter<'b> {
    writer: Writer<'b>,
    header_len: usize,
    arguments: u8,
    has_extended: bool,
}

impl<'b> MessageWriter<'b> {
    /// Writes the headers of a message to the front of `out`.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoRoom`].
    #[inline]
    pub fn new(header: &Header, out: &'b mut [u8]) -> Result<Self, WriteError> {
        let mut writer = Writer { out, at: 0, order: header.order };
        header.put(&mut writer)?;
        let has_extended = header.extended.is_some();
        Ok(Self { header_len: writer.at, writer, arguments: 0, has_extended })
    }

    /// Appends an argument, whole or not at all, and counts it.
    ///
    /// # Errors
    ///
    /// [`WriteError`], with the figures; the message is as before.
    #[inline]
    pub fn argument(&mut self, argument: &Argument<'_>) -> Result<(), WriteError> {
        let arguments = self.arguments.checked_add(1).ok_or(WriteError::TooManyArguments)?;
        self.append(|writer| argument.put(writer))?;
        self.arguments = arguments;
        Ok(())
    }

    /// Appends the payload of a message that is not verbose.
    ///
    /// # Errors
    ///
    /// As [`argument`](MessageWriter::argument).
    pub fn non_verbose(&mut self, message_id: u32, data: &[u8]) -> Result<(), WriteError> {
        self.append(|writer| {
            writer.number(message_id.to_le_bytes())?;
            writer.bytes(data)
        })
    }

    #[inline]
    fn append(
        &mut self,
        put: impl FnOnce(&mut Writer<'b>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let before = self.writer.at;
        let result = put(&mut self.writer);
        let len = self.writer.at;
        if result.is_ok() && len <= MESSAGE_LEN_MAX {
            return Ok(());
        }
        self.writer.at = before;
        result?;
        Err(WriteError::TooLong { len, len_max: MESSAGE_LEN_MAX })
    }

    /// Writes the length and the number of arguments into the headers;
    /// returns the length in bytes.
    #[inline]
    pub fn finish(self) -> usize {
        let Self { writer, header_len, arguments, has_extended } = self;
        let len = writer.at;
        // `append` keeps it below the maximum.
        #[allow(clippy::cast_possible_truncation)]
        let whole = (len as u16).to_be_bytes();
        if let Some(place) = writer.out.get_mut(LEN_AT..LEN_AT + whole.len()) {
            place.copy_from_slice(&whole);
        }
        if has_extended && let Some(place) = writer.out.get_mut(header::arguments_at(header_len)) {
            *place = arguments;
        }
        len
    }
}
