//! Header sections: in by [`Hpack`], out by hand.
//!
//! What leaves needs neither a table nor the Huffman code: statuses and names
//! of the static table, literals that are not indexed (RFC 7541, sections 6.1
//! and 6.2.2).

use super::hpack::{Hpack, HpackError};

/// The longest header list in bytes, as `SETTINGS_MAX_HEADER_LIST_SIZE` counts
/// (RFC 9113, section 6.5.2).
pub(crate) const LIST_LEN_MAX: usize = 16 * 1024;
/// What a field counts beside its bytes.
const FIELD_LEN: usize = 32;
/// A list over its maximum is decoded to its end, since the table depends on
/// it, but no further than this: two bytes of a block may stand for 4 KiB.
const DECODED_LEN_MAX: usize = 4 * LIST_LEN_MAX;

/// What a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) content_length: Option<u64>,
}

/// Why a header section is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// The block cannot be decoded: costs the connection.
    Compression(String),
    /// A list over [`LIST_LEN_MAX`]; the decoder's state is kept.
    TooLong,
    /// A list over [`DECODED_LEN_MAX`]: costs the connection.
    Flood(String),
    /// It breaks a rule of RFC 9113, section 8: costs the stream.
    Malformed(&'static str),
}

/// The state of header compression of one connection.
pub(crate) struct Fields {
    hpack: Hpack,
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self { hpack: Hpack::new() }
    }

    /// Decodes a request's header section.
    pub(crate) fn request(&mut self, block: &[u8]) -> Result<Request, Bad> {
        let mut list = List::default();
        let mut request = Request::default();
        let mut seen = [false; 4];
        let mut regular = false;
        self.decode(block, &mut list, |name, value| {
            check_value(value)?;
            let pseudo = [&b":method"[..], b":path", b":scheme", b":authority"];
            let Some(at) = pseudo.iter().position(|it| *it == name) else {
                regular = true;
                return regular_field(name, value, &mut request);
            };
            if regular || std::mem::replace(&mut seen[at], true) {
                return Err(Bad::Malformed("a pseudo-header field twice, or behind others"));
            }
            match at {
                0 => request.method = value.to_vec(),
                1 => request.path = value.to_vec(),
                _ => {}
            }
            Ok(())
        })?;
        if request.method.is_empty() || request.path.is_empty() || !seen[2] {
            return Err(Bad::Malformed("no :method, :path or :scheme"));
        }
        Ok(request)
    }

    /// Decodes trailers, of which nothing is used.
    pub(crate) fn trailers(&mut self, block: &[u8]) -> Result<(), Bad> {
        let mut ignored = Request::default();
        self.decode(block, &mut List::default(), |name, value| {
            check_value(value)?;
            match name {
                [b':', ..] => Err(Bad::Malformed("a pseudo-header field in trailers")),
                _ => regular_field(name, value, &mut ignored),
            }
        })
    }

    /// Gives each field to `field`, until the first that it refuses; the whole
    /// block is decoded all the same, since the table depends on it.
    fn decode(
        &mut self,
        block: &[u8],
        list: &mut List,
        mut field: impl FnMut(&[u8], &[u8]) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        let decoded = self.hpack.decode(block, |name, value| {
            list.len = list.len.saturating_add(name.len() + value.len() + FIELD_LEN);
            if list.len > DECODED_LEN_MAX {
                return Err(HpackError::Flood(list.len));
            }
            if list.len > LIST_LEN_MAX {
                list.refused.get_or_insert(Bad::TooLong);
            } else if list.refused.is_none() {
                list.refused = field(name, value).err();
            }
            Ok(())
        });
        match (decoded, list.refused.take()) {
            (Err(flood @ HpackError::Flood(_)), _) => Err(Bad::Flood(flood.to_string())),
            (Err(error), _) => Err(Bad::Compression(error.to_string())),
            (Ok(()), Some(bad)) => Err(bad),
            (Ok(()), None) => Ok(()),
        }
    }
}

#[derive(Default)]
struct List {
    len: usize,
    refused: Option<Bad>,
}

/// Checks any field's value (section 8.2.1).
fn check_value(value: &[u8]) -> Result<(), Bad> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let forbidden = |byte: &u8| matches!(byte, 0 | b'\r' | b'\n');
    if value.iter().any(forbidden) || blank(value.first()) || blank(value.last()) {
        return Err(Bad::Malformed("a field value that is none"));
    }
    Ok(())
}

/// Checks a field that is no pseudo-header field (section 8.2).
fn regular_field(name: &[u8], value: &[u8], request: &mut Request) -> Result<(), Bad> {
    if name.is_empty()
        || name.iter().any(|byte| !(0x21..0x7F).contains(byte) || byte.is_ascii_uppercase())
    {
        return Err(Bad::Malformed("a field name that is none"));
    }
    if name[0] == b':' {
        return Err(Bad::Malformed("an unknown pseudo-header field"));
    }
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Err(Bad::Malformed("a field of HTTP/1.1's connections"))
        }
        b"te" if value != b"trailers" => Err(Bad::Malformed("a TE other than trailers")),
        b"content-length" => {
            let length = number(value);
            let twice = request.content_length.is_some_and(|it| Some(it) != length);
            if length.is_none() || twice {
                return Err(Bad::Malformed("a content-length that is no number, or two"));
            }
            request.content_length = length;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Digits alone: a sign would be parsed, too, and by others perhaps not.
fn number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// The static table's indices (RFC 7541, appendix A).
const STATUS: u8 = 8;
const CONTENT_LENGTH: u8 = 28;
const CONTENT_TYPE: u8 = 31;

/// The block of a response's header section.
pub(crate) fn response(status: u16, content_length: Option<u64>) -> Vec<u8> {
    let mut block = Vec::new();
    match status {
        200 => block.push(0x80 | STATUS),
        400 => block.push(0x80 | 12),
        404 => block.push(0x80 | 13),
        status => literal(STATUS, &status.to_string(), &mut block),
    }
    literal(CONTENT_TYPE, "application/octet-stream", &mut block);
    if let Some(len) = content_length {
        literal(CONTENT_LENGTH, &len.to_string(), &mut block);
    }
    block
}

/// A literal that is not indexed: its name's index, less than 15 + 128, in a
/// prefix of four bits, its value's length, less than 127, in seven.
fn literal(name: u8, value: &str, block: &mut Vec<u8>) {
    match name.checked_sub(15) {
        None => block.push(name),
        Some(rest) => block.extend([0x0F, rest]),
    }
    debug_assert!(value.len() < 127);
    block.push(value.len().to_le_bytes()[0]);
    block.extend(value.as_bytes());
}
