//! From received bytes to a payload.

use super::{Checksum, Decode, Prefixed, Reason, Resync, Step, varint};

impl<C: Checksum, const VARINT: bool> Prefixed<C, VARINT> {
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
    pub(super) fn look(&self, input: &[u8]) -> Step {
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

impl<C: Checksum, const VARINT: bool> Decode for Prefixed<C, VARINT> {
    #[inline]
    fn buffer_len_min(&self) -> usize {
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
