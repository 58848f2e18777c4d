//! Feeding a decoder from `embedded_io` readers.

use embedded_io::{Error as _, ErrorKind};

use super::Decoder;
use crate::frame::Decode;

impl<F: Decode, B: AsRef<[u8]> + AsMut<[u8]>> Decoder<F, B> {
    /// Reads once into the free part of the buffer and returns how many bytes
    /// came; 0 is the end of the stream, after which [`end`](Decoder::end) may
    /// be called.
    ///
    /// To be called when [`next_frame`](Decoder::next_frame) has answered
    /// `Ok(None)`: before that the buffer may be full, and a read into no room
    /// answers 0 as well. Blocks where the reader does.
    ///
    /// # Errors
    ///
    /// What the reader reports; no byte was received. Interrupted reads are
    /// repeated.
    ///
    /// ```
    /// use forebay::Decoder;
    /// use forebay::frame::Prefixed;
    ///
    /// let mut line = &b"\x02\0\0\0ok\x03\0\0\0end"[..];
    /// let mut decoder = Decoder::new(Prefixed::flatstream(8), [0; 12])?;
    /// let mut payloads = Vec::new();
    /// while decoder.read_from(&mut line)? > 0 {
    ///     while let Some(frame) = decoder.next_frame()? {
    ///         payloads.push(frame.payload.to_vec());
    ///     }
    /// }
    /// assert_eq!(payloads, [&b"ok"[..], b"end"]);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn read_from<R: embedded_io::Read>(&mut self, mut reader: R) -> Result<usize, R::Error> {
        loop {
            match reader.read(self.free()) {
                Ok(len) => {
                    self.received(len);
                    return Ok(len);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// As [`read_from`](Decoder::read_from), waiting asynchronously.
    ///
    /// As safe to cancel as the reader's `read`: nothing is awaited between
    /// its answer and the counting of the bytes.
    ///
    /// # Errors
    ///
    /// What the reader reports; no byte was received. Interrupted reads are
    /// repeated.
    #[cfg(feature = "embedded-io-async")]
    pub async fn read_from_async<R: embedded_io_async::Read>(
        &mut self,
        mut reader: R,
    ) -> Result<usize, R::Error> {
        loop {
            match reader.read(self.free()).await {
                Ok(len) => {
                    self.received(len);
                    return Ok(len);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
