//! What guards a frame: the head check and the checksum.

use core::ops::Range;

use crc::{Crc, Table};

use super::{Checksum, Cover, Place, Prefixed, Reason};
use crate::checksum::truncate;

/// Guards the length bytes of a head. Its value over zero bytes is not zero
/// for any width (see the tests), so an all-zero head never validates.
static HEAD_CHECK: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&crc::CRC_16_IBM_SDLC);
pub(super) const HEAD_CHECK_LEN: u8 = 2;

impl<C: Checksum> Prefixed<C> {
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

    /// Compares the head check, where there is one, with the length before it;
    /// both are there.
    #[inline]
    pub(super) fn check_head(&self, (length, rest): (&[u8], &[u8])) -> Result<(), Reason> {
        if self.head_check {
            let computed = HEAD_CHECK.checksum(length);
            let received = rest.get(..usize::from(HEAD_CHECK_LEN)).unwrap_or_default();
            // Two bytes always fit.
            #[allow(clippy::cast_possible_truncation)]
            let received = self.order.take(received) as u16;
            if computed != received {
                return Err(Reason::HeadCheck { computed, received });
            }
        }
        Ok(())
    }

    /// Computes the checksum of a frame whose length, head check and payload
    /// are in place. `payload` is the payload too, there or elsewhere.
    #[inline]
    pub(super) fn checksum_of(&self, frame: &[u8], payload: &[u8]) -> u64 {
        let covered = match (self.cover, self.place) {
            (Cover::Payload, _) => Some(payload),
            // Head and payload are neighbours: one part.
            (Cover::HeadAndPayload, Place::AfterPayload) => {
                frame.get(..self.lead_len(payload.len()) + payload.len())
            }
            (Cover::HeadAndPayload, Place::BeforePayload) => None,
        };
        match covered {
            Some(covered) => truncate(self.checksum.compute(&[covered]), C::LEN),
            None => {
                let lead = frame.get(..self.lead_len(payload.len())).unwrap_or_default();
                self.checksum_apart(lead, payload)
            }
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

    /// Where the checksum of a frame of `payload_len` bytes of payload, which
    /// is in memory, stands.
    #[inline]
    pub(super) fn checksum_range(&self, payload_len: usize) -> Range<usize> {
        let begin = match self.place {
            Place::BeforePayload => self.lead_len(payload_len),
            Place::AfterPayload => self.lead_len(payload_len) + payload_len,
        };
        begin..begin + C::LEN
    }

    #[inline]
    pub(super) fn put_checksum(&self, checksum: u64, payload_len: usize, frame: &mut [u8]) {
        if let Some(place) = frame.get_mut(self.checksum_range(payload_len)) {
            self.order.put(checksum, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::prefixed::tests::WIDTHS;

    #[test]
    fn the_head_check_of_zeros_is_not_zero() {
        for width in WIDTHS {
            assert_ne!(HEAD_CHECK.checksum(&[0; 8][..width.len_bytes(0)]), 0, "{width:?}");
        }
    }
}
