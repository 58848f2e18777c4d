//! What can be wrong with a message, received or to be written.

use core::{error::Error, fmt};

/// What is wrong with the bytes of a received message.
///
/// Places count bytes from the front of what was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Malformed {
    /// Another version of the protocol than 1.
    Version {
        /// The version received.
        version: u8,
    },
    /// Another beginning than the one expected.
    Magic {
        /// The bytes received.
        received: [u8; 4],
    },
    /// A declared length that has no room for what it must cover.
    LenTooShort {
        /// The length in bytes.
        len: usize,
        /// The least that it must be.
        len_min: usize,
    },
    /// The bytes end, or what a length covers ends, inside a field.
    Cut {
        /// Where the field begins.
        at: usize,
        /// Bytes that it takes.
        needed: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// A type-info word that the standard does not know.
    TypeInfo {
        /// Where it stands.
        at: usize,
        /// The word.
        type_info: u32,
    },
    /// An argument of a kind that is not decoded: an array, a struct, fixed
    /// point, trace info. How long it is, and so what follows, is unknown.
    Unsupported {
        /// Where its type-info word stands.
        at: usize,
        /// The word.
        type_info: u32,
    },
    /// A user record of an unknown type, so of unknown length.
    RecordType {
        /// The type.
        record_type: u32,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Version { version } => write!(f, "DLT version {version}, 1 is known"),
            Self::Magic { received: [a, b, c, d] } => {
                write!(f, "no record begins with {a:02x} {b:02x} {c:02x} {d:02x}")
            }
            Self::LenTooShort { len, len_min } => {
                write!(f, "length {len}, the headers take {len_min} bytes")
            }
            Self::Cut { at, needed, left } => {
                write!(f, "byte {at}: a field of {needed} bytes, {left} are left")
            }
            Self::TypeInfo { at, type_info } => {
                write!(f, "byte {at}: type info {type_info:#x} is not of the standard")
            }
            Self::Unsupported { at, type_info } => {
                write!(f, "byte {at}: an argument of type info {type_info:#x} is not supported")
            }
            Self::RecordType { record_type } => write!(f, "user record of type {record_type}"),
        }
    }
}

impl Error for Malformed {}

/// Why something was not written. What had been written before stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WriteError {
    /// The bytes to write to are too few.
    NoRoom {
        /// Bytes that were to be written.
        needed: usize,
        /// Bytes that were free.
        free: usize,
    },
    /// The message would be longer than a record can be.
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest.
        len_max: usize,
    },
    /// A text, name, unit or raw argument is longer than its length field can
    /// say.
    FieldTooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest.
        len_max: usize,
    },
    /// More arguments than the header can count, which is 255.
    TooManyArguments,
    /// A unit for a bool, a text or raw bytes: the standard has no place for it.
    UnitWithoutNumber,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoRoom { needed, free } => write!(f, "{needed} bytes to write, {free} are free"),
            Self::TooLong { len, len_max } => {
                write!(f, "a message of {len} bytes, the longest has {len_max}")
            }
            Self::FieldTooLong { len, len_max } => {
                write!(f, "a field of {len} bytes, the longest has {len_max}")
            }
            Self::TooManyArguments => write!(f, "more than 255 arguments"),
            Self::UnitWithoutNumber => write!(f, "only a number has a unit"),
        }
    }
}

impl Error for WriteError {}
