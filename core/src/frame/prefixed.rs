//! The length-prefixed family.

mod number;
mod scan;

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
/// ```
///
/// The length counts the payload alone. The **head check** is
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
    /// Length bytes and head check.
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
    /// Length bytes and head check.
    #[inline]
    const fn lead_len(&self) -> usize {
        self.lead_len as usize
    }

    /// Bytes before the payload.
    #[inline]
    #[must_use]
    pub const fn head_len(&self) -> usize {
        match self.place {
            Place::BeforePayload => self.lead_len() + C::LEN,
            Place::AfterPayload => self.lead_len(),
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
        payload_len.saturating_add(self.lead_len() + len_of::<C>())
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
        let checksum = self.checksum_of(frame, payload);
        self.put_checksum(checksum, frame);
        Ok(())
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
        let length = head.get_mut(..self.width.len_bytes()).unwrap_or_default();
        self.order.put(payload_len as u64, length);
        self.put_head_check(head);
    }

    /// Writes the head check behind the length at the front of `head`.
    #[inline]
    fn put_head_check(&self, head: &mut [u8]) {
        let width = self.width.len_bytes();
        if let (true, Some((length, rest))) = (self.head_check, head.split_at_mut_checked(width)) {
            let check = u64::from(HEAD_CHECK.checksum(length));
            let place = rest.get_mut(..usize::from(HEAD_CHECK_LEN)).unwrap_or_default();
            self.order.put(check, place);
        }
    }

    /// Computes the checksum of a frame whose length, head check and payload
    /// are in place. `payload` is the payload too, there or elsewhere.
    #[inline]
    fn checksum_of(&self, frame: &[u8], payload: &[u8]) -> u64 {
        let covered = match (self.cover, self.place) {
            (Cover::Payload, _) => Some(payload),
            // Head and payload are neighbours: one part.
            (Cover::HeadAndPayload, Place::AfterPayload) => {
                frame.get(..self.lead_len() + payload.len())
            }
            (Cover::HeadAndPayload, Place::BeforePayload) => None,
        };
        match covered {
            Some(covered) => truncate(self.checksum.compute(&[covered]), C::LEN),
            None => self.checksum_apart(frame.get(..self.lead_len()).unwrap_or_default(), payload),
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

    /// Where the checksum of a frame of `frame_len` bytes stands.
    #[inline]
    fn checksum_range(&self, frame_len: usize) -> Range<usize> {
        let begin = match self.place {
            Place::BeforePayload => self.lead_len(),
            Place::AfterPayload => frame_len.saturating_sub(C::LEN),
        };
        begin..begin + C::LEN
    }

    #[inline]
    fn put_checksum(&self, checksum: u64, frame: &mut [u8]) {
        if let Some(place) = frame.get_mut(self.checksum_range(frame.len())) {
            self.order.put(checksum, place);
        }
    }

    /// Reads the head at the front of `input`, which holds at least
    /// `lead_len` bytes: the payload's length, or what is wrong.
    #[inline]
    fn read_lead(&self, input: &[u8]) -> Result<usize, Reason> {
        let width = self.width.len_bytes();
        if self.head_check {
            let computed = HEAD_CHECK.checksum(input.get(..width).unwrap_or_default());
            let received = input.get(width..self.lead_len()).unwrap_or_default();
            // Two bytes always fit.
            #[allow(clippy::cast_possible_truncation)]
            let received = self.order.take(received) as u16;
            if computed != received {
                return Err(Reason::HeadCheck { computed, received });
            }
        }
        let len = match input.first_chunk() {
            // One load whatever the width.
            Some(&first) => {
                self.order.swap(u64::from_le_bytes(first) & self.width.len_max(), width)
            }
            None => self.order.take(input.get(..width).unwrap_or_default()),
        };
        match usize::try_from(len) {
            Ok(len) if len <= self.payload_len_max => Ok(len),
            _ => Err(Reason::TooLong { len, len_max: self.payload_len_max as u64 }),
        }
    }

    /// What stands at the front of `input`; see [`Decode::decode`].
    // Always, as for `encode`.
    #[inline(always)]
    fn look(&self, input: &[u8]) -> Step {
        let lead_len = self.lead_len();
        if input.len() < lead_len {
            return Step::Incomplete { needed: lead_len };
        }
        let payload_len = match self.read_lead(input) {
            Ok(payload_len) => payload_len,
            // Nothing behind such a head can be trusted, its length least.
            Err(reason) => return Step::Damaged { skip: 1, reason, resync: true },
        };
        let frame_len = self.frame_len(payload_len);
        let Some(frame) = input.get(..frame_len) else {
            return Step::Incomplete { needed: frame_len };
        };
        let head_len = self.head_len();
        let payload = head_len..head_len + payload_len;
        if C::LEN > 0 {
            let computed = self.checksum_of(frame, frame.get(payload.clone()).unwrap_or_default());
            let received = frame.get(self.checksum_range(frame_len)).unwrap_or_default();
            let received = self.order.take(received);
            if computed != received {
                let reason = Reason::Checksum { computed, received };
                return Step::Damaged { skip: frame_len, reason, resync: false };
            }
        }
        Step::Frame { payload, frame_len }
    }
}

impl<C: Checksum> Encode for Prefixed<C> {
    #[inline]
    fn frame_len_max(&self, payload_len: usize) -> usize {
        self.frame_len(payload_len)
    }

    // Always, since a format is mostly a constant, of which little is left
    // where the compiler sees it.
    #[inline(always)]
    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        self.check_len(payload.len())?;
        let frame_len = self.frame_len(payload.len());
        let frame = room(out, frame_len)?;
        let no_room = EncodeError::NoRoom { needed: frame_len, free: frame_len };
        // Over the payload where it lies, and before the copy, which then finds
        // it in the nearest cache.
        let early = (self.cover == Cover::Payload).then(|| self.checksum_of(&[], payload));
        // The length first, as the payload covers what it overwrites.
        self.order.put_over(payload.len() as u64, self.width.len_bytes(), frame);
        let rest = frame.get_mut(self.head_len()..).ok_or(no_room)?;
        rest.get_mut(..payload.len()).ok_or(no_room)?.copy_from_slice(payload);
        self.put_head_check(frame);
        let checksum = early.unwrap_or_else(|| self.checksum_of(frame, payload));
        self.put_checksum(checksum, frame);
        Ok(frame_len)
    }

    #[inline]
    fn envelope(&self, payload: &[u8], out: &mut [u8]) -> Result<Option<Envelope>, EncodeError> {
        self.check_len(payload.len())?;
        let envelope = Envelope { head_len: self.head_len(), tail_len: self.tail_len() };
        let out = room(out, envelope.head_len + envelope.tail_len)?;
        let (head, tail) = out.split_at_mut(envelope.head_len);
        self.put_lead(payload.len(), head);
        let (lead, place) = head.split_at_mut(self.lead_len());
        let place = match self.place {
            Place::BeforePayload => place,
            Place::AfterPayload => tail,
        };
        self.order.put(self.checksum_apart(lead, payload), place);
        Ok(Some(envelope))
    }
}

impl<C: Checksum> Decode for Prefixed<C> {
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
        let lead_len = self.lead_len();
        match input.windows(lead_len).position(|lead| self.read_lead(lead).is_ok()) {
            Some(at) => Resync::Tentative(at),
            None => Resync::Skip((input.len() + 1).saturating_sub(lead_len)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{CRC16, CRC32, CRC64};

    #[test]
    fn the_head_check_of_zeros_is_not_zero() {
        for width in [Width::U8, Width::U16, Width::U32, Width::U64] {
            assert_ne!(HEAD_CHECK.checksum(&[0; 8][..width.len_bytes()]), 0, "{width:?}");
        }
    }

    #[test]
    fn a_maximum_over_the_width_is_the_widths() {
        assert_eq!(Prefixed::new(Width::U8, 1000).payload_len_max(), 255);
        assert_eq!(Prefixed::new(Width::U16, 1000).payload_len_max(), 1000);
    }

    /// Every member of the family: encode, envelope and decode agree.
    #[test]
    fn members_round_trip() {
        fn check<C: Checksum + Copy>(checksum: C) {
            for width in [Width::U8, Width::U16, Width::U32, Width::U64] {
                for order in [Order::Little, Order::Big] {
                    for place in [Place::BeforePayload, Place::AfterPayload] {
                        for cover in [Cover::Payload, Cover::HeadAndPayload] {
                            let plain = Prefixed::new(width, 200).order(order).place(place);
                            let format = plain.cover(cover).checksum(checksum);
                            round_trip(format);
                            round_trip(format.head_check());
                        }
                    }
                }
            }
        }
        fn round_trip<C: Checksum>(format: Prefixed<C>) {
            for payload in [&b""[..], b"\0", b"123456789", &[7; 200]] {
                let mut whole = [0; 256];
                let len = format.encode(payload, &mut whole).unwrap();
                assert_eq!(len, format.frame_len(payload.len()));

                let mut around = [0; 64];
                let envelope = format.envelope(payload, &mut around).unwrap().unwrap();
                let (head, tail) = around.split_at(envelope.head_len);
                assert_eq!(&whole[..envelope.head_len], head);
                assert_eq!(&whole[len - envelope.tail_len..len], &tail[..envelope.tail_len]);

                let at = format.head_len();
                let expected = Step::Frame { payload: at..at + payload.len(), frame_len: len };
                assert_eq!(format.decode(&mut whole, 0), expected);
                for short in (1..len).step_by(if cfg!(miri) { 150 } else { 1 }) {
                    let step = format.decode(&mut whole[..short], 0);
                    let Step::Incomplete { needed } = step else { panic!("{step:?}") };
                    assert!(short < needed && needed <= len);
                }
            }
            let error = EncodeError::TooLong { payload_len: 201, payload_len_max: 200 };
            assert_eq!(format.encode(&[0; 201], &mut [0; 256]), Err(error));
            let needed = format.frame_len(4);
            let error = EncodeError::NoRoom { needed, free: needed - 1 };
            assert_eq!(format.encode(&[0; 4], &mut [0; 64][..needed - 1]), Err(error));
        }
        check(NoChecksum);
        check(CRC16);
        check(CRC32);
        check(CRC64);
    }

    #[test]
    fn a_length_over_the_maximum_is_refused_before_anything_is_waited_for() {
        let format = Prefixed::flatstream(1024);
        let reason = Reason::TooLong { len: 0x7FFF_FFFF, len_max: 1024 };
        assert_eq!(
            format.decode(&mut [0xFF, 0xFF, 0xFF, 0x7F], 0),
            Step::Damaged { skip: 1, reason, resync: true }
        );
    }
}
