//! Consistent overhead byte stuffing with a checksum, for lines that lose
//! bytes.

use super::{Decode, Encode, EncodeError, Reason, Resync, Step, room};
use crate::checksum::{Checksum, len_of, truncate};

/// Ends a frame and occurs nowhere in one.
const DELIMITER: u8 = 0;
/// The most bytes that follow one code byte.
const RUN_MAX: usize = 254;

/// Payload and checksum, stuffed so that no zero byte is left, then one zero.
///
/// ```text
///  | COBS( payload | checksum, little-endian ) | 00 |
/// ```
///
/// Any zero byte on the line ends a frame, so a receiver that was damaged, or
/// that joined late, is right again at the next one: damage costs the frames
/// that it touches, two at most for one byte, and an oversize frame is skipped
/// whole. Zero bytes between frames are idle filler.
///
/// Source: S. Cheshire and M. Baker, "Consistent Overhead Byte Stuffing",
/// IEEE/ACM Transactions on Networking 7(2), 1999.
///
/// ```
/// use forebay::checksum::crc::{CRC_16_IBM_3740, Crc, Table};
/// use forebay::frame::{Cobs, Encode};
///
/// const CRC16: &Crc<u16, Table<1>> = &Crc::<u16, Table<1>>::new(&CRC_16_IBM_3740);
///
/// let format = Cobs::new(64, CRC16);
/// let mut out = [0; 80];
/// let len = format.encode(b"1\x003456789", &mut out)?;
/// assert!(out[..len - 1].iter().all(|&byte| byte != 0));
/// assert_eq!(out[len - 1], 0);
/// # Ok::<(), forebay::frame::EncodeError>(())
/// ```
///
/// # The choice of checksum
///
/// Zeros are stuffed as `01`, so one damaged byte adds, drops or cuts off
/// whole zeros of a payload. A CRC that begins with zero does not see zeros in
/// front, and [`CRC16`](crate::checksum::CRC16) is one. One
/// whose value over nothing is zero, as [`CRC32`](crate::checksum::CRC32) and
/// [`CRC64`](crate::checksum::CRC64), takes `01` once for each of its bytes,
/// and once more, for an empty frame. Where payloads hold runs of zeros, use
/// one that begins with ones and has no final exclusive-or:
/// [`CRC_16_IBM_3740`](crc::CRC_16_IBM_3740),
/// [`CRC_32_MPEG_2`](crc::CRC_32_MPEG_2).
#[derive(Clone, Copy, Debug)]
pub struct Cobs<C> {
    payload_len_max: usize,
    checksum: C,
}

impl<C: Checksum> Cobs<C> {
    /// Frames of payloads of at most `payload_len_max` bytes, guarded by
    /// `checksum`.
    #[must_use]
    pub const fn new(payload_len_max: usize, checksum: C) -> Self {
        Self { payload_len_max, checksum }
    }

    /// The most bytes that a frame of a payload of `payload_len` bytes takes,
    /// for sizing arrays.
    ///
    /// Saturates at `usize::MAX`.
    #[must_use]
    pub const fn frame_len_max(payload_len: usize) -> usize {
        let content = payload_len.saturating_add(len_of::<C>());
        content.saturating_add(blocks_max(content) + 1)
    }

    /// The longest payload in bytes.
    #[must_use]
    pub const fn payload_len_max(&self) -> usize {
        self.payload_len_max
    }
}

impl<C: Checksum> Encode for Cobs<C> {
    fn frame_len_max(&self, payload_len: usize) -> usize {
        Self::frame_len_max(payload_len)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        let payload_len = payload.len();
        if payload_len > self.payload_len_max {
            let payload_len_max = self.payload_len_max;
            return Err(EncodeError::TooLong { payload_len, payload_len_max });
        }
        let out = room(out, Self::frame_len_max(payload_len))?;
        let checksum = truncate(self.checksum.compute(&[payload]), C::LEN).to_le_bytes();
        let checksum = checksum.get(..C::LEN).unwrap_or(&checksum);
        let free = out.len();
        stuff(&[payload, checksum], out).ok_or(EncodeError::NoRoom { needed: free, free })
    }
}

impl<C: Checksum> Decode for Cobs<C> {
    fn buffer_len_min(&self) -> usize {
        Self::frame_len_max(self.payload_len_max)
    }

    fn decode(&self, input: &mut [u8], seen: usize) -> Step {
        let frame_len_max = Self::frame_len_max(self.payload_len_max);
        let received = input.len();
        // How long the frame is depends on what has been received of it; that
        // it is longer than allowed does not.
        let len_max = frame_len_max as u64;
        let too_long = Reason::TooLong { len: len_max.saturating_add(1), len_max };

        let unseen = input.get(seen..).unwrap_or_default();
        let Some(end) = unseen.iter().position(|&byte| byte == DELIMITER).map(|at| seen + at)
        else {
            if received >= frame_len_max {
                return Step::Damaged { skip: received, reason: too_long, resync: true };
            }
            return Step::Incomplete { needed: received + 1 };
        };
        if end == 0 {
            return Step::Idle { skip: 1 };
        }
        let frame_len = end + 1;
        let damaged = |reason| Step::Damaged { skip: frame_len, reason, resync: false };
        if frame_len > frame_len_max {
            return damaged(too_long);
        }
        let content_len = match unstuff(&mut input[..end]) {
            Ok(content_len) => content_len,
            Err(at) => return damaged(Reason::Stuffing { at }),
        };
        let Some(payload_len) = content_len.checked_sub(C::LEN) else {
            return damaged(Reason::TooShort { len: content_len, len_min: C::LEN });
        };
        if payload_len > self.payload_len_max {
            let (len, len_max) = (payload_len as u64, self.payload_len_max as u64);
            return damaged(Reason::TooLong { len, len_max });
        }
        let (payload, checksum) = input[..content_len].split_at(payload_len);
        let computed = truncate(self.checksum.compute(&[payload]), C::LEN);
        let mut wide = [0; 8];
        wide[..C::LEN].copy_from_slice(checksum);
        let received = u64::from_le_bytes(wide);
        if computed != received {
            return damaged(Reason::Checksum { computed, received });
        }
        Step::Frame { payload: 0..payload_len, frame_len }
    }

    /// The byte after the next delimiter.
    fn resync(&self, input: &[u8]) -> Resync {
        match input.iter().position(|&byte| byte == DELIMITER) {
            Some(at) => Resync::Certain(at + 1),
            None => Resync::Skip(input.len()),
        }
    }
}

/// The most blocks that so many bytes take: one for each [`RUN_MAX`] begun, at
/// least one.
///
/// In shifts, 256 being 254 and 2: a Cortex-M0 divides in a routine of 400
/// bytes, and this is all that it would be there for.
const fn blocks_max(len: usize) -> usize {
    let (mut whole, mut rest) = (0, len);
    while rest > RUN_MAX {
        let about = if rest > 0xFF { rest >> 8 } else { 1 };
        whole += about;
        rest -= about * RUN_MAX;
    }
    whole + 1
}

/// Stuffs the concatenation of `parts` and ends the frame; its length, or
/// `None` when `out` is too short.
#[inline]
fn stuff(parts: &[&[u8]], out: &mut [u8]) -> Option<usize> {
    let mut stuffing = Stuffing { out, code_at: 0, at: 1 };
    for part in parts {
        stuffing.push(part)?;
    }
    stuffing.put_code()?;
    *stuffing.out.get_mut(stuffing.at)? = DELIMITER;
    Some(stuffing.at + 1)
}

/// A frame on its way.
///
/// Invariant: `code_at < at`; the block under way has its code byte at
/// `code_at` and `at - code_at - 1 <= RUN_MAX` bytes, none of them zero.
struct Stuffing<'o> {
    out: &'o mut [u8],
    code_at: usize,
    at: usize,
}

impl Stuffing<'_> {
    fn push(&mut self, mut part: &[u8]) -> Option<()> {
        while !part.is_empty() {
            let block_len = self.at - self.code_at - 1;
            if block_len == RUN_MAX {
                self.close_block()?;
                continue;
            }
            let window = part.get(..RUN_MAX - block_len).unwrap_or(part);
            let zero = window.iter().position(|&byte| byte == 0);
            let (run, rest) = part.split_at_checked(zero.unwrap_or(window.len()))?;
            self.out.get_mut(self.at..)?.get_mut(..run.len())?.copy_from_slice(run);
            self.at += run.len();
            part = rest;
            if zero.is_some() {
                part = part.get(1..)?;
                self.close_block()?;
            }
        }
        Some(())
    }

    /// Writes the block's code and begins the next block.
    fn close_block(&mut self) -> Option<()> {
        self.put_code()?;
        self.code_at = self.at;
        self.at += 1;
        Some(())
    }

    fn put_code(&mut self) -> Option<()> {
        // A block has at most RUN_MAX bytes, so its code fits.
        #[allow(clippy::cast_possible_truncation)]
        let code = (self.at - self.code_at) as u8;
        *self.out.get_mut(self.code_at)? = code;
        Some(())
    }
}

/// Undoes the stuffing of a frame without its delimiter, in place. Returns
/// the content's length, or where a block would run past the end.
fn unstuff(frame: &mut [u8]) -> Result<usize, usize> {
    let (mut from, mut to) = (0, 0);
    while from < frame.len() {
        let code = usize::from(frame[from]);
        let next = from + code;
        if next > frame.len() {
            return Err(from);
        }
        frame.copy_within(from + 1..next, to);
        to += code - 1;
        from = next;
        // A full block stands for its bytes alone, the last one likewise.
        if code <= RUN_MAX && from < frame.len() {
            frame[to] = 0;
            to += 1;
        }
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{CRC32, NoChecksum};

    #[test]
    fn blocks_are_counted_as_by_division() {
        let near_the_end = usize::MAX - 1000..=usize::MAX;
        let step = if cfg!(miri) { 251 } else { 1 };
        for len in (0..100_000).chain(near_the_end).step_by(step) {
            assert_eq!(blocks_max(len), len.div_ceil(RUN_MAX).max(1), "{len}");
        }
    }

    fn encoded(payload: &[u8], out: &mut [u8]) -> usize {
        Cobs::new(1024, NoChecksum).encode(payload, out).unwrap()
    }

    /// The examples of the paper and the edges of a full block.
    #[test]
    fn stuffing_by_hand() {
        let mut out = [0; 1100];
        for (payload, frame) in [
            (&b""[..], &b"\x01\0"[..]),
            (b"\0", b"\x01\x01\0"),
            (b"\0\0", b"\x01\x01\x01\0"),
            (b"\x0b\x16\0\x21", b"\x03\x0b\x16\x02\x21\0"),
            (b"\x0b\0\0\0", b"\x02\x0b\x01\x01\x01\0"),
        ] {
            let len = encoded(payload, &mut out);
            assert_eq!(&out[..len], frame);
        }
        for (len, frame_len) in [(253, 255), (254, 256), (255, 258), (508, 511), (509, 513)] {
            assert_eq!(encoded(&[1; 600][..len], &mut out), frame_len, "{len} bytes");
        }
    }

    #[test]
    fn lengths_stay_within_the_maximum_and_come_back() {
        let format = Cobs::new(1024, CRC32);
        let mut out = [0; 1100];
        for len in (0..=1024).step_by(if cfg!(miri) { 341 } else { 1 }) {
            for byte in [0, 1, 0xFF] {
                let payload = &[byte; 1024][..len];
                let frame_len = format.encode(payload, &mut out).unwrap();
                assert!(frame_len <= Cobs::<crate::checksum::Crc32>::frame_len_max(len));
                let step = format.decode(&mut out[..frame_len], 0);
                assert_eq!(step, Step::Frame { payload: 0..len, frame_len });
                assert_eq!(&out[..len], payload);
            }
        }
    }

    #[test]
    fn zeros_are_idle_not_frames() {
        let format = Cobs::new(64, NoChecksum);
        assert_eq!(format.decode(&mut [0; 8], 0), Step::Idle { skip: 1 });
    }

    #[test]
    fn a_block_past_the_end_is_damage() {
        let format = Cobs::new(64, NoChecksum);
        let reason = Reason::Stuffing { at: 0 };
        let step = format.decode(&mut [5, 1, 1, 0], 0);
        assert_eq!(step, Step::Damaged { skip: 4, reason, resync: false });
    }
}
