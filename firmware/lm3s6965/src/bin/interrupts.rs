//! `SysTick` and UART0's interrupt produce, the main loop drains to UART0.

#![no_std]
#![no_main]

use cortex_m::peripheral::{NVIC, syst::SystClkSource};
use cortex_m_rt::{entry, exception};
use forebay_app::{Commands, Handover, Ticker};
use forebay_lm3s6965::{Receiver, uart0};
use lm3s6965::{Interrupt, interrupt};

/// Cycles from one tick's interrupt to the next.
const PERIOD: u32 = 120_000;

static TICKER: Handover<Ticker> = Handover::new();
static COMMANDS: Handover<(Commands, Receiver)> = Handover::new();

#[entry]
fn main() -> ! {
    let parts = forebay_app::split().zip(cortex_m::Peripherals::take());
    let Some(((ticker, commands, drain), mut core)) = parts else {
        panic!("main runs once");
    };
    let (receiver, sender) = uart0();
    TICKER.leave(ticker);
    COMMANDS.leave((commands, receiver));

    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(PERIOD - 1);
    core.SYST.clear_current();
    core.SYST.enable_counter();
    core.SYST.enable_interrupt();
    // SAFETY: the interrupt's handler shares nothing but through `Handover`
    // and atomics, so it may run from now on.
    unsafe { NVIC::unmask(Interrupt::UART0) };

    defmt::info!("interrupts: ready");
    drain.run(sender)
}

#[exception]
fn SysTick() {
    static mut OWN: Option<Ticker> = None;
    if let Some(ticker) = TICKER.take(OWN) {
        ticker.interrupt();
    }
}

#[interrupt]
fn UART0() {
    static mut OWN: Option<(Commands, Receiver)> = None;
    if let Some((commands, receiver)) = COMMANDS.take(OWN) {
        commands.interrupt(receiver);
    }
}
