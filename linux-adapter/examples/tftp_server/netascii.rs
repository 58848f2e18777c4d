//! Text as it travels: a line ends with CR LF, a CR alone is CR NUL (RFC 764).

use std::{mem, ops::Range};

const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// From a file's bytes to the line's.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// What there was no room for: the second byte of a pair.
    pending: Option<u8>,
}

impl Encoder {
    /// Encodes the bytes `raw` of `buffer` to its bytes from `at` on, and
    /// returns where they end: at most where `raw` ends.
    ///
    /// Each byte may become two, so `raw` is to have as many bytes before it,
    /// from `at` on, as it has itself; or it is one byte at `at`, of which the
    /// second may have to wait.
    pub(crate) fn encode(&mut self, buffer: &mut [u8], mut at: usize, raw: Range<usize>) -> usize {
        let end = raw.end;
        for from in raw {
            let (first, second) = match buffer[from] {
                CR => (CR, Some(0)),
                LF => (CR, Some(LF)),
                byte => (byte, None),
            };
            buffer[at] = first;
            at += 1;
            match second {
                Some(second) if at == end => self.pending = Some(second),
                Some(second) => {
                    buffer[at] = second;
                    at += 1;
                }
                None => {}
            }
        }
        at
    }

    /// What is to come before anything else.
    pub(crate) fn take_pending(&mut self) -> Option<u8> {
        self.pending.take()
    }
}

/// From the line's bytes to a file's.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The last byte was a CR.
    cr: bool,
}

impl Decoder {
    /// Decodes the bytes `wire` of `buffer` to its bytes from `at` on, which
    /// is not behind them, and returns where they end. There is to be a byte
    /// of room between the two for a CR that was held back.
    pub(crate) fn decode(&mut self, buffer: &mut [u8], mut at: usize, wire: Range<usize>) -> usize {
        let mut put = |buffer: &mut [u8], byte| {
            buffer[at] = byte;
            at += 1;
        };
        for from in wire {
            let byte = buffer[from];
            match (mem::take(&mut self.cr), byte) {
                (true, LF) => put(buffer, LF),
                (true, 0) => put(buffer, CR),
                // Not a pair: as it came.
                (true, CR) => {
                    put(buffer, CR);
                    self.cr = true;
                }
                (true, _) => {
                    put(buffer, CR);
                    put(buffer, byte);
                }
                (false, CR) => self.cr = true,
                (false, _) => put(buffer, byte),
            }
        }
        at
    }

    /// A CR with which the text ended.
    pub(crate) fn end(&mut self) -> Option<u8> {
        mem::take(&mut self.cr).then_some(CR)
    }
}
