//! The search within one stretch of a stream.

use crate::{
    checksum::Checksum,
    frame::{Prefixed, Reason, Step},
};

/// A chain of frames whose evidence adds up to so many bits is no accident.
const PROOF_BITS: u32 = 24;
/// What it adds that a chain ends where the stream ends.
const END_BITS: u32 = 8;
/// So many frames in a row prove themselves where there is no checksum, and
/// prove nothing where they are zeros.
const CHAIN_LEN: u32 = 32;
/// With fewer checksum bytes than this, too many places fit by accident to
/// try more than one.
const FIT_LEN_MIN: usize = 4;
/// So much work goes at least into the question whether a length is damaged:
/// bytes looked at and bytes summed.
const FIT_WORK: usize = 1 << if usize::BITS > 16 { 16 } else { 14 };

/// The next bytes of a stream, and whether it ends with them.
pub(super) struct Window<'w, C> {
    pub(super) format: &'w Prefixed<C>,
    pub(super) bytes: &'w [u8],
    pub(super) ended: bool,
}

/// What stands at the front of a window in which a frame should begin.
pub(super) enum Front {
    /// A frame of so many bytes.
    Frame { frame_len: usize, payload_begin: usize, payload_end: usize },
    /// More bytes are needed to tell.
    Wait,
    /// No frame.
    Damaged { reason: Reason, claim: Claim },
    /// No frame, and this is where the next one begins.
    Resolved { reason: Reason, at: usize },
}

/// Where a damaged frame ends by what its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The head says nothing that could be true.
    None,
    /// After so many bytes.
    At(usize),
    /// Behind the end of the stream.
    BehindTheEnd,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A frame begins, or the stream ends, after so many bytes.
    At(usize),
    /// No frame begins in the first so many bytes.
    Nothing(usize),
}

/// Whether frames that follow each other from some place are the stream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Proven,
    /// They lead to the end of the stream, and say too little besides.
    Weak,
    Refuted,
    /// The window ends before that can be told.
    Open,
}

/// Why a place is thought to be a frame's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// It is only being tried.
    Tried,
    /// A damaged frame would end there.
    Claimed,
}

impl<C: Checksum> Window<'_, C> {
    /// What stands at the front.
    pub(super) fn front(&self) -> Front {
        match self.look(0) {
            Step::Frame { payload, frame_len } => {
                if let Some(other) = self.contradicted(frame_len) {
                    return other;
                }
                Front::Frame { frame_len, payload_begin: payload.start, payload_end: payload.end }
            }
            Step::Incomplete { .. } if !self.ended => Front::Wait,
            Step::Incomplete { needed } => {
                let reason = Reason::Truncated { received: self.bytes.len(), needed };
                Front::Damaged { reason, claim: Claim::BehindTheEnd }
            }
            Step::Damaged { skip, reason, resync } => {
                let claim = if resync { Claim::None } else { Claim::At(skip) };
                Front::Damaged { reason, claim }
            }
            Step::Idle { .. } => Front::Wait,
        }
    }

    /// Without a checksum a damaged length shows in what it leads to: there is
    /// no frame, while a chain that begins inside this one passes that place.
    fn contradicted(&self, frame_len: usize) -> Option<Front> {
        if C::LEN > 0 {
            return None;
        }
        let behind = self.bytes.len() - frame_len;
        if !self.ended && behind < self.format.lead_len_max() {
            return Some(Front::Wait);
        }
        let reason = match self.look(frame_len) {
            Step::Damaged { reason, .. } => reason,
            Step::Incomplete { needed } if self.ended && behind > 0 => {
                Reason::Truncated { received: behind, needed }
            }
            _ => return None,
        };
        // The search is to see as much as any other.
        if !self.is_whole() {
            return Some(Front::Wait);
        }
        let mut work = FIT_WORK + 16 * frame_len;
        let at = (1..frame_len)
            .find(|&at| self.chain(at, frame_len, Ground::Tried, &mut work) == Verdict::Proven)?;
        Some(Front::Resolved { reason, at })
    }

    /// Whether a search may begin: there are as many bytes as one may need.
    pub(super) fn is_whole(&self) -> bool {
        self.ended || self.bytes.len() >= super::window_len(self.format)
    }

    /// Where the stream goes on after a frame at the front that is damaged.
    ///
    /// Two things can be wrong with it, and each can be tested. If its length
    /// is damaged, its payload still fulfils the checksum, up to where the
    /// next frame begins. If it is not, a frame begins where it says. What
    /// begins in between belongs to the payload then, whatever it looks like.
    /// If neither can be shown, the next frame is the first one found.
    pub(super) fn resume(&self, claim: Claim) -> Found {
        let claimed = match claim {
            Claim::At(at) if self.claimed(at) != Verdict::Refuted => Some(at),
            _ => None,
        };
        let (limit, cut) = (self.limit(), claim == Claim::BehindTheEnd);
        let mut work = FIT_WORK + 4 * claimed.unwrap_or(0);
        let (mut first, mut open) = (None, None);
        let mut at = 1;
        // Whether frames lead here, and to the end of the stream.
        let (mut led, mut arrived) = (false, false);
        while at <= limit && (work > 0 || cut) {
            let at_end = at == self.bytes.len();
            arrived |= at_end && led;
            let frame_len = match self.look(at) {
                Step::Frame { frame_len, .. } if !at_end => Some(frame_len),
                _ => None,
            };
            let known = at_end || (led && frame_len.is_some());
            led = false;
            let mut skip = 1;
            match if known { Verdict::Proven } else { self.tried(at) } {
                Verdict::Proven => {
                    first.get_or_insert(at);
                    if work > 0 && self.fits(at) {
                        return Found::At(at);
                    }
                    work = if C::LEN < FIT_LEN_MIN { 0 } else { work.saturating_sub(at) };
                    if let Some(frame_len) = frame_len {
                        (skip, led) = (frame_len, true);
                    }
                }
                Verdict::Weak if work > 0 => {
                    if self.fits(at) {
                        return Found::At(at);
                    }
                    work = work.saturating_sub(at);
                }
                Verdict::Open if open.is_none() => open = Some(at),
                Verdict::Open | Verdict::Weak | Verdict::Refuted => {}
            }
            // A search for the first one is worth any work.
            if first.is_some() || claimed.is_some() {
                work = work.saturating_sub(skip);
            }
            at += skip;
        }
        match (claimed, open, first) {
            (Some(claimed), ..) => Found::At(claimed),
            // It is the end that is missing.
            _ if cut && !arrived => Found::At(self.bytes.len()),
            (None, Some(open), Some(first)) if open < first => Found::Nothing(open),
            (None, _, Some(first)) => Found::At(first),
            (None, Some(open), None) => Found::Nothing(open),
            (None, None, None) => Found::Nothing((limit + 1).min(self.bytes.len())),
        }
    }

    /// The first place from which frames follow each other, from the front on.
    pub(super) fn search(&self) -> Found {
        let limit = self.limit().min(self.bytes.len() - 1);
        for at in 0..=limit {
            match self.tried(at) {
                Verdict::Proven => return Found::At(at),
                // At the front there is all that there will be to see.
                Verdict::Open if at > 0 => return Found::Nothing(at),
                Verdict::Open if C::LEN == 0 => return Found::At(at),
                Verdict::Open | Verdict::Weak | Verdict::Refuted => {}
            }
        }
        Found::Nothing(limit + 1)
    }

    fn tried(&self, at: usize) -> Verdict {
        self.chain(at, 0, Ground::Tried, &mut { usize::MAX })
    }

    fn claimed(&self, at: usize) -> Verdict {
        self.chain(at, 0, Ground::Claimed, &mut { usize::MAX })
    }

    fn look(&self, at: usize) -> Step {
        self.format.look_at(self.bytes.get(at..).unwrap_or_default())
    }

    /// The last place whose frame, if there is one, is wholly in the window.
    fn limit(&self) -> usize {
        let len = self.bytes.len();
        if self.ended {
            len
        } else {
            len.saturating_sub(self.format.frame_len(self.format.payload_len_max()))
        }
    }

    fn fits(&self, at: usize) -> bool {
        self.bytes.get(..at).is_some_and(|frame| self.format.fits(frame))
    }

    /// Follows frames from `begin` until they prove themselves beyond `past`,
    /// or break off.
    fn chain(&self, begin: usize, past: usize, ground: Ground, work: &mut usize) -> Verdict {
        let claimed = ground == Ground::Claimed;
        let (mut at, mut bits, mut frames) = (begin, 0u32, 0u32);
        loop {
            let proven =
                if C::LEN == 0 { frames >= CHAIN_LEN && bits > 0 } else { bits >= PROOF_BITS };
            if proven && at > past {
                return Verdict::Proven;
            }
            if (frames >= CHAIN_LEN && bits == 0) || *work == 0 {
                return Verdict::Refuted;
            }
            *work -= 1;
            if at >= self.bytes.len() {
                let enough = if C::LEN == 0 { bits > 0 } else { bits + END_BITS >= PROOF_BITS };
                return match self.ended {
                    true if claimed || enough => Verdict::Proven,
                    true => Verdict::Weak,
                    false => Verdict::Open,
                };
            }
            match self.look(at) {
                Step::Frame { frame_len, .. } => {
                    let frame = self.bytes.get(at..at + frame_len).unwrap_or_default();
                    bits = bits.saturating_add(self.format.evidence_bits(frame));
                    frames += 1;
                    at += frame_len;
                }
                Step::Incomplete { .. } if !self.ended => {
                    // A head alone is not worth waiting for.
                    return if frames > 0 || claimed { Verdict::Open } else { Verdict::Refuted };
                }
                _ if claimed && bits > 0 => return Verdict::Proven,
                _ => return Verdict::Refuted,
            }
        }
    }
}
