//! News of losses, sent in the channel that has had them.

use std::{fmt, ops::Sub};

/// The longest report in bytes.
pub const REPORT_LEN_MAX: usize = 256;

/// Messages of a channel that were lost; see [`Channel::report`](crate::Channel::report).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Losses {
    /// Refused: there was no room, or they were too long. Those that came when
    /// the drainer was closed are in the ledger alone.
    pub refused: u64,
    /// Accepted, and then given up for newer ones.
    pub overwritten: u64,
    /// Accepted, and then found to be more than the format or a batch carries.
    pub undeliverable: u64,
}

impl Losses {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.refused + self.overwritten + self.undeliverable
    }
}

impl Sub for Losses {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            refused: self.refused - earlier.refused,
            overwritten: self.overwritten - earlier.overwritten,
            undeliverable: self.undeliverable - earlier.undeliverable,
        }
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refused, overwritten, undeliverable } = self;
        write!(f, "{refused} refused, {overwritten} overwritten, {undeliverable} undeliverable")
    }
}

/// Writes a report of losses to the front of a buffer and says how long it is.
pub(crate) type WriteReport = Box<dyn FnMut(Losses, &mut [u8]) -> usize + Send>;

/// The reports of one channel.
pub(crate) struct Reporter {
    write: WriteReport,
    report: Box<[u8; REPORT_LEN_MAX]>,
    /// The length of a report that waits for room.
    waiting: Option<usize>,
    /// What `write` has been told of last.
    seen: Losses,
    /// What the last report that it wrote goes up to.
    told: Losses,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("told", &self.told).finish_non_exhaustive()
    }
}

impl Reporter {
    pub(crate) fn new(write: WriteReport) -> Self {
        Self {
            write,
            report: Box::new([0; REPORT_LEN_MAX]),
            waiting: None,
            seen: Losses::default(),
            told: Losses::default(),
        }
    }

    /// Whether there is something to report, when these are the losses by now.
    pub(crate) fn has_report(&self, losses: Losses) -> bool {
        self.waiting.is_some() || losses != self.seen
    }

    /// The report to be sent, if there is one, when these are the losses by
    /// now; the same until [`sent`](Reporter::sent).
    pub(crate) fn report(&mut self, losses: Losses) -> Option<&[u8]> {
        if self.waiting.is_none() && losses != self.seen {
            // Before the call: one that panics is not made again for the same
            // losses, which would stop all that is behind it.
            self.seen = losses;
            let len = (self.write)(losses - self.told, &mut *self.report);
            assert!(len <= REPORT_LEN_MAX, "a report of {len} bytes in {REPORT_LEN_MAX}");
            if len > 0 {
                self.told = losses;
                self.waiting = Some(len);
            }
        }
        self.waiting.and_then(|len| self.report.get(..len))
    }

    pub(crate) fn sent(&mut self) {
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refused: u64) -> Losses {
        Losses { refused, ..Losses::default() }
    }

    #[test]
    fn what_a_codec_passes_over_is_in_its_next_report() {
        let mut reporter = Reporter::new(Box::new(|losses, out| {
            out[0] = u8::try_from(losses.refused).unwrap();
            usize::from(losses.refused >= 3)
        }));
        assert_eq!(reporter.report(refused(0)), None);
        assert!(reporter.has_report(refused(2)));
        assert_eq!(reporter.report(refused(2)), None);
        assert!(!reporter.has_report(refused(2)));
        assert_eq!(reporter.report(refused(5)), Some(&[5][..]));
        // Waits for room as it is.
        assert_eq!(reporter.report(refused(9)), Some(&[5][..]));
        reporter.sent();
        assert_eq!(reporter.report(refused(9)), Some(&[4][..]));
        reporter.sent();
        assert_eq!(reporter.report(refused(9)), None);
    }
}
