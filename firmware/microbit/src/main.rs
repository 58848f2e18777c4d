//! The interrupts of TIMER0, SWI0 and the UART and the main loop produce into
//! one ring, which the main loop drains to the UART. There is no
//! compare-and-swap: a producer claims in a critical section of a few
//! instructions and writes and commits outside of it.
//!
//! SWI0 interrupts TIMER0 while a grant of it is open, and the UART's interrupt
//! does so whenever a byte comes.

#![no_std]
#![no_main]

mod uart;

use cortex_m::{asm, peripheral::NVIC};
use cortex_m_rt::entry;
use forebay::ring::Many;
use forebay_app::{Alarm, Commands, Handover, Ticker};
use nrf51_pac::{Interrupt, Peripherals, TIMER0, UART0, interrupt};
use uart::Receiver;

/// Least first: a Cortex-M0 has the two highest bits.
const PRIORITIES: [(Interrupt, u8); 3] =
    [(Interrupt::TIMER0, 3 << 6), (Interrupt::UART0, 2 << 6), (Interrupt::SWI0, 1 << 6)];

/// Cycles of the 16 MHz clock from one tick's interrupt to the next.
const PERIOD: u32 = 160_000;

static TICKER: Handover<(Ticker<Many>, TIMER0)> = Handover::new();
static ALARM: Handover<Alarm> = Handover::new();
static COMMANDS: Handover<(Commands<Many>, Receiver)> = Handover::new();

#[entry]
fn main() -> ! {
    let devices = Peripherals::take().zip(cortex_m::Peripherals::take());
    let Some((parts, (device, mut core))) = forebay_app::share().zip(devices) else {
        panic!("main runs once");
    };
    let (ticker, alarm, commands, drain) = parts;
    let Some(uart) = cortex_m::singleton!(: UART0 = device.UART0) else {
        panic!("main runs once");
    };
    let (receiver, sender) = uart::split(uart);
    start(&device.TIMER0);
    TICKER.leave((ticker, device.TIMER0));
    COMMANDS.leave((commands, receiver));
    ALARM.leave(alarm);
    for (interrupt, priority) in PRIORITIES {
        // SAFETY: no critical section relies on a priority.
        unsafe { core.NVIC.set_priority(interrupt, priority) };
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
    static mut OWN: Option<(Ticker<Many>, TIMER0)> = None;
    if let Some((ticker, timer)) = TICKER.take(OWN) {
        timer.events_compare[0].reset();
        ticker.interrupt_and(raise_alarm);
    }
}

/// SWI0 has run when this returns.
fn raise_alarm() {
    // What was written before is what the alarm sees.
    asm::dsb();
    NVIC::pend(Interrupt::SWI0);
    asm::dsb();
    asm::isb();
}

#[interrupt]
fn SWI0() {
    static mut OWN: Option<Alarm> = None;
    if let Some(alarm) = ALARM.take(OWN) {
        alarm.interrupt();
    }
}

#[interrupt]
fn UART0() {
    static mut OWN: Option<(Commands<Many>, Receiver)> = None;
    if let Some((commands, receiver)) = COMMANDS.take(OWN) {
        commands.interrupt(receiver);
    }
}
