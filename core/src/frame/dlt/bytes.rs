//! Fields in either byte order, read and written without a panic.

use super::{Malformed, WriteError};
use crate::frame::Order;

/// What is left to read, and how far from the front of all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
    pub(super) at: usize,
    pub(super) order: Order,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], order: Order) -> Self {
        Self { rest: bytes, at: 0, order }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.at += len;
                Ok(taken)
            }
            None => Err(self.cut(len)),
        }
    }

    /// The next bytes in the order in which they stand.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.rest.split_first_chunk() {
            Some((array, rest)) => {
                self.rest = rest;
                self.at += N;
                Ok(*array)
            }
            None => Err(self.cut(N)),
        }
    }

    /// The next bytes, least significant first.
    pub(super) fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = self.array()?;
        if self.order == Order::Big {
            array.reverse();
        }
        Ok(array)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.number().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.number().map(u32::from_le_bytes)
    }

    #[cold]
    fn cut(&self, needed: usize) -> Malformed {
        Malformed::Cut { at: self.at, needed, left: self.rest.len() }
    }
}

/// Room to write to, and how much of it has been.
#[derive(Debug)]
pub(super) struct Writer<'b> {
    pub(super) out: &'b mut [u8],
    pub(super) at: usize,
    pub(super) order: Order,
}

impl Writer<'_> {
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let free = self.out.len().saturating_sub(self.at);
        let room = self.out.get_mut(self.at..).and_then(|room| room.get_mut(..bytes.len()));
        room.ok_or(WriteError::NoRoom { needed: bytes.len(), free })?.copy_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }

    /// Bytes given least significant first.
    #[inline]
    pub(super) fn number<const N: usize>(&mut self, mut bytes: [u8; N]) -> Result<(), WriteError> {
        if self.order == Order::Big {
            bytes.reverse();
        }
        self.bytes(&bytes)
    }

    /// The length of a field of `len` bytes and, where it has one, its final
    /// zero.
    #[inline]
    pub(super) fn len(&mut self, len: usize, zero: usize) -> Result<(), WriteError> {
        let len_max = usize::from(u16::MAX) - zero;
        match u16::try_from(len.saturating_add(zero)) {
            Ok(whole) => self.number(whole.to_le_bytes()),
            Err(_) => Err(WriteError::FieldTooLong { len, len_max }),
        }
    }
}
