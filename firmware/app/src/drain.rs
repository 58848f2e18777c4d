//! What the main loop does.

use core::sync::atomic::Ordering::Relaxed;

use forebay::{
    Pump,
    pump::Drive,
    ring::{Consumer, Many, Producer},
    sink::EmbeddedIo,
};
use forebay_protocol::{FORMAT, Format, HELD_LEN, held};

use crate::{
    exit,
    shared::{EXIT, HOLD_UNTIL, TICKS},
};

/// The lanes on their way to the line.
pub struct Drain<const LANES: usize> {
    pump: Pump<'static, Format, [u8; 256], LANES, 1>,
    /// Its own, into the ring that it drains.
    out: Option<Producer<'static, Many>>,
}

impl<const LANES: usize> Drain<LANES> {
    pub(crate) fn new(
        lanes: [Consumer<'static>; LANES],
        out: Option<Producer<'static, Many>>,
    ) -> Self {
        let mut pump = Pump::new(FORMAT, [0; 256]);
        for lane in lanes {
            // As many lanes as there are rings.
            let _ = pump.add(lane);
        }
        Self { pump, out }
    }

    /// Drains the rings to `line` until the host asks for the end and all
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
                Ok(Drive::Idle) if self.is_to_hold() => self.hold(&mut sink),
                Ok(Drive::Idle) => self.sleep(),
                Err(error) => defmt::panic!("line: {}", error),
            }
        }
        self.log();
        exit()
    }

    /// Holds a record open for as long as the host wishes and drains what
    /// there is: nothing, as all that the interrupts commit meanwhile is behind
    /// it.
    fn hold<W>(&mut self, sink: &mut EmbeddedIo<W>)
    where
        W: embedded_io::Write<Error: defmt::Format>,
    {
        let Self { pump, out: Some(out) } = self else { return };
        // With interrupts held back, so that the ring is empty and no tick
        // comes between the claim and the count.
        let claimed = critical_section::with(|_| {
            let grant = if pump.has_work() { None } else { out.reserve(HELD_LEN).ok() };
            grant.zip(Some(TICKS.offered()))
        });
        let Some((mut grant, claimed)) = claimed else { return };
        grant.copy_from_slice(&held(claimed, 0));
        while hold_for(TICKS.offered()) {
            match pump.drive(sink) {
                Ok(Drive::Idle) => {}
                Ok(Drive::Moved { .. } | Drive::Blocked) => defmt::panic!("passed an open grant"),
                Err(error) => defmt::panic!("line: {}", error),
            }
            sleep_unless(|| !hold_for(TICKS.offered()));
        }
        grant.copy_from_slice(&held(claimed, TICKS.offered()));
        grant.commit();
    }

    fn is_to_hold(&self) -> bool {
        self.out.is_some() && hold_for(TICKS.offered())
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
    fn sleep(&self) {
        sleep_unless(|| self.pump.has_work() || self.is_to_hold());
    }

    fn is_over(&self) -> bool {
        EXIT.load(Relaxed) && !self.pump.has_work()
    }

    fn log(&self) {
        defmt::info!("drained: {}", self.pump.ledger());
        defmt::info!("line: {}", self.pump.counts());
    }
}

/// Whether a record is to be held open when so many ticks have been offered.
fn hold_for(offered: u32) -> bool {
    offered < HOLD_UNTIL.load(Relaxed)
}

/// Waits for an interrupt, unless there is something to do.
///
/// With interrupts held back none can come between the look and the wait; one
/// that is pending ends the wait all the same.
fn sleep_unless(ready: impl Fn() -> bool) {
    critical_section::with(|_| {
        if !ready() {
            cortex_m::asm::wfi();
        }
    });
}
