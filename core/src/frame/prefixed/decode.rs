//! From received bytes to a payload.

use super::{Checksum, Decode, Prefixed, Reason, Resync, Step};

impl<C: Checksum> Prefixed<C> {
    /// Reads the head at the front of `input`, which holds at least
    /// `lead_len` bytes: the payload's length, or what is wrong.
    #[inline]
    fn read_lead(&self, input: &[u8]) -> Result<usize, Reason> {
        self.verify_head_check(input)?;
        let width = self.width.len_bytes();
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
    pub(super) fn look(&self, input: &[u8]) -> Step {
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
