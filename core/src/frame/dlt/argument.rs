//! The arguments of a verbose message: a word that says what comes, then the
//! value.
//!
//! ```text
//!  number: | type info | [name len | unit len | name | unit |] value   |
//!  bool:   | type info | [name len | name |]                   u8      |
//!  text:   | type info | u16 len   | [name len | name |]       bytes 0 |
//!  raw:    | type info | u16 len   | [name len | name |]       bytes   |
//! ```
//!
//! What is in brackets is there when the word says so; names and units end
//! with a zero, which their lengths count.

use super::{
    Malformed, WriteError,
    bytes::{Reader, Writer},
};

const LEN_BITS: u32 = 0xF;
const BOOL: u32 = 0x10;
const SIGNED: u32 = 0x20;
const UNSIGNED: u32 = 0x40;
const FLOAT: u32 = 0x80;
const ARRAY: u32 = 0x100;
const TEXT: u32 = 0x200;
const RAW: u32 = 0x400;
const NAMED: u32 = 0x800;
const FIXED_POINT: u32 = 0x1000;
const TRACE_INFO: u32 = 0x2000;
const STRUCT: u32 = 0x4000;
const CODING: u32 = 0x3_8000;
const UTF8: u32 = 0x8000;

/// Bytes of a type-info word.
const WORD_LEN: usize = 4;

/// The value of an argument.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the types name themselves")]
pub enum Value<'a> {
    Bool(bool),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    F32(f32),
    F64(f64),
    /// A text without its final zero, said to be UTF-8.
    Utf8(&'a [u8]),
    /// A text without its final zero, said to be ASCII.
    Ascii(&'a [u8]),
    /// Bytes.
    Raw(&'a [u8]),
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

value_from! {
    bool => Bool, u8 => U8, u16 => U16, u32 => U32, u64 => U64, u128 => U128,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64, i128 => I128, f32 => F32, f64 => F64
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Utf8(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Raw(bytes)
    }
}

impl Value<'_> {
    const fn type_info(&self) -> u32 {
        match self {
            Self::Bool(_) => BOOL | 1,
            Self::U8(_) => UNSIGNED | 1,
            Self::U16(_) => UNSIGNED | 2,
            Self::U32(_) => UNSIGNED | 3,
            Self::U64(_) => UNSIGNED | 4,
            Self::U128(_) => UNSIGNED | 5,
            Self::I8(_) => SIGNED | 1,
            Self::I16(_) => SIGNED | 2,
            Self::I32(_) => SIGNED | 3,
            Self::I64(_) => SIGNED | 4,
            Self::I128(_) => SIGNED | 5,
            Self::F32(_) => FLOAT | 3,
            Self::F64(_) => FLOAT | 4,
            Self::Utf8(_) => TEXT | UTF8,
            Self::Ascii(_) => TEXT,
            Self::Raw(_) => RAW,
        }
    }

    /// Bytes of the value, with its length and its final zero.
    #[inline]
    const fn len_bytes(&self) -> usize {
        match self {
            Self::Bool(_) | Self::U8(_) | Self::I8(_) => 1,
            Self::U16(_) | Self::I16(_) => 2,
            Self::U32(_) | Self::I32(_) | Self::F32(_) => 4,
            Self::U64(_) | Self::I64(_) | Self::F64(_) => 8,
            Self::U128(_) | Self::I128(_) => 16,
            Self::Utf8(text) | Self::Ascii(text) => text.len().saturating_add(3),
            Self::Raw(bytes) => bytes.len().saturating_add(2),
        }
    }
}

/// A value, and what it is called where the message says so.
///
/// ```
/// use forebay::frame::dlt::{Argument, Value};
///
/// let plain = Argument::from(42_u32);
/// let named = Argument::from(88.5_f64).name("speed").unit("km/h");
/// assert_eq!((plain.len_bytes(), named.len_bytes()), (8, 27));
/// assert_eq!(Argument::from("text").value, Value::Utf8(b"text"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Argument<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Its name, without the final zero.
    pub name: Option<&'a [u8]>,
    /// A number's unit, without the final zero.
    pub unit: Option<&'a [u8]>,
}

impl<'a, V: Into<Value<'a>>> From<V> for Argument<'a> {
    #[inline]
    fn from(value: V) -> Self {
        Self { value: value.into(), name: None, unit: None }
    }
}

impl<'a> Argument<'a> {
    /// Gives it a name.
    #[must_use]
    pub const fn name(mut self, name: &'a str) -> Self {
        self.name = Some(name.as_bytes());
        self
    }

    /// Gives a number a unit, and so a name, if only an empty one.
    #[must_use]
    pub const fn unit(mut self, unit: &'a str) -> Self {
        self.unit = Some(unit.as_bytes());
        self
    }

    /// Bytes that it takes in a message.
    #[inline]
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        let mut len = WORD_LEN.saturating_add(self.value.len_bytes());
        if self.is_named() {
            len = len.saturating_add(named_len(self.name));
            if self.is_number() {
                len = len.saturating_add(named_len(self.unit));
            }
        }
        len
    }

    const fn is_named(&self) -> bool {
        self.name.is_some() || self.unit.is_some()
    }

    const fn is_number(&self) -> bool {
        !matches!(self.value, Value::Bool(_) | Value::Utf8(_) | Value::Ascii(_) | Value::Raw(_))
    }

    #[inline]
    pub(super) fn put(&self, out: &mut Writer<'_>) -> Result<(), WriteError> {
        if !self.is_named() {
            out.number(self.value.type_info().to_le_bytes())?;
            return self.put_value(out, |_| Ok(()));
        }
        if self.unit.is_some() && !self.is_number() {
            return Err(WriteError::UnitWithoutNumber);
        }
        out.number((self.value.type_info() | NAMED).to_le_bytes())?;
        let (name, unit) = (self.name.unwrap_or_default(), self.unit.unwrap_or_default());
        let is_number = self.is_number();
        self.put_value(out, |out| {
            out.len(name.len(), 1)?;
            if is_number {
                out.len(unit.len(), 1)?;
            }
            out.bytes(name)?;
            out.bytes(&[0])?;
            if is_number {
                out.bytes(unit)?;
                out.bytes(&[0])?;
            }
            Ok(())
        })
    }

    /// Writes the value, what `put_names` writes at its place.
    #[inline]
    fn put_value(
        &self,
        out: &mut Writer<'_>,
        put_names: impl FnOnce(&mut Writer<'_>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        match self.value {
            Value::Utf8(text) | Value::Ascii(text) => {
                out.len(text.len(), 1)?;
                put_names(out)?;
                out.bytes(text)?;
                return out.bytes(&[0]);
            }
            Value::Raw(bytes) => {
                out.len(bytes.len(), 0)?;
                put_names(out)?;
                return out.bytes(bytes);
            }
            _ => put_names(out)?,
        }
        match self.value {
            Value::Bool(value) => out.bytes(&[u8::from(value)]),
            Value::U8(value) => out.bytes(&[value]),
            Value::I8(value) => out.bytes(&value.to_le_bytes()),
            Value::U16(value) => out.number(value.to_le_bytes()),
            Value::I16(value) => out.number(value.to_le_bytes()),
            Value::U32(value) => out.number(value.to_le_bytes()),
            Value::I32(value) => out.number(value.to_le_bytes()),
            Value::U64(value) => out.number(value.to_le_bytes()),
            Value::I64(value) => out.number(value.to_le_bytes()),
            Value::U128(value) => out.number(value.to_le_bytes()),
            Value::I128(value) => out.number(value.to_le_bytes()),
            Value::F32(value) => out.number(value.to_le_bytes()),
            Value::F64(value) => out.number(value.to_le_bytes()),
            Value::Utf8(_) | Value::Ascii(_) | Value::Raw(_) => Ok(()),
        }
    }
}

/// Bytes of a name or a unit with its length and its final zero.
const fn named_len(text: Option<&[u8]>) -> usize {
    match text {
        Some(text) => text.len().saturating_add(3),
        None => 3,
    }
}

/// The arguments of a received message, in order.
///
/// Ends behind the last argument that the header counts, and behind the first
/// error, since what follows has no known place.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    pub(super) input: Reader<'a>,
    pub(super) left: u8,
}

impl<'a> Arguments<'a> {
    /// The bytes of the payload that no argument has taken yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.input.rest
    }
}

impl<'a> Iterator for Arguments<'a> {
    type Item = Result<Argument<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let argument = take(&mut self.input);
        if argument.is_err() {
            self.left = 0;
        }
        Some(argument)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.left)))
    }
}

fn take<'a>(input: &mut Reader<'a>) -> Result<Argument<'a>, Malformed> {
    let at = input.at;
    let type_info = input.u32()?;
    let unknown = Malformed::TypeInfo { at, type_info };
    if type_info & (ARRAY | FIXED_POINT | TRACE_INFO | STRUCT) != 0 {
        return Err(Malformed::Unsupported { at, type_info });
    }
    let (len, is_named) = (type_info & LEN_BITS, type_info & NAMED != 0);
    let kind = type_info & !(LEN_BITS | NAMED | CODING);
    match kind {
        TEXT | RAW => {
            let len = usize::from(input.u16()?);
            let name = if is_named { Some(take_name(input)?) } else { None };
            let bytes = input.take(len)?;
            let value = match (kind, type_info & CODING) {
                (RAW, _) => Value::Raw(bytes),
                (_, 0) => Value::Ascii(without_zero(bytes)),
                (_, UTF8) => Value::Utf8(without_zero(bytes)),
                _ => return Err(unknown),
            };
            Ok(Argument { value, name, unit: None })
        }
        BOOL => {
            let name = if is_named { Some(take_name(input)?) } else { None };
            let [value] = input.array()?;
            match len {
                // Some senders leave the length out.
                0 | 1 => Ok(Argument { value: Value::Bool(value != 0), name, unit: None }),
                _ => Err(unknown),
            }
        }
        SIGNED | UNSIGNED | FLOAT => {
            let (mut name, mut unit) = (None, None);
            if is_named {
                let (name_len, unit_len) = (input.u16()?, input.u16()?);
                name = Some(without_zero(input.take(usize::from(name_len))?));
                unit = Some(without_zero(input.take(usize::from(unit_len))?));
            }
            let value = match (kind, len) {
                (UNSIGNED, 1) => Value::U8(u8::from_le_bytes(input.number()?)),
                (UNSIGNED, 2) => Value::U16(u16::from_le_bytes(input.number()?)),
                (UNSIGNED, 3) => Value::U32(u32::from_le_bytes(input.number()?)),
                (UNSIGNED, 4) => Value::U64(u64::from_le_bytes(input.number()?)),
                (UNSIGNED, 5) => Value::U128(u128::from_le_bytes(input.number()?)),
                (SIGNED, 1) => Value::I8(i8::from_le_bytes(input.number()?)),
                (SIGNED, 2) => Value::I16(i16::from_le_bytes(input.number()?)),
                (SIGNED, 3) => Value::I32(i32::from_le_bytes(input.number()?)),
                (SIGNED, 4) => Value::I64(i64::from_le_bytes(input.number()?)),
                (SIGNED, 5) => Value::I128(i128::from_le_bytes(input.number()?)),
                (FLOAT, 3) => Value::F32(f32::from_le_bytes(input.number()?)),
                (FLOAT, 4) => Value::F64(f64::from_le_bytes(input.number()?)),
                // Floats of 16 and 128 bits are of the standard.
                (FLOAT, 2 | 5) => return Err(Malformed::Unsupported { at, type_info }),
                _ => return Err(unknown),
            };
            Ok(Argument { value, name, unit })
        }
        _ => Err(unknown),
    }
}

fn take_name<'a>(input: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::from(input.u16()?);
    input.take(len).map(without_zero)
}

/// Some senders leave the final zero out.
fn without_zero(text: &[u8]) -> &[u8] {
    text.strip_suffix(&[0]).unwrap_or(text)
}
