//! Counts of what was offered, accepted, delivered, refused, overwritten.

use core::{fmt, ops::Add};

/// What became of the messages, so that every loss is a number.
///
/// ```text
/// offered  = accepted + refused
/// accepted = delivered + overwritten + undeliverable + in flight
/// ```
///
/// Each part of a path counts what it alone can see: a
/// [`Producer`](crate::ring::Producer) what was offered, a
/// [`Pump`](crate::Pump) what was delivered. Their sum is the path's ledger:
///
/// ```
/// use forebay::{Pump, frame::Plain, ring::Ring};
///
/// let mut ring = Ring::<64>::new();
/// let (mut producer, consumer) = ring.split();
/// let mut pump: Pump<Plain, [u8; 64], 1> = Pump::new(Plain, [0; 64]);
/// pump.add(consumer).unwrap();
///
/// producer.push(b"kept")?;
/// producer.push(&[0; 1000]).unwrap_err();
/// let pending = pump.fill().len_bytes();
/// pump.wrote(pending).unwrap();
///
/// let ledger = producer.ledger() + pump.ledger();
/// assert_eq!(ledger.to_string(), "offered 2, accepted 1, refused 1, delivered 1, in flight 0");
/// assert_eq!(ledger.in_flight(), 0);
/// # Ok::<(), forebay::ring::ReserveError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ledger {
    /// Messages that a producer tried to send.
    pub offered: u64,
    /// Messages that entered the path.
    pub accepted: u64,
    /// Messages that were refused at once: no room, too long, closed.
    pub refused: u64,
    /// Those of the refused that found a ring full whose oldest records could
    /// not be overwritten just then.
    pub busy: u64,
    /// Messages whose last byte the sink has taken.
    pub delivered: u64,
    /// Messages that were accepted and then gave way to newer ones.
    pub overwritten: u64,
    /// Messages that were accepted and that the format or the batch can never
    /// carry.
    pub undeliverable: u64,
}

impl Ledger {
    /// Messages accepted of which nothing else is known yet: in a ring or in
    /// a batch. At the end of a path, what was left undelivered.
    ///
    /// Saturates at zero, for a ledger that is only a part.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.accepted.saturating_sub(self.delivered + self.overwritten + self.undeliverable)
    }

    /// Whether the equations hold with `in_flight` messages under way.
    #[must_use]
    pub fn balances(&self, in_flight: u64) -> bool {
        self.offered == self.accepted + self.refused
            && self.accepted == self.delivered + self.overwritten + self.undeliverable + in_flight
    }
}

/// What a producer counts: the least that makes its part of a ledger.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offers {
    accepted: u64,
    refused: u64,
}

impl Offers {
    #[inline]
    pub(crate) fn accept(&mut self, messages: u64) {
        self.accepted += messages;
    }

    #[cold]
    pub(crate) fn refuse(&mut self, messages: u64) {
        self.refused += messages;
    }

    pub(crate) fn ledger(self) -> Ledger {
        let Self { accepted, refused } = self;
        Ledger { offered: accepted + refused, accepted, refused, ..Ledger::default() }
    }
}

impl Add for Ledger {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            offered: self.offered + other.offered,
            accepted: self.accepted + other.accepted,
            refused: self.refused + other.refused,
            busy: self.busy + other.busy,
            delivered: self.delivered + other.delivered,
            overwritten: self.overwritten + other.overwritten,
            undeliverable: self.undeliverable + other.undeliverable,
        }
    }
}

impl core::iter::Sum for Ledger {
    fn sum<I: Iterator<Item = Self>>(ledgers: I) -> Self {
        ledgers.fold(Self::default(), Add::add)
    }
}

/// The counts that can be non-zero in every path, then those that are.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, accepted, refused, busy, delivered, overwritten, undeliverable } = self;
        write!(f, "offered {offered}, accepted {accepted}, refused {refused}")?;
        if *busy > 0 {
            write!(f, " ({busy} busy)")?;
        }
        write!(f, ", delivered {delivered}")?;
        if *overwritten > 0 {
            write!(f, ", overwritten {overwritten}")?;
        }
        if *undeliverable > 0 {
            write!(f, ", undeliverable {undeliverable}")?;
        }
        write!(f, ", in flight {}", self.in_flight())
    }
}

#[cfg(all(test, not(forebay_loom)))]
mod tests {
    use core::fmt::Write;

    use super::*;

    /// Balanced, with 7 in flight; no two counts are the same.
    const LEDGER: Ledger = Ledger {
        offered: 131,
        accepted: 120,
        refused: 11,
        busy: 4,
        delivered: 80,
        overwritten: 30,
        undeliverable: 3,
    };

    /// A ledger with one of its counts.
    fn only(count: usize, value: u64) -> Ledger {
        let mut ledger = Ledger::default();
        let Ledger { offered, accepted, refused, busy, delivered, overwritten, undeliverable } =
            &mut ledger;
        let counts = [offered, accepted, refused, busy, delivered, overwritten, undeliverable];
        *counts.into_iter().nth(count).unwrap() = value;
        ledger
    }

    #[test]
    fn one_message_more_in_any_count_tips_the_balance() {
        assert!(LEDGER.balances(7));
        assert!(!LEDGER.balances(6) && !LEDGER.balances(8));
        for count in 0..7 {
            // Those that were busy are among the refused.
            assert_eq!((LEDGER + only(count, 1)).balances(7), count == 3, "count {count}");
        }
    }

    #[test]
    fn in_flight_is_what_is_left_of_the_accepted() {
        assert_eq!(LEDGER.in_flight(), 7);
        let left = [7, 8, 7, 7, 6, 6, 6];
        for (count, left) in left.into_iter().enumerate() {
            assert_eq!((LEDGER + only(count, 1)).in_flight(), left, "count {count}");
        }
        assert_eq!(only(4, 1).in_flight(), 0);
    }

    #[test]
    fn a_sum_is_that_of_each_count() {
        let parts =
            (0..7).zip([131, 120, 11, 4, 80, 30, 3]).map(|(count, value)| only(count, value));
        assert_eq!(parts.sum::<Ledger>(), LEDGER);
        assert_eq!(LEDGER + LEDGER, [LEDGER, LEDGER].into_iter().sum());
    }

    #[test]
    fn what_is_zero_and_rare_is_not_said() {
        for (ledger, text) in [
            (
                LEDGER,
                "offered 131, accepted 120, refused 11 (4 busy), delivered 80, overwritten 30, \
                 undeliverable 3, in flight 7",
            ),
            (
                Ledger { busy: 0, overwritten: 0, undeliverable: 0, ..LEDGER },
                "offered 131, accepted 120, refused 11, delivered 80, in flight 40",
            ),
        ] {
            let mut said = heapless::String::<128>::new();
            write!(said, "{ledger}").unwrap();
            assert_eq!(said, text);
        }
    }
}
