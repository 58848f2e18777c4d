//! The length-prefixed family: its members, here; what guards a frame
//! (`guard`), how one is made (`encode`) and found (`decode`), and what a
//! search through damage asks (`scan`).

mod decode;
mod encode;
mod guard;
mod number;
mod scan;
#[cfg(test)]
mod tests;
mod varint;

use self::guard::HEAD_CHECK_LEN;
pub use self::number::{Order, Width};
use super::{Decode, Encode, EncodeError, Envelope, Reason, Resync, Step, room};
use crate::checksum::{Checksum, NoChecksum, len_of};

/// Where the checksum stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Between the head and the payload.
    BeforePayload,
    /// After the payload.
    AfterPayload,
}

/// What the checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// The payload alone.
    Payload,
    /// The length, the head check where there is one, and the payload.
    HeadAndPayload,
}

/// A length, an optional check of that length, the payload and a checksum.
///
/// ```text
///  | length | head check | checksum | payload ...        |   BeforePayload
///  | length | head check | payload ...        | checksum |   AfterPayload
///    1 2 4 8   0 or 2       0 to 8
///    or 1 to 10: varint
/// ```
///
/// The length counts the payload alone; a varint is as short as can be, and
/// received ones that are not are damaged. The **head check** is
/// CRC-16/IBM-SDLC over the length bytes: with it a damaged length is found
/// at once instead of swallowing the stream, an all-zero input holds no frame,
/// and the decoder finds the next frame by searching for the next head that
/// validates. Without it a length over the maximum loses the rest of the
/// stream, and the decoder says so.
///
/// Two members have names: [`native`](Prefixed::native), forebay's own for
/// streams and files, and [`flatstream`](Prefixed::flatstream), byte-exact
/// with flatstream-rs.
///
/// ```
/// use forebay::checksum::CRC16;
/// use forebay::frame::{Encode, Order, Place, Prefixed, Width};
///
/// // A big-endian 16-bit length, CRC-16 after the payload.
/// const FORMAT: Prefixed<forebay::checksum::Crc16> = Prefixed::new(Width::U16, 256)
///     .order(Order::Big)
///     .checksum(CRC16)
///     .place(Place::AfterPayload);
///
/// let mut out = [0; 16];
/// let len = FORMAT.encode(b"123456789", &mut out)?;
/// assert_eq!(&out[..len], b"\x00\x09123456789\x31\xc3");
/// # Ok::<(), forebay::frame::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Prefixed<C = NoChecksum> {
    width: Width,
    order: Order,
    head_check: bool,
    /// Length bytes, unless they are a varint's, and head check.
    lead_len: u8,
    place: Place,
    cover: Cover,
    payload_len_max: usize,
    checksum: C,
}

impl Prefixed {
    /// A length of `width`, little-endian, without checks, for payloads of at
    /// most `payload_len_max` bytes (or of what the width holds, if that is
    /// less).
    #[must_use]
    pub const fn new(width: Width, payload_len_max: usize) -> Self {
        Self {
            width,
            order: Order::Little,
            head_check: false,
            lead_len: width as u8,
            place: Place::AfterPayload,
            cover: Cover::Payload,
            payload_len_max: if payload_len_max as u64 > width.len_max() {
                // The width's maximum is below a `usize` here, so it fits one.
                #[allow(clippy::cast_possible_truncation)]
                {
                    width.len_max() as usize
                }
            } else {
                payload_len_max
            },
            checksum: NoChecksum,
        }
    }

    /// flatstream: `u32` little-endian length, checksum before the payload and
    /// over the payload alone. Add flatstream's checksum with
    /// [`checksum`](Prefixed::checksum).
    #[must_use]
    pub const fn flatstream(payload_len_max: usize) -> Self {
        Self::new(Width::U32, payload_len_max).place(Place::BeforePayload)
    }
}

impl<C> Prefixed<C> {
    /// forebay's own format: `u32` little-endian length, head check, payload,
    /// and `checksum` over all of it.
    #[must_use]
    pub const fn native(payload_len_max: usize, checksum: C) -> Self
    where
        C: Copy,
    {
        Prefixed::new(Width::U32, payload_len_max)
            .head_check()
            .cover(Cover::HeadAndPayload)
            .checksum(checksum)
    }

    /// Sets the byte order.
    #[must_use]
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Adds the head check.
    #[must_use]
    pub const fn head_check(mut self) -> Self {
        self.head_check = true;
        self.lead_len = self.width as u8 + HEAD_CHECK_LEN;
        self
    }

    /// Sets where the checksum stands; after the payload unless set.
    #[must_use]
    pub const fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// Sets what the checksum covers; the payload unless set.
    #[must_use]
    pub const fn cover(mut self, cover: Cover) -> Self {
        self.cover = cover;
        self
    }

    /// Replaces the checksum.
    #[must_use]
    pub const fn checksum<D>(self, checksum: D) -> Prefixed<D>
    where
        C: Copy,
    {
        Prefixed {
            width: self.width,
            order: self.order,
            head_check: self.head_check,
            lead_len: self.lead_len,
            place: self.place,
            cover: self.cover,
            payload_len_max: self.payload_len_max,
            checksum,
        }
    }

    /// The longest payload in bytes.
    #[must_use]
    pub const fn payload_len_max(&self) -> usize {
        self.payload_len_max
    }
}

impl<C: Checksum> Prefixed<C> {
    /// Length bytes and head check of a payload of `payload_len` bytes.
    #[inline]
    const fn lead_len(&self, payload_len: usize) -> usize {
        match self.width {
            Width::Varint => self.width.len_bytes(payload_len) + self.lead_len as usize,
            _ => self.lead_len as usize,
        }
    }

    /// Bytes before a payload of `payload_len` bytes; with a fixed
    /// [`Width`] that is one number for all.
    #[inline]
    #[must_use]
    pub const fn head_len(&self, payload_len: usize) -> usize {
        match self.place {
            Place::BeforePayload => self.lead_len(payload_len) + C::LEN,
            Place::AfterPayload => self.lead_len(payload_len),
        }
    }

    /// Bytes after the payload.
    #[inline]
    #[must_use]
    pub const fn tail_len(&self) -> usize {
        match self.place {
            Place::BeforePayload => 0,
            Place::AfterPayload => C::LEN,
        }
    }

    /// The length in bytes of the frame of a payload of `payload_len` bytes.
    #[inline]
    #[must_use]
    pub const fn frame_len(&self, payload_len: usize) -> usize {
        payload_len.saturating_add(self.lead_len(payload_len) + len_of::<C>())
    }

    /// The length of the payload of a frame of `frame_len` bytes; `None` where
    /// no frame has that length.
    #[inline]
    fn payload_len(&self, frame_len: usize) -> Option<usize> {
        // What is there besides a varint.
        let rest = frame_len.checked_sub(self.lead_len as usize + C::LEN)?;
        match self.width {
            Width::Varint => (1..=varint::LEN_MAX)
                .filter_map(|len| rest.checked_sub(len))
                .find(|&payload_len| self.frame_len(payload_len) == frame_len),
            _ => Some(rest),
        }
    }
}
