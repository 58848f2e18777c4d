//! The standard header, and the extended header behind it.

use core::fmt;

use super::{
    Id, Malformed, WriteError,
    bytes::{Reader, Writer},
};
use crate::frame::Order;

const WITH_EXTENDED: u8 = 0x01;
const PAYLOAD_BIG_ENDIAN: u8 = 0x02;
const WITH_ECU: u8 = 0x04;
const WITH_SESSION: u8 = 0x08;
const WITH_TIMESTAMP: u8 = 0x10;
/// The version in the three bits above the flags.
const VERSION: u8 = 1;

const VERBOSE: u8 = 0x01;

/// Bytes of a standard header without its optional fields.
pub(super) const HEADER_LEN_MIN: usize = 4;
/// Bytes of a standard header with all of them, and an extended header.
pub(super) const HEADER_LEN_MAX: usize = 26;
const EXTENDED_LEN: usize = 10;
/// Where the length stands.
pub(super) const LEN_AT: usize = 2;

/// What stands before the payload of a message.
///
/// The length is no field of it: it follows from the bytes, when they are
/// written and when they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The payload's byte order; the headers' own is always big-endian.
    pub order: Order,
    /// Counts the messages of a context, modulo 256.
    pub counter: u8,
    /// The ECU that sends.
    pub ecu: Option<Id>,
    /// The session: on Linux the process id.
    pub session: Option<u32>,
    /// Time since the start of the ECU in units of 0.1 ms.
    pub timestamp: Option<u32>,
    /// The extended header; verbose messages have one.
    pub extended: Option<Extended>,
}

impl Header {
    /// Bytes of both headers, 4 to 26.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        let optional = self.ecu.is_some() as usize
            + self.session.is_some() as usize
            + self.timestamp.is_some() as usize;
        let extended = if self.extended.is_some() { EXTENDED_LEN } else { 0 };
        HEADER_LEN_MIN + 4 * optional + extended
    }

    fn flags(&self) -> u8 {
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        VERSION << 5
            | flag(WITH_EXTENDED, self.extended.is_some())
            | flag(PAYLOAD_BIG_ENDIAN, self.order == Order::Big)
            | flag(WITH_ECU, self.ecu.is_some())
            | flag(WITH_SESSION, self.session.is_some())
            | flag(WITH_TIMESTAMP, self.timestamp.is_some())
    }

    /// Writes both headers, with no length and no arguments yet.
    #[inline]
    pub(super) fn put(&self, out: &mut Writer<'_>) -> Result<(), WriteError> {
        out.bytes(&[self.flags(), self.counter, 0, 0])?;
        if let Some(ecu) = self.ecu {
            out.bytes(&ecu.to_bytes())?;
        }
        if let Some(session) = self.session {
            out.bytes(&session.to_be_bytes())?;
        }
        if let Some(timestamp) = self.timestamp {
            out.bytes(&timestamp.to_be_bytes())?;
        }
        if let Some(Extended { kind, verbose, arguments, app, context }) = self.extended {
            out.bytes(&[kind.bits() | u8::from(verbose), arguments])?;
            out.bytes(&app.to_bytes())?;
            out.bytes(&context.to_bytes())?;
        }
        Ok(())
    }

    /// Reads both headers, of which all bytes must be there.
    pub(super) fn take(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let [flags, counter, _, _] = input.array()?;
        check_version(flags)?;
        let order = if flags & PAYLOAD_BIG_ENDIAN == 0 { Order::Little } else { Order::Big };
        let mut field = |flag| match flags & flag {
            0 => Ok(None),
            _ => input.array::<4>().map(Some),
        };
        let ecu = field(WITH_ECU)?.map(Id::from_bytes);
        let session = field(WITH_SESSION)?.map(u32::from_be_bytes);
        let timestamp = field(WITH_TIMESTAMP)?.map(u32::from_be_bytes);
        let extended = match flags & WITH_EXTENDED {
            0 => None,
            _ => {
                let [bits, arguments] = input.array()?;
                Some(Extended {
                    kind: Kind::from_bits(bits),
                    verbose: bits & VERBOSE != 0,
                    arguments,
                    app: Id::from_bytes(input.array()?),
                    context: Id::from_bytes(input.array()?),
                })
            }
        };
        Ok(Self { order, counter, ecu, session, timestamp, extended })
    }
}

/// Where the count of arguments stands in headers of `len` bytes that end with
/// an extended one.
pub(super) const fn arguments_at(len: usize) -> usize {
    len.saturating_sub(EXTENDED_LEN - 1)
}

/// Bytes of both headers, as the first byte says.
pub(super) const fn len_by_flags(flags: u8) -> usize {
    let optional = (flags & (WITH_ECU | WITH_SESSION | WITH_TIMESTAMP)).count_ones() as usize;
    let extended = if flags & WITH_EXTENDED == 0 { 0 } else { EXTENDED_LEN };
    HEADER_LEN_MIN + 4 * optional + extended
}

pub(super) fn check_version(flags: u8) -> Result<(), Malformed> {
    match flags >> 5 {
        VERSION => Ok(()),
        version => Err(Malformed::Version { version }),
    }
}

/// The header by which messages can be filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    /// What kind of message it is.
    pub kind: Kind,
    /// Whether the payload is arguments that describe themselves.
    pub verbose: bool,
    /// How many arguments there are. [`MessageWriter`](super::MessageWriter)
    /// counts them itself.
    pub arguments: u8,
    /// The application that sends.
    pub app: Id,
    /// The part of it that sends.
    pub context: Id,
}

impl Extended {
    /// The header of a verbose log message.
    #[must_use]
    pub const fn log(level: Level, app: Id, context: Id) -> Self {
        Self { kind: Kind::Log(level), verbose: true, arguments: 0, app, context }
    }
}

/// What kind of message it is: three bits of type and four of what the type
/// makes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A log message.
    Log(Level),
    /// A trace of the application: 1 a variable, 2 and 3 into and out of a
    /// function, 4 a state, 5 the virtual function bus.
    Trace(u8),
    /// A trace of a network: 1 IPC, 2 CAN, 3 `FlexRay`, 4 MOST.
    Network(u8),
    /// Control: 1 a request, 2 a response, 3 the time.
    Control(u8),
    /// What the standard does not know.
    Other {
        /// The type, 0 for a log message of no known level.
        kind: u8,
        /// The four bits.
        info: u8,
    },
}

impl Kind {
    /// The bits, at their place.
    const fn bits(self) -> u8 {
        let (kind, info) = match self {
            Self::Log(level) => (0, level as u8),
            Self::Trace(info) => (1, info),
            Self::Network(info) => (2, info),
            Self::Control(info) => (3, info),
            Self::Other { kind, info } => (kind, info),
        };
        info << 4 | (kind & 0b111) << 1
    }

    pub(super) const fn from_bits(bits: u8) -> Self {
        let info = bits >> 4;
        match (bits >> 1 & 0b111, Level::new(info)) {
            (0, Some(level)) => Self::Log(level),
            (1, _) => Self::Trace(info),
            (2, _) => Self::Network(info),
            (3, _) => Self::Control(info),
            (kind, _) => Self::Other { kind, info },
        }
    }

    /// The level of a log message.
    #[must_use]
    pub const fn level(self) -> Option<Level> {
        match self {
            Self::Log(level) => Some(level),
            _ => None,
        }
    }
}

/// How much a log message matters; the lower the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Level {
    /// The system cannot go on.
    Fatal = 1,
    /// Something failed.
    Error = 2,
    /// Something is not as it should be.
    Warn = 3,
    /// What happens.
    Info = 4,
    /// For who looks for a fault.
    Debug = 5,
    /// All the rest.
    Verbose = 6,
}

impl Level {
    /// The level of this number, 1 to 6.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Fatal,
            2 => Self::Error,
            3 => Self::Warn,
            4 => Self::Info,
            5 => Self::Debug,
            6 => Self::Verbose,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Verbose => "verbose",
        })
    }
}
