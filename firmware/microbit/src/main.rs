//! TIMER0 and the UART's interrupt produce, the main loop drains to the UART,
//! without compare-and-swap: the rings are split in a critical section and
//! used with loads and stores.

#![no_std]
#![no_main]

mod uart;

use cortex_m::peripheral::NVIC;
use cortex_m_rt::entry;
use forebay_app::{Commands, Handover, Ticker};
use nrf51_pac::{Interrupt, Peripherals, TIMER0, UART0, interrupt};
use uart::Receiver;

/// Cycles of the 16 MHz clock from one tick's interrupt to the next.
const PERIOD: u32 = 160_000;

static TICKER: Handover<(Ticker, TIMER0)> = Handover::new();
static COMMANDS: Handover<(Commands, Receiver)> = Handover::new();

#[entry]
fn main() -> ! {
    let Some((parts, device)) = forebay_app::split().zip(Peripherals::take()) else {
        panic!("main runs once");
    };
    let (ticker, commands, drain) = parts;
    let Some(uart) = cortex_m::singleton!(: UART0 = device.UART0) else {
        panic!("main runs once");
    };
    let (receiver, sender) = uart::split(uart);
    start(&device.TIMER0);
    TICKER.leave((ticker, device.TIMER0));
    COMMANDS.leave((commands, receiver));
    for interrupt in [Interrupt::TIMER0, Interrupt::UART0] {
        // SAFETY: the handlers share nothing but through `Handover` and
        // atomics, so they may run from now on.
        unsafe { NVIC::unmask(interrupt) };
    }

    defmt::info!("microbit: ready");
    drain.run(sender)
}

/// Makes the timer interrupt each [`PERIOD`].
fn start(timer: &TIMER0) {
    timer.bitmode.write(|w| w.bitmode()._32bit());
    // SAFETY: a prescaler of 2^0.
    timer.prescaler.write(|w| unsafe { w.prescaler().bits(0) });
    // SAFETY: any count is a valid one.
    timer.cc[0].write(|w| unsafe { w.bits(PERIOD) });
    timer.shorts.write(|w| w.compare0_clear().enabled());
    timer.intenset.write(|w| w.compare0().set());
    // SAFETY: any value starts the task.
    timer.tasks_start.write(|w| unsafe { w.bits(1) });
}

#[interrupt]
fn TIMER0() {
    static mut OWN: Option<(Ticker, TIMER0)> = None;
    if let Some((ticker, timer)) = TICKER.take(OWN) {
        timer.events_compare[0].reset();
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
