//! Lengths of one byte to ten: seven bits a byte, least significant first,
//! each byte but the last with its highest bit set.
//!
//! Source: Protocol Buffers, "Encoding: Base 128 Varints"; LEB128 in DWARF 5,
//! section 7.6. Its delimited messages (`writeDelimitedTo`) are such frames.

/// Set in every byte but the last.
const MORE: u8 = 0x80;

/// How many bytes `value` takes.
#[inline]
pub(super) const fn len_bytes(value: u64) -> usize {
    let bits_less_one = 63 - (value | 1).leading_zeros() as usize;
    // One byte for each seven bits begun; without a division, which is a
    // routine of its own on a Cortex-M0.
    (9 * bits_less_one + 73) >> 6
}

/// The least value that takes more than `len_bytes` bytes.
pub(super) fn least(len_bytes: usize) -> u64 {
    (0..len_bytes).try_fold(1_u64, |least, _| least.checked_mul(1 << 7)).unwrap_or(u64::MAX)
}

/// Writes `value` over all of `out`, which has [`len_bytes`] of it.
pub(super) fn put(mut value: u64, out: &mut [u8]) {
    for byte in out.iter_mut() {
        let [low, ..] = value.to_le_bytes();
        *byte = low | MORE;
        value >>= 7;
    }
    if let Some(last) = out.last_mut() {
        *last &= !MORE;
    }
}

/// What stands at the front of some bytes, of which a length is to take
/// `len_max` at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A length of so many bytes.
    Whole(usize),
    /// The beginning of one.
    Cut,
    /// So many bytes that each say that more follow.
    Endless,
}

/// Looks for a length at the front of `input`.
pub(super) fn find(input: &[u8], len_max: usize) -> Found {
    match input.iter().take(len_max).position(|byte| byte & MORE == 0) {
        Some(last) => Found::Whole(last + 1),
        None if input.len() < len_max => Found::Cut,
        None => Found::Endless,
    }
}

/// The value of a whole length, or `None` where it is over 64 bits.
pub(super) fn value(length: &[u8]) -> Option<u64> {
    length.iter().rev().try_fold(0_u64, |value, byte| {
        let above = value.checked_mul(1 << 7)?;
        Some(above | u64::from(byte & !MORE))
    })
}

/// Whether a whole length has more bytes than its value needs.
pub(super) fn is_overlong(length: &[u8]) -> bool {
    length.len() > 1 && length.last() == Some(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the longest.
    const LEN_MAX: usize = 10;

    /// The bytes of `value`, and how many.
    fn written(value: u64) -> ([u8; LEN_MAX + 3], usize) {
        let mut out = [0xA5; LEN_MAX + 3];
        let len = len_bytes(value);
        put(value, &mut out[..len]);
        (out, len)
    }

    /// The examples of the Protocol Buffers documentation, and the edges.
    #[test]
    fn lengths_by_hand() {
        for (number, bytes) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (150, &[0x96, 0x01]),
            (300, &[0xAC, 0x02]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (u64::MAX, &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        ] {
            let (out, len) = written(number);
            assert_eq!(&out[..len], bytes, "{number}");
            assert!(out[len..].iter().all(|byte| *byte == 0xA5), "{number}");
            assert_eq!(value(bytes), Some(number));
            assert!(!is_overlong(bytes));
            assert_eq!(find(&out, LEN_MAX), Found::Whole(len));
            for cut in 0..len {
                assert_eq!(find(&out[..cut], LEN_MAX), Found::Cut);
                assert_eq!(find(&out, cut), Found::Endless);
            }
        }
    }

    #[test]
    fn every_power_of_two_and_its_neighbours() {
        for bits in 0..64 {
            for number in [(1 << bits) - 1, 1 << bits, (1_u64 << bits) + 1] {
                let (out, len) = written(number);
                let bits = u64::BITS - number.leading_zeros();
                assert_eq!(len, bits.div_ceil(7).max(1) as usize, "{number}");
                assert_eq!(value(&out[..len]), Some(number));
            }
        }
    }

    #[test]
    fn the_least_of_one_byte_more() {
        assert_eq!((least(0), least(1), least(2), least(9)), (1, 128, 1 << 14, 1 << 63));
        assert_eq!(least(10), u64::MAX);
        for len in 1..10 {
            assert_eq!((len_bytes(least(len) - 1), len_bytes(least(len))), (len, len + 1));
        }
    }

    #[test]
    fn a_length_over_64_bits_has_no_value() {
        let (mut bytes, len) = written(u64::MAX);
        bytes[len - 1] = 2;
        assert_eq!(value(&bytes[..len]), None);
    }

    #[test]
    fn a_zero_at_the_end_is_one_byte_too_many() {
        assert!(is_overlong(&[0x80, 0]) && is_overlong(&[0xFF, 0x80, 0]));
        assert!(!is_overlong(&[0]));
    }
}
