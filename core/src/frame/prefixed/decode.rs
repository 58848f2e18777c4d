//! From received bytes to a payload.

use super::{Checksum, Decode, Prefixed, Reason, Resync, Step, Width, varint};

impl<C: Checksum> Prefixed<C> {
    /// The head at the front of `input`: the payload's length, or what is to
    /// be said instead.
    #[inline]
    fn read_lead(&self, input: &[u8]) -> Result<usize, Step> {
        if self.width == Width::Varint {
            return self.read_varint(input);
        }
        let lead_len = self.lead_len(0);
        if input.len() < lead_len {
            return Err(Step::Incomplete { needed: lead_len });
        }
        let width = self.width.len_bytes(0);
        self.check_head(input.split_at_checked(width).unwrap_or_default()).map_err(damaged_head)?;
        let len = match input.first_chunk() {
            // One load whatever the width.
            Some(&first) => {
                self.order.swap(u64::from_le_bytes(first) & self.width.len_max(), width)
            }
            None => self.order.take(input.get(..width).unwrap_or_default()),
        };
        self.accept_len(len)
    }

    /// As `read_lead`.
    #[inline(never)]
    fn read_varint(&self, input: &[u8]) -> Result<usize, Step> {
        let len_bytes_max = self.width.len_bytes(self.payload_len_max);
        let width = match varint::find(input, len_bytes_max) {
            varint::Found::Whole(width) => width,
            varint::Found::Cut => return Err(Step::Incomplete { needed: input.len() + 1 }),
            // Too long, whatever follows.
            varint::Found::Endless => return Err(self.too_long(varint::least(len_bytes_max))),
        };
        let (length, rest) = input.split_at_checked(width).unwrap_or_default();
        if rest.len() < usize::from(self.lead_len) {
            return Err(Step::Incomplete { needed: width + usize::from(self.lead_len) });
        }
        self.check_head((length, rest)).map_err(damaged_head)?;
        if varint::is_overlong(length) {
            let value = length.iter().take(4).fold(0, |value, byte| value << 8 | u32::from(*byte));
            return Err(damaged_head(Reason::Head { value }));
        }
        match varint::value(length) {
            Some(len) => self.accept_len(len),
            None => Err(self.too_long(u64::MAX)),
        }
    }

    /// A length that has been received, unless it is over the maximum.
    #[inline]
    fn accept_len(&self, len: u64) -> Result<usize, Step> {
        match usize::try_from(len) {
            Ok(len) if len <= self.payload_len_max => Ok(len),
            _ => Err(self.too_long(len)),
        }
    }

    fn too_long(&self, len: u64) -> Step {
        damaged_head(Reason::TooLong { len, len_max: self.payload_len_max as u64 })
    }

    /// What stands at the front of `input`; see [`Decode::decode`].
    // Always, as for `encode`.
    #[inline(always)]
    pub(super) fn look(&self, input: &[u8]) -> Step {
        let payload_len = match self.read_lead(input) {
            Ok(payload_len) => payload_len,
            Err(step) => return step,
        };
        let frame_len = self.frame_len(payload_len);
        let Some(frame) = input.get(..frame_len) else {
            return Step::Incomplete { needed: frame_len };
        };
        let head_len = self.head_len(payload_len);
        let payload = head_len..head_len + payload_len;
        if C::LEN > 0 {
            let computed = self.checksum_of(frame, frame.get(payload.clone()).unwrap_or_default());
            let received = frame.get(self.checksum_range(payload_len)).unwrap_or_default();
            let received = self.order.take(received);
            if computed != received {
                let reason = Reason::Checksum { computed, received };
                return Step::Damaged { skip: frame_len, reason, resync: false };
            }
        }
        Step::Frame { payload, frame_len }
    }
}

/// Nothing behind such a head can be trusted, its length least.
fn damaged_head(reason: Reason) -> Step {
    Step::Damaged { skip: 1, reason, resync: true }
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
        // A head that is cut has no other behind it that is not.
        let at = (0..input.len()).find_map(|at| {
            match self.read_lead(input.get(at..).unwrap_or_default()) {
                Ok(_) => Some(Resync::Tentative(at)),
                Err(Step::Incomplete { .. }) => Some(Resync::Skip(at)),
                Err(_) => None,
            }
        });
        at.unwrap_or(Resync::Skip(input.len()))
    }
}
