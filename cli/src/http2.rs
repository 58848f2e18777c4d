//! HTTP/2 frames as lines, and lines as frames.
//!
//! ```text
//! PREFACE
//! SETTINGS flags 0x00 stream 0 length 0
//! DATA flags 0x01 stream 1 length 4 626f6479
//! type 0xbe flags 0xff stream 7 length 1 78
//! ```
//!
//! A line has all of a frame but the reserved bit of its head.

use std::{error::Error, fmt, io::Write, mem, str::SplitAsciiWhitespace};

use forebay::frame::http2::{BlockOrder, Frame, Head, Http2, Kind, PREFACE, StreamId, Violation};

use crate::hex::{self, HexError};

/// CONTINUATIONs of one field block, over which it is a violation.
pub(crate) const CONTINUATIONS_MAX: u32 = 8;
/// Bytes of a line before the payload's digits, at most.
pub(crate) const LINE_HEAD_LEN_MAX: usize = 100;

/// What stands for what a client sends first.
const PREFACE_LINE: &str = "PREFACE";
/// The greatest number of a type that RFC 9113 names.
const NAMED_MAX: u8 = Kind::CONTINUATION.0;

/// Appends the line of a client's preface.
pub(crate) fn describe_preface(out: &mut Vec<u8>) {
    out.extend_from_slice(PREFACE_LINE.as_bytes());
    out.push(b'\n');
}

/// Appends the line of a frame.
pub(crate) fn describe(head: Head, payload: &[u8], out: &mut Vec<u8>) {
    let Head { payload_len, kind, flags, stream } = head;
    // Writing to a vector does not fail.
    let _ = write!(out, "{kind} flags {flags:#04x} stream {stream} length {payload_len}");
    if !payload.is_empty() {
        out.push(b' ');
        hex::encode(payload, out);
    }
    out.push(b'\n');
}

/// Makes frames of lines, one after the other, and none that breaks a rule.
pub(crate) struct Frames {
    payload_len_max: u32,
    order: BlockOrder,
    is_first: bool,
}

impl Frames {
    pub(crate) const fn new(format: Http2) -> Self {
        let order = BlockOrder::new(CONTINUATIONS_MAX);
        Self { payload_len_max: format.payload_len_max(), order, is_first: true }
    }

    /// Appends the frame that `line` says, or nothing after an error.
    pub(crate) fn append(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), LineError> {
        let begin = out.len();
        let appended = self.put(line, out);
        if appended.is_err() {
            out.truncate(begin);
        }
        appended
    }

    fn put(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), LineError> {
        let is_first = mem::replace(&mut self.is_first, false);
        let text = str::from_utf8(line).map_err(|_| LineError::NoText)?;
        if text.trim_ascii() == PREFACE_LINE {
            if !is_first {
                return Err(LineError::LatePreface);
            }
            out.extend_from_slice(PREFACE);
            return Ok(());
        }
        let begin = out.len();
        let mut words = Words(text.split_ascii_whitespace());
        let kind = words.kind()?;
        let flags = words.byte("flags")?;
        let stream = words.number("stream", StreamId::GREATEST)?;
        let length = words.number("length", Http2::PAYLOAD_LEN_MAX_GREATEST)?;
        out.extend_from_slice(&[0; Head::LEN]);
        hex::decode(words.0.next().unwrap_or_default().as_bytes(), out).map_err(LineError::Hex)?;
        if let Some(word) = words.0.next() {
            return Err(LineError::Expected { what: "the end of the line", found: word.into() });
        }
        let frame = &mut out[begin..];
        let given = frame.len() - Head::LEN;
        if usize::try_from(length) != Ok(given) {
            return Err(LineError::Length { length, given });
        }
        let head = Head { payload_len: length, kind, flags, stream };
        frame[..Head::LEN].copy_from_slice(&head.encode());
        head.check(self.payload_len_max).map_err(LineError::Violation)?;
        Frame::parse(frame).map_err(LineError::Violation)?;
        self.order.check(head).map_err(LineError::Violation)
    }
}

/// What is left of a line.
struct Words<'l>(SplitAsciiWhitespace<'l>);

impl<'l> Words<'l> {
    fn next(&mut self, what: &'static str) -> Result<&'l str, LineError> {
        self.0.next().ok_or(LineError::Expected { what, found: String::new() })
    }

    /// A type by its name, or `type` and its number.
    fn kind(&mut self) -> Result<Kind, LineError> {
        const WHAT: &str = "a frame's type";
        let word = self.next(WHAT)?;
        if word == "type" {
            return self.byte_of("a type's number").map(Kind);
        }
        let named = (0..=NAMED_MAX).map(Kind).find(|kind| kind.to_string() == word);
        named.ok_or_else(|| LineError::Expected { what: WHAT, found: word.into() })
    }

    /// A number of at most `max` behind its name.
    fn number(&mut self, name: &'static str, max: u32) -> Result<u32, LineError> {
        let word = self.next(name)?;
        if word != name {
            return Err(LineError::Expected { what: name, found: word.into() });
        }
        self.number_of(name, max)
    }

    fn byte(&mut self, name: &'static str) -> Result<u8, LineError> {
        // At most 255.
        #[allow(clippy::cast_possible_truncation)]
        self.number(name, u8::MAX.into()).map(|number| number as u8)
    }

    fn byte_of(&mut self, what: &'static str) -> Result<u8, LineError> {
        // At most 255.
        #[allow(clippy::cast_possible_truncation)]
        self.number_of(what, u8::MAX.into()).map(|number| number as u8)
    }

    /// The next word as a number, decimal or hexadecimal.
    fn number_of(&mut self, what: &'static str, max: u32) -> Result<u32, LineError> {
        let word = self.next(what)?;
        let number = match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => word.parse(),
        };
        match number {
            Ok(number) if number <= max => Ok(number),
            _ => Err(LineError::Number { what, max, found: word.into() }),
        }
    }
}

/// Why a line is no frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    NoText,
    LatePreface,
    Expected { what: &'static str, found: String },
    Number { what: &'static str, max: u32, found: String },
    Hex(HexError),
    Length { length: u32, given: usize },
    Violation(Violation),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoText => write!(f, "no text"),
            Self::LatePreface => write!(f, "a preface behind other lines"),
            Self::Expected { what, found } => write!(f, "'{found}' instead of {what}"),
            Self::Number { what, max, found } => {
                write!(f, "'{found}' instead of a number for {what}, at most {max}")
            }
            Self::Hex(error) => write!(f, "the payload's {error}"),
            Self::Length { length, given } => write!(f, "length {length}, {given} bytes given"),
            Self::Violation(violation) => violation.fmt(f),
        }
    }
}

impl Error for LineError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(lines: &[&str]) -> Result<Vec<u8>, (usize, LineError)> {
        let mut frames = Frames::new(Http2::new(0));
        let mut out = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let before = out.clone();
            let appended = frames.append(line.as_bytes(), &mut out);
            appended.map_err(|error| (at, error)).inspect_err(|_| assert_eq!(out, before))?;
        }
        Ok(out)
    }

    #[test]
    fn a_frame_of_each_type_is_the_line_and_the_line_is_the_frame() {
        for kind in (0..=0xFF).map(Kind) {
            let (stream, len) = match kind {
                Kind::SETTINGS | Kind::PING | Kind::GOAWAY => (0, 8),
                _ => (0x7FFF_FFFF, 8),
            };
            let len = match kind {
                Kind::PRIORITY => 5,
                Kind::RST_STREAM | Kind::WINDOW_UPDATE => 4,
                Kind::SETTINGS => 6,
                Kind::CONTINUATION => continue,
                _ => len,
            };
            let payload = &[0, 1, 2, 3, 4, 5, 6, 7][..len];
            let payload_len = u32::try_from(len).unwrap();
            let head = Head { payload_len, kind, flags: 0x44, stream };
            let mut line = Vec::new();
            describe(head, payload, &mut line);
            let line = String::from_utf8(line).unwrap();
            assert_eq!(encode(&[&line]), Ok([&head.encode(), payload].concat()), "{line}");
        }
    }

    #[test]
    fn what_is_no_frame_is_told() {
        let expected = |what, found: &str| LineError::Expected { what, found: found.to_owned() };
        let number =
            |what, max, found: &str| LineError::Number { what, max, found: found.to_owned() };
        for (line, error) in [
            ("", expected("a frame's type", "")),
            ("data", expected("a frame's type", "data")),
            ("DATA", expected("flags", "")),
            ("DATA stream 1", expected("flags", "stream")),
            ("type 256", number("a type's number", 255, "256")),
            ("DATA flags 0x100", number("flags", 255, "0x100")),
            ("DATA flags 0 stream 0x80000000", number("stream", StreamId::GREATEST, "0x80000000")),
            ("DATA flags 0 stream 1 length -1", number("length", (1 << 24) - 1, "-1")),
            ("DATA flags 0 stream 1 length 1 6", LineError::Hex(HexError::Odd { digits: 1 })),
            ("DATA flags 0 stream 1 length 1 6162", LineError::Length { length: 1, given: 2 }),
            ("DATA flags 0 stream 1 length 1", LineError::Length { length: 1, given: 0 }),
            ("DATA flags 0 stream 1 length 1 61 62", expected("the end of the line", "62")),
            (
                "DATA flags 0 stream 0 length 0",
                LineError::Violation(Violation::StreamZero { kind: Kind::DATA }),
            ),
            (
                "WINDOW_UPDATE flags 0 stream 0 length 4 00000000",
                LineError::Violation(Violation::NoIncrement { stream: 0 }),
            ),
            (
                "CONTINUATION flags 0 stream 1 length 0",
                LineError::Violation(Violation::NoBlock { stream: 1 }),
            ),
        ] {
            assert_eq!(encode(&[line]), Err((0, error)), "{line}");
        }
        assert_eq!(encode(&["PREFACE", "PREFACE"]), Err((1, LineError::LatePreface)));
        assert_eq!(Frames::new(Http2::new(0)).append(b"\xFF", &mut vec![]), Err(LineError::NoText));
    }
}
