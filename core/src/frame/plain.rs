//! Payloads that are frames already.

use super::{Encode, EncodeError, Envelope, room};

/// Adds nothing: the payload is the frame.
///
/// For rings whose producers wrote the whole frame in their grant, and for
/// byte streams that need no frames.
///
/// ```
/// use forebay::frame::{Encode, Plain};
/// let mut out = [0; 8];
/// assert_eq!(Plain.encode(b"as is", &mut out), Ok(5));
/// assert_eq!(&out[..5], b"as is");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plain;

impl Encode for Plain {
    #[inline]
    fn frame_len_max(&self, payload_len: usize) -> usize {
        payload_len
    }

    #[inline]
    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        room(out, payload.len())?.copy_from_slice(payload);
        Ok(payload.len())
    }

    #[inline]
    fn envelope(&self, _payload: &[u8], _out: &mut [u8]) -> Result<Option<Envelope>, EncodeError> {
        Ok(Some(Envelope { head_len: 0, tail_len: 0 }))
    }
}
