//! From a payload to a frame.

use super::{Checksum, Cover, Encode, EncodeError, Envelope, Place, Prefixed, room, varint};

impl<C: Checksum> Prefixed<C> {
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
    pub(super) fn put_lead(&self, payload_len: usize, head: &mut [u8]) {
        let width = self.width(payload_len);
        let length = head.get_mut(..width).unwrap_or_default();
        if VARINT {
            varint::put(payload_len as u64, length);
        } else {
            self.order.put(payload_len as u64, length);
        }
        self.put_head_check(width, head);
    }
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
