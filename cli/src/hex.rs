//! Bytes as hexadecimal digits.

use std::{error::Error, fmt};

/// Appends two lower-case digits for each byte.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Appends the bytes that `digits` stand for, of either case.
///
/// # Errors
///
/// [`HexError`]; some bytes may have been appended.
pub(crate) fn decode(digits: &[u8], out: &mut Vec<u8>) -> Result<(), HexError> {
    let value = |at: usize| {
        let byte = digits[at];
        match char::from(byte).to_digit(16) {
            // Below 16.
            #[allow(clippy::cast_possible_truncation)]
            Some(value) => Ok(value as u8),
            None => Err(HexError::Digit { byte, column: at + 1 }),
        }
    };
    for at in (0..digits.len()).step_by(2) {
        let high = value(at)?;
        if at + 1 == digits.len() {
            return Err(HexError::Odd { digits: digits.len() });
        }
        out.push(high << 4 | value(at + 1)?);
    }
    Ok(())
}

/// Why a line is no hexadecimal number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HexError {
    /// Not a digit.
    Digit {
        /// What stands there.
        byte: u8,
        /// Where, from 1.
        column: usize,
    },
    /// A digit is missing at the end.
    Odd {
        /// How many digits there are.
        digits: usize,
    },
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digit { byte, column } => {
                write!(f, "column {column}: '{}' is no hexadecimal digit", byte.escape_ascii())
            }
            Self::Odd { digits } => {
                write!(f, "column {digits}: {digits} hexadecimal digits, a byte takes two")
            }
        }
    }
}

impl Error for HexError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_from_digits_of_either_case() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut digits = Vec::new();
        encode(&bytes, &mut digits);
        assert_eq!(&digits[..8], b"00010203");
        for digits in [digits.to_ascii_lowercase(), digits.to_ascii_uppercase()] {
            let mut decoded = Vec::new();
            assert_eq!(decode(&digits, &mut decoded), Ok(()));
            assert_eq!(decoded, bytes);
        }
    }

    #[test]
    fn what_is_no_digit_is_told_by_its_column() {
        let error = |digits: &[u8]| decode(digits, &mut Vec::new()).unwrap_err();
        assert_eq!(error(b"00 1"), HexError::Digit { byte: b' ', column: 3 });
        assert_eq!(error(b"000g"), HexError::Digit { byte: b'g', column: 4 });
        assert_eq!(error(b"00\xff"), HexError::Digit { byte: 0xFF, column: 3 });
        assert_eq!(error(b"000"), HexError::Odd { digits: 3 });
    }
}
