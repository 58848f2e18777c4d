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
///  or a varint
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
///
/// `VARINT` says whether the length is a [varint](Prefixed::varint).
#[derive(Clone, Copy, Debug)]
pub struct Prefixed<C = NoChecksum, const VARINT: bool = false> {
    /// Of the length, unless it is a varint.
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

impl Prefixed<NoChecksum, true> {
    /// A length of as many bytes as it needs, one for payloads to 127, two to
    /// 16,383, and so on: seven bits a byte, least significant first, whatever
    /// the [order](Prefixed::order). Without checks, for payloads of at most
    /// `payload_len_max` bytes.
    ///
    /// These are the delimited messages of Protocol Buffers. A length in more
    /// bytes than it needs is damage.
    ///
    /// ```
    /// use forebay::frame::{Encode, Prefixed};
    ///
    /// let format = Prefixed::varint(1024);
    /// let mut out = [0; 400];
    /// assert_eq!(format.encode(&[7; 300], &mut out)?, 302);
    /// assert_eq!(out[..3], [0xAC, 0x02, 7]);
    /// # Ok::<(), forebay::frame::EncodeError>(())
    /// ```
    #[must_use]
    pub const fn varint(payload_len_max: usize) -> Self {
        let Prefixed { width, order, place, cover, checksum, .. } = Prefixed::new(Width::U64, 0);
        Self {
            width,
            order,
            head_check: false,
            lead_len: 0,
            place,
            cover,
            payload_len_max,
            checksum,
        }
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
}

impl<C, const VARINT: bool> Prefixed<C, VARINT> {
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
        self.lead_len = if VARINT { 0 } else { self.width as u8 } + HEAD_CHECK_LEN;
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
    pub const fn checksum<D>(self, checksum: D) -> Prefixed<D, VARINT>
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
    /// Bytes before the payload.
    #[inline]
    #[must_use]
    pub const fn head_len(&self) -> usize {
        self.behind_lead(self.lead_len(0))
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
}

impl<C: Checksum, const VARINT: bool> Prefixed<C, VARINT> {
    /// Bytes of the length of a payload of `payload_len` bytes.
    #[inline]
    const fn width(&self, payload_len: usize) -> usize {
        if VARINT { varint::len_bytes(payload_len as u64) } else { self.width.len_bytes() }
    }

    /// Length bytes and head check of a payload of `payload_len` bytes.
    #[inline]
    const fn lead_len(&self, payload_len: usize) -> usize {
        let varint_len = if VARINT { self.width(payload_len) } else { 0 };
        varint_len + self.lead_len as usize
    }

    /// Where the payload begins behind length and head check.
    #[inline]
    const fn behind_lead(&self, lead_len: usize) -> usize {
        match self.place {
            Place::BeforePayload => lead_len + C::LEN,
            Place::AfterPayload => lead_len,
        }
    }

    /// The length in bytes of the frame of a payload of `payload_len` bytes.
    #[inline]
    #[must_use]
    pub const fn frame_len(&self, payload_len: usize) -> usize {
        payload_len.saturating_add(self.lead_len(payload_len) + len_of::<C>())
    }
}
