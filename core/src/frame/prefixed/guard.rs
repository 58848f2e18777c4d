//! What guards a frame: the head check and the checksum.

use core::ops::Range;

use crc::{Crc, Table};

use super::{Checksum, Cover, Place, Prefixed, Reason};
use crate::checksum::truncate;

/// Guards the length bytes of a head. Its value over zero bytes is not zero
/// for any width (see the tests), so an all-zero head never validates.
static HEAD_CHECK: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&crc::CRC_16_IBM_SDLC);
pub(super) const HEAD_CHECK_LEN: u8 = 2;

impl<C: Checksum, const VARINT: bool> Prefixed<C, VARINT> {
    /// Writes the head check behind the length of `width` bytes at the front
    /// of `head`.
    #[inline]
    pub(super) fn put_head_check(&self, width: usize, head: &mut [u8]) {
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
    pub(super) fn checksum_of(&self, frame: &[u8], lead_len: usize, payload: &[u8]) -> u64 {
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
    pub(super) fn checksum_apart(&self, lead: &[u8], payload: &[u8]) -> u64 {
        let value = match self.cover {
            Cover::Payload => self.checksum.compute(&[payload]),
            Cover::HeadAndPayload => self.checksum.compute(&[lead, payload]),
        };
        truncate(value, C::LEN)
    }

    /// Where the checksum stands in a frame in memory.
    #[inline]
    pub(super) fn checksum_range(&self, lead_len: usize, frame_len: usize) -> Range<usize> {
        let begin = match self.place {
            Place::BeforePayload => lead_len,
            Place::AfterPayload => frame_len.saturating_sub(C::LEN),
        };
        begin..begin + C::LEN
    }

    #[inline]
    pub(super) fn put_checksum(&self, checksum: u64, lead_len: usize, frame: &mut [u8]) {
        if let Some(place) = frame.get_mut(self.checksum_range(lead_len, frame.len())) {
            self.order.put(checksum, place);
        }
    }

    /// Compares the head check that was received with the length before it.
    #[inline]
    pub(super) fn check_head(&self, length: &[u8], received: &[u8]) -> Result<(), Reason> {
        let computed = HEAD_CHECK.checksum(length);
        // Two bytes always fit.
        #[allow(clippy::cast_possible_truncation)]
        let received = self.order.take(received) as u16;
        if computed != received {
            return Err(Reason::HeadCheck { computed, received });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::prefixed::tests::WIDTHS;

    #[test]
    fn the_head_check_of_zeros_is_not_zero() {
        for width in WIDTHS {
            assert_ne!(HEAD_CHECK.checksum(&[0; 8][..width.len_bytes()]), 0, "{width:?}");
        }
    }
}
