//! What a search through damaged bytes asks of a format.

use super::{Checksum, Prefixed, Step};
use crate::checksum::truncate;

/// Bytes of the longest length and its head check.
const LEAD_LEN_MAX: usize = 10;

impl<C: Checksum> Prefixed<C> {
    /// What stands at the front of `input`, which is left as it is.
    #[inline(never)]
    pub(crate) fn look_at(&self, input: &[u8]) -> Step {
        self.look(input)
    }

    /// How unlikely random bytes are to look like this frame: once in two to
    /// the power of the answer. Nothing is said for a checksum of zero, which
    /// bytes of zero fulfil, nor by a length of zero.
    pub(crate) fn evidence_bits(&self, frame: &[u8]) -> u32 {
        let lead_len = self.lead_len(0);
        let range = self.checksum_range(lead_len, frame.len());
        let checksum = frame.get(range).unwrap_or_default();
        let said = if self.order.take(checksum) == 0 { 0 } else { 8 * C::LEN };
        let checked = if self.head_check { 16 } else { 0 };
        let length = if frame.len() > lead_len + C::LEN {
            let bits = 8 * self.width.len_bytes();
            // As many as a length over the maximum would differ in.
            bits.saturating_sub((usize::BITS - self.payload_len_max.leading_zeros()) as usize)
                .max(1)
        } else {
            0
        };
        // At most 64, 16 and 64.
        #[allow(clippy::cast_possible_truncation)]
        {
            (said + checked + length) as u32
        }
    }

    /// Whether `frame` would be one if its head said its length: its payload
    /// fulfils the checksum that came with it.
    pub(crate) fn fits(&self, frame: &[u8]) -> bool {
        let lead_len = self.lead_len(0);
        let Some(payload_len) = frame.len().checked_sub(lead_len + C::LEN) else { return false };
        if C::LEN == 0 || payload_len > self.payload_len_max {
            return false;
        }
        let mut lead = [0; LEAD_LEN_MAX];
        self.put_lead(payload_len, &mut lead);
        let head_len = self.head_len();
        let payload = frame.get(head_len..head_len + payload_len).unwrap_or_default();
        let lead = lead.get(..lead_len).unwrap_or_default();
        let received = frame.get(self.checksum_range(lead_len, frame.len())).unwrap_or_default();
        truncate(self.checksum_apart(lead, payload), C::LEN) == self.order.take(received)
    }

    /// The length of a head with its check.
    pub(crate) const fn lead_len_bytes(&self) -> usize {
        self.lead_len(0)
    }
}
