//! Where received bytes wait until they are looked at.

use core::{error::Error, fmt, ops::Range};

/// A buffer into which a stream is received, and out of which it is consumed
/// from the front.
///
/// ```text
///   0          consumed          received          len
///   | given back  | waiting        | free            |
/// ```
///
/// Both boundaries only move right, until [`free`](Receive::free) moves what
/// waits to the front.
///
/// Invariant: `consumed <= received <= buffer.len()`.
#[derive(Debug)]
pub(crate) struct Receive<B> {
    buffer: B,
    consumed: usize,
    received: usize,
    /// Offset in the stream of the buffer's first byte.
    base: u64,
}

/// A buffer shorter than what a format may make it hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BufferTooShort {
    /// What it must hold, in bytes: for a decoder
    /// [`Decode::buffer_len_min`](crate::frame::Decode::buffer_len_min) of the
    /// format.
    pub needed: usize,
    /// The buffer's length in bytes.
    pub given: usize,
}

impl fmt::Display for BufferTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, given } = self;
        write!(f, "a frame may take {needed} bytes, the buffer has {given}")
    }
}

impl Error for BufferTooShort {}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Receive<B> {
    /// At the beginning of a stream of which `needed` bytes may have to wait.
    pub(crate) fn new(buffer: B, needed: usize) -> Result<Self, BufferTooShort> {
        let given = buffer.as_ref().len();
        if given < needed {
            return Err(BufferTooShort { needed, given });
        }
        Ok(Self { buffer, consumed: 0, received: 0, base: 0 })
    }

    /// The free part, with what waits moved to the front.
    pub(crate) fn free(&mut self) -> &mut [u8] {
        if self.consumed > 0 {
            self.buffer.as_mut().copy_within(self.consumed..self.received, 0);
            self.received -= self.consumed;
            self.base += self.consumed as u64;
            self.consumed = 0;
        }
        self.invariants();
        &mut self.buffer.as_mut()[self.received..]
    }

    /// Says that the first `len` bytes of the free part have been filled.
    ///
    /// # Panics
    ///
    /// If `len` is more than was free.
    pub(crate) fn received(&mut self, len: usize) {
        let free = self.buffer.as_ref().len() - self.received;
        assert!(len <= free, "{len} bytes received into {free} free ones");
        self.received += len;
        self.invariants();
    }

    /// How many bytes wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.received - self.consumed
    }

    /// What waits.
    #[inline]
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.buffer.as_ref()[self.consumed..self.received]
    }

    #[inline]
    pub(crate) fn waiting_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.as_mut()[self.consumed..self.received]
    }

    /// The offset in the stream of the first byte that waits.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.consumed as u64
    }

    /// Consumes the first `len` bytes that wait, of which there are as many.
    #[inline]
    pub(crate) fn consume(&mut self, len: usize) {
        self.consumed += len;
        self.invariants();
    }

    /// Consumes as [`consume`](Receive::consume); returns the place of a part
    /// of those bytes, for [`part`](Receive::part).
    #[inline]
    pub(crate) fn consume_with(&mut self, len: usize, part: Range<usize>) -> Range<usize> {
        let begin = self.consumed;
        self.consume(len);
        begin + part.start..begin + part.end
    }

    /// Bytes that have been consumed and not been moved over since.
    #[inline]
    pub(crate) fn part(&self, part: Range<usize>) -> &[u8] {
        &self.buffer.as_ref()[part]
    }

    #[inline]
    fn invariants(&self) {
        debug_assert!(self.consumed <= self.received);
        debug_assert!(self.received <= self.buffer.as_ref().len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_too_short_is_refused_with_the_figures() {
        let error = BufferTooShort { needed: 16, given: 15 };
        assert_eq!(Receive::new([0; 15], 16).err(), Some(error));
        assert!(Receive::new([0; 16], 16).is_ok());
    }

    #[test]
    fn what_waits_moves_to_the_front_and_keeps_its_offset() {
        let mut input = Receive::new([0; 8], 0).unwrap();
        input.free().copy_from_slice(b"abcdefgh");
        input.received(8);
        let part = input.consume_with(5, 1..3);
        assert_eq!((input.part(part), input.waiting()), (&b"bc"[..], &b"fgh"[..]));
        assert_eq!((input.offset(), input.len()), (5, 3));
        assert_eq!(input.free().len(), 5);
        assert_eq!((input.offset(), input.waiting()), (5, &b"fgh"[..]));
        input.free()[..2].copy_from_slice(b"ij");
        input.received(2);
        input.consume(4);
        assert_eq!((input.offset(), &*input.waiting_mut()), (9, &b"j"[..]));
        input.consume(1);
        assert_eq!((input.free().len(), input.offset()), (8, 10));
    }

    #[test]
    fn all_that_is_free_can_be_received_and_nothing_more() {
        let mut input = Receive::new([0; 8], 0).unwrap();
        input.received(8);
        assert_eq!(input.free().len(), 0);
        input.received(0);
        assert_eq!(input.len(), 8);
    }

    #[test]
    #[should_panic(expected = "3 bytes received into 2 free ones")]
    fn more_than_is_free_is_not_received() {
        let mut input = Receive::new([0; 8], 0).unwrap();
        input.received(6);
        input.received(3);
    }
}
