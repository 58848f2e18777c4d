//! The length-prefixed family.

mod number;
mod scan;
#[cfg(test)]
mod tests;
mod varint;

use core::ops::Range;

use crc::{Crc, Table};

pub use self::number::{Order, Width};
use super::{Decode, Encode, EncodeError, Envelope, Reason, Resync, Step, room};
use crate::checksum::{Checksum, NoChecksum, len_of, truncate};

/// Guards the length bytes of a head. Its value over zero bytes is not zero
/// for any width (see the tests), so an all-zero head never validates.
static HEAD_CHECK: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&crc::CRC_16_IBM_SDLC);
const HEAD_CHECK_LEN: u8 = 2;

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

    /// Completes a frame whose payload is in place already.
    ///
    /// `frame` is the whole frame: [`head_len`](Prefixed::head_len) bytes to be
    /// written here, the payload, [`tail_len`](Prefixed::tail_len) bytes to be
    /// written here. A producer that frames in its grant reserves
    /// [`frame_len`](Prefixed::frame_len) bytes and calls this last.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`] when `frame` is shorter than head and tail,
    /// [`EncodeError::TooLong`] when the payload is over the maximum.
    ///
    /// ```
    /// use forebay::checksum::CRC32;
    /// use forebay::frame::{Encode, Prefixed};
    ///
    /// let format = Prefixed::native(64, CRC32);
    /// let mut in_place = [0; 32];
    /// let frame = &mut in_place[..format.frame_len(2)];
    /// frame[format.head_len()..][..2].copy_from_slice(b"ok");
    /// format.seal(frame)?;
    ///
    /// let mut encoded = [0; 32];
    /// let len = format.encode(b"ok", &mut encoded)?;
    /// assert_eq!(in_place[..len], encoded[..len]);
    /// # Ok::<(), forebay::frame::EncodeError>(())
    /// ```
    #[inline]
    pub fn seal(&self, frame: &mut [u8]) -> Result<(), EncodeError> {
        let (head_len, tail_len) = (self.head_len(), self.tail_len());
        let free = frame.len();
        let no_room = EncodeError::NoRoom { needed: head_len + tail_len, free };
        let payload_len = free.checked_sub(head_len + tail_len).ok_or(no_room)?;
        self.check_len(payload_len)?;
        let head = frame.get_mut(..head_len).ok_or(no_room)?;
        self.put_lead(payload_len, head);
        let payload = frame.get(head_len..head_len + payload_len).ok_or(no_room)?;
        let lead_len = self.lead_len(payload_len);
        let checksum = self.checksum_of(frame, lead_len, payload);
        self.put_checksum(checksum, lead_len, frame);
        Ok(())
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

    #[inline]
    fn check_len(&self, payload_len: usize) -> Result<(), EncodeError> {
        if payload_len > self.payload_len_max {
            return Err(EncodeError::TooLong {
                payload_len,
                payload_len_max: self.payload_len_max,
            });
        }
        Ok(())
    }

    /// Writes length and head check to the front of `head`.
    #[inline]
    fn put_lead(&self, payload_len: usize, head: &mut [u8]) {
        let width = self.width(payload_len);
        let length = head.get_mut(..width).unwrap_or_default();
        if VARINT {
            varint::put(payload_len as u64, length);
        } else {
            self.order.put(payload_len as u64, length);
        }
        self.put_head_check(width, head);
    }

    /// Writes the head check behind the length of `width` bytes at the front
    /// of `head`.
    #[inline]
    fn put_head_check(&self, width: usize, head: &mut [u8]) {
        if let (true, Some((length, rest))) = (self.head_check, head.split_at_mut_checked(width)) {
            let check = u64::from(HEAD_CHECK.checksum(length));
            let place = rest.get_mut(..usize::from(HEAD_CHECK_LEN)).unwrap_or_default();
            self.order.put(check, place);
        }
    }

    /// Computes the checksum of a frame whose length and head check, of
    /// `lead_len` bytes, and payload are in place. `payload` is the payload
    /// too, there or elsewhere.
    #[inline]
    fn checksum_of(&self, frame: &[u8], lead_len: usize, payload: &[u8]) -> u64 {
        let covered = match (self.cover, self.place) {
            (Cover::Payload, _) => Some(payload),
            // Head and payload are neighbours: one part.
            (Cover::HeadAndPayload, Place::AfterPayload) => frame.get(..lead_len + payload.len()),
            (Cover::HeadAndPayload, Place::BeforePayload) => None,
        };
        match covered {
            Some(covered) => truncate(self.checksum.compute(&[covered]), C::LEN),
            None => self.checksum_apart(frame.get(..lead_len).unwrap_or_default(), payload),
        }
    }

    /// Computes the checksum over what it covers, from separate places.
    #[inline(never)]
    fn checksum_apart(&self, lead: &[u8], payload: &[u8]) -> u64 {
        let value = match self.cover {
            Cover::Payload => self.checksum.compute(&[payload]),
            Cover::HeadAndPayload => self.checksum.compute(&[lead, payload]),
        };
        truncate(value, C::LEN)
    }

    /// Where the checksum stands in a frame in memory.
    #[inline]
    fn checksum_range(&self, lead_len: usize, frame_len: usize) -> Range<usize> {
        let begin = match self.place {
            Place::BeforePayload => lead_len,
            Place::AfterPayload => frame_len.saturating_sub(C::LEN),
        };
        begin..begin + C::LEN
    }

    #[inline]
    fn put_checksum(&self, checksum: u64, lead_len: usize, frame: &mut [u8]) {
        if let Some(place) = frame.get_mut(self.checksum_range(lead_len, frame.len())) {
            self.order.put(checksum, place);
        }
    }

    /// Reads the head of fixed width at the front of `input`, which holds it:
    /// the payload's length, or what is wrong.
    #[inline]
    fn read_lead(&self, input: &[u8]) -> Result<usize, Reason> {
        let width = self.width.len_bytes();
        if self.head_check {
            let length = input.get(..width).unwrap_or_default();
            self.check_head(length, input.get(width..self.lead_len(0)).unwrap_or_default())?;
        }
        let len = match input.first_chunk() {
            // One load whatever the width.
            Some(&first) => {
                self.order.swap(u64::from_le_bytes(first) & self.width.len_max(), width)
            }
            None => self.order.take(input.get(..width).unwrap_or_default()),
        };
        self.accept_len(len)
    }

    /// Reads a varint and its check at the front of `input`: how many bytes
    /// they are and the payload's length, or what is to be said instead.
    fn read_varint(&self, input: &[u8]) -> Result<(usize, usize), Step> {
        let check_len = usize::from(self.lead_len);
        let len_bytes_max = self.width(self.payload_len_max);
        let width = match varint::find(input, len_bytes_max) {
            varint::Found::Whole(width) => width,
            varint::Found::Cut => return Err(Step::Incomplete { needed: input.len() + 1 }),
            // Too long, whatever follows.
            varint::Found::Endless => {
                return Err(damaged_head(self.too_long(varint::least(len_bytes_max))));
            }
        };
        let lead_len = width + check_len;
        if input.len() < lead_len {
            return Err(Step::Incomplete { needed: lead_len });
        }
        let length = input.get(..width).unwrap_or_default();
        let read = || {
            if self.head_check {
                self.check_head(length, input.get(width..lead_len).unwrap_or_default())?;
            }
            if varint::is_overlong(length) {
                let value = |value, byte: &u8| value << 8 | u32::from(*byte);
                return Err(Reason::Head { value: length.iter().take(4).fold(0, value) });
            }
            let len = varint::value(length).ok_or(self.too_long(u64::MAX))?;
            Ok((lead_len, self.accept_len(len)?))
        };
        read().map_err(damaged_head)
    }

    /// Compares the head check that was received with the length before it.
    #[inline]
    fn check_head(&self, length: &[u8], received: &[u8]) -> Result<(), Reason> {
        let computed = HEAD_CHECK.checksum(length);
        // Two bytes always fit.
        #[allow(clippy::cast_possible_truncation)]
        let received = self.order.take(received) as u16;
        if computed != received {
            return Err(Reason::HeadCheck { computed, received });
        }
        Ok(())
    }

    /// A length that has been received, unless it is over the maximum.
    #[inline]
    fn accept_len(&self, len: u64) -> Result<usize, Reason> {
        match usize::try_from(len) {
            Ok(len) if len <= self.payload_len_max => Ok(len),
            _ => Err(self.too_long(len)),
        }
    }

    fn too_long(&self, len: u64) -> Reason {
        Reason::TooLong { len, len_max: self.payload_len_max as u64 }
    }

    /// Whether a good head is at the front of `input`, or what is to be said
    /// instead.
    fn head_at(&self, input: &[u8]) -> Result<(), Step> {
        let lead_len = self.lead_len(0);
        if VARINT {
            self.read_varint(input).map(|_| ())
        } else if input.len() < lead_len {
            Err(Step::Incomplete { needed: lead_len })
        } else {
            self.read_lead(input).map(|_| ()).map_err(damaged_head)
        }
    }

    /// What stands at the front of `input`; see [`Decode::decode`].
    // Always, as for `encode`.
    #[inline(always)]
    fn look(&self, input: &[u8]) -> Step {
        if VARINT {
            return match self.read_varint(input) {
                Ok((lead_len, payload_len)) => self.look_behind(lead_len, payload_len, input),
                Err(step) => step,
            };
        }
        let lead_len = self.lead_len(0);
        if input.len() < lead_len {
            return Step::Incomplete { needed: lead_len };
        }
        match self.read_lead(input) {
            Ok(payload_len) => self.look_behind(lead_len, payload_len, input),
            Err(reason) => damaged_head(reason),
        }
    }

    /// What stands at the front of `input`, whose first `lead_len` bytes are a
    /// good head.
    #[inline(always)]
    fn look_behind(&self, lead_len: usize, payload_len: usize, input: &[u8]) -> Step {
        let frame_len = payload_len.saturating_add(lead_len + C::LEN);
        let Some(frame) = input.get(..frame_len) else {
            return Step::Incomplete { needed: frame_len };
        };
        let head_len = self.behind_lead(lead_len);
        let payload = head_len..head_len + payload_len;
        if C::LEN > 0 {
            let in_place = frame.get(payload.clone()).unwrap_or_default();
            let computed = self.checksum_of(frame, lead_len, in_place);
            let range = self.checksum_range(lead_len, frame_len);
            let received = self.order.take(frame.get(range).unwrap_or_default());
            if computed != received {
                let reason = Reason::Checksum { computed, received };
                return Step::Damaged { skip: frame_len, reason, resync: false };
            }
        }
        Step::Frame { payload, frame_len }
    }
}

/// Nothing behind such a head can be trusted, its length least.
#[inline]
fn damaged_head(reason: Reason) -> Step {
    Step::Damaged { skip: 1, reason, resync: true }
}

impl<C: Checksum, const VARINT: bool> Encode for Prefixed<C, VARINT> {
    #[inline]
    fn frame_len_max(&self, payload_len: usize) -> usize {
        self.frame_len(payload_len)
    }

    // Always, since a format is mostly a constant, of which little is left
    // where the compiler sees it.
    #[inline(always)]
    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        self.check_len(payload.len())?;
        let lead_len = self.lead_len(payload.len());
        let frame_len = self.frame_len(payload.len());
        let frame = room(out, frame_len)?;
        let no_room = EncodeError::NoRoom { needed: frame_len, free: frame_len };
        // Over the payload where it lies, and before the copy, which then finds
        // it in the nearest cache.
        let early =
            (self.cover == Cover::Payload).then(|| self.checksum_of(&[], lead_len, payload));
        // The length first, as the payload covers what it overwrites.
        let width = self.width(payload.len());
        if VARINT {
            varint::put(payload.len() as u64, frame.get_mut(..width).ok_or(no_room)?);
        } else {
            self.order.put_over(payload.len() as u64, width, frame);
        }
        let rest = frame.get_mut(self.behind_lead(lead_len)..).ok_or(no_room)?;
        rest.get_mut(..payload.len()).ok_or(no_room)?.copy_from_slice(payload);
        self.put_head_check(width, frame);
        let checksum = early.unwrap_or_else(|| self.checksum_of(frame, lead_len, payload));
        self.put_checksum(checksum, lead_len, frame);
        Ok(frame_len)
    }

    #[inline]
    fn envelope(&self, payload: &[u8], out: &mut [u8]) -> Result<Option<Envelope>, EncodeError> {
        self.check_len(payload.len())?;
        let lead_len = self.lead_len(payload.len());
        let head_len = self.behind_lead(lead_len);
        let envelope = Envelope { head_len, tail_len: lead_len + C::LEN - head_len };
        let out = room(out, envelope.head_len + envelope.tail_len)?;
        let (head, tail) = out.split_at_mut(envelope.head_len);
        self.put_lead(payload.len(), head);
        let (lead, place) = head.split_at_mut(lead_len);
        let place = match self.place {
            Place::BeforePayload => place,
            Place::AfterPayload => tail,
        };
        self.order.put(self.checksum_apart(lead, payload), place);
        Ok(Some(envelope))
    }
}

impl<C: Checksum, const VARINT: bool> Decode for Prefixed<C, VARINT> {
    #[inline]
    fn frame_len_max(&self) -> usize {
        self.frame_len(self.payload_len_max)
    }

    #[inline(always)]
    fn decode(&self, input: &mut [u8], _seen: usize) -> Step {
        self.look(input)
    }

    /// With a head check, the next head that validates; without one, nothing
    /// in the stream can be trusted any more.
    fn resync(&self, input: &[u8]) -> Resync {
        if !self.head_check {
            return Resync::Skip(input.len());
        }
        // A head that is cut has no other behind it that is not.
        for at in 0..input.len() {
            match self.head_at(input.get(at..).unwrap_or_default()) {
                Ok(()) => return Resync::Tentative(at),
                Err(Step::Incomplete { .. }) => return Resync::Skip(at),
                Err(_) => {}
            }
        }
        Resync::Skip(input.len())
    }
}
