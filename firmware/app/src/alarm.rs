//! What an interrupt does that interrupts the timer's.

use core::sync::atomic::Ordering::Relaxed;

use forebay::ring::{Many, Producer};
use forebay_protocol::{Running, alarm};

use crate::shared::{ALARMS, HALF_WRITTEN, lane, log_refusal};

/// Offers alarms to the ring in which the timer's interrupt has a grant open.
pub struct Alarm {
    out: Producer<'static, Many>,
    crc: Running,
}

impl Alarm {
    pub(crate) const fn new(out: Producer<'static, Many>) -> Self {
        Self { out, crc: Running::new() }
    }

    /// To be called by the interrupt that the [`Ticker`](crate::Ticker) raises.
    pub fn interrupt(&mut self) {
        let payload = alarm(HALF_WRITTEN.load(Relaxed));
        match self.out.push(&payload) {
            Ok(()) => self.crc.add(&payload),
            Err(error) => log_refusal("alarms", self.out.ledger(), error),
        }
        ALARMS.show(lane(self.out.ledger(), &self.crc));
    }
}
