//! Lengths and checksums as bytes: how many, and in which order.

use super::varint;

/// How many bytes a length takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte, payloads to 255.
    U8 = 1,
    /// Two bytes, payloads to 65,535.
    U16 = 2,
    /// Four bytes, payloads to 2^32 - 1.
    U32 = 4,
    /// Eight bytes.
    U64 = 8,
    /// As many as it needs, one byte to ten: one for payloads to 127,
    /// two to 16,383. The varint of Protocol Buffers, which has no byte order.
    Varint = 0,
}

impl Width {
    /// The bytes that the length of a payload of `payload_len` bytes takes.
    #[inline]
    #[must_use]
    pub const fn len_bytes(self, payload_len: usize) -> usize {
        match self {
            Self::Varint => varint::len_bytes(payload_len as u64),
            fixed => fixed as usize,
        }
    }

    /// The greatest length that fits.
    #[inline]
    pub(super) const fn len_max(self) -> u64 {
        match self {
            Self::Varint => u64::MAX,
            fixed => u64::MAX >> (64 - 8 * fixed as u32),
        }
    }
}

/// The byte order of lengths and checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Order {
    /// Writes the low bytes of `value`, as many as `out` has, at most eight.
    ///
    /// The usual lengths are told apart so that each is one store; a copy of
    /// a length that is only known at run time would be a call.
    #[inline]
    pub(super) fn put(self, value: u64, out: &mut [u8]) {
        let wide = self.swap(value, out.len()).to_le_bytes();
        let [a, b, c, d, ..] = wide;
        match out.len() {
            0 => {}
            1 => out.copy_from_slice(&[a]),
            2 => out.copy_from_slice(&[a, b]),
            4 => out.copy_from_slice(&[a, b, c, d]),
            8 => out.copy_from_slice(&wide),
            _ => out.iter_mut().zip(wide).for_each(|(out, byte)| *out = byte),
        }
    }

    /// Reads what [`put`](Order::put) wrote.
    #[inline]
    pub(super) fn take(self, bytes: &[u8]) -> u64 {
        let wide = match *bytes {
            [] => 0,
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => bytes.iter().rev().fold(0, |wide, &byte| wide << 8 | u64::from(byte)),
        };
        self.swap(wide, bytes.len())
    }

    /// As [`put`](Order::put) of `len` bytes to the front of `out`, of which
    /// the first eight may be overwritten: one store whatever the length.
    #[inline]
    pub(super) fn put_over(self, value: u64, len: usize, out: &mut [u8]) {
        match out.first_chunk_mut() {
            Some(first) => *first = self.swap(value, len).to_le_bytes(),
            None => self.put(value, out.get_mut(..len).unwrap_or_default()),
        }
    }

    /// From a value to its `len` bytes in this order, read as little-endian,
    /// and back.
    #[inline]
    pub(super) fn swap(self, value: u64, len: usize) -> u64 {
        // In 64 bits, the first of `len` swapped bytes stands so high.
        match (self, len) {
            (Self::Little, _) => value,
            (Self::Big, 0) => 0,
            (Self::Big, _) => value.swap_bytes() >> (8 * (8 - len)),
        }
    }
}
