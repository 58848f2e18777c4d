//! Header compression (RFC 7541), the decoder.
//!
//! Written here because of what there is to be had: `hpack` and `fluke-hpack`
//! panic on malformed blocks (RUSTSEC-2023-0085), and `loona-hpack`, which does
//! not and which the tests compare this with, makes a hash table of the Huffman
//! code for every string: most of a small response's time.

use std::{collections::VecDeque, error::Error, fmt, sync::LazyLock};

/// The size of the dynamic table, `SETTINGS_HEADER_TABLE_SIZE` as it is at
/// first.
const TABLE_LEN: usize = 4096;
/// What an entry counts beside its bytes (section 4.1).
const ENTRY_LEN: usize = 32;

/// The state of header compression of one direction of a connection.
///
/// Invariant: `len` is the sum of the entries' sizes, and at most `len_max`,
/// which is at most [`TABLE_LEN`].
pub(crate) struct Hpack {
    /// The newest first.
    pub(crate) entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    pub(crate) len: usize,
    len_max: usize,
}

/// Why a block cannot be decoded; the state is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HpackError {
    /// The block ends within a field.
    Cut,
    /// An integer of more than 28 bits beyond its prefix.
    Integer,
    /// No entry has this index.
    Index(usize),
    /// A table size over the maximum, or not in front of all fields.
    TableSize(usize),
    /// A string that is no Huffman code.
    Huffman,
    /// More than whoever takes the fields wants; so much was decoded.
    Flood(usize),
}

impl fmt::Display for HpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => write!(f, "a field block ends within a field"),
            Self::Integer => write!(f, "an integer of over 28 bits"),
            Self::Index(index) => write!(f, "no table entry {index}"),
            Self::TableSize(len) => write!(f, "a table size of {len}, allowed first and to 4096"),
            Self::Huffman => write!(f, "a string that is no Huffman code"),
            Self::Flood(len) => write!(f, "a field block that decodes to {len} bytes and more"),
        }
    }
}

impl Error for HpackError {}

impl Hpack {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new(), len: 0, len_max: TABLE_LEN }
    }

    /// Decodes a whole block, and gives each field's name and value to `field`,
    /// until that has had enough.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]) -> Result<(), HpackError>,
    ) -> Result<(), HpackError> {
        let mut block = Block(block);
        let mut fields = false;
        while let Some(&first) = block.0.first() {
            if first & 0xE0 == 0x20 {
                // Section 6.3.
                let len = block.integer(5)?;
                if fields || len > TABLE_LEN {
                    return Err(HpackError::TableSize(len));
                }
                self.len_max = len;
                self.evict();
                continue;
            }
            fields = true;
            if first & 0x80 != 0 {
                // Section 6.1.
                let (name, value) = self.entry(block.integer(7)?)?;
                field(name, value)?;
                continue;
            }
            // Section 6.2: with incremental indexing, without, never indexed.
            let indexed = first & 0x40 != 0;
            let name = match block.integer(if indexed { 6 } else { 4 })? {
                0 => block.string()?,
                index => self.entry(index)?.0.to_vec(),
            };
            let value = block.string()?;
            field(&name, &value)?;
            if indexed {
                self.len += name.len() + value.len() + ENTRY_LEN;
                self.entries.push_front((name, value));
                self.evict();
            }
        }
        Ok(())
    }

    /// The entry of an index of both tables (section 2.3.3).
    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), HpackError> {
        let error = HpackError::Index(index);
        let at = index.checked_sub(1).ok_or(error)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let (name, value) = self.entries.get(at - STATIC.len()).ok_or(error)?;
        Ok((name, value))
    }

    /// Drops the oldest entries until the others fit (section 4.4).
    fn evict(&mut self) {
        while self.len > self.len_max {
            let Some((name, value)) = self.entries.pop_back() else { return };
            self.len -= name.len() + value.len() + ENTRY_LEN;
        }
    }
}

/// What is left of a block.
struct Block<'b>(&'b [u8]);

impl<'b> Block<'b> {
    fn byte(&mut self) -> Result<u8, HpackError> {
        let (&byte, rest) = self.0.split_first().ok_or(HpackError::Cut)?;
        self.0 = rest;
        Ok(byte)
    }

    /// An integer with a prefix of so many bits (section 5.1).
    fn integer(&mut self, prefix: u32) -> Result<usize, HpackError> {
        let prefix_max = (1 << prefix) - 1;
        let mut value = usize::from(self.byte()?) & prefix_max;
        if value < prefix_max {
            return Ok(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(HpackError::Integer)
    }

    /// A string literal (section 5.2).
    fn string(&mut self) -> Result<Vec<u8>, HpackError> {
        let huffman = self.0.first().is_some_and(|byte| byte & 0x80 != 0);
        let len = self.integer(7)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(HpackError::Cut)?;
        self.0 = rest;
        if huffman { unhuffman(bytes).ok_or(HpackError::Huffman) } else { Ok(bytes.to_vec()) }
    }
}

/// Decodes the Huffman code; `None` for what is none, the end-of-string symbol
/// within, or padding that is not a part of it of less than a byte.
pub(crate) fn unhuffman(bytes: &[u8]) -> Option<Vec<u8>> {
    let code = &*CODE;
    let mut decoded = Vec::with_capacity(bytes.len() * 2);
    // The bits of the symbol under way, and how many.
    let (mut bits, mut len) = (0_u32, 0);
    for &byte in bytes {
        for at in (0..8).rev() {
            bits = bits << 1 | u32::from(byte >> at & 1);
            len += 1;
            let beyond = bits.wrapping_sub(code.first[len]);
            if beyond < code.count[len] {
                // The last symbol is no byte: it ends a string.
                decoded
                    .push(u8::try_from(code.symbols[(code.before[len] + beyond) as usize]).ok()?);
                (bits, len) = (0, 0);
            } else if len == LEN_MAX {
                return None;
            }
        }
    }
    (len < 8 && bits == (1 << len) - 1).then_some(decoded)
}

/// The longest code in bits.
const LEN_MAX: usize = 30;

/// The code by lengths. It is canonical: codes of one length are consecutive
/// and in the order of their symbols, and so are those of the next length,
/// behind them.
struct Code {
    /// The first code of each length, in bits.
    first: [u32; LEN_MAX + 1],
    /// How many codes have that length.
    count: [u32; LEN_MAX + 1],
    /// How many codes are shorter.
    before: [u32; LEN_MAX + 1],
    /// The symbols by their codes.
    symbols: Vec<u16>,
}

static CODE: LazyLock<Code> = LazyLock::new(|| {
    let mut code = Code {
        first: [0; LEN_MAX + 1],
        count: [0; LEN_MAX + 1],
        before: [0; LEN_MAX + 1],
        symbols: Vec::with_capacity(LENGTHS.len()),
    };
    for len in 1..=LEN_MAX {
        code.first[len] = (code.first[len - 1] + code.count[len - 1]) << 1;
        code.before[len] = code.before[len - 1] + code.count[len - 1];
        for (symbol, _) in (0..).zip(LENGTHS).filter(|&(_, it)| usize::from(it) == len) {
            code.symbols.push(symbol);
            code.count[len] += 1;
        }
    }
    code
});

/// The length in bits of each byte's code, and of the end of a string's
/// (appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
     5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
     6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The static table (appendix A).
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""),
    ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""),
    ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""),
    ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];
