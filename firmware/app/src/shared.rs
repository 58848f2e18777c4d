//! The words that the interrupts and the main loop share, beside the rings.
//!
//! Each has one writer and is loaded and stored alone, so that a Cortex-M0
//! without read-modify-write instructions will do.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use forebay::{Ledger, ring::ReserveError};
use forebay_protocol::{Lane, Running};

/// Ticks that the host asked for; stored by the receive interrupt.
pub(crate) static WANTED: AtomicU32 = AtomicU32::new(0);
/// Ticks that an interrupt offers; stored by the receive interrupt.
pub(crate) static AT_ONCE: AtomicU32 = AtomicU32::new(1);
/// Whether the host asked for the end; stored by the receive interrupt.
pub(crate) static EXIT: AtomicBool = AtomicBool::new(false);
/// Ticks until which the main loop holds a record open; stored by the receive
/// interrupt.
pub(crate) static HOLD_UNTIL: AtomicU32 = AtomicU32::new(0);
/// The tick that is half written, or [`NONE`]; stored by the timer's interrupt.
pub(crate) static HALF_WRITTEN: AtomicU32 = AtomicU32::new(NONE);
/// No tick is half written.
pub(crate) const NONE: u32 = u32::MAX;
/// What the timer's interrupt did; stored by it.
pub(crate) static TICKS: Shown = Shown::new();
/// What the alarm's interrupt did; stored by it.
pub(crate) static ALARMS: Shown = Shown::new();

/// A [`Lane`] that others may look at: whoever interrupts sees it as it was or
/// as it is, nothing between.
pub(crate) struct Shown {
    offered: AtomicU32,
    accepted: AtomicU32,
    crc: AtomicU32,
}

impl Shown {
    const fn new() -> Self {
        Self { offered: AtomicU32::new(0), accepted: AtomicU32::new(0), crc: AtomicU32::new(0) }
    }

    pub(crate) fn show(&self, lane: Lane) {
        critical_section::with(|_| {
            self.offered.store(lane.offered, Relaxed);
            self.accepted.store(lane.accepted, Relaxed);
            self.crc.store(lane.crc, Relaxed);
        });
    }

    pub(crate) fn lane(&self) -> Lane {
        critical_section::with(|_| {
            let (offered, accepted) = (self.offered.load(Relaxed), self.accepted.load(Relaxed));
            let refused = offered.wrapping_sub(accepted);
            Lane { offered, accepted, refused, crc: self.crc.load(Relaxed) }
        })
    }

    pub(crate) fn offered(&self) -> u32 {
        self.offered.load(Relaxed)
    }
}

/// What a producer's ledger and the checksum over its payloads say.
pub(crate) fn lane(ledger: Ledger, crc: &Running) -> Lane {
    let [offered, accepted, refused] =
        [ledger.offered, ledger.accepted, ledger.refused].map(narrow);
    Lane { offered, accepted, refused, crc: crc.value() }
}

/// A count on its way to the host; the images run for seconds.
pub(crate) fn narrow(count: u64) -> u32 {
    // What is cut off is zero.
    #[allow(clippy::cast_possible_truncation)]
    let narrow = count as u32;
    narrow
}

/// Logs the first refusal of a lane; the ledger has the rest.
pub(crate) fn log_refusal(name: &str, ledger: Ledger, error: ReserveError) {
    if ledger.refused == 1 {
        defmt::warn!("{=str}: first refusal: {}", name, error);
    }
}
