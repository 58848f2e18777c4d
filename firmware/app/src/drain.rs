//! What the main loop does.

use core::sync::atomic::Ordering::Relaxed;

use forebay::{Pump, pump::Drive, ring::Consumer, sink::EmbeddedIo};
use forebay_protocol::{FORMAT, Format};

use crate::{exit, shared::EXIT};

/// The lanes on their way to the line.
pub struct Drain {
    pump: Pump<'static, Format, [u8; 256], 2, 1>,
}

impl Drain {
    pub(crate) fn new(lanes: [Consumer<'static>; 2]) -> Self {
        let mut pump = Pump::new(FORMAT, [0; 256]);
        for lane in lanes {
            // As many lanes as there are rings.
            let _ = pump.add(lane);
        }
        Self { pump }
    }

    /// Drains both rings to `line` until the host asks for the end and all
    /// that was accepted has left; then ends the run. A line that fails ends
    /// it as a failure.
    pub fn run<W>(mut self, line: W) -> !
    where
        W: embedded_io::Write<Error: defmt::Format>,
    {
        let mut sink = EmbeddedIo::new(line);
        loop {
            match self.pump.drive(&mut sink) {
                Ok(Drive::Moved { .. } | Drive::Blocked) => {}
                Ok(Drive::Idle) if self.is_over() => break,
                Ok(Drive::Idle) => self.sleep(),
                Err(error) => defmt::panic!("line: {}", error),
            }
        }
        self.log();
        exit()
    }

    /// As [`run`](Drain::run), for a task; `ready` waits until something may
    /// have been produced.
    pub async fn run_async<W>(mut self, mut line: W, ready: impl AsyncFn()) -> !
    where
        W: embedded_io_async::Write<Error: defmt::Format>,
    {
        loop {
            match self.pump.drive_async(&mut line).await {
                Ok(Drive::Moved { .. } | Drive::Blocked) => {}
                Ok(Drive::Idle) if self.is_over() => break,
                Ok(Drive::Idle) => ready().await,
                Err(error) => defmt::panic!("line: {}", error),
            }
        }
        self.log();
        exit()
    }

    /// Waits for an interrupt, unless one has come since the rings were empty.
    ///
    /// With interrupts held back none can come between the look and the wait;
    /// one that is pending ends the wait all the same.
    fn sleep(&self) {
        critical_section::with(|_| {
            if !self.pump.has_work() {
                cortex_m::asm::wfi();
            }
        });
    }

    fn is_over(&self) -> bool {
        EXIT.load(Relaxed) && !self.pump.has_work()
    }

    fn log(&self) {
        defmt::info!("drained: {}", self.pump.ledger());
        defmt::info!("line: {}", self.pump.counts());
    }
}
