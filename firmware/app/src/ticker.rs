//! What the timer's interrupt does.

use core::sync::atomic::Ordering::Relaxed;

use forebay::ring::{Producer, ReserveError};
use forebay_protocol::{Running, tick, tick_len};

use crate::shared::{AT_ONCE, TICKS, WANTED, lane, log_refusal};

/// Offers ticks to its ring: numbered messages of many lengths.
pub struct Ticker {
    out: Producer<'static>,
    number: u32,
    crc: Running,
}

impl Ticker {
    pub(crate) const fn new(out: Producer<'static>) -> Self {
        Self { out, number: 0, crc: Running::new() }
    }

    /// To be called by each interrupt of the timer: offers as many ticks as
    /// one interrupt should, as long as more are wanted.
    ///
    /// Whether it offered any.
    pub fn interrupt(&mut self) -> bool {
        let left = WANTED.load(Relaxed).wrapping_sub(self.number);
        let at_once = left.min(AT_ONCE.load(Relaxed));
        for _ in 0..at_once {
            if let Err(error) = self.offer() {
                log_refusal("ticks", self.out.ledger(), error);
            }
            self.number = self.number.wrapping_add(1);
        }
        TICKS.show(lane(self.out.ledger(), &self.crc));
        at_once > 0
    }

    fn offer(&mut self) -> Result<(), ReserveError> {
        let mut grant = self.out.reserve(tick_len(self.number))?;
        tick(self.number, &mut grant);
        self.crc.add(&grant);
        grant.commit();
        Ok(())
    }
}
