//! Frames with their lengths before them, for a sink that cuts there.

use forebay::frame::{Encode, EncodeError, Envelope};

/// The longest datagram of UDP over IPv4: 65,535 bytes less both heads.
pub const UDP_LEN_MAX: usize = 65_507;

/// Bytes of a length. They stay on this side of the socket, so in the order
/// of this machine.
pub(super) const HEAD_LEN: usize = 4;

/// Makes each frame of a format a datagram: to be given to the drainer, or the
/// pump, of a [`DatagramSink`](super::DatagramSink).
///
/// A frame over the maximum is undeliverable, and counted as that.
///
/// ```
/// use std::os::unix::net::UnixDatagram;
///
/// use forebay_linux::datagram::{DatagramSink, Each};
/// use forebay_std::Drainer;
/// use forebay_std::forebay::{checksum::CRC32, frame::Prefixed};
///
/// let format = Each::new(Prefixed::native(100, CRC32), 110);
/// let (near, far) = UnixDatagram::pair()?;
/// let mut drainer = Drainer::new(format, DatagramSink::new(near));
/// let mut sender = drainer.sender(1 << 10)?;
/// sender.send(b"framed")?;
/// sender.send(&[0; 101])?;
/// drainer.flush()?;
/// assert_eq!((drainer.ledger().delivered, drainer.ledger().undeliverable), (1, 1));
/// assert_eq!(far.recv(&mut [0; 200])?, 6 + 10); // with head and checksum
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Each<F> {
    format: F,
    len_max: usize,
}

impl<F> Each<F> {
    /// Frames of `format`, of at most `len_max` bytes: what the socket takes,
    /// or what crosses the network in one piece. See [`UDP_LEN_MAX`].
    pub const fn new(format: F, len_max: usize) -> Self {
        Self { format, len_max }
    }

    /// The length before a frame.
    fn head(&self, payload_len: usize, len: usize) -> Result<[u8; HEAD_LEN], EncodeError> {
        match u32::try_from(len) {
            Ok(head) if len <= self.len_max => Ok(head.to_ne_bytes()),
            _ => {
                let over = len - self.len_max.min(u32::MAX as usize);
                let payload_len_max = payload_len.saturating_sub(over);
                Err(EncodeError::TooLong { payload_len, payload_len_max })
            }
        }
    }
}

impl<F: Encode> Encode for Each<F> {
    fn frame_len_max(&self, payload_len: usize) -> usize {
        self.format.frame_len_max(payload_len).saturating_add(HEAD_LEN)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        let (head, rest) = split(out)?;
        let len = self.format.encode(payload, rest).map_err(with_head)?;
        *head = self.head(payload.len(), len)?;
        Ok(HEAD_LEN + len)
    }

    fn envelope(&self, payload: &[u8], out: &mut [u8]) -> Result<Option<Envelope>, EncodeError> {
        let (head, rest) = split(out)?;
        let envelope = self.format.envelope(payload, rest).map_err(with_head)?;
        let Some(Envelope { head_len, tail_len }) = envelope else { return Ok(None) };
        let len = head_len.saturating_add(payload.len()).saturating_add(tail_len);
        *head = self.head(payload.len(), len)?;
        Ok(Some(Envelope { head_len: HEAD_LEN + head_len, tail_len }))
    }
}

fn split(out: &mut [u8]) -> Result<(&mut [u8; HEAD_LEN], &mut [u8]), EncodeError> {
    let free = out.len();
    out.split_first_chunk_mut().ok_or(EncodeError::NoRoom { needed: HEAD_LEN, free })
}

/// What the format says of the room behind the head.
fn with_head(error: EncodeError) -> EncodeError {
    match error {
        EncodeError::NoRoom { needed, free } => EncodeError::NoRoom {
            needed: needed.saturating_add(HEAD_LEN),
            free: free.saturating_add(HEAD_LEN),
        },
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use forebay::frame::{Plain, Prefixed};

    use super::*;

    #[test]
    fn a_frame_has_its_length_before_it() {
        let each = Each::new(Prefixed::flatstream(10), 14);
        let mut out = [0xEE; 32];
        assert_eq!(each.encode(b"abc", &mut out), Ok(4 + 7));
        assert_eq!(out[..4], 7u32.to_ne_bytes());
        assert_eq!(&out[4..12], b"\x03\0\0\0abc\xEE");

        let mut out = [0xEE; 32];
        let envelope = Envelope { head_len: 8, tail_len: 0 };
        assert_eq!(each.envelope(b"abc", &mut out), Ok(Some(envelope)));
        assert_eq!(out[..4], 7u32.to_ne_bytes());
    }

    #[test]
    fn what_is_too_long_is_told_with_what_would_not_be() {
        let each = Each::new(Prefixed::flatstream(100), 14);
        let error = EncodeError::TooLong { payload_len: 11, payload_len_max: 10 };
        assert_eq!(each.encode(&[0; 11], &mut [0; 32]), Err(error));
        assert_eq!(each.envelope(&[0; 11], &mut [0; 32]), Err(error));
        assert_eq!(each.encode(&[0; 10], &mut [0; 32]), Ok(18));
    }

    #[test]
    fn no_room_is_told_with_the_head() {
        let each = Each::new(Plain, 100);
        for free in 0..13 {
            let needed = if free < 4 { 4 } else { 13 };
            let error = EncodeError::NoRoom { needed, free };
            assert_eq!(each.encode(&[0; 9], &mut [0; 32][..free]), Err(error));
        }
        assert_eq!(each.encode(&[0; 9], &mut [0; 13]), Ok(13));
        assert_eq!(each.frame_len_max(usize::MAX - 1), usize::MAX);
    }
}
