//! Fuzz bytes, taken from the front.

/// What is left of a fuzz input. At its end it gives zeros.
pub(crate) struct Input<'d>(pub(crate) &'d [u8]);

impl<'d> Input<'d> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn len(&mut self) -> usize {
        usize::from(self.byte())
    }

    /// A number of two bytes, little-endian.
    pub(crate) fn wide(&mut self) -> usize {
        self.len() | self.len() << 8
    }

    /// The next `len` bytes, or as many as there are.
    pub(crate) fn bytes(&mut self, len: usize) -> &'d [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}
