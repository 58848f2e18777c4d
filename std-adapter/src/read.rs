//! Readers as sources of frames.

use std::io::{self, Read};

use forebay::{
    Decoder,
    decoder::{Damage, DecoderCounts, Frame},
    frame::Decode,
};

use crate::write::uninterrupted;

/// The least buffer: what one read may bring.
const BUFFER_LEN_MIN: usize = 64 * 1024;

/// Decodes frames from any [`io::Read`]: one read, many frames.
///
/// ```
/// use forebay_std::FrameReader;
/// use forebay_std::forebay::frame::Prefixed;
///
/// let wire = &b"\x02\0\0\0hi\x05\0\0\0there\x09\0"[..];
/// let mut frames = FrameReader::new(wire, Prefixed::flatstream(64));
/// let mut payloads = Vec::new();
/// while frames.fill()? {
///     loop {
///         match frames.next_frame() {
///             Ok(Some(frame)) => payloads.push(frame.payload.to_vec()),
///             Ok(None) => break,
///             Err(damage) => assert_eq!(damage.offset, 15), // cut short
///         }
///     }
/// }
/// assert_eq!(payloads, [b"hi".to_vec(), b"there".to_vec()]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FrameReader<R, F> {
    reader: R,
    decoder: Decoder<F, Box<[u8]>>,
    ended: bool,
}

impl<R: Read, F: Decode> FrameReader<R, F> {
    /// Frames of `format` from `reader`, through a buffer of 64 KiB, or of
    /// the format's longest frame if that is longer.
    ///
    /// # Panics
    ///
    /// If the format's longest frame is longer than memory can be.
    pub fn new(reader: R, format: F) -> Self {
        let len = format.buffer_len_min().max(BUFFER_LEN_MIN);
        let buffer = vec![0; len].into_boxed_slice();
        let decoder = Decoder::new(format, buffer).expect("the buffer has the longest frame");
        Self { reader, decoder, ended: false }
    }

    /// Reads once, and waits for it as the reader does; `false` when the
    /// stream has ended and the end has been told before.
    ///
    /// At the end of the stream the first answer is `true`, so that
    /// [`next_frame`](FrameReader::next_frame) can report a frame that was cut
    /// short. While the buffer is full of frames that have not been taken the
    /// answer is `true` without a read.
    ///
    /// # Errors
    ///
    /// What the reader reports, but for `Interrupted`; `WouldBlock` from a
    /// reader that does not block. What has been read stays, so that the next
    /// call goes on in the middle of a frame.
    ///
    /// # Panics
    ///
    /// If the reader says that it has read more than it was given room for.
    pub fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let free = self.decoder.free();
        if free.is_empty() {
            // A read into no room would look like the end of the stream.
            return Ok(true);
        }
        let len = uninterrupted(|| self.reader.read(free))?;
        if len == 0 {
            self.decoder.end();
            self.ended = true;
        } else {
            self.decoder.received(len);
        }
        Ok(true)
    }

    /// Takes the next frame of what has been read, or `None` when more must be
    /// read.
    ///
    /// # Errors
    ///
    /// [`Damage`] for bytes that are no frame; the next call goes on behind
    /// them.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Damage> {
        self.decoder.next_frame()
    }

    /// What has been decoded and given up so far.
    #[must_use]
    pub fn counts(&self) -> DecoderCounts {
        self.decoder.counts()
    }

    /// Whether the decoder has lost the frames: see
    /// [`Decoder::is_lost`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.decoder.is_lost()
    }

    /// Borrows the reader.
    pub const fn reader(&self) -> &R {
        &self.reader
    }
}
