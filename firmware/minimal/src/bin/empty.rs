//! The floor: vectors, start-up, an interrupt and a loop, and nothing of
//! forebay.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m_rt::{entry, exception};
use forebay_minimal as _;

static TICKS: AtomicU32 = AtomicU32::new(0);

#[entry]
fn main() -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}

#[exception]
fn SysTick() {
    let ticks = TICKS.load(Ordering::Relaxed);
    TICKS.store(ticks.wrapping_add(1), Ordering::Relaxed);
}
