//! What the timer's interrupt does.

use core::sync::atomic::Ordering::Relaxed;

use forebay::ring::{Mode, One, Producer, ReserveError};
use forebay_protocol::{Running, has_alarm, tick, tick_len};

use crate::shared::{AT_ONCE, HALF_WRITTEN, NONE, TICKS, WANTED, lane, log_refusal};

/// Offers ticks to its ring: numbered messages of many lengths.
pub struct Ticker<M: Mode + 'static = One> {
    out: Producer<'static, M>,
    number: u32,
    crc: Running,
}

impl<M: Mode> Ticker<M> {
    pub(crate) const fn new(out: Producer<'static, M>) -> Self {
        Self { out, number: 0, crc: Running::new() }
    }

    /// To be called by each interrupt of the timer: offers as many ticks as
    /// one interrupt should, as long as more are wanted.
    ///
    /// Whether it offered any.
    pub fn interrupt(&mut self) -> bool {
        self.interrupt_and(|| {})
    }

    /// As [`interrupt`](Ticker::interrupt); raises an [`Alarm`](crate::Alarm)
    /// while some of the ticks are half written.
    pub fn interrupt_and(&mut self, raise: impl Fn()) -> bool {
        let left = WANTED.load(Relaxed).wrapping_sub(self.number);
        let at_once = left.min(AT_ONCE.load(Relaxed));
        for _ in 0..at_once {
            if let Err(error) = self.offer(&raise) {
                log_refusal("ticks", self.out.ledger(), error);
            }
            self.number = self.number.wrapping_add(1);
        }
        TICKS.show(lane(self.out.ledger(), &self.crc));
        at_once > 0
    }

    fn offer(&mut self, raise: impl Fn()) -> Result<(), ReserveError> {
        let mut grant = self.out.reserve(tick_len(self.number))?;
        if has_alarm(self.number) {
            let half = grant.len() / 2;
            tick(self.number, grant.split_at_mut(half).0);
            HALF_WRITTEN.store(self.number, Relaxed);
            raise();
            HALF_WRITTEN.store(NONE, Relaxed);
        }
        tick(self.number, &mut grant);
        self.crc.add(&grant);
        grant.commit();
        Ok(())
    }
}
